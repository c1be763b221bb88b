"""(Status, headers, body) -> typed error: what an error response means.

Most responses are not errors, so `decide` and its tables are only imported for the first one that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aichatkit._lazy import lazy_module
from aichatkit.classification.rules import Rule, find_error, is_html, may_be_html
from aichatkit.errors import ChatError

if TYPE_CHECKING:
    from aichatkit.classification import decide, error_bodies
else:
    error_bodies = lazy_module("aichatkit.classification.error_bodies")
    decide = lazy_module("aichatkit.classification.decide")

__all__ = [
    "Rule",
    "event_error",
    "find_error",
    "has_message",
    "is_challenge",
    "is_html",
    "limit_notice",
    "may_be_html",
    "response_error",
]


def response_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    provider: str,
    model: str | None = None,
    rules: Sequence[Rule] = (),
    now: float | None = None,
) -> ChatError:
    """Build the error for a response other than 2xx, or for a 2xx that is an HTML page.

    >>> headers = {"Retry-After": "7"}
    >>> str(response_error(429, headers, b'{"error": {"code": "slow_down"}}', provider="openai"))
    'openai: rate limit reached (429 slow_down); waiting helps, retry after 7 s'
    """
    return decide.response_error(status, headers, body, provider=provider, model=model, rules=rules, now=now)


def event_error(payload: object, *, provider: str, model: str | None = None, rules: Sequence[Rule] = ()) -> ChatError:
    """Build the error for an error record inside a 200, from the codes and status numbers in it.

    >>> type(event_error({"error": {"type": "overloaded_error"}}, provider="anthropic")).__name__
    'OverloadedError'
    """
    return decide.event_error(payload, provider=provider, model=model, rules=rules)


def has_message(record: object) -> bool:
    """Return whether a record contains an error message for `event_error`.

    >>> has_message({"status": "435", "msg": "Model not support"}), has_message({"choices": []})
    (True, False)
    """
    return error_bodies.parse_record(record).message.lower() not in ("", "ok", "success")


def is_challenge(text: str) -> bool:
    """Return whether a page is a bot check instead of the page requested.

    >>> is_challenge("<html><title>Just a moment...</title>")
    True
    """
    return decide.is_challenge(text)


def limit_notice(text: str, *, ended: bool) -> bool | None:
    """Return whether an answer is only a free site's limit notice; None if more text is needed to decide.

    >>> limit_notice("The request limit for today has been reached.", ended=True)
    True
    >>> limit_notice("The request", ended=False) is None, limit_notice("Hello", ended=False)
    (True, False)
    """
    return decide.limit_notice(text, ended=ended)
