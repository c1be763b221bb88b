"""Chunks -> reply: the finished answer, and the story of the tries it took."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aichatkit import delays
from aichatkit.chunks import Citation, ToolCall, Usage
from aichatkit.errors import ChatError, SchemaError

__all__ = ["Attempt", "Reply"]


_FENCED = re.compile(r"^```\w*\n(.*?)(?:\n```|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Attempt:
    """One try of a call: `error` is None where it worked; `elapsed` and `wait` are seconds, in it and around it."""

    provider: str
    model: str
    error: ChatError | None = None
    wait: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True)
class Reply:
    """A finished answer; `str(reply)` is its text.

    `complete` is True where the protocol's end marker was seen, None where the service has none.
    """

    text: str
    provider: str
    model: str
    complete: bool | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    images: list[str] = field(default_factory=list)
    reasoning: str = ""
    citations: list[Citation] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw: list[Any] = field(default_factory=list, repr=False)
    elapsed: float = 0.0
    data: Any = None
    cost: float | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def limits(self) -> dict[str, Any]:
        """The service's rate limits as its headers told them: what is allowed, what remains, seconds to the reset."""
        return delays.parse_limits(self.headers)

    @property
    def request_id(self) -> str | None:
        """The service's own id of the call, for its support."""
        return self.headers.get("x-request-id") or self.headers.get("request-id")

    def json(self) -> Any:
        """Return the text read as JSON, also from a fenced block; raise SchemaError where it is none."""
        fenced = _FENCED.search(self.text)
        try:
            return json.loads(fenced[1] if fenced else self.text)
        except ValueError as error:
            reason = str(error)
        raise SchemaError(
            f"{self.provider}: the answer is not JSON ({reason})", provider=self.provider, partial=self.text
        )

    def _repr_markdown_(self) -> str:
        return self.text
