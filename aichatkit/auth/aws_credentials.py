"""Credentials for AWS: passed, or found by botocore, or without it in the environment and the shared files."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import time
from datetime import datetime
from typing import Any, Callable, TypeVar

from aichatkit._dataclasses import NamedTuple
from aichatkit._locks import Lock
from aichatkit.auth.aws_files import profile_name, read_profile
from aichatkit.auth.failures import name_of, sign_in_failure
from aichatkit.errors import AuthenticationError, ConfigurationError, MissingKeyError

__all__ = ["CredentialSource", "Credentials"]

_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
#: Credentials are found again this many seconds before they expire.
_EARLY = 300.0
#: Seconds that the program of a profile may take.
_PROGRAM_TIMEOUT = 60.0
#: The classes of botocore whose subclasses are about the network.
_NETWORK_ERRORS = ("ConnectionError", "HTTPClientError")
#: What botocore raises if a person has to sign in again.
_SSO_ERRORS = ("SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError")
#: Settings of profiles that sign in with the help of other services.
_BOTOCORE_ONLY = ("sso_session", "sso_start_url", "role_arn", "web_identity_token_file", "login_session")


_T = TypeVar("_T")


class Credentials(NamedTuple):
    """An access key, its secret, and the token of temporary credentials; `source` says where they were found."""

    access_key: str
    secret_key: str
    token: str | None = None
    source: str = ""
    expires_at: float | None = None

    def __repr__(self) -> str:
        return f"<Credentials from {self.source}>"


class CredentialSource:
    """Where the credentials of a signer are from; they are found at its first request, and again before they expire."""

    def __init__(self, given: Any = None, *, profile: str | None = None) -> None:
        _check_given(given)
        self._given = given
        self.profile = profile
        self._reset()

    def _reset(self) -> None:
        self._lock = Lock()
        self._found: Credentials | None = None
        self._refreshable: Any = None

    @property
    def is_portable(self) -> bool:
        """Whether it can be pickled: another process finds the credentials of its own environment."""
        return self._given is None

    def __getstate__(self) -> dict[str, Any]:
        return {"_given": self._given, "profile": self.profile}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def find(self) -> Credentials:
        """Return the credentials to sign a request with.

        Raises:
            MissingKeyError: there are none; the message says where they were looked for.
        """
        with self._lock:
            try:
                return self._find_current()
            except AuthenticationError:
                # A sign-in outside of this process, such as 'aws sso login', is seen by the next call.
                self._found = self._refreshable = None
                raise

    def _find_current(self) -> Credentials:
        if self._refreshable is not None:
            return _ask(lambda: _freeze(self._refreshable, self._found.source if self._found else ""), self.profile)
        found = self._found
        if found is None or (found.expires_at is not None and time.time() > found.expires_at - _EARLY):
            found = self._find()
            self._found = found
        return found

    def find_again(self, refused: Credentials) -> bool:
        """Return whether there are other credentials than those that the service refused."""
        with self._lock:
            self._found = self._refreshable = None
        return self.find()[:3] != refused[:3]

    def _find(self) -> Credentials:
        if self._given is not None:
            return self._find_given()
        if (found := _from_botocore(self.profile)) is not None:
            self._refreshable = found
            return _ask(lambda: _freeze(found, f"botocore ({found.method})"), self.profile)
        found = (None if self.profile else _from_environment()) or _from_profile(profile_name(self.profile))
        if found is None:
            raise _missing(self.profile)
        return found

    def _find_given(self) -> Credentials:
        given = self._given
        if hasattr(given, "get_credentials"):
            given = _ask(given.get_credentials, getattr(given, "profile", None))
        elif callable(given):
            given = _call(given)
        if hasattr(given, "get_frozen_credentials"):
            self._refreshable = given
        return _ask(lambda: _freeze(given, "credentials="), self.profile)


def _check_given(given: Any) -> None:
    """Raise ConfigurationError for what cannot be credentials."""
    if given is None or callable(given) or hasattr(given, "get_credentials"):
        return
    _freeze(given, "credentials=")


def _call(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything
        failure = sign_in_failure(
            f"aws_auth: credentials: {name_of(function)} failed ({type(error).__name__}); call it alone to see why",
            type(error).__name__,
            may_pass=isinstance(error, OSError),
        )
    raise failure


def _freeze(given: Any, source: str) -> Credentials:
    """Return credentials from an object with the names that botocore uses, or from a tuple."""
    if given is None:
        raise _missing(None)
    if hasattr(given, "get_frozen_credentials"):
        given = given.get_frozen_credentials()
    if isinstance(given, tuple) and not hasattr(given, "access_key"):
        parts = (*given, None)[:3] if len(given) in (2, 3) else (None, None, None)
    else:
        parts = tuple(getattr(given, name, None) for name in ("access_key", "secret_key", "token"))
    access_key, secret_key, token = parts
    if not access_key or not secret_key or not all(isinstance(part, str) for part in (access_key, secret_key)):
        raise ConfigurationError(
            "aws_auth: credentials must be (access key, secret key) or (access key, secret key, token), an object of "
            f"botocore, or a function that returns one of these, not {name_of(given)}"
        )
    return Credentials(access_key, secret_key, token or None, source)


def _from_botocore(profile: str | None) -> Any:
    """Return what botocore finds, None if it is not installed or finds nothing."""
    try:
        import botocore.session
    except ImportError:
        return None
    return _ask(lambda: botocore.session.Session(profile=profile).get_credentials(), profile)


def _ask(function: Callable[[], _T], profile: str | None) -> _T:
    """Return what a function returns that may ask botocore; its exceptions become errors that say what to do."""
    try:
        return function()
    except Exception as error:
        if not type(error).__module__.startswith("botocore"):
            raise
        problem = type(error).__name__
        may_pass = any(cls.__name__ in _NETWORK_ERRORS for cls in type(error).__mro__)
    raise sign_in_failure(f"aws_auth: {_explain(problem, profile_name(profile))}", problem, may_pass=may_pass)


def _explain(problem: str, profile: str) -> str:
    if problem in _SSO_ERRORS:
        return f"the SSO session of the profile {profile!r} has expired; run 'aws sso login --profile {profile}'"
    if problem == "ProfileNotFound":
        return f"there is no profile {profile!r} in ~/.aws/config and ~/.aws/credentials; 'aws configure list-profiles'"
    return (
        f"botocore cannot find credentials ({problem}); 'aws sts get-caller-identity --profile {profile}' may say why"
    )


def _from_environment() -> Credentials | None:
    access_key, secret_key = (os.environ.get(name) for name in _VARIABLES)
    if not access_key or not secret_key:
        return None
    return Credentials(access_key, secret_key, os.environ.get("AWS_SESSION_TOKEN") or None, "the environment")


def _from_profile(name: str) -> Credentials | None:
    settings = read_profile(name)
    source = f"the profile {name!r}"
    if settings.get("aws_access_key_id") and settings.get("aws_secret_access_key"):
        token = settings.get("aws_session_token") or None
        return Credentials(settings["aws_access_key_id"], settings["aws_secret_access_key"], token, source)
    if settings.get("credential_process"):
        return _run_program(settings["credential_process"], source)
    other = next((setting for setting in _BOTOCORE_ONLY if settings.get(setting)), None)
    if other is not None:
        raise ConfigurationError(
            f"aws_auth: {source} signs in with {other}, which needs botocore; pip install 'aichatkit[aws]'"
        )
    return None


def _run_program(command: str, source: str) -> Credentials:
    """Return what the program of a profile prints; it is run without a shell, and its output is never shown."""
    try:
        output = subprocess.run(
            shlex.split(command, posix=os.name == "posix"),
            capture_output=True,
            timeout=_PROGRAM_TIMEOUT,
            check=True,
        ).stdout
        record = json.loads(output)
        expires = record.get("Expiration")
        expires_at = None if expires is None else datetime.fromisoformat(expires.replace("Z", "+00:00")).timestamp()
        key, secret, token = record["AccessKeyId"], record["SecretAccessKey"], record.get("SessionToken")
        return Credentials(key, secret, token, f"{source} (credential_process)", expires_at)
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError, AttributeError) as error:
        problem = type(error).__name__
    raise sign_in_failure(f"aws_auth: the credential_process of {source} failed ({problem})", problem)


def _missing(profile: str | None) -> MissingKeyError:
    files = f"the profile {profile_name(profile)!r} of ~/.aws/credentials and ~/.aws/config"
    where = files if profile else f"{', '.join(_VARIABLES)} and {files}"
    installed = importlib.util.find_spec("botocore") is not None
    others = "botocore finds no others" if installed else "botocore finds others (pip install 'aichatkit[aws]')"
    advice = "; sign in with AWS's own tools, or pass credentials=" if installed else ", or pass credentials="
    return MissingKeyError(f"aws_auth: no AWS credentials in {where}; {others}{advice}")
