"""What a refusal means, decided without network or clock: the working side of `classify`.

The order is that of `refusals.ROWS`, after a provider's own rules: codes first, wording last, and wording only in the
message. A body of any shape is read without a second exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from aichatkit.classification.error_bodies import ErrorBody, clean, parse_body, read_record
from aichatkit.classification.retry_after import parse_retry_after
from aichatkit.classification.rules import Rule, find_error, is_html
from aichatkit.classification.table import CHALLENGE, EXPLAINS, FOLLOWS, NOTICES, ROWS, STATUSES, WORDS, Row
from aichatkit.errors import (
    APIError,
    BadRequestError,
    BadResponseError,
    ChatError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)

__all__ = ["event_error", "is_challenge", "limit_notice", "refusal"]

_LONGEST_BODY = 65536
_LONGEST_TEXT = 2048
_LONGEST_MESSAGE = 500
_LONGEST_NOTICE = 400
_BY_HUNDRED: dict[int, type[ChatError]] = {4: BadRequestError, 5: ServerError}
# A gateway lost the answer, not necessarily the request.
_MAYBE_PROCESSED = frozenset({502, 504, 520, 524})
_REQUEST_IDS = ("x-request-id", "request-id", "x-generation-id", "apim-request-id", "cf-ray")
_NEVER_FITS = re.compile(r"\blimit:? ([0-9]{1,15})\b.{0,80}?\brequested:? ([0-9]{1,15})\b")
_TITLE = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


class _Facts(NamedTuple):
    """All that a decision is made from; `status` is 0 for an error inside a 200 that names none."""

    status: int
    said: ErrorBody
    marks: frozenset[str]
    raw: str
    hint: float | None = None
    asked: float | None = None  #: the part of the hint that stood in headers
    request_id: str | None = None


def refusal(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    provider: str,
    model: str | None = None,
    rules: Sequence[Rule] = (),
    now: float | None = None,
) -> ChatError:
    """Build the error for an answer other than 2xx, or for a 2xx that is an HTML page."""
    fields = {str(name).lower(): str(value) for name, value in headers.items()}
    facts = _read(status, fields, bytes(body[:_LONGEST_BODY]), now)
    kind, action = _verdict(facts, rules)
    action = _allowed(kind, action, fields.get("x-should-retry", ""))
    return _built(kind, action, facts, status, provider=provider, model=model)


def event_error(payload: object, *, provider: str, model: str | None = None, rules: Sequence[Rule] = ()) -> ChatError:
    """Build the error for a parsed record inside a 200, by the codes and numbers it holds."""
    said = read_record(payload)
    hint = parse_retry_after({}, payload, said.message)
    raw = _dumped(payload) if rules else ""
    facts = _Facts(said.number, said, _marks(said, {"delayed": hint is not None}), raw, hint)
    kind, action = _verdict(facts, rules)
    return _built(kind, action, facts, said.number, provider=provider, model=model)


def is_challenge(text: str) -> bool:
    """Tell whether the text of a page is a bot check instead of the page."""
    return CHALLENGE.search(text.lower()) is not None


def limit_notice(text: str, *, ended: bool) -> bool | None:
    """Tell whether an answer is nothing but a free site's limit notice; None while that is open."""
    if len(text) > _LONGEST_NOTICE:
        return False
    start = re.sub(r"^\W*(?:error:\s*)?\W*", "", " ".join(text.lower().replace("\u2019", "'").split()))
    opening = next((notice for notice in NOTICES if start.startswith(notice)), "")
    if not opening:
        beginning = not ended and any(notice.startswith(start) for notice in NOTICES)
        return None if beginning else False
    rest = start[len(opening) :]
    if not ended:
        # The last word may be half a word.
        rest = re.sub(r"\w*$", "", rest)
    if not FOLLOWS.match(rest) or EXPLAINS.search(rest):
        return False
    return True if ended else None


def _read(status: int, fields: Mapping[str, str], body: bytes, now: float | None) -> _Facts:
    text = body.decode("utf-8", "replace").lstrip("\ufeff")
    record = parse_body(text)
    page = isinstance(record, str) and "<" in text and is_html(fields.get("content-type", ""), body[:1024])
    said = _page_said(status, fields, text) if page or 300 <= status < 400 else read_record(record)
    asked = parse_retry_after(fields, now=now)
    hint = asked if page else parse_retry_after(fields, record, said.message, now=now)
    marks = {
        "page": page,
        "challenge": fields.get("cf-mitigated") == "challenge" or (page and is_challenge(text)),
        "hinted": parse_retry_after(_retry_fields(fields), now=now) is not None,
        "delayed": hint is not None,
    }
    if 200 <= status < 300 and find_error(record) is not None:
        status = said.number
    request_id = next(filter(None, (clean(fields.get(name, ""), 200) for name in _REQUEST_IDS)), None)
    return _Facts(status, said, _marks(said, marks), text[:_LONGEST_TEXT], hint, asked, request_id)


