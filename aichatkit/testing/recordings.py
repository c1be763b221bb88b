"""Exchanges <-> a file a test can be played from, with everything secret taken out before it is written."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aichatkit._dataclasses import dataclass, field

__all__ = ["Exchange", "Sent", "load", "save", "secrets_of"]

_FORMAT = 1
_HIDDEN = "[hidden]"
#: Response headers that are kept; any other may hold a cookie or name an account.
_KEPT = re.compile(
    r"content-type|retry-after(-ms)?|x-should-retry|(x|anthropic)-ratelimit-[\w-]+|(x-)?request-id", re.I
)
_KEY_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key", "proxy-authorization", "uniqueid")
_KEY_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|BEDROCK)$")
_KEY_FIELDS = re.compile(r"(access[_-]?token|api[_-]?key|key|token|sig|signature|password|pass)$", re.I)
#: What looks like a key, whoever's it is.
_KEY_SHAPES = re.compile(
    r"\b(?:sk|pk|rk|xai|pplx|gsk|hf|ghp|glpat|csk|nvapi)[-_][\w-]{16,}|\bAIza[\w-]{30,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"
)
_FORM = re.compile(r"[\w%.-]+=[^\s]*$")
#: Shorter ones are words such as "ollama", and stand in many a text.
_SHORTEST = 7
#: Longer strings are pictures and the like; a digest tells them apart as well.
_LONGEST = 20_000


@dataclass
class Sent:
    """A request as it is compared: without its host's port, its headers, and whatever is secret."""

    method: str
    url: str
    query: Any
    body: Any

    @classmethod
    def of(cls, method: str, url: str, body: bytes, secrets: Iterable[str]) -> Sent:
        """Return what is kept of a request."""
        parts = urlsplit(url)
        # Servers of tests listen at another port each time.
        place = _hidden(f"{parts.scheme}://{parts.hostname}{parts.path}", secrets)
        query = _short(dict(parse_qsl(_hidden(parts.query, secrets))), any_name=True)
        return cls(method, place, query, _body(_hidden(body.decode("utf-8", "replace"), secrets)))

    def lines(self, ignored: Iterable[str] = ()) -> list[str]:
        """Return it as text, without the fields that may differ."""
        told = _without({"query": self.query, "body": self.body}, frozenset(ignored))
        return [
            f"{self.method} {self.url}",
            *json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False).split("\n"),
        ]


@dataclass
class Exchange:
    """A request and the answer it got, in the pieces it came in; `ending` is "cut" where it did not come whole."""

    sent: Sent
    status: int
    headers: list[tuple[str, str]]
    pieces: list[bytes] = field(default_factory=list)
    ending: str = "cut"
    secrets: Sequence[str] = field(default_factory=list, repr=False)


def secrets_of(headers: Mapping[str, str]) -> list[str]:
    """Return what must not be written: what the headers carry as keys, and all keys of the environment."""
    found = [part for name in _KEY_HEADERS for part in headers.get(name, "").split()]
    found += re.findall(r"=([^;]+)", headers.get("cookie", ""))
    found += [value for name, value in os.environ.items() if _KEY_VARIABLE.search(name)]
    return sorted({secret for secret in found if len(secret) >= _SHORTEST}, key=len, reverse=True)


def save(path: Path, exchanges: Sequence[Exchange]) -> None:
    """Write a recording; its folder is made."""
    record = {"format": _FORMAT, "exchanges": [_to_record(exchange) for exchange in exchanges]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> list[Exchange]:
    """Read a recording; raise ValueError where it is none."""
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise ValueError("it is of another format")
    return [_from_record(entry) for entry in record["exchanges"]]


def _to_record(exchange: Exchange) -> dict[str, Any]:
    pieces = [_hidden_bytes(piece, exchange.secrets) for piece in exchange.pieces]
    whole = b"".join(pieces)
    if _hidden_bytes(whole, exchange.secrets) != whole:
        # A key that is spread over pieces is worse than pieces that are lost.
        pieces = [_hidden_bytes(b"".join(exchange.pieces), exchange.secrets)]
    headers = [(name, _hidden(value, exchange.secrets)) for name, value in exchange.headers if _KEPT.fullmatch(name)]
    answer = {"status": exchange.status, "headers": headers, "pieces": [_to_text(piece) for piece in pieces]}
    sent = exchange.sent
    return {
        "request": {"method": sent.method, "url": sent.url, "query": sent.query, "body": sent.body},
        "response": {**answer, "ending": exchange.ending},
    }


def _from_record(entry: Mapping[str, Any]) -> Exchange:
    answer = entry["response"]
    headers = [(str(name), str(value)) for name, value in answer["headers"]]
    pieces = [_from_text(piece) for piece in answer["pieces"]]
    return Exchange(Sent(**entry["request"]), answer["status"], headers, pieces, answer["ending"])


def _to_text(piece: bytes) -> Any:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(piece).decode()}


def _from_text(piece: Any) -> bytes:
    return piece.encode() if isinstance(piece, str) else base64.b64decode(piece["base64"])


def _hidden(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return _KEY_SHAPES.sub(_HIDDEN, text)


def _hidden_bytes(data: bytes, secrets: Iterable[str]) -> bytes:
    # Each byte is a character here, so that what is no text stays what it is.
    return _hidden(data.decode("latin-1"), secrets).encode("latin-1")


def _body(text: str) -> Any:
    try:
        return _short(json.loads(text))
    except ValueError:
        return _short(dict(parse_qsl(text, keep_blank_values=True)) if _FORM.match(text) else text)


def _short(value: Any, *, any_name: bool = False) -> Any:
    """Return a body with digests for what is long, and nothing in the place of fields that are named like keys."""
    if isinstance(value, dict):
        hides = _KEY_FIELDS.search if any_name else _KEY_FIELDS.fullmatch
        return {
            name: _HIDDEN if isinstance(inner, str) and hides(name) else _short(inner) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_short(inner) for inner in value]
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    return value


def _without(value: Any, ignored: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner, ignored) for name, inner in value.items() if name not in ignored}
    return [_without(inner, ignored) for inner in value] if isinstance(value, list) else value
