"""`aichatkit models --update`: download a newer catalog for the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from aichatkit._reasons import reason_of
from aichatkit.catalog.layers import parse_layer, read_layer, shipped
from aichatkit.cli.paths import data_folder, write_private
from aichatkit.client import Client
from aichatkit.errors import APIError, ConfigurationError, ConnectError
from aichatkit.providers.base import is_local

__all__ = ["catalog_option", "update_catalog"]

_PATH_ENV, _URL_ENV = "AICHATKIT_CATALOG", "AICHATKIT_CATALOG_URL"
_MAX_BYTES, _BLOCK_SIZE = 5_000_000, 1 << 16
_TIMEOUT = (5.0, 30.0)


def catalog_option() -> Path | None:
    """Return the downloaded catalog; None if there is none, AICHATKIT_CATALOG is set or the package has newer data."""
    path = _path()
    if os.environ.get(_PATH_ENV) or not path.is_file():
        return None
    # The package may have been upgraded since the download.
    return path if read_layer(path, source=str(path)).as_of >= shipped().as_of else None


def update_catalog(client: Client, url: str | None) -> tuple[Path, str]:
    """Download a catalog with the client's Session and save it; return its path and its date.

    Raises:
        ConfigurationError: the URL is missing or not https, or the file is not a catalog or older than the package's.
        APIError: the server refused.
        ConnectError: the download failed.
    """
    url = url or os.environ.get(_URL_ENV)
    if not url:
        raise ConfigurationError(f"models --update: pass the URL of a catalog, or set {_URL_ENV}")
    _check_secure(url)
    text = _fetch(client, url)
    layer = parse_layer(_decode(text), source="models --update")
    if layer.as_of < shipped().as_of:
        raise ConfigurationError(
            f"models --update: the catalog is of {layer.as_of}, older than the package's own of {shipped().as_of}"
        )
    path = Path(os.environ.get(_PATH_ENV) or _path())
    write_private(path, text)
    return path, layer.as_of.isoformat()


def _check_secure(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_secure = bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_local(url)))
    except ValueError:
        is_secure = False
    if not is_secure:
        raise ConfigurationError("models --update: the URL must start with https://")


def _fetch(client: Client, url: str) -> str:
    data = b""
    try:
        with client.session.get(url, timeout=_TIMEOUT, stream=True) as response:
            response.raise_for_status()
            # A redirect may lead elsewhere.
            _check_secure(response.url)
            # urllib3 1.26 takes a body that is too short for a whole one unless asked to check.
            response.raw.enforce_content_length = True
            for block in response.iter_content(_BLOCK_SIZE):
                data += block
                if len(data) > _MAX_BYTES:
                    raise ConfigurationError(f"models --update: the file has more than {_MAX_BYTES:,} bytes")
        return data.decode("utf-8", "replace")
    except OSError as error:
        # All errors of requests are OSErrors; that of `raise_for_status` has a response.
        status = getattr(getattr(error, "response", None), "status_code", None)
        problem, reason = type(error).__name__, reason_of(error)
    failed = f"models --update: the download from {urlsplit(url).hostname} failed"
    if status is not None:
        raise APIError(f"{failed} (status {status}); check the URL", status=status, reason=reason)
    raise ConnectError(f"{failed} ({problem})", reason=reason)


def _decode(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        problem, reason = str(error), reason_of(error)
    raise ConfigurationError(f"models --update: not JSON ({problem})", reason=reason)


def _path() -> Path:
    return data_folder() / "catalog.json"
