"""Exceptions of code that signs in -> our errors: they name the function, and never quote what may hold a key."""

from __future__ import annotations

import os

from aichatkit.errors import AuthenticationError, ChatError

__all__ = ["SignInError", "name_of", "sign_in_error"]


class SignInError(AuthenticationError):
    """A function that returns keys, or an object that signs requests, failed; the service was not called."""

    # It says nothing about the key that the function would have returned.
    scope = ""


def sign_in_error(option: str, function: object, error: Exception, *, provider: str) -> SignInError:
    """Return the error for an exception raised by the user's function; only its type and its place are shown.

    An exception that is about the network or a file may pass, so the attempt is repeated.
    """
    may_pass = error.action == "retry" if isinstance(error, ChatError) else _may_pass(error)
    return SignInError(
        f"{provider}: {option}: {name_of(function)} failed ({type(error).__name__}{_place(error)}); "
        "call it on its own to see why",
        provider=provider,
        action="retry" if may_pass else "next",
        reason=type(error).__name__,
    )


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
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f", {os.path.basename(trace.tb_frame.f_code.co_filename)} line {trace.tb_lineno}"
