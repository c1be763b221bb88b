"""Requests to Google -> requests with an access token of Google's credentials, fetched once for all threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import requests

from aichatkit._locks import ReentrantLock
from aichatkit._reasons import reason_of
from aichatkit.auth.failures import name_of
from aichatkit.errors import ConfigurationError, MissingKeyError

__all__ = ["GoogleAuth", "google_auth"]

_FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def google_auth(
    *,
    project: str | None = None,
    location: str | None = None,
    credentials: Any = None,
    scopes: tuple[str, ...] | list[str] = (_SCOPE,),
) -> GoogleAuth:
    """Return what signs requests to Google: `Client(model="vertex/...", auth=google_auth())` (extra `google`).

    Args:
        project: the ID of the project; else GOOGLE_CLOUD_PROJECT, or the project of the credentials.
        location: "global", "us", "eu" or a region such as "europe-west4"; else GOOGLE_CLOUD_LOCATION, or "global".
        credentials: of google-auth; else the application default credentials, found at the first call.
        scopes: what the token is for.

    Raises:
        ConfigurationError: google-auth is not installed, or an argument is invalid.
    """
    return GoogleAuth(project=project, location=location, credentials=credentials, scopes=scopes)


class GoogleAuth(requests.auth.AuthBase):
    """Adds the access token of Google's credentials, and renews it in one thread at a time; see `google_auth`."""

    def __init__(
        self,
        *,
        project: str | None = None,
        location: str | None = None,
        credentials: Any = None,
        scopes: tuple[str, ...] | list[str] = (_SCOPE,),
    ) -> None:
        auth = _import()
        if credentials is not None and not hasattr(credentials, "before_request"):
            raise ConfigurationError(
                f"google_auth: credentials must be those of google-auth, not an object of type {name_of(credentials)}"
            )
        if not isinstance(scopes, (tuple, list)) or not all(isinstance(scope, str) for scope in scopes):
            raise ConfigurationError("google_auth: scopes must be a list of strings")
        self.location = location
        self.project = project
        self._given = auth.credentials.with_scopes_if_required(credentials, scopes) if credentials else None
        self._scopes = tuple(scopes)
        self._reset()

    def _reset(self) -> None:
        self._lock = ReentrantLock()
        self._found: Any = self._given
        self._found_project: str | None = None
        # The token that a thread has signed its latest request with.
        self._used = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("location", "project", "_given", "_scopes")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __repr__(self) -> str:
        return f"<GoogleAuth project={self.project!r} location={self.location!r}>"

    @property
    def is_portable(self) -> bool:
        """Whether it can be pickled: another process finds the credentials of its own environment."""
        return self._given is None

    def find_project(self) -> str | None:
        """Return the project of the credentials, None if they have none."""
        with self._lock:
            credentials = self._find()
            return getattr(credentials, "project_id", None) or self._found_project

    def explain(self) -> str:
        """Return what kind of credentials were found, without showing them.

        Raises:
            MissingKeyError: there are none.
        """
        with self._lock:
            return type(self._find()).__module__

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request with a token that is valid."""
        with self._lock:
            # It fetches another token shortly before the old one expires.
            credentials = self._find()
            credentials.before_request(self._transport(), request.method, request.url, request.headers)
            self._used.token = credentials.token
        return request

    def renew(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return whether there is another token, after one was refused."""
        if status != 401:
            return False
        with self._lock:
            credentials = self._find()
            refused = getattr(self._used, "token", None)
            if credentials.token == refused:
                credentials.refresh(self._transport())
            return bool(credentials.token != refused)

    def _find(self) -> Any:
        if self._found is None:
            auth = _import()
            try:
                self._found, self._found_project = auth.default(scopes=self._scopes)
            except auth.exceptions.DefaultCredentialsError as error:
                reason = type(error).__name__
            else:
                return self._found
            path = os.environ.get(_FILE_VARIABLE, "")
            if path:
                problem = "is not a file of credentials" if os.path.exists(path) else "does not exist"
                raise MissingKeyError(f"google_auth: {_FILE_VARIABLE} names {path}, which {problem}", reason=reason)
            raise MissingKeyError(
                "google_auth: no Google credentials; run 'gcloud auth application-default login', or set "
                f"{_FILE_VARIABLE} to the path of a file with credentials",
                reason=reason,
            )
        return self._found

    def _transport(self) -> Any:
        import google.auth.transport.requests

        return google.auth.transport.requests.Request()


def _import() -> Any:
    try:
        import google.auth
        import google.auth.credentials
        import google.auth.exceptions
    except ImportError as error:
        reason = reason_of(error)
    else:
        return google.auth
    raise ConfigurationError("google_auth: needs the extra: pip install 'aichatkit[google]'", reason=reason)
