"""Claude on Google's Vertex AI: Anthropic's Messages API, with the model in the URL and its version in the body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import requests

from aichatkit._dataclasses import replace
from aichatkit.messages import Message, ToolCallsMessage
from aichatkit.providers.anthropic import Anthropic
from aichatkit.providers.base import NO_OPTIONS, Options
from aichatkit.providers.vertex import OnVertex

__all__ = ["VertexClaude"]

#: The version that Google and Anthropic document; the stream has the form of Anthropic's version 2023-06-01.
_VERSION = "vertex-2023-10-16"
#: What may precede the name of a model.
_PUBLISHER = re.compile(r"(?:publishers/)?anthropic/(?:models/)?")


class VertexClaude(OnVertex, Anthropic):  # type: ignore[misc]
    """Claude on Vertex AI, which answers only through Anthropic's Messages API."""

    name = "vertex"
    path = ""
    default_model = "claude-sonnet-5-5"
    headers = {}  # noqa: RUF012 - annotated in the base class
    priced_as = "anthropic"

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        request = super().build_request(messages, model, options=options)
        payload: Any = request.json
        del payload["model"]
        payload["anthropic_version"] = _VERSION
        plain = quote(_PUBLISHER.sub("", model, count=1), safe="@")
        request.url = f"{self.project_url()}/publishers/anthropic/models/{plain}:streamRawPredict"
        return request

    def _build_blocks(self, message: Message) -> list[dict[str, Any]]:
        return super()._build_blocks(_without_others(message) if isinstance(message, ToolCallsMessage) else message)

    def region(self) -> str:
        """Return "regional" for every location but the global one: they have the same surcharge."""
        location = self.location()
        return "regional" if location not in ("", "global") else location


def _without_others(message: ToolCallsMessage) -> ToolCallsMessage:
    """Return a turn without what another model on Vertex AI has signed, or made with tools of its own."""
    return replace(
        message,
        thoughts=tuple(thought for thought in message.thoughts if not thought.signature.startswith("vertex:{")),
        blocks=message.blocks if all("type" in block for block in message.blocks) else (),
    )
