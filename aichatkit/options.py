"""The values of options: what may be given, and a clear word on what may not, before anything is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

from aichatkit._lazy import lazy_module
from aichatkit.call.targets import per_provider
from aichatkit.errors import ConfigurationError
from aichatkit.params import nearest

if TYPE_CHECKING:
    from aichatkit.limits import rate_limits
else:
    # Few clients have a rate.
    rate_limits = lazy_module("aichatkit.limits.rate_limits")

__all__ = [
    "CALL_OPTIONS",
    "HOOKS",
    "parse_extra",
    "parse_headers",
    "parse_hooks",
    "parse_proxies",
    "parse_rates",
    "parse_url",
    "parse_verify",
]

#: Options that `ask` and `stream` take beside sampling parameters.
CALL_OPTIONS = (
    "approve",
    "extra",
    "files",
    "headers",
    "max_rounds",
    "model",
    "proxies",
    "raw",
    "retry",
    "schema",
    "strict",
    "system",
    "timeout",
    "tools",
)
HOOKS = ("request", "chunk", "wait", "reply", "error")
_HEADER = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"


def parse_hooks(hooks: Mapping[str, Callable[[Any], None]] | None) -> dict[str, Callable[[Any], None]]:
    """Return the hooks; refuse a name that is none and what cannot be called."""
    if hooks is not None and not isinstance(hooks, Mapping):
        raise ConfigurationError("hooks: must be a dict such as {'wait': print}")
    for name, hook in (hooks or {}).items():
        if name not in HOOKS:
            raise ConfigurationError(
                f"hooks: there is no hook {name!r}{nearest(name, HOOKS)}; there is {', '.join(HOOKS)}"
            )
        if not callable(hook):
            raise ConfigurationError(f"hooks: {name} must be callable, not {type(hook).__name__}")
    return dict(hooks or {})


def parse_rates(rate: Any) -> dict[str, rate_limits.Rate]:
    """Return the rates by provider; "" stands for all that have none of their own."""
    if rate is None:
        return {}
    given = {"": rate} if not isinstance(rate, Mapping) else per_provider(rate, [], option="rate")
    rates = {name: rate_limits.Rate.of(value) for name, value in given.items()}
    return {name: value for name, value in rates.items() if value is not None}


def parse_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers; refuse what could become a second header."""
    if headers is not None and not isinstance(headers, Mapping):
        raise ConfigurationError("headers: must be a dict of names and values")
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not re.fullmatch(_HEADER, name) or not _fits_header(value):
            raise ConfigurationError(
                f"headers: {name!r} must be a plain name, and its value Latin-1 text without line ends"
            )
    return dict(headers or {})


def parse_extra(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields that go into the body as they are."""
    if extra is not None and not isinstance(extra, Mapping):
        raise ConfigurationError("extra: must be a dict of fields for the body")
    return dict(extra or {})


def parse_url(url: Any, *, told: str = "base_url") -> str:
    """Return an address that can be asked; `told` is where it came from."""
    if (
        not isinstance(url, str)
        or not re.match(r"https?://[^/?#\s]", url, re.IGNORECASE)
        or not url.isprintable()
        or not _names_host(url)
    ):
        # A password would stand before the "@".
        shown = str(url).rpartition("@")[2][:60]
        raise ConfigurationError(f"{told}: must start with http:// or https:// and a host, not {shown!r}")
    if "@" in urlsplit(url).netloc:
        # The key has the Authorization header, so these would be lost without a word.
        raise ConfigurationError(f"{told}: must not hold a user and password; pass session= with its auth set")
    return url


def parse_verify(verify: Any) -> bool | str | None:
    """Return whether to verify, or the path of a CA bundle; only False itself switches verification off."""
    path = os.fspath(verify) if isinstance(verify, os.PathLike) else verify
    if path is None or isinstance(path, bool) or (isinstance(path, str) and path):
        return path
    raise ConfigurationError(f"verify: must be True, False or the path of a CA bundle, not {verify!r}")


def parse_proxies(proxies: Any) -> dict[str, str]:
    """Return the proxies as `requests` takes them, for a dict or one URL."""
    if proxies is None:
        return {}
    if isinstance(proxies, str):
        proxies = {"http": proxies, "https": proxies}
    if not isinstance(proxies, Mapping) or not all(isinstance(part, str) for pair in proxies.items() for part in pair):
        raise ConfigurationError("proxies: must be one URL or a dict such as {'https': 'http://proxy.example:3128'}")
    for scheme, url in proxies.items():
        if url and scheme != "no_proxy" and not _names_host(url):
            raise ConfigurationError(f"proxies: the one for {scheme!r} names no host; it must be like http://host:3128")
    return dict(proxies)


def _names_host(url: str) -> bool:
    try:
        return bool(urlsplit(url if "://" in url else f"//{url}").hostname)
    except ValueError:
        return False


def _fits_header(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and all(sign <= "\xff" for sign in value)
