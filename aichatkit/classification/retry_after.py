"""Headers and bodies -> seconds to wait, and what remains of each rate limit.

Every number a service sends is validated in one place. An invalid value (negative, not finite, more than nine digits,
not ASCII, not a number) is treated as absent and never raises.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

__all__ = ["parse_rate_limits", "parse_retry_after"]

_SECONDS = {
    word: seconds
    for words, seconds in (
        ("ms millisecond milliseconds", 0.001),
        ("s sec secs second seconds", 1.0),
        ("m min mins minute minutes", 60.0),
        ("h hr hrs hour hours", 3600.0),
        ("d day days", 86400.0),
    )
    for word in words.split()
}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,20})?"
_UNIT = rf"(?:{'|'.join(_SECONDS)})(?![A-Za-z])"
_PLAIN = re.compile(_NUMBER)
_COUNT = re.compile(r"[0-9]{1,15}")
_EPOCH = re.compile(r"([0-9]{10})(?:[0-9]{3})?(?:\.[0-9]{1,20})?")
_DURATION = re.compile(rf"(?:{_NUMBER}{_UNIT})+")
# Without re.ASCII, IGNORECASE would let `s` match U+017F, which is not in the table.
_PART = re.compile(rf"({_NUMBER}) ?({_UNIT})", re.ASCII | re.IGNORECASE)
_TEXT = re.compile(
    r"\b(?:try again|retry|wait|resets?)(?: again)?(?: in| after| for)?(?: about| at least)? ?~?"
    rf"((?:{_NUMBER} ?{_UNIT}(?:,? (?:(?:and|&) )?)?)+)",
    re.ASCII | re.IGNORECASE,
)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}"
# The three formats of RFC 9110, 5.6.7, and nothing else: `email.utils` also accepts text after a date.
_HTTP_DATE = re.compile(
    rf"[A-Za-z]{{3}}, [0-9]{{1,2}} [A-Za-z]{{3}} [0-9]{{4}} {_CLOCK} (?:GMT|UTC)"
    rf"|[A-Za-z]{{6,9}}, [0-9]{{2}}-[A-Za-z]{{3}}-[0-9]{{2}} {_CLOCK} (?:GMT|UTC)"
    rf"|[A-Za-z]{{3}} [A-Za-z]{{3}} +[0-9]{{1,2}} {_CLOCK} [0-9]{{4}}"
)
_BODY_KEYS = ("retry_after", "retry_after_seconds", "retryAfter", "retry-after", "resets_in_seconds", "estimated_time")
_PROXIED = "llm_provider-"
_MAX_VALUE = 500
_MAX_TEXT = 2048


def parse_retry_after(
    headers: Mapping[str, str], body: object = None, message: str = "", *, now: float | None = None
) -> float | None:
    """Return how many seconds the service says to wait, or None if it does not say.

    The first valid value wins: retry-after-ms, Retry-After (also behind a LiteLLM proxy), the parsed body, the latest
    reset of the exhausted windows, the RateLimit field, the text of `message`.
    Dates are relative to the response's own Date header, or to `now` without one.

    Reset headers written as durations ("6m0s", OpenAI and Groq) are ignored: they say when a limit is fully refilled,
    and a request fits long before that. `parse_rate_limits` returns them.

    >>> parse_retry_after({"Retry-After": "7"}), parse_retry_after({}, message="Please try again in 1m2.5s.")
    (7.0, 62.5)
    >>> parse_retry_after({"Retry-After": "1_0"}) is None
    True
    """
    fields = _lower_names(headers)
    clock = _server_time(fields, now)
    delays = (
        _header_delay(fields, clock),
        _body_delay(body, clock),
        _window_delay(fields, clock),
        _rate_limit_delay(fields),
        _message_delay(message),
    )
    return next((delay for delay in delays if delay is not None), None)


def parse_rate_limits(headers: Mapping[str, str], *, now: float | None = None) -> dict[str, dict[str, float]]:
    """Parse the rate limit headers of any service: limit, remaining and seconds until the reset, per unit counted.

    >>> parse_rate_limits({"x-ratelimit-remaining-tokens": "149", "x-ratelimit-reset-tokens": "6m0s"})
    {'tokens': {'remaining': 149, 'reset': 360.0}}
    """
    fields = _lower_names(headers)
    clock = _server_time(fields, now)
    limits: dict[str, dict[str, float]] = {}
    for unit, texts in _windows(fields).items():
        values: dict[str, float | None] = {name: _parse_count(texts.get(name)) for name in ("limit", "remaining")}
        reset = texts.get("reset", "")
        values["reset"] = _parse_reset(reset, clock) if _DURATION.fullmatch(reset) is None else _parse_duration(reset)
        valid = {name: value for name, value in values.items() if value is not None}
        if valid:
            limits[unit] = valid
    return limits


def _lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {str(name).lower(): str(value)[:_MAX_VALUE].strip(" \t") for name, value in headers.items()}


def _server_time(fields: Mapping[str, str], now: float | None) -> float:
    # The difference between two timestamps of one server is right even if the local clock is wrong.
    date = _parse_http_date(fields.get("date", ""))
    if date is not None:
        return date
    return time.time() if now is None else now


def _header_delay(fields: Mapping[str, str], clock: float) -> float | None:
    for prefix in ("", _PROXIED):
        seconds = _parse_delay(fields.get(f"{prefix}retry-after", ""), clock)
        milliseconds = _parse_seconds(fields.get(f"{prefix}retry-after-ms", ""))
        # Azure sends 0 ms along with a valid Retry-After.
        if milliseconds:
            return milliseconds / 1000
        if seconds is not None or milliseconds is not None:
            return milliseconds if seconds is None else seconds
    return None


def _parse_delay(value: str, clock: float) -> float | None:
    seconds = _parse_seconds(value)
    if seconds is not None:
        return seconds
    date = _parse_http_date(value)
    return None if date is None else _parse_number(date - clock)


def _body_delay(body: object, clock: float) -> float | None:
    for record in _iter_records(body):
        for key in _BODY_KEYS:
            seconds = _parse_delay_value(record.get(key))
            if seconds is not None:
                return seconds
        delay = record.get("retryDelay")
        if isinstance(delay, str) and _DURATION.fullmatch(delay[:_MAX_VALUE]):
            return _parse_duration(delay)
        headers = record.get("headers")
        if isinstance(headers, Mapping):
            # OpenRouter puts the vendor's rate limit headers in the body.
            fields = _lower_names(headers)
            delay = _header_delay(fields, clock)
            if delay is None:
                delay = _window_delay(fields, clock)
            if delay is not None:
                return delay
    return None


def _parse_delay_value(value: object) -> float | None:
    """Parse a number of seconds, bare or as text, or a duration such as "7s"."""
    if not isinstance(value, str):
        return _parse_number(value)
    text = value[:_MAX_VALUE].strip()
    seconds = _parse_seconds(text)
    return _parse_duration(text) if seconds is None and _DURATION.fullmatch(text) else seconds


def _iter_records(body: object) -> Iterator[Mapping[str, object]]:
    """Yield the objects of an error body that may contain a delay: the body, its error, the error's details."""
    outer = body[0] if isinstance(body, list) and body else body
    if not isinstance(outer, Mapping):
        return
    yield outer
    inner = outer.get("error")
    if isinstance(inner, Mapping):
        yield inner
        outer = inner
    for key in ("details", "metadata"):
        value = outer.get(key)
        yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping))


