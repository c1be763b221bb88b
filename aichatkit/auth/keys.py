"""Functions -> API keys: called for each attempt, or once for as long as the key they return is valid."""

from __future__ import annotations

import logging
import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import NamedTuple
from aichatkit._lazy import lazy_module
from aichatkit._locks import ReentrantLock
from aichatkit.errors import AuthenticationError, ConfigurationError
from aichatkit.params import is_number

if TYPE_CHECKING:
    import inspect

    from aichatkit.auth import failures
else:
    # Few clients have a function for a key.
    failures = lazy_module("aichatkit.auth.failures")
    inspect = lazy_module("inspect")

__all__ = ["KeyFunction", "key_hint", "parse_key"]

logger = logging.getLogger(__name__)

#: A key is renewed this long before it expires: in seconds, as a part of its life, and at most as a part of its life.
_EARLY, _EARLY_PART, _EARLIEST_PART = 300.0, 0.1, 0.5
#: Seconds after which a function that failed is called again while the key it returned before is still valid.
_PAUSE = 30.0
#: An earlier time, of 2001, is a number of seconds.
_EARLIEST = 1e9
#: Keys that are remembered, to remove them from messages.
_MAX_SECRETS = 8


class _Timed(NamedTuple):
    """A key, the time from which another one is fetched, and the time at which it expires."""

    key: str
    renew_at: float
    expires_at: float


