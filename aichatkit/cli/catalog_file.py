"""`aichatkit models --update`: a newer catalog, for the command line and for AICHATKIT_CATALOG."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from aichatkit._reasons import reason_of
from aichatkit.catalog.layers import parse_layer, shipped
from aichatkit.cli.paths import data_folder, write_private
from aichatkit.client import Client
from aichatkit.errors import ConfigurationError, ConnectError

__all__ = ["catalog_option", "update_catalog"]

_PATH_ENV, _URL_ENV = "AICHATKIT_CATALOG", "AICHATKIT_CATALOG_URL"
_MAX_BYTES = 5_000_000
_TIMEOUT = (5.0, 30.0)


def catalog_option() -> Path | None:
    """Return the file that an update has left, None without one or if AICHATKIT_CATALOG names another."""
    path = _path()
    return None if os.environ.get(_PATH_ENV) or not path.is_file() else path


def update_catalog(client: Client, url: str | None) -> tuple[Path, str]:
    """Fetch a catalog through the client's Session and keep it; return its path and its date.

    Raises:
        ConfigurationError: there is no address, or what came is not a catalog, or is older than the package's.
        ConnectError: the address cannot be reached.
    """
    url = url or os.environ.get(_URL_ENV)
    if not url:
        raise ConfigurationError(f"models --update: name the address of a catalog, or set {_URL_ENV}")
    host = urlsplit(url).hostname or ""
    if not url.startswith("https://") and host not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigurationError("models --update: the address must start with https://")
    text = _fetch(client, url)
    layer = parse_layer(_decode(text), source="models --update")
    if layer.as_of < shipped().as_of:
        raise ConfigurationError(
            f"models --update: that catalog is of {layer.as_of}, older than the package's own of {shipped().as_of}"
        )
    path = Path(os.environ.get(_PATH_ENV) or _path())
    write_private(path, text)
    return path, layer.as_of.isoformat()


def _fetch(client: Client, url: str) -> str:
    try:
        with client.session.get(url, timeout=_TIMEOUT, stream=True) as response:
            response.raise_for_status()
            data = response.raw.read(_MAX_BYTES + 1, decode_content=True)
    except OSError as error:
        # Every error of requests is one.
        problem, reason = type(error).__name__, reason_of(error)
    else:
        if len(data) > _MAX_BYTES:
            raise ConfigurationError(f"models --update: the file has more than {_MAX_BYTES:,} bytes")
        return bytes(data).decode("utf-8", "replace")
    raise ConnectError(f"models --update: {urlsplit(url).hostname} cannot be reached ({problem})", reason=reason)


def _decode(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        problem, reason = str(error), reason_of(error)
    raise ConfigurationError(f"models --update: not JSON ({problem})", reason=reason)


def _path() -> Path:
    return data_folder() / "catalog.json"
