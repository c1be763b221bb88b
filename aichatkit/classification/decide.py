"""(Status, headers, body) -> typed error, without network or clock: the implementation behind `classify`.

A response becomes a `_Failure`: its status, its `ErrorBody` and flags. A provider's own rules are tried first, then
`table.ROWS` in order, then the bare status. A body of any shape is read without raising.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from aichatkit._dataclasses import NamedTuple
from aichatkit.classification.error_bodies import ErrorBody, clean, parse_body, parse_record
from aichatkit.classification.refused_params import Refused, find_refused
from aichatkit.classification.retry_after import parse_retry_after
from aichatkit.classification.rules import Rule, find_error, is_html
from aichatkit.classification.table import (
    BY_STATUS,
    CHALLENGE,
    DESCRIPTIONS,
    EXPLANATION,
    NOTICE_CONTINUATION,
    NOTICE_STARTS,
    ROWS,
    WRONG_ADDRESS,
    Row,
)
from aichatkit.errors import (
    APIError,
    BadRequestError,
    BadResponseError,
    ChatError,
    ContextTooLongError,
    ModelNotFoundError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)

__all__ = ["event_error", "is_challenge", "limit_notice", "response_error"]

_MAX_BODY = 65536
_MAX_TEXT = 2048
_MAX_MESSAGE = 500
_MAX_NOTICE = 400
_BY_STATUS_FAMILY: dict[int, type[ChatError]] = {4: BadRequestError, 5: ServerError}
#: Statuses of a refused parameter; 0 is an error inside a 200.
_REFUSING = frozenset({0, 400, 404, 422})
# The gateway got no valid response; the service may have processed the request anyway.
_MAYBE_PROCESSED = frozenset({502, 504, 520, 524})
_REQUEST_IDS = ("x-request-id", "request-id", "x-generation-id", "apim-request-id", "cf-ray")
_LIMIT_AND_REQUESTED = re.compile(r"\blimit:? ([0-9]{1,15})\b.{0,80}?\brequested:? ([0-9]{1,15})\b")
_TITLE = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


class _Failure(NamedTuple):
    """Everything the decision is based on; `status` is 0 for an error inside a 200 that names no status."""

    status: int
    body: ErrorBody
    flags: frozenset[str]  #: matched by rows with `match_on="flag"`
    raw: str  #: the start of the body, for the provider's own rules
    retry_after: float | None = None
    header_retry_after: float | None = None  #: `retry_after` from the headers only
    request_id: str | None = None
    refused: tuple[Refused, ...] = ()


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
    """Build the error for a response other than 2xx, or for a 2xx that is an HTML page."""
    fields = {str(name).lower(): str(value) for name, value in headers.items()}
    failure = _parse_response(status, fields, bytes(body[:_MAX_BODY]), now)
    error_type, action, says = _decide(failure, rules)
    action = _override_action(error_type, action, fields.get("x-should-retry", ""))
    return _build_error(error_type, action, says, failure, status, provider=provider, model=model)


def event_error(payload: object, *, provider: str, model: str | None = None, rules: Sequence[Rule] = ()) -> ChatError:
    """Build the error for an error record inside a 200, from the codes and status numbers in it."""
    body = parse_record(payload)
    retry_after = parse_retry_after({}, payload, body.message)
    raw = _dump_json(payload) if rules else ""
    flags = _flags(body, {"delay": retry_after is not None})
    refused = find_refused(payload) if body.status in _REFUSING else ()
    failure = _Failure(body.status, body, flags, raw, retry_after, refused=refused)
    error_type, action, says = _decide(failure, rules)
    return _build_error(error_type, action, says, failure, body.status, provider=provider, model=model)


def is_challenge(text: str) -> bool:
    """Return whether a page is a bot check instead of the page requested."""
    return CHALLENGE.search(text.lower()) is not None


def limit_notice(text: str, *, ended: bool) -> bool | None:
    """Return whether an answer is only a free site's limit notice; None if more text is needed to decide."""
    if len(text) > _MAX_NOTICE:
        return False
    start = re.sub(r"^\W*(?:error:\s*)?\W*", "", " ".join(text.lower().replace("\u2019", "'").split()))
    opening = next((notice for notice in NOTICE_STARTS if start.startswith(notice)), "")
    if not opening:
        may_continue = not ended and any(notice.startswith(start) for notice in NOTICE_STARTS)
        return None if may_continue else False
    rest = start[len(opening) :]
    if not ended:
        # The last word may be incomplete.
        rest = re.sub(r"\w*$", "", rest)
    if not NOTICE_CONTINUATION.match(rest) or EXPLANATION.search(rest):
        return False
    return True if ended else None


