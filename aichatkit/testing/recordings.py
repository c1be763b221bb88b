"""Exchanges <-> a file to replay in tests, with all secrets redacted before it is written."""

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

__all__ = ["Exchange", "RecordedRequest", "collect_secrets", "load", "save"]

_FORMAT = 1
_REDACTED = "[hidden]"
#: Response headers that are recorded; any other may contain a cookie or identify an account.
_SAFE_HEADERS = re.compile(
    r"content-type|retry-after(-ms)?|x-should-retry|(x|anthropic)-ratelimit-[\w-]+|(x-)?request-id", re.I
)
_KEY_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key", "proxy-authorization", "uniqueid")
_KEY_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|BEDROCK)$")
_KEY_FIELDS = re.compile(r"(access[_-]?token|api[_-]?key|key|token|sig|signature|password|pass)$", re.I)
#: Strings that look like an API key of any service.
_KEY_SHAPES = re.compile(
    r"\b(?:sk|pk|rk|xai|pplx|gsk|hf|ghp|glpat|csk|nvapi)[-_][\w-]{16,}|\bAIza[\w-]{30,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"
)
_FORM_BODY = re.compile(r"[\w%.-]+=[^\s]*$")
#: Shorter values are words such as "ollama" that occur in ordinary text.
_MIN_SECRET_LENGTH = 7
#: Longer strings, such as images, are recorded as a digest, which is enough to compare them.
_MAX_STRING_LENGTH = 20_000


@dataclass
class RecordedRequest:
    """A request as recorded and compared: without port, headers and secrets."""

    method: str
    url: str
    query: Any
    body: Any

    @classmethod
    def of(cls, method: str, url: str, body: bytes, secrets: Iterable[str]) -> RecordedRequest:
        """Return the recorded form of a request."""
        parts = urlsplit(url)
        # Test servers listen on a different port each time.
        address = _redact(f"{parts.scheme}://{parts.hostname}{parts.path}", secrets)
        query = _normalize(dict(parse_qsl(_redact(parts.query, secrets))), match_suffix=True)
        return cls(method, address, query, _parse_body(_redact(body.decode("utf-8", "replace"), secrets)))

    def lines(self, ignored: Iterable[str] = ()) -> list[str]:
        """Return the request as lines of text, without the ignored fields."""
        content = _drop_fields({"query": self.query, "body": self.body}, frozenset(ignored))
        return [
            f"{self.method} {self.url}",
            *json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).split("\n"),
        ]


@dataclass
class Exchange:
    """A request and its response, in the pieces received; `ending` is "cut" if the body is incomplete."""

    request: RecordedRequest
    status: int
    headers: list[tuple[str, str]]
    pieces: list[bytes] = field(default_factory=list)
    ending: str = "cut"
    secrets: Sequence[str] = field(default_factory=list, repr=False)


def collect_secrets(headers: Mapping[str, str]) -> list[str]:
    """Return the values that must not be written: keys and cookies in the headers, and keys in the environment."""
    secrets = [part for name in _KEY_HEADERS for part in headers.get(name, "").split()]
    secrets += re.findall(r"=([^;]+)", headers.get("cookie", ""))
    secrets += [value for name, value in os.environ.items() if _KEY_VARIABLE.search(name)]
    return sorted({secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH}, key=len, reverse=True)


def save(path: Path, exchanges: Sequence[Exchange]) -> None:
    """Write a recording; its folder is created."""
    record = {"format": _FORMAT, "exchanges": [_to_record(exchange) for exchange in exchanges]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> list[Exchange]:
    """Read a recording; raise ValueError for any other file."""
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise ValueError("it is of another format")
    return [_from_record(entry) for entry in record["exchanges"]]


def _to_record(exchange: Exchange) -> dict[str, Any]:
    pieces = [_redact_bytes(piece, exchange.secrets) for piece in exchange.pieces]
    body = b"".join(pieces)
    if _redact_bytes(body, exchange.secrets) != body:
        # A key was split across pieces: losing the piece boundaries is better than leaking it.
        pieces = [_redact_bytes(b"".join(exchange.pieces), exchange.secrets)]
    headers = [
        (name, _redact(value, exchange.secrets)) for name, value in exchange.headers if _SAFE_HEADERS.fullmatch(name)
    ]
    response = {"status": exchange.status, "headers": headers, "pieces": [_to_text(piece) for piece in pieces]}
    request = exchange.request
    return {
        "request": {"method": request.method, "url": request.url, "query": request.query, "body": request.body},
        "response": {**response, "ending": exchange.ending},
    }


def _from_record(entry: Mapping[str, Any]) -> Exchange:
    response = entry["response"]
    headers = [(str(name), str(value)) for name, value in response["headers"]]
    pieces = [_from_text(piece) for piece in response["pieces"]]
    return Exchange(RecordedRequest(**entry["request"]), response["status"], headers, pieces, response["ending"])


def _to_text(piece: bytes) -> Any:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(piece).decode()}


def _from_text(piece: Any) -> bytes:
    return piece.encode() if isinstance(piece, str) else base64.b64decode(piece["base64"])


def _redact(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _REDACTED)
    return _KEY_SHAPES.sub(_REDACTED, text)


def _redact_bytes(data: bytes, secrets: Iterable[str]) -> bytes:
    # latin-1 maps every byte to a character, so that binary data survives unchanged.
    return _redact(data.decode("latin-1"), secrets).encode("latin-1")


def _parse_body(text: str) -> Any:
    try:
        return _normalize(json.loads(text))
    except ValueError:
        return _normalize(dict(parse_qsl(text, keep_blank_values=True)) if _FORM_BODY.match(text) else text)


def _normalize(value: Any, *, match_suffix: bool = False) -> Any:
    """Replace long strings by digests, and redact fields named like keys."""
    if isinstance(value, dict):
        is_key = _KEY_FIELDS.search if match_suffix else _KEY_FIELDS.fullmatch
        return {
            name: _REDACTED if isinstance(inner, str) and is_key(name) else _normalize(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_normalize(inner) for inner in value]
    if isinstance(value, str) and len(value) > _MAX_STRING_LENGTH:
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    return value


def _drop_fields(value: Any, ignored: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _drop_fields(inner, ignored) for name, inner in value.items() if name not in ignored}
    return [_drop_fields(inner, ignored) for inner in value] if isinstance(value, list) else value
