"""Exceptions of code that signs in -> our errors: they name the function, and never quote what may hold a key."""

from __future__ import annotations

import os

from aichatkit.errors import AuthenticationError, ChatError

__all__ = ["name_of", "sign_in_error", "sign_in_failure"]


def sign_in_failure(message: str, reason: str, *, may_pass: bool = False) -> AuthenticationError:
    """Return the error for credentials that could not be had; the service was not called."""
    error = AuthenticationError(message, action="retry" if may_pass else "next", reason=reason)
    # The key that could not be had needs no cooldown.
    vars(error)["scope"] = ""
    return error


def sign_in_error(
    option: str, function: object, error: Exception, *, provider: str, may_pass: bool | None = None
) -> AuthenticationError:
    """Return the error for an exception raised by the user's function; only its type and its place are shown.

    An exception that is about the network or a file may pass, so the attempt is repeated, unless `may_pass` says.
    """
    if may_pass is None:
        may_pass = error.action == "retry" if isinstance(error, ChatError) else _may_pass(error)
    failure = sign_in_failure(
        f"{provider}: {option}: {name_of(function)} failed ({type(error).__name__}{_place(error)}); "
        "call it on its own to see why",
        type(error).__name__,
        may_pass=may_pass,
    )
    failure.provider = provider
    return failure


def name_of(function: object) -> str:
    """Return the name by which the user knows a function or an object.

    >>> name_of(len), name_of(object())
    ('len', 'object')
    """
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _may_pass(error: Exception) -> bool:
    # The exceptions of google-auth say it themselves, or have the name of what failed.
    return (
        isinstance(error, OSError)
        or getattr(error, "retryable", False) is True
        or type(error).__name__ == "TransportError"
    )


def _place(error: Exception) -> str:
    # The first frame is that of the caller: without another one, the function was not even entered.
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f", {os.path.basename(trace.tb_frame.f_code.co_filename)} line {trace.tb_lineno}"
