"""Headers and bodies -> seconds to wait, and what is left of each rate limit.

Every number a service sends goes through one checked parser. A value that makes no sense (negative, not finite,
over nine digits, not ASCII, not a number) is void: it counts as not sent, and never raises.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

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
# Without ASCII the letter s would also match U+017F, which no table knows.
_PART = re.compile(rf"({_NUMBER}) ?({_UNIT})", re.ASCII | re.IGNORECASE)
_TEXT = re.compile(
    r"\b(?:try again|retry|wait|resets?)(?: again)?(?: in| after| for)?(?: about| at least)? ?~?"
    rf"((?:{_NUMBER} ?{_UNIT}(?:,? )?)+)",
    re.ASCII | re.IGNORECASE,
)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_CLOCK = r"(?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})"
# The three forms of RFC 9110, 5.6.7. Not strptime: its month names follow the locale.
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"[A-Za-z]{{3}}, (?P<day>[0-9]{{1,2}}) (?P<month>[A-Za-z]{{3}}) (?P<year>[0-9]{{4}}) {_CLOCK} (?:GMT|UTC)",
        rf"[A-Za-z]{{6,9}}, (?P<day>[0-9]{{2}})-(?P<month>[A-Za-z]{{3}})-(?P<year>[0-9]{{2}}) {_CLOCK} (?:GMT|UTC)",
        rf"[A-Za-z]{{3}} (?P<month>[A-Za-z]{{3}}) +(?P<day>[0-9]{{1,2}}) {_CLOCK} (?P<year>[0-9]{{4}})",
    )
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_BODY_KEYS = ("retry_after", "retry_after_seconds", "resets_in_seconds", "estimated_time")
_PROXIED = "llm_provider-"
_LONGEST_VALUE = 500
_LONGEST_TEXT = 2048


def parse_retry_after(
    headers: Mapping[str, str], body: object = None, message: str = "", *, now: float | None = None
) -> float | None:
    """Find how many seconds the service asks to wait, or None where it does not say.

    The first valid one counts: retry-after-ms, Retry-After (behind a LiteLLM proxy too), the parsed body,
    the reset of windows in which nothing remains (the latest), RateLimit fields, the words of `message`.
    Dates are read against the answer's own Date header, else against `now`.

    Reset headers written as durations ("6m0s", OpenAI and Groq) are no hint: they tell when a limit is full
    again, and a slot is free long before that. `parse_rate_limits` shows them.

    >>> parse_retry_after({"Retry-After": "7"}), parse_retry_after({}, message="Please try again in 1m2.5s.")
    (7.0, 62.5)
    >>> parse_retry_after({"Retry-After": "1_0"}) is None
    True
    """
    fields = _lowered(headers)
    clock = _clock(fields, now)
    hints = (_asked(fields, clock), _told(body), _reset(fields, clock), _rate_limit(fields), _said(message))
    return next((hint for hint in hints if hint is not None), None)


def parse_rate_limits(headers: Mapping[str, str], *, now: float | None = None) -> dict[str, dict[str, float]]:
    """Read the rate-limit headers of any service: limit, remaining, and seconds to the reset, per thing counted.

    >>> parse_rate_limits({"x-ratelimit-remaining-tokens": "149", "x-ratelimit-reset-tokens": "6m0s"})
    {'tokens': {'remaining': 149, 'reset': 360.0}}
    """
    fields = _lowered(headers)
    clock = _clock(fields, now)
    limits: dict[str, dict[str, float]] = {}
    for subject, words in _windows(fields).items():
        values: dict[str, float | None] = {name: _count(words.get(name)) for name in ("limit", "remaining")}
        reset = words.get("reset", "")
        values["reset"] = _moment(reset, clock) if _DURATION.fullmatch(reset) is None else _duration(reset)
        known = {name: value for name, value in values.items() if value is not None}
        if known:
            limits[subject] = known
    return limits


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {str(name).lower(): str(value)[:_LONGEST_VALUE].strip(" \t") for name, value in headers.items()}


def _clock(fields: Mapping[str, str], now: float | None) -> float:
    # A difference of two stamps of one server is right even where the local clock is wrong.
    sent = _http_date(fields.get("date", ""))
    if sent is not None:
        return sent
    return time.time() if now is None else now


def _asked(fields: Mapping[str, str], clock: float) -> float | None:
    for prefix in ("", _PROXIED):
        after = _retry_after(fields.get(f"{prefix}retry-after", ""), clock)
        exact = _plain(fields.get(f"{prefix}retry-after-ms", ""))
        # Azure sends 0 ms beside a Retry-After that is meant.
        if exact:
            return exact / 1000
        if after is not None or exact is not None:
            return exact if after is None else after
    return None


def _retry_after(value: str, clock: float) -> float | None:
    seconds = _plain(value)
    if seconds is not None:
        return seconds
    date = _http_date(value)
    return None if date is None else _checked(date - clock)


def _told(body: object) -> float | None:
    for record in _records(body):
        for key in _BODY_KEYS:
            seconds = _checked(record.get(key))
            if seconds is not None:
                return seconds
        delay = record.get("retryDelay")
        if isinstance(delay, str) and _DURATION.fullmatch(delay[:_LONGEST_VALUE]):
            return _duration(delay)
    return None


def _records(body: object) -> Iterator[Mapping[str, object]]:
    """Yield the objects of an error body that may hold a delay: itself, its error, that one's details."""
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


