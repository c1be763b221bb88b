"""Options -> validated values, before anything is sent; errors say what to pass instead."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

from aichatkit._lazy import lazy_module
from aichatkit.call.signatures import CallOptions, options_of
from aichatkit.call.targets import named_providers, parse_keys, per_provider
from aichatkit.catalog.layers import parse_layer, read_layer
from aichatkit.catalog.models import Catalog
from aichatkit.errors import ConfigurationError
from aichatkit.params import PARAMS, is_integer, parse_path, suggestion
from aichatkit.registry import registry
from aichatkit.transport.connections import Connections

if TYPE_CHECKING:
    from aichatkit.auth import signers
    from aichatkit.catalog import own_prices
    from aichatkit.limits import rate_limits
else:
    # Few clients sign requests, or set prices or a rate limit.
    signers = lazy_module("aichatkit.auth.signers")
    own_prices = lazy_module("aichatkit.catalog.own_prices")
    rate_limits = lazy_module("aichatkit.limits.rate_limits")

__all__ = [
    "CALL_OPTIONS",
    "HOOKS",
    "MAX_ROUNDS",
    "build_connections",
    "parse_access",
    "parse_auth",
    "parse_catalog",
    "parse_cert",
    "parse_extra",
    "parse_flag",
    "parse_headers",
    "parse_hooks",
    "parse_proxies",
    "parse_rates",
    "parse_rounds",
    "parse_url",
    "parse_verify",
]

#: Options that `ask` and `stream` accept in addition to sampling parameters.
CALL_OPTIONS = tuple(sorted(set(options_of(CallOptions)) - PARAMS))
#: Rounds of tool calls, if a call does not say how many.
MAX_ROUNDS = 8
HOOKS = ("request", "chunk", "wait", "reply", "error")
#: The end of an endpoint URL; no base URL ends like this.
_ENDPOINT = (
    r"/chat/completions$|/v[0-9]\w*/(?:completions|messages|responses|chat|embeddings|images/generations)$"
    r"|(?:/v[0-9]\w*)?/models/[^/]+:(?:streamG|g)enerateContent$"
)
#: A dict of proxies may have other schemes as well, as that of `urllib.request.getproxies` does.
_PROXY_KEYS = ("http", "https", "all", "no_proxy")
_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"


def build_connections(session: Any, proxies: Any, verify: Any, cert: Any, headers: Any) -> Connections:
    """Return the connections of a client with these options."""
    return Connections(
        session,
        proxies=parse_proxies(proxies),
        verify=parse_verify(verify, session),
        cert=parse_cert(cert),
        headers=parse_headers(headers),
    )


def parse_access(
    model: Any, api_key: Any, base_url: Any, auth: Any, session: Any
) -> tuple[dict[str, Any], dict[str, str], dict[str, signers.Signer]]:
    """Return the keys, the base URLs and what signs requests, each by provider; `model` names that of single values."""
    is_for_model = [value is not None and not isinstance(value, Mapping) for value in (api_key, base_url, auth)]
    names = named_providers(model) if any(is_for_model) else []
    keys = {
        name: parse_keys(key, provider=name) for name, key in per_provider(api_key, names, option="api_key").items()
    }
    base_urls = {name: parse_url(url) for name, url in per_provider(base_url, names, option="base_url").items()}
    return keys, base_urls, parse_auth(auth, names, keys, session)


def parse_auth(auth: Any, names: Sequence[str], keys: Collection[str], session: Any) -> dict[str, signers.Signer]:
    """Return what signs requests, by provider; `keys` are the providers that a key was passed for as well.

    Raises:
        ConfigurationError: the value is invalid, or a key would have to be in the header that the signature is in.
    """
    by_provider = {
        name: signers.parse_signer(value, provider=name) for name, value in _by_provider(auth, names).items()
    }
    for name in keys:
        signs = session is not None and signers.is_google_session(session)
        what = "auth=" if name in by_provider else "session=" if signs else ""
        if what and registry[name].key_header == "Authorization":
            raise ConfigurationError(
                f"api_key for {name}: {what} signs each request in the same header; pass one of the two", provider=name
            )
    return by_provider


def _by_provider(auth: Any, names: Sequence[str]) -> dict[str, Any]:
    if auth is None or isinstance(auth, (Mapping, tuple)) or callable(auth):
        return per_provider(auth, names, option="auth")
    return {"the client": auth}


def parse_catalog(catalog: Any, prices: Any) -> Catalog:
    """Return the catalog; the user's own records and prices take precedence over the package's."""
    layers = []
    if isinstance(catalog, Mapping):
        layers.append(parse_layer(catalog, source="catalog"))
    elif isinstance(catalog, (str, os.PathLike)):
        layers.append(read_layer(catalog, source="catalog"))
    elif catalog is not None:
        raise ConfigurationError(
            f"catalog: must be the path of a JSON file or its content, not {type(catalog).__name__}"
        )
    priced = None if prices is None else own_prices.parse_prices(prices)
    return Catalog(layers if priced is None else [*layers, priced])


def parse_hooks(hooks: Mapping[str, Callable[[Any], None]] | None) -> dict[str, Callable[[Any], None]]:
    """Return the hooks; reject unknown names and values that are not callable."""
    if hooks is not None and not isinstance(hooks, Mapping):
        raise ConfigurationError("hooks: must be a dict such as {'wait': print}")
    for name, hook in (hooks or {}).items():
        if name not in HOOKS:
            raise ConfigurationError(
                f"hooks: there is no hook {name!r}{suggestion(name, HOOKS)}; there is {', '.join(HOOKS)}"
            )
        if not callable(hook):
            raise ConfigurationError(f"hooks: {name} must be callable, not {type(hook).__name__}")
    return dict(hooks or {})


def parse_rates(rate: Any) -> dict[str, rate_limits.Rate]:
    """Return the rate limits by provider name; the limit under "" applies to all other providers."""
    if rate is None:
        return {}
    by_provider = {"": rate} if not isinstance(rate, Mapping) else per_provider(rate, [], option="rate")
    rates = {name: rate_limits.Rate.of(value) for name, value in by_provider.items()}
    return {name: value for name, value in rates.items() if value is not None}


def parse_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers; reject names and values that could inject another header."""
    if headers is not None and not isinstance(headers, Mapping):
        raise ConfigurationError("headers: must be a dict of names and values")
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not re.fullmatch(_HEADER_NAME, name) or not _is_header_value(value):
            raise ConfigurationError(
                f"headers: {name!r} must be a plain name, and its value Latin-1 text without line ends"
            )
    return dict(headers or {})


