"""What may stand between this machine and the services: versions, proxies, certificates, keys, names, the clock.

Nothing here shows a key or a password. Services are asked for a page, and with a key for the list of their models:
neither costs anything.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import NamedTuple
from urllib.parse import urlsplit

from aichatkit._version import __version__
from aichatkit.call.attempt import is_local
from aichatkit.call.targets import named_providers, parse_key
from aichatkit.cli import key_store
from aichatkit.client import Client
from aichatkit.errors import AuthenticationError, ChatError, ConfigurationError, ConnectError
from aichatkit.options import parse_url
from aichatkit.providers.base import Provider
from aichatkit.registry import GROUPS, registry
from aichatkit.transport.connections import Connections
from aichatkit.transport.probe import TLS, Probe, probe

__all__ = ["Finding", "diagnose"]

#: A clock further off than this, in seconds, lets signatures and certificates fail.
_MOST_SKEW = 60
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_NOT_READ = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_MOST_AT_ONCE = 16


class Finding(NamedTuple):
    """One thing looked at: `verdict` is "ok", "note" for what is worth knowing, or "bad" for what fails calls."""

    verdict: str
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:<5} {self.topic}: {self.text}"


def diagnose(model: Sequence[str] | None = None) -> Iterator[Finding]:
    """Yield findings, the quick ones first.

    The services are those that `model` names, else every one that a key is set or stored for.
    """
    yield _versions()
    yield from _proxies()
    yield from _certificates()
    names = _all_named(model) if model else _with_keys()
    yield from _keys(names, chosen=bool(model))
    with ThreadPoolExecutor(_MOST_AT_ONCE, "aichatkit-doctor") as pool:
        findings = [finding for found in pool.map(_service, names) for finding in found]
    yield from (finding for finding in findings if finding.topic != "clock")
    # There is one clock here, however many tell of it.
    yield from [finding for finding in findings if finding.topic == "clock"][:1]


def _versions() -> Finding:
    told = [f"Python {platform.python_version()}", f"aichatkit {__version__}"]
    told += [f"{name} {metadata.version(name)}" for name in ("requests", "urllib3", "tenacity", "certifi")]
    return Finding("ok", "versions", ", ".join([*told, TLS]))


def _proxies() -> Iterator[Finding]:
    found = {name: _variable(name) for name in _PROXIES}
    for name, value in found.items():
        if not value:
            continue
        host = _host_and_port(value)
        if host:
            yield Finding("ok", "proxy", f"{name} is {host}")
        else:
            yield Finding("bad", "proxy", f"{name} names no host; it must be like http://host:3128")
    if not any(found.values()):
        yield Finding("ok", "proxy", "none in the environment")
    elif _variable("NO_PROXY"):
        yield Finding("ok", "proxy", f"not used for {_variable('NO_PROXY')}")


def _certificates() -> Iterator[Finding]:
    named = next((name for name in _BUNDLES if os.environ.get(name)), None)
    if named is None:
        yield Finding("ok", "certificates", "those of certifi")
    elif os.path.exists(os.environ[named]):
        yield Finding("ok", "certificates", f"{named} is {os.environ[named]}")
    else:
        yield Finding("bad", "certificates", f"{named} names {os.environ[named]}, which is not there")
    for name in _NOT_READ:
        if os.environ.get(name):
            yield Finding("note", "certificates", f"{name} is set, but requests reads {_BUNDLES[0]} only")


def _all_named(model: Sequence[str]) -> list[str]:
    return [name for one in model for name in (GROUPS.get(one) or named_providers(one))]


def _with_keys() -> list[str]:
    kept = set(key_store.names())
    return [kind.name for kind in registry.importable() if (kind.rank and kind.find_key()) or kind.name in kept]


def _keys(names: Sequence[str], *, chosen: bool) -> Iterator[Finding]:
    if not names:
        yield Finding("note", "keys", "none is set or stored; set one such as OPENAI_API_KEY, or name a service")
    for name in names:
        kind = registry[name]
        if not kind.key_variables():
            continue
        place = next((variable for variable in kind.key_variables() if os.environ.get(variable)), "")
        try:
            key = kind.find_key() or key_store.stored(name)
            if key is not None:
                parse_key(key, provider=name)
                yield Finding("ok", "keys", f"{name}: set by {place}" if place else f"{name}: stored")
            elif kind.needs_key:
                yield Finding("bad", "keys", str(kind.missing_key()))
        except ConfigurationError as error:
            yield Finding("bad", "keys", f"{place or name}: {error}")


def _service(name: str) -> list[Finding]:
    """Look whether one service can be reached, and whether it takes the key."""
    kind = registry[name]
    try:
        url = parse_url(kind.find_base_url() or kind.url, told=kind.base_url_env or name)
        reached = probe(url, provider=name, connections=Connections(), direct=kind.direct and is_local(url))
    except ChatError as error:
        return [Finding("bad", name, _advised(error, kind))]
    findings = [_way(name, url, reached)]
    if reached.skew is not None:
        findings.append(_clock(name, reached.skew))
    return [*findings, *_key_taken(kind)]


def _advised(error: ChatError, kind: type[Provider]) -> str:
    hint = kind.not_running if isinstance(error, ConnectError) else ""
    return f"{error} {hint}".removeprefix(f"{kind.name}: ").strip()


def _way(name: str, url: str, reached: Probe) -> Finding:
    way = f"through the proxy {reached.proxy}" if reached.proxy else f"at {reached.address}"
    return Finding("ok", name, f"{urlsplit(url).hostname} reached {way} in {reached.elapsed:.2f} s")


def _clock(name: str, skew: float) -> Finding:
    if abs(skew) <= _MOST_SKEW:
        return Finding("ok", "clock", f"agrees with that of {name}")
    side = "behind" if skew > 0 else "ahead of"
    return Finding("bad", "clock", f"this machine is {abs(skew):.0f} s {side} {name}; set its clock")


def _key_taken(kind: type[Provider]) -> Iterator[Finding]:
    found = key_store.keys_for(kind.name)
    if not kind.models_path or not (found or kind.find_key()):
        return
    with Client(api_key=found or None, retry=0, timeout=10) as client:
        try:
            models = client.models(kind.name)
        except AuthenticationError as error:
            yield Finding("bad", kind.name, _advised(error, kind))
        except ChatError as error:
            yield Finding("note", kind.name, f"its models cannot be listed: {_advised(error, kind)}")
        else:
            yield Finding("ok", kind.name, f"takes the key and lists {len(models)} models")


def _variable(name: str) -> str:
    # `requests` reads the lower-case form first.
    return os.environ.get(name.lower()) or os.environ.get(name, "")


def _host_and_port(url: str) -> str:
    """Return host and port of a proxy; user and password are left out."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return ""
