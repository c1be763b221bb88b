"""Checks of `doctor` on certificates and the credentials of clouds; no secret is shown, and no service is called."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone

from aichatkit.auth.aws import aws_auth
from aichatkit.auth.aws_files import find_region
from aichatkit.auth.google import google_auth
from aichatkit.cli.error_text import in_words
from aichatkit.cli.findings import Finding
from aichatkit.errors import ChatError, ConfigurationError, MissingKeyError
from aichatkit.providers.vertex_places import find_place
from aichatkit.registry import registry
from aichatkit.transport.certificates import BUNDLE_VARIABLES, SYSTEM, count_certificates, system_context
from aichatkit.transport.client_certificates import expiry_of

__all__ = ["CLOUDS", "check_certificates", "check_clouds", "check_environment"]

#: A client certificate that expires this soon is worth a note.
_SOON = timedelta(days=30)
#: What azure-identity reads first, and what it is.
_ENTRA = {
    "AZURE_FEDERATED_TOKEN_FILE": "a workload identity",
    "AZURE_CLIENT_SECRET": "a client secret",
    "AZURE_CLIENT_CERTIFICATE_PATH": "a client certificate",
    "IDENTITY_ENDPOINT": "a managed identity",
}


#: What shows that this machine is signed in to a cloud: variables, and a file that its tools write.
_SIGNS = {
    "azure": (tuple(_ENTRA), ()),
    "bedrock": (
        ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        ("~", ".aws", "credentials"),
    ),
    "vertex": (
        ("GOOGLE_APPLICATION_CREDENTIALS",),
        ("~", ".config", "gcloud", "application_default_credentials.json"),
    ),
}


def check_certificates(verify: str | None = None, cert: str | tuple[str, str] | None = None) -> Iterator[Finding]:
    """Yield which CA bundle is used, whether those of the operating system can be, and how a client certificate is."""
    if verify == SYSTEM:
        yield Finding("ok", "certificates", "those of the operating system, by --verify")
    elif verify is not None:
        yield _check_bundle("--verify", verify)
    else:
        yield from _check_variables()
    yield _check_system()
    if cert is not None:
        yield _check_client(cert)


def _check_variables() -> Iterator[Finding]:
    variable = next((name for name in BUNDLE_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        yield Finding("ok", "certificates", "those of certifi")
    else:
        yield _check_bundle(variable, os.environ[variable])
    if os.environ.get("SSL_CERT_DIR"):
        yield Finding("note", "certificates", "SSL_CERT_DIR is set, and only counts with verify='system'")
    for name in BUNDLE_VARIABLES:
        if variable is not None and name != variable and os.environ.get(name):
            yield Finding("note", "certificates", f"{name} is set as well, and does not count")


def _check_bundle(variable: str, path: str) -> Finding:
    if not os.path.exists(path):
        return Finding("bad", "certificates", f"{variable} names {path}, which does not exist")
    try:
        count = count_certificates(path)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    else:
        found = "" if count is None else f" ({count} {'certificate' if count == 1 else 'certificates'})"
        return Finding("ok", "certificates", f"{variable} is {path}{found}")
    return Finding("bad", "certificates", f"{variable} names {path}, which holds no certificates ({problem})")


def _check_system() -> Finding:
    try:
        context = system_context()
    except ConfigurationError as error:
        return Finding("note", "certificates", str(error))
    by = "truststore" if type(context).__module__.startswith("truststore") else "OpenSSL"
    return Finding("ok", "certificates", f"verify='system' can be used, through {by}")


def _check_client(cert: str | tuple[str, str]) -> Finding:
    path = cert if isinstance(cert, str) else cert[0]
    try:
        expires = expiry_of(cert)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
        text = f"{path} and its key cannot be used ({problem}); it must be in PEM, and its key without a password"
        return Finding("bad", "client certificate", text)
    left = expires - datetime.now(timezone.utc)
    day = f"{expires:%Y-%m-%d}"
    if left < timedelta(0):
        return Finding("bad", "client certificate", f"{path} expired on {day}")
    verdict, soon = ("note", ", which is soon") if left < _SOON else ("ok", "")
    return Finding(verdict, "client certificate", f"{path} is valid until {day}{soon}")


def check_clouds(names: Sequence[str]) -> Iterator[Finding]:
    """Yield what would sign requests to the clouds that are checked and have no key."""
    for name, (topic, describe) in CLOUDS.items():
        if name in names and registry[name].find_key() is None:
            yield _check(topic, describe)


def check_environment(names: Sequence[str]) -> Iterator[Finding]:
    """Yield a note on each cloud, of those that are not checked, that this machine is signed in to."""
    for name, (variables, file) in _SIGNS.items():
        has_file = bool(file) and os.path.exists(os.path.expanduser(os.path.join(*file)))
        if name not in names and (has_file or any(map(os.environ.get, variables))):
            topic, describe = CLOUDS[name]
            yield Finding("note", topic, _check(topic, describe).text)


def _check(topic: str, describe: Callable[[], str]) -> Finding:
    try:
        return Finding("ok", topic, describe())
    except ChatError as error:
        text = in_words(error) if isinstance(error, MissingKeyError) else str(error)
        return Finding("bad", topic, text.removeprefix(f"{topic}: "))


def _describe_aws() -> str:
    try:
        found = aws_auth(region=find_region() or None).explain()
    except MissingKeyError as error:
        error.message = f"{error.message}; or set AWS_BEARER_TOKEN_BEDROCK to an API key of Bedrock"
        error.args = (error.message,)
        raise
    return f"{found}; pass auth=aws_auth()"


def _describe_google() -> str:
    auth = google_auth()
    project, location = find_place(auth)
    return f"{auth.explain()}, project {project or 'unknown'}, location {location}; pass auth=google_auth()"


def _describe_azure() -> str:
    seen = next((text for variable, text in _ENTRA.items() if os.environ.get(variable)), "")
    if seen:
        installed = "" if importlib.util.find_spec("azure") else " (pip install azure-identity)"
        return f"no key, and {seen} of Entra ID; pass api_key=azure.identity.get_bearer_token_provider(...){installed}"
    raise registry["azure"].missing_key()


#: Services whose requests may be signed instead of having a key: the topic, and what describes what would sign them.
CLOUDS: dict[str, tuple[str, Callable[[], str]]] = {
    "azure": ("azure", _describe_azure),
    "bedrock": ("aws", _describe_aws),
    "vertex": ("google", _describe_google),
}