class KeyFunction:
    """A function of the user's that returns API keys.

    It returns a string, and is then called for each attempt; or a string with the time at which it expires, as a
    number like `time.time()` or as a datetime with a time zone, and is then called again shortly before that time.
    It runs in the thread of the call, in one thread at a time.
    """

    def __init__(
        self, function: Callable[[], Any], *, provider: str, number: int = 0, clock: Callable[[], float] | None = None
    ) -> None:
        _check_function(function, provider)
        self._function = function
        self._provider = provider
        self._number = number
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._lock = ReentrantLock()
        self._timed: _Timed | None = None
        self._is_renewing = False
        self._latest = ""
        self._secrets: deque[str] = deque(maxlen=_MAX_SECRETS)

    def __getstate__(self) -> dict[str, Any]:
        # Functions are pickled by reference; keys are never pickled.
        return {name: getattr(self, name) for name in ("_function", "_provider", "_number", "_clock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __str__(self) -> str:
        """Return a name that is the same for all of its keys, and in every process."""
        module = getattr(self._function, "__module__", "")
        name = getattr(self._function, "__qualname__", "") or type(self._function).__qualname__
        return f"function {module}.{name} {self._number}"

    def __repr__(self) -> str:
        return f"<KeyFunction {failures.name_of(self._function)}>"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys it has returned lately."""
        return tuple(self._secrets)

    def fetch(self) -> str:
        """Return the key for one attempt.

        Raises:
            AuthenticationError: the function failed.
            ConfigurationError: it returned something that cannot be a key.
        """
        timed, now = self._timed, self._now()
        if timed is not None and now < timed.expires_at and (now < timed.renew_at or self._is_renewing):
            return timed.key
        with self._lock:
            timed, now = self._timed, self._now()
            if timed is not None and now < timed.renew_at:
                # Another thread has just fetched it.
                return timed.key
            self._is_renewing = True
            try:
                return self._call()
            except AuthenticationError as error:
                if timed is None or now >= timed.expires_at:
                    raise
                self._timed = timed._replace(renew_at=min(now + _PAUSE, timed.expires_at))
                logger.warning("%s; the key before it is still valid and is used", error)
                return timed.key
            finally:
                self._is_renewing = False

    def renew(self, refused: str) -> tuple[str, bool] | None:
        """Return another key than one that the service refused, and whether it was fetched for this; None without one.

        A key that another thread has fetched in the meantime may be refused by now as well.
        """
        with self._lock:
            is_fetched = self._latest == refused
            if is_fetched:
                self._timed = None
                self._call()
            return None if self._latest == refused else (self._latest, is_fetched)

    def _call(self) -> str:
        key, expires_at = self._parse(self._call_function())
        if key not in self._secrets:
            self._secrets.append(key)
        self._latest = key
        self._timed = None
        if expires_at is not None:
            life = expires_at - self._now()
            early = min(max(_EARLY, life * _EARLY_PART), life * _EARLIEST_PART)
            self._timed = _Timed(key, expires_at - early, expires_at)
        return key

    def _call_function(self) -> Any:
        try:
            return self._function()
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            failure = failures.sign_in_error("api_key", self._function, error, provider=self._provider)
        # Outside of the block: the exception of the function may quote a key or a password.
        raise failure

    def _parse(self, result: Any) -> tuple[str, float | None]:
        key, expires_at = result, None
        if isinstance(result, tuple) and len(result) == 2:
            key, expires_at = result
        elif isinstance(getattr(result, "token", None), str):
            # Such as an AccessTokenInfo of azure-core.
            key, expires_at = result.token, getattr(result, "expires_on", None)
        if not isinstance(key, str):
            raise self._wrong_result(f"returned {_describe(result)}, and must return a string")
        key = key.strip()
        if not key:
            raise self._wrong_result("returned an empty string")
        if isinstance(expires_at, datetime):
            if expires_at.tzinfo is None:
                raise self._wrong_result("returned a time without a time zone")
            expires_at = expires_at.timestamp()
        if expires_at is not None and not is_number(expires_at):
            raise self._wrong_result(
                f"returned a key with {_describe(expires_at)}, and must return the time at which it expires, "
                "like time.time() or a datetime"
            )
        if expires_at is not None and expires_at < _EARLIEST:
            # Such as the `expires_in` of OAuth.
            raise self._wrong_result(
                f"returned a key that expires at {expires_at:g}, and must return the time at which it does: "
                "time.time() plus its seconds"
            )
        return parse_key(key, provider=self._provider), expires_at

    def _wrong_result(self, problem: str) -> ConfigurationError:
        return ConfigurationError(
            f"api_key for {self._provider}: {failures.name_of(self._function)} {problem}", provider=self._provider
        )

    def _now(self) -> float:
        return (self._clock or time.time)()


def parse_key(key: Any, *, provider: str) -> str:
    """Return a key that can be sent in a header; raise ConfigurationError without showing an invalid one."""
    if not isinstance(key, str) or not key:
        raise ConfigurationError(f"api_key for {provider}: must be a string with text in it{key_hint(key)}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"api_key for {provider}: holds a blank, a line end or a character outside ASCII; copy the key again",
            provider=provider,
        )
    return key


def key_hint(value: Any) -> str:
    """Return ", or ..." with what may be passed in place of a key; for the credentials of a cloud, how to use them."""
    if hasattr(value, "get_token"):
        return (
            f", or a function that returns one; of {type(value).__name__} make one with "
            "azure.identity.get_bearer_token_provider(credential, scope)"
        )
    if hasattr(value, "before_request"):
        return ", or a function that returns one; credentials of google-auth are passed as auth=google_auth(...)"
    return ", or a function that returns one"


def _check_function(function: Any, provider: str) -> None:
    """Raise ConfigurationError for a function that cannot be called without arguments, or has to be awaited."""
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            f"api_key for {provider}: {failures.name_of(function)} is asynchronous; "
            "pass a function that returns the key when it is called",
            provider=provider,
        )
    try:
        inspect.signature(function).bind()
    except TypeError:
        problem = f"{failures.name_of(function)} must be callable without arguments"
    except ValueError:
        # Some functions written in C have no signature.
        return
    else:
        return
    raise ConfigurationError(f"api_key for {provider}: {problem}", provider=provider)


def _describe(value: Any) -> str:
    """Return the type of a value, which may be a key."""
    if hasattr(value, "__await__"):
        if hasattr(value, "close"):
            value.close()
        return "a coroutine, which has to be awaited"
    return "None" if value is None else f"an object of type {type(value).__name__}"
