"""Diagnostics for `doctor`: versions, proxies, certificates, keys, name resolution, connections and the clock.

No key or password is ever shown. Each service gets a request for a page, and with a key one for its list of models:
neither costs anything.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from aichatkit._version import __version__
from aichatkit.call.targets import named_providers, parse_key
from aichatkit.cli import key_store
from aichatkit.cli.error_text import in_words
from aichatkit.cli.findings import Finding
from aichatkit.cli.sign_in_checks import CLOUDS, check_certificates, check_clouds, check_environment
from aichatkit.client import Client
from aichatkit.errors import AuthenticationError, ChatError, ConfigurationError, ConnectError, UnknownProviderError
from aichatkit.options import parse_url
from aichatkit.providers.base import Provider, is_local
from aichatkit.registry import GROUPS, provider_suggestion, registry
from aichatkit.transport.connections import Connections
from aichatkit.transport.probe import TLS, Probe, probe

__all__ = ["Finding", "diagnose"]

#: Clock skew in seconds beyond which signatures and certificates may be rejected.
_MAX_SKEW = 60
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_MAX_WORKERS = 16


def diagnose(
    services: Sequence[str] | None = None, *, verify: str | None = None, cert: str | tuple[str, str] | None = None
) -> Iterator[Finding]:
    """Yield the findings, those of the quick checks first.

    `services` names providers, models or groups; without it, every provider with a key set or stored is checked.
    `verify` and `cert` are those of a client.

    Raises:
        UnknownProviderError: a name is unknown; nothing is checked.
    """
    names = _expand_groups(services) if services else key_store.names_with_keys()
    yield _check_versions()
    yield from _check_proxies()
    yield from check_certificates(verify, cert)
    yield from _check_keys(names)
    yield from check_clouds(names)
    if not services:
        yield from check_environment(names)
    check_service = partial(_check_service, tls={"verify": verify, "cert": cert})
    with ThreadPoolExecutor(_MAX_WORKERS, "aichatkit-doctor") as pool:
        findings = [finding for service_findings in pool.map(check_service, names) for finding in service_findings]
    yield from (finding for finding in findings if finding.topic != "clock")
    # This machine has one clock, however many services it is compared with.
    yield from [finding for finding in findings if finding.topic == "clock"][:1]


def _check_versions() -> Finding:
    versions = [f"Python {platform.python_version()}", f"aichatkit {__version__}"]
    versions += [f"{name} {metadata.version(name)}" for name in ("requests", "urllib3", "tenacity", "certifi")]
    return Finding("ok", "versions", ", ".join([*versions, TLS]))


def _check_proxies() -> Iterator[Finding]:
    proxies = {name: _variable(name) for name in _PROXY_VARIABLES}
    for name, value in proxies.items():
        if not value:
            continue
        host = _host_and_port(value)
        if host:
            yield Finding("ok", "proxy", f"{name} is {host}")
        else:
            yield Finding("bad", "proxy", f"{name} names no host; it must be like http://host:3128")
    if not any(proxies.values()):
        yield Finding("ok", "proxy", "none is set in the environment")
    elif _variable("NO_PROXY"):
        yield Finding("ok", "proxy", f"not used for {_variable('NO_PROXY')}")


def _expand_groups(services: Sequence[str]) -> list[str]:
    names: list[str] = []
    for service in services:
        members = GROUPS.get(service) or named_providers(service)
        if not members:
            raise UnknownProviderError(f"there is no provider {service!r}{provider_suggestion(service)}")
        names += members
    return list(dict.fromkeys(names))


def _check_keys(names: Sequence[str]) -> Iterator[Finding]:
    if not names:
        yield Finding("note", "keys", "none is set or stored; set one such as OPENAI_API_KEY, or name a service")
    for name in names:
        provider_cls = registry[name]
        if not provider_cls.key_variables():
            continue
        variable = key_store.variable_of(provider_cls)
        try:
            key = provider_cls.find_key() or key_store.stored(name)
            if key is not None:
                parse_key(key, provider=name)
                yield Finding("ok", "keys", f"{name}: set by {variable}" if variable else f"{name}: stored")
            elif provider_cls.needs_key and name not in CLOUDS:
                yield Finding("bad", "keys", in_words(provider_cls.missing_key()))
        except ConfigurationError as error:
            yield Finding("bad", "keys", f"{variable or name}: {error}")


def _check_service(name: str, tls: Mapping[str, Any]) -> list[Finding]:
    """Check whether a service can be reached and accepts its key."""
    provider_cls = registry[name]
    if name == "offline":
        return [Finding("ok", name, "answers in this process, without the network")]
    try:
        url = parse_url(provider_cls.find_base_url() or provider_cls.url, source=provider_cls.base_url_env or name)
        direct = provider_cls.direct and is_local(url)
        if str(urlsplit(url).hostname).endswith(".invalid"):
            raise ConfigurationError(f"no address is set. {provider_cls.not_running}")
        connection = probe(url, provider=name, connections=Connections(**tls), direct=direct)
    except ChatError as error:
        return [Finding("bad", name, _describe(error, provider_cls))]
    findings = [_connection_finding(name, url, connection)]
    if connection.skew is not None:
        findings.append(_clock_finding(name, connection.skew))
    return [*findings, *_check_key_accepted(provider_cls, tls)]


def _describe(error: ChatError, provider_cls: type[Provider]) -> str:
    hint = f". {provider_cls.not_running}" if provider_cls.not_running and isinstance(error, ConnectError) else ""
    return f"{error}{hint}".removeprefix(f"{provider_cls.name}: ")


def _connection_finding(name: str, url: str, connection: Probe) -> Finding:
    route = f"through the proxy {connection.proxy}" if connection.proxy else f"at {connection.address}"
    return Finding("ok", name, f"{urlsplit(url).hostname} reached {route} in {connection.elapsed:.2f} s")


def _clock_finding(name: str, skew: float) -> Finding:
    if abs(skew) <= _MAX_SKEW:
        return Finding("ok", "clock", f"agrees with that of {name}")
    side = "behind" if skew > 0 else "ahead of"
    return Finding("bad", "clock", f"this machine is {abs(skew):.0f} s {side} {name}; set its clock")


def _check_key_accepted(provider_cls: type[Provider], tls: Mapping[str, Any]) -> Iterator[Finding]:
    stored = key_store.keys_for(provider_cls.name)
    if not provider_cls.models_path or not (stored or provider_cls.find_key()):
        return
    with Client(api_key=stored or None, retry=0, timeout=10, **tls) as client:
        try:
            models = client.models(provider_cls.name)
        except AuthenticationError as error:
            yield Finding("bad", provider_cls.name, _describe(error, provider_cls))
        except ChatError as error:
            yield Finding("note", provider_cls.name, f"its models cannot be listed: {_describe(error, provider_cls)}")
        else:
            yield Finding("ok", provider_cls.name, f"accepts the key and lists {len(models)} models")


def _variable(name: str) -> str:
    # `requests` reads the lower-case form first.
    return os.environ.get(name.lower()) or os.environ.get(name, "")


def _host_and_port(url: str) -> str:
    """Return the host and port of a proxy URL, without its user name and password; "" if it has no host."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host = parts.hostname or ""
        if any(character.isspace() for character in host):
            return ""
        return f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return ""