def _window_delay(fields: Mapping[str, str], clock: float) -> float | None:
    exhausted = [texts for texts in _windows(fields).values() if _parse_count(texts.get("remaining")) == 0]
    waits = [_parse_reset(texts.get("reset", ""), clock) for texts in exhausted]
    return max((wait for wait in waits if wait is not None), default=None)


def _windows(fields: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Group raw values by unit: x-ratelimit-limit-tokens, anthropic-ratelimit-tokens-limit, ratelimit-limit."""
    windows: dict[str, dict[str, str]] = {}
    # The response's own headers take precedence over those a proxy forwards.
    for name in sorted(fields, key=lambda name: name.startswith(_PROXIED)):
        _, separator, rest = name.partition("ratelimit-")
        words = rest.split("-")
        key = next((word for word in words if word in ("limit", "remaining", "reset")), None)
        if separator and key:
            words.remove(key)
            windows.setdefault("_".join(words) or "requests", {}).setdefault(key, fields[name])
    return windows


def _rate_limit_delay(fields: Mapping[str, str]) -> float | None:
    """Parse the RateLimit field of the IETF draft: r is the remaining quota, t the seconds until the reset."""
    waits = []
    for item in re.sub(r'"[^"]*"', "", fields.get("ratelimit", "")).split(","):
        params = dict(re.findall(r"\b([rt])=([0-9]{1,9})\b", item, re.ASCII))
        if params.get("r", "").strip("0") == "" and {"r", "t"} <= set(params):
            waits.append(float(params["t"]))
    return max(waits, default=None)


def _message_delay(message: str) -> float | None:
    match = _TEXT.search(message[:_MAX_TEXT])
    return _parse_duration(match.group(1)) if match else None


def _parse_number(value: object) -> float | None:
    # The comparison is false for NaN, and safe for an int too large for a float.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    return None


def _parse_seconds(value: str) -> float | None:
    return _parse_number(float(value)) if _PLAIN.fullmatch(value) else None


def _parse_count(value: str | None) -> int | None:
    return int(value) if value is not None and _COUNT.fullmatch(value) else None


def _parse_duration(value: str) -> float | None:
    """Parse "2m59.56s", "4h28m20s", "1 minute 5 seconds"."""
    return _parse_number(sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PART.findall(value)))


def _parse_reset(value: str, clock: float) -> float | None:
    """Parse when a window resets: seconds from now, epoch seconds or milliseconds, or RFC 3339."""
    seconds = _parse_seconds(value)
    if seconds is not None:
        # Azure sends 0 if it does not know.
        return seconds or None
    epoch = _EPOCH.fullmatch(value)
    if epoch:
        # Round up: the reset may be at any fraction of that second.
        return _parse_number(float(epoch.group(1)) + 1 - clock)
    timestamp = _RFC3339.fullmatch(value)
    if not timestamp:
        return None
    day, hours, zone = timestamp.groups()
    return _seconds_until(f"{day}T{hours}{'+00:00' if zone in 'Zz' else zone}", clock)


def _seconds_until(timestamp: str, clock: float) -> float | None:
    try:
        return _parse_number(datetime.fromisoformat(timestamp).timestamp() - clock)
    except (ValueError, OverflowError):
        return None


def _parse_http_date(value: str) -> float | None:
    if not _HTTP_DATE.fullmatch(value):
        return None
    try:
        # The format without a time zone is also in UTC.
        return parsedate_to_datetime(value).replace(tzinfo=timezone.utc).timestamp()
    except (ValueError, TypeError):
        # Python 3.9 raises TypeError for an unknown month.
        return None