def _reset(fields: Mapping[str, str], clock: float) -> float | None:
    empty = [words for words in _windows(fields).values() if _count(words.get("remaining")) == 0]
    waits = [_moment(words.get("reset", ""), clock) for words in empty]
    return max((wait for wait in waits if wait is not None), default=None)


def _windows(fields: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Group the raw values: x-ratelimit-limit-tokens, anthropic-ratelimit-tokens-limit, ratelimit-limit."""
    windows: dict[str, dict[str, str]] = {}
    # The answer's own headers come before those a proxy passes on.
    for name in sorted(fields, key=lambda name: name.startswith(_PROXIED)):
        _, found, rest = name.partition("ratelimit-")
        words = rest.split("-")
        kind = next((word for word in words if word in ("limit", "remaining", "reset")), None)
        if found and kind:
            words.remove(kind)
            windows.setdefault("_".join(words) or "requests", {}).setdefault(kind, fields[name])
    return windows


def _rate_limit(fields: Mapping[str, str]) -> float | None:
    """Read the RateLimit field of the IETF draft: r is what remains, t the seconds left."""
    waits = []
    for item in re.sub(r'"[^"]*"', "", fields.get("ratelimit", "")).split(","):
        found = dict(re.findall(r"\b([rt])=([0-9]{1,9})\b", item, re.ASCII))
        if found.get("r", "").strip("0") == "" and {"r", "t"} <= set(found):
            waits.append(float(found["t"]))
    return max(waits, default=None)


def _said(message: str) -> float | None:
    found = _TEXT.search(message[:_LONGEST_TEXT])
    return _duration(found.group(1)) if found else None


def _checked(value: object) -> float | None:
    # The comparison is false for nan, and safe for an int too large to be a float.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    return None


def _plain(value: str) -> float | None:
    return _checked(float(value)) if _PLAIN.fullmatch(value) else None


def _count(value: str | None) -> int | None:
    return int(value) if value is not None and _COUNT.fullmatch(value) else None


def _duration(value: str) -> float | None:
    """Add up "2m59.56s", "4h28m20s", "1 minute 5 seconds"."""
    return _checked(sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PART.findall(value)))


def _moment(value: str, clock: float) -> float | None:
    """Read the moment a window resets: seconds from now, epoch seconds or milliseconds, or RFC 3339."""
    seconds = _plain(value)
    if seconds is not None:
        # Azure sends 0 where it has nothing to say.
        return seconds or None
    epoch = _EPOCH.fullmatch(value)
    if epoch:
        # Which part of the second is meant is not known.
        return _checked(float(epoch.group(1)) + 1 - clock)
    stamp = _RFC3339.fullmatch(value)
    if not stamp:
        return None
    day, hours, zone = stamp.groups()
    return _since(f"{day}T{hours}{'+00:00' if zone in 'Zz' else zone}", clock)


def _since(stamp: str, clock: float) -> float | None:
    try:
        return _checked(datetime.fromisoformat(stamp).timestamp() - clock)
    except (ValueError, OverflowError):
        return None


def _http_date(value: str) -> float | None:
    found = next(filter(None, (pattern.fullmatch(value) for pattern in _DATES)), None)
    if found is None or found["month"].lower() not in _MONTHS:
        return None
    year = int(found["year"])
    if year < 100:
        year += 1900 if year >= 70 else 2000
    hour, minute, second = map(int, found["clock"].split(":"))
    month = _MONTHS.index(found["month"].lower()) + 1
    try:
        return datetime(year, month, int(found["day"]), hour, minute, second, tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