def parse_extra(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the extra fields, which are added to the request body unchanged."""
    if extra is not None and not isinstance(extra, Mapping):
        raise ConfigurationError("extra: must be a dict of fields for the body")
    return dict(extra or {})


def parse_flag(name: str, value: Any) -> bool:
    """Return the value of an option that is on or off; None is off, as if it were not passed."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise ConfigurationError(f"{name} must be True or False, got {value!r:.100}")


def parse_rounds(value: Any) -> int:
    """Return the value of `max_rounds`; None is the default."""
    if value is None:
        return MAX_ROUNDS
    if is_integer(value, minimum=0):
        return int(value)
    raise ConfigurationError(f"max_rounds must be an integer of at least 0, got {value!r:.100}")


def parse_url(url: Any, *, source: str = "base_url") -> str:
    """Return a valid base URL; `source` is the option or variable it comes from, for the error message.

    >>> parse_url(" https://gateway.example/v1 ")
    'https://gateway.example/v1'
    """
    # Pasted values and lines of `.env` files often end with whitespace.
    url = url.strip() if isinstance(url, str) else url
    if (
        not isinstance(url, str)
        or not re.match(r"https?://[^/?#\s]", url, re.IGNORECASE)
        or not url.isprintable()
        or any(map(str.isspace, url))
        or not _has_host(url)
    ):
        # Never show what precedes the "@": it may contain a password.
        shown = str(url).rpartition("@")[2][:60]
        raise ConfigurationError(f"{source}: must start with http:// or https:// and a host, not {shown!r}")
    parts = urlsplit(url)
    if "@" in parts.netloc:
        # The API key takes the Authorization header, so these would be silently ignored.
        raise ConfigurationError(f"{source}: must not hold a user and password; pass session= with its auth set")
    if not _has_port(url):
        raise ConfigurationError(f"{source}: the port must be a number from 1 to 65535")
    if "?" in url or "#" in url:
        # Paths are appended to it. The URL is not shown, as a query may hold a key.
        raise ConfigurationError(
            f"{source}: must end before the {'?' if '?' in url else '#'}; "
            "pass query parameters with session=, in its `params`"
        )
    if endpoint := re.search(_ENDPOINT, parts.path.rstrip("/")):
        raise ConfigurationError(
            f"{source}: {endpoint.group()} is added to it for each request, so it must end before that"
        )
    return url


def parse_verify(verify: Any, session: Any = None) -> bool | str | None:
    """Return whether to verify TLS certificates, "system", or the path of a CA bundle; only False turns it off."""
    if verify == "system" and session is not None:
        raise ConfigurationError(
            "verify: 'system' is for a client without session=; mount an adapter with a context of truststore on yours"
        )
    if verify is None or isinstance(verify, bool):
        return verify
    return parse_path(verify, "verify: must be True, False or the path of a CA bundle, or 'system'")


def parse_cert(cert: Any) -> str | tuple[str, str] | None:
    """Return the client certificate: the path of a file with certificate and key, or those of two files."""
    if cert is None:
        return None
    is_pair = isinstance(cert, (tuple, list)) and len(cert) == 2
    paths = [os.fspath(path) if isinstance(path, os.PathLike) else path for path in (cert if is_pair else [cert])]
    if not all(isinstance(path, str) and path for path in paths):
        raise ConfigurationError("cert: must be the path of a PEM file, or (certificate, key), the paths of two")
    missing = next((path for path in paths if not os.path.isfile(path)), None)
    if missing is not None:
        raise ConfigurationError(f"cert: there is no file {missing!r}")
    return (paths[0], paths[1]) if is_pair else paths[0]


def parse_proxies(proxies: Any) -> dict[str, str]:
    """Return a proxies dict for `requests`, from a dict or a single URL."""
    if proxies is None:
        return {}
    if isinstance(proxies, str):
        proxies = {"http": proxies, "https": proxies}
    if not isinstance(proxies, Mapping) or not all(isinstance(part, str) for pair in proxies.items() for part in pair):
        raise ConfigurationError("proxies: must be one URL or a dict such as {'https': 'http://proxy.example:3128'}")
    for scheme, url in proxies.items():
        if scheme not in _PROXY_KEYS:
            _check_proxy_key(scheme)
        if url and scheme != "no_proxy" and not _has_host(url):
            raise ConfigurationError(f"proxies: the one for {scheme!r} names no host; it must be like http://host:3128")
        if url and scheme != "no_proxy" and not _has_port(url):
            raise ConfigurationError(f"proxies: the one for {scheme!r} needs a port from 1 to 65535")
    return {scheme: _with_scheme(url) if scheme != "no_proxy" else url for scheme, url in proxies.items()}


def _check_proxy_key(key: str) -> None:
    """Raise ConfigurationError if `requests` would never use the proxy with this key."""
    scheme, _, rest = key.partition("://")
    meant = "" if scheme in _PROXY_KEYS else suggestion(scheme.strip(":/ "), _PROXY_KEYS)
    if not meant and re.fullmatch("[a-z][a-z0-9+.-]*", scheme):
        is_ipv6 = rest.count(":") > 1 and "@" not in rest
        found = f"{scheme}://{rest.lower() if is_ipv6 else _host_of(rest)}" if rest else scheme
        if key == found:
            return
        meant = f"; did you mean {found!r}?"
    shown = re.sub("//.*@", "//***@", key)
    raise ConfigurationError(
        f"proxies: no URL has the key {shown!r}{meant}; a key is 'http', 'https', 'all', or one of these with a host, "
        "such as 'https://api.example.com'"
    )


def _with_scheme(url: str) -> str:
    # requests would parse "localhost:3128" as a URL with the scheme "localhost".
    return url if not url or "://" in url else f"http://{url}"


def _has_port(url: str) -> bool:
    """Return whether the port of a URL is valid or missing."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").port != 0
    except ValueError:
        return False


def _has_host(url: str) -> bool:
    return bool(_host_of(url))


def _host_of(url: str) -> str:
    """Return the host of a URL in small letters, without its port; an empty string if there is none."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _is_header_value(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and all(char <= "\xff" for char in value)
