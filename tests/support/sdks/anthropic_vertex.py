"""The calls of the tests by Anthropic's SDK for Claude on Vertex AI."""

from __future__ import annotations

import anthropic
from anthropic_messages import ask, stream, structure, use_tool

__all__ = ["ask", "connect", "request_body", "stream", "structure", "use_tool"]


def connect(url, key, retries):
    return anthropic.AnthropicVertex(
        base_url=f"{url}/v1", region="eu", project_id="mine", access_token=key, max_retries=retries, timeout=20
    )


def request_body(client, body):
    """Send a body as it is, streamed."""
    return [event.type for event in client.messages.create(**body)]