def _parse_response(status: int, fields: Mapping[str, str], content: bytes, now: float | None) -> _Failure:
    text = content.decode("utf-8", "replace").lstrip("\ufeff")
    record = parse_body(text)
    is_page = isinstance(record, str) and "<" in text and is_html(fields.get("content-type", ""), content[:1024])
    body = _describe_page(status, fields, text) if is_page or 300 <= status < 400 else parse_record(record)
    header_retry_after = parse_retry_after(fields, now=now)
    retry_after = header_retry_after if is_page else parse_retry_after(fields, record, body.message, now=now)
    flags = {
        "page": is_page,
        "challenge": fields.get("cf-mitigated") == "challenge" or (is_page and is_challenge(text)),
        "retry-after header": parse_retry_after(_retry_fields(fields), now=now) is not None,
        "delay": retry_after is not None,
    }
    if 200 <= status < 300 and find_error(record) is not None:
        status = body.status
    request_id = next(filter(None, (clean(fields.get(name, ""), 200) for name in _REQUEST_IDS)), None)
    refused = find_refused(record) if status in _REFUSING and not is_page else ()
    return _Failure(
        status, body, _flags(body, flags), text[:_MAX_TEXT], retry_after, header_retry_after, request_id, refused
    )


def _retry_fields(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if "retry-after" in name or name == "date"}


def _dump_json(payload: object) -> str:
    try:
        return json.dumps(payload, ensure_ascii=False, default=str)[:_MAX_TEXT]
    except (ValueError, TypeError, RecursionError):
        return ""


def _describe_page(status: int, fields: Mapping[str, str], text: str) -> ErrorBody:
    if 300 <= status < 400:
        return ErrorBody(f"redirected to {_hostname(fields.get('location', ''))}, and redirects are not followed")
    title = _TITLE.search(text)
    return ErrorBody(f'an HTML page titled "{clean(title.group(1), 80)}"' if title else "an HTML page")


def _hostname(location: str) -> str:
    try:
        return clean(urlsplit(location).hostname or "", 100) or "the same host"
    except ValueError:
        return "an unreadable address"


def _flags(body: ErrorBody, flags: Mapping[str, bool]) -> frozenset[str]:
    numbers = _LIMIT_AND_REQUESTED.search(body.message.lower())
    is_oversized = numbers is not None and int(numbers.group(2)) > int(numbers.group(1))
    body_flags = {"named fault": body.names_fault, "moderated": body.moderated, "oversized": is_oversized}
    return frozenset(name for name, is_set in {**flags, **body_flags}.items() if is_set)


def _decide(failure: _Failure, rules: Sequence[Rule]) -> tuple[type[ChatError], str | None, tuple[str, str]]:
    """Return the error type, an action if it differs from the type's own, and a description with advice."""
    error_type, action, says = _look_up(failure, rules)
    # The wordings for refused parameters are more specific than the patterns of the table.
    if failure.refused and error_type in (ContextTooLongError, ModelNotFoundError, ServerError):
        return BadRequestError, "next" if failure.status == 404 else None, _describe(BadRequestError, failure, rules)
    return error_type, action, says


