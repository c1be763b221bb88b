"""Checks of `doctor` on certificates and the credentials of clouds; no secret is shown, and no service is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from aichatkit.auth.aws import aws_auth
from aichatkit.auth.aws_files import find_region
from aichatkit.auth.google import google_auth
from aichatkit.cli.findings import Finding
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.providers.vertex_places import find_place
from aichatkit.registry import registry
from aichatkit.transport.certificates import BUNDLE_VARIABLES, count_certificates, system_context

__all__ = ["check_certificates", "check_clouds"]


def check_certificates() -> Iterator[Finding]:
    """Yield which CA bundle is used, and whether those of the operating system can be."""
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
    yield _check_system()


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


def check_clouds(names: Sequence[str]) -> Iterator[Finding]:
    """Yield what would sign requests to the clouds that are checked and have no key."""
    if "bedrock" in names and registry["bedrock"].find_key() is None:
        yield _check("aws", _describe_aws)
    if "vertex" in names and registry["vertex"].find_key() is None:
        yield _check("google", _describe_google)


def _check(topic: str, describe: Callable[[], str]) -> Finding:
    try:
        return Finding("ok", topic, describe())
    except ChatError as error:
        return Finding("bad", topic, str(error))


def _describe_aws() -> str:
    return f"{aws_auth(region=find_region() or None).explain()}; pass auth=aws_auth()"


def _describe_google() -> str:
    auth = google_auth()
    project, location = find_place(auth)
    return f"{auth.explain()}, project {project or 'unknown'}, location {location}; pass auth=google_auth()"