def _retry_fields(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if "retry-after" in name or name == "date"}


def _dumped(payload: object) -> str:
    try:
        return json.dumps(payload, ensure_ascii=False, default=str)[:_LONGEST_TEXT]
    except (ValueError, TypeError, RecursionError):
        return ""


def _page_said(status: int, fields: Mapping[str, str], text: str) -> ErrorBody:
    if 300 <= status < 400:
        return ErrorBody(f"redirected to {_host(fields.get('location', ''))}, and redirects are not followed")
    title = _TITLE.search(text)
    return ErrorBody(f'an HTML page titled "{clean(title.group(1), 80)}"' if title else "an HTML page")


def _host(location: str) -> str:
    try:
        return clean(urlsplit(location).hostname or "", 100) or "the same host"
    except ValueError:
        return "an unreadable address"


def _marks(said: ErrorBody, marks: Mapping[str, bool]) -> frozenset[str]:
    fit = _NEVER_FITS.search(said.message.lower())
    never = fit is not None and int(fit.group(2)) > int(fit.group(1))
    own = {"named": said.named, "moderated": said.moderated, "never fits": never}
    return frozenset(name for name, true in {**marks, **own}.items() if true)


def _verdict(facts: _Facts, rules: Sequence[Rule]) -> tuple[type[ChatError], str | None]:
    told = "\n".join((facts.said.message, *facts.said.codes, facts.raw))
    for rule in rules:
        if rule.status in (None, facts.status) and re.search(rule.text, told, re.IGNORECASE | re.MULTILINE):
            return rule.error, rule.action
    for row in ROWS:
        if facts.status in row.statuses and _matches(row, facts):
            return row.error, row.action
    default = _BY_HUNDRED.get(facts.status // 100, BadResponseError)
    return STATUSES.get(facts.status, (default, None))


def _matches(row: Row, facts: _Facts) -> bool:
    if row.where == "code":
        return any(re.fullmatch(row.pattern, code) for code in facts.said.codes)
    if row.where == "mark":
        return any(re.fullmatch(row.pattern, mark) for mark in facts.marks)
    if row.where == "claim" and "named" in facts.marks:
        return False
    return row.where == "status" or re.search(row.pattern, facts.said.message.lower()) is not None


def _allowed(kind: type[ChatError], action: str | None, should_retry: str) -> str | None:
    """Let the service forbid a retry, or permit one, though never of a quota."""
    usual = action or kind.action
    if should_retry == "false" and usual in ("retry", "refresh"):
        return "next"
    permitted = issubclass(kind, APIError) and not issubclass(kind, QuotaExceededError)
    if should_retry == "true" and usual == "stop" and permitted:
        return "retry"
    return action


def _built(
    kind: type[ChatError], action: str | None, facts: _Facts, status: int, *, provider: str, model: str | None
) -> ChatError:
    # Waiting for what a body says helps only where waiting helps at all: Gemini sends seconds with a daily quota.
    hint = facts.hint if issubclass(kind, (RateLimitError, ServerError)) else None
    return kind(
        _sentence(kind, provider, model, status, facts.said, hint),
        provider=provider,
        model=model,
        status=status or None,
        code=facts.said.code,
        retry_after=facts.asked if hint is None else hint,
        request_id=facts.request_id or facts.said.request_id,
        action=action,
        param=facts.said.param,
        maybe_processed=status in _MAYBE_PROCESSED and issubclass(kind, ServerError),
    )


def _sentence(
    kind: type[ChatError], provider: str, model: str | None, status: int, said: ErrorBody, hint: float | None
) -> str:
    what, then = next(WORDS[base] for base in kind.__mro__ if base in WORDS)
    numbers = " ".join(filter(None, (str(status) if status else "", said.code)))
    message = said.message.rstrip(". ")
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[: _LONGEST_MESSAGE - 1]}…"
    return "".join(
        (
            f"{provider}: {what.format(model=f' {clean(model, 100)}' if model else '')}",
            f" ({numbers})" if numbers else "",
            f": {message}" if message else "",
            f"; {then}",
            f", retry after {hint:.12g} s" if hint is not None else "",
        )
    )