def _look_up(failure: _Failure, rules: Sequence[Rule]) -> tuple[type[ChatError], str | None, tuple[str, str]]:
    text = "\n".join((failure.body.message, *failure.body.codes, failure.raw))
    for rule in rules:
        if rule.text is None or rule.status not in (None, failure.status):
            continue
        if re.search(rule.text, text, re.IGNORECASE | re.MULTILINE):
            return rule.error, rule.action, rule.says or _describe(rule.error, failure, rules)
    for row in ROWS:
        if failure.status in row.statuses and _matches(row, failure):
            return row.error, row.action, _describe(row.error, failure, rules)
    default = _BY_STATUS_FAMILY.get(failure.status // 100, BadResponseError)
    error_type, action = BY_STATUS.get(failure.status, (default, None))
    return error_type, action, _describe(error_type, failure, rules)


def _describe(error_type: type[ChatError], failure: _Failure, rules: Sequence[Rule]) -> tuple[str, str]:
    for rule in rules:
        if rule.text is None and rule.error is error_type and rule.says:
            return rule.says
    description, advice = next(DESCRIPTIONS[base] for base in error_type.__mro__ if base in DESCRIPTIONS)
    if issubclass(error_type, BadRequestError) and re.search(WRONG_ADDRESS, failure.body.message.lower()):
        advice = "check base_url, which may lack a part such as /v1 at its end"
    return description, advice


def _matches(row: Row, failure: _Failure) -> bool:
    if row.match_on == "code":
        return any(re.fullmatch(row.pattern, code) for code in failure.body.codes)
    if row.match_on == "flag":
        return any(re.fullmatch(row.pattern, flag) for flag in failure.flags)
    if row.match_on == "claim" and "named fault" in failure.flags:
        return False
    return row.match_on == "status" or re.search(row.pattern, failure.body.message.lower()) is not None


def _override_action(error_type: type[ChatError], action: str | None, should_retry: str) -> str | None:
    """Let the service's `x-should-retry` header forbid a retry, or allow one, but never after a quota error."""
    current = action or error_type.action
    if should_retry == "false" and current in ("retry", "refresh"):
        return "next"
    may_allow = issubclass(error_type, APIError) and not issubclass(error_type, QuotaExceededError)
    if should_retry == "true" and current == "stop" and may_allow:
        return "retry"
    return action


def _build_error(
    error_type: type[ChatError],
    action: str | None,
    says: tuple[str, str],
    failure: _Failure,
    status: int,
    *,
    provider: str,
    model: str | None,
) -> ChatError:
    # A delay from the body counts only if waiting can help at all: Gemini sends one with an exhausted daily quota.
    delay = failure.retry_after if issubclass(error_type, (RateLimitError, ServerError)) else None
    error = error_type(
        _build_message(says, provider, model, status, failure.body, delay),
        provider=provider,
        model=model,
        status=status or None,
        code=failure.body.code,
        retry_after=failure.header_retry_after if delay is None else delay,
        request_id=failure.request_id or failure.body.request_id,
        action=action,
        param=failure.body.param or next((refused.name for refused in failure.refused), None),
        maybe_processed=status in _MAYBE_PROCESSED and issubclass(error_type, ServerError),
    )
    if failure.refused and issubclass(error_type, BadRequestError):
        error._refused = failure.refused
    return error


def _build_message(
    says: tuple[str, str],
    provider: str,
    model: str | None,
    status: int,
    body: ErrorBody,
    delay: float | None,
) -> str:
    description, advice = says
    codes = " ".join(filter(None, (str(status) if status else "", body.code)))
    message = body.message.rstrip(". ")
    if len(message) > _MAX_MESSAGE:
        message = f"{message[: _MAX_MESSAGE - 1]}…"
    return "".join(
        (
            f"{provider}: {description.format(model=f' {clean(model, 100)}' if model else '')}",
            f" ({codes})" if codes else "",
            f": {message}" if message else "",
            f"; {advice}",
            f", retry after {delay:.12g} s" if delay is not None else "",
        )
    )
