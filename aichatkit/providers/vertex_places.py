"""Project and location -> the base URL on Vertex AI; of Google's hosts, only these exist."""

from __future__ import annotations

import os
import re
from typing import Any

from aichatkit.errors import ConfigurationError

__all__ = ["EXPRESS", "find_place", "full_url", "host_of", "is_api_key", "parse_location", "parse_project"]

_PROJECT_VARIABLES = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
_LOCATION_VARIABLES = ("GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION")
#: The newest models are first, or only, at this location.
_DEFAULT_LOCATION = "global"
_PROJECT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.:_-]*")
_LOCATION = re.compile(r"[a-z]+(?:-[a-z]+[0-9]*)*")
_OPENAI_PATH = "/endpoints/openapi"
#: The end of the base URL of express mode, in which an API key replaces the project.
EXPRESS = "/publishers"
_API_KEY = re.compile(r"AIza[\w-]{16,}|AQ\.[\w.-]{16,}")


def find_place(auth: Any = None) -> tuple[str, str]:
    """Return project and location: those of what signs the requests, else of the environment; "" for no project."""
    project = getattr(auth, "project", None) or _environment(_PROJECT_VARIABLES)
    if not project and hasattr(auth, "find_project"):
        project = auth.find_project()
    # A Session of google-auth has credentials, and those of a service account have a project.
    project = project or getattr(getattr(auth, "credentials", None), "project_id", None)
    location = getattr(auth, "location", None) or _environment(_LOCATION_VARIABLES) or _DEFAULT_LOCATION
    return parse_project(project) if project else "", parse_location(location)


def full_url(url: str, auth: Any = None) -> str:
    """Return the base URL of a project at a location; `url` may name both already, or be empty for Google's host.

    >>> full_url("https://proxy.example/v1/projects/mine/locations/eu/endpoints/openapi")
    'https://proxy.example/v1/projects/mine/locations/eu'
    """
    base = url.rstrip("/").removesuffix(_OPENAI_PATH)
    if "/projects/" in base or base.endswith(EXPRESS):
        return base
    project, location = find_place(auth)
    if not project and is_api_key(auth):
        return f"{base.removesuffix('/v1') or 'https://aiplatform.googleapis.com'}/v1{EXPRESS}"
    if not project:
        raise ConfigurationError(
            f"vertex: no project; set {_PROJECT_VARIABLES[0]}, or pass auth=google_auth(project=...)",
            provider="vertex",
            action="next",
        )
    base = base.removesuffix("/v1") or f"https://{host_of(location)}"
    return f"{base}/v1/projects/{project}/locations/{location}"


def is_api_key(key: Any) -> bool:
    """Return whether a key is an API key of Google, and no access token."""
    return isinstance(key, str) and _API_KEY.fullmatch(key) is not None


def host_of(location: str) -> str:
    """Return the host of a location.

    >>> host_of("global"), host_of("eu"), host_of("europe-west4")
    ('aiplatform.googleapis.com', 'aiplatform.eu.rep.googleapis.com', 'europe-west4-aiplatform.googleapis.com')
    """
    if location == _DEFAULT_LOCATION:
        return "aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def parse_project(project: Any) -> str:
    """Return a project; raise ConfigurationError for anything that could change the URL."""
    if not isinstance(project, str) or not _PROJECT.fullmatch(project):
        raise ConfigurationError(f"vertex: the project must be the ID of a project, not {project!r:.60}")
    return project


def parse_location(location: Any) -> str:
    """Return a location; raise ConfigurationError for anything that could lead to another host."""
    if not isinstance(location, str) or not _LOCATION.fullmatch(location):
        raise ConfigurationError(
            f"vertex: the location must be 'global', 'us', 'eu' or a region such as europe-west4, not {location!r:.60}"
        )
    return location


def _environment(names: tuple[str, ...]) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
