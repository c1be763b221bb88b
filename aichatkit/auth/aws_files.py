"""AWS's shared files and environment -> profiles and regions, read without AWS's own packages."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping

from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError

__all__ = ["REGION_VARIABLES", "find_region", "parse_region", "profile_name", "read_profile"]

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]+")


def find_region(region: str | None = None, *, profile: str | None = None) -> str:
    """Return the region: the argument, else that of the environment, else that of the profile; "" if none is set.

    Raises:
        ConfigurationError: what is set cannot be a region.
    """
    if region is not None:
        return parse_region(region, source="region")
    for variable in REGION_VARIABLES:
        if os.environ.get(variable):
            return parse_region(os.environ[variable], source=variable)
    name = profile_name(profile)
    configured = read_profile(name).get("region", "")
    return parse_region(configured, source=f"region of the profile {name!r}") if configured else ""


def parse_region(region: object, *, source: str) -> str:
    """Return a region; raise ConfigurationError for anything that could lead to another host."""
    if not isinstance(region, str) or not _REGION.fullmatch(region):
        raise ConfigurationError(f"{source} must be the name of a region, such as eu-west-1, not {region!r:.60}")
    return region


def profile_name(profile: str | None) -> str:
    """Return the name of the profile to use."""
    return profile or os.environ.get("AWS_PROFILE") or "default"


def read_profile(name: str) -> Mapping[str, str]:
    """Return the settings of a profile from both shared files, empty if it is in none; credentials take precedence."""
    home = os.path.expanduser("~")
    config = os.environ.get("AWS_CONFIG_FILE") or os.path.join(home, ".aws", "config")
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, ".aws", "credentials")
    section = name if name == "default" else f"profile {name}"
    return {**_read_section(config, section), **_read_section(credentials, name)}


def _read_section(path: str, section: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    reason = ""
    try:
        parser.read(os.path.expanduser(path), encoding="utf-8")
    except (configparser.Error, OSError, UnicodeError) as error:
        # Its message may quote a line with a secret.
        reason = type(error).__name__ if not isinstance(error, OSError) else reason_of(error)
    if reason:
        raise ConfigurationError(f"the file {path} cannot be read ({reason.partition(':')[0]})", reason=reason)
    return dict(parser[section]) if parser.has_section(section) else {}
