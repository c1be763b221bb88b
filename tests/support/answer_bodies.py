"""Bodies of answers in the six protocols of services: a text or a call, from JSON text that is put in as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence

#: Where the protocols are spoken.
BASES = {"openai": "/v1", "anthropic": "", "gemini": "", "ollama": "", "cohere": "/v2", "openai-responses": "/v1"}
PROTOCOLS = tuple(BASES)

_OPENAI_END = 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
_ANTHROPIC_START = 'data: {"type": "message_start", "message": {"id": "m", "model": "claude", "content": []}}\n\n'
_ANTHROPIC_END = (
    'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}\n\ndata: {"type": "message_stop"}\n\n'
)
_RESPONSES_END = (
    'data: {"type": "response.completed", "response": {"object": "response", "status": "completed", "output": []}}\n\n'
)
_COHERE_END = 'data: {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}\n\n'
_OLLAMA_END = '{"model": "m", "message": {"role": "assistant", "content": ""}, "done": true}\n'


def text_body(protocol: str, *pieces: str) -> bytes:
    """Return a body whose pieces of text are written with these JSON escapes."""
    start, piece, end = {
        "openai": ("", 'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n', _OPENAI_END),
        "anthropic": (
            _ANTHROPIC_START
            + 'data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}\n\n',
            'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "%s"}}\n\n',
            _ANTHROPIC_END,
        ),
        "gemini": (
            "",
            'data: {"candidates": [{"content": {"role": "model", "parts": [{"text": "%s"}]}, "index": 0}]}\n\n',
            'data: {"candidates": [{"finishReason": "STOP", "index": 0}]}\n\n',
        ),
        "ollama": (
            "",
            '{"model": "m", "message": {"role": "assistant", "content": "%s"}, "done": false}\n',
            _OLLAMA_END,
        ),
        "cohere": (
            "",
            'data: {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "%s"}}}}\n\n',
            _COHERE_END,
        ),
        "openai-responses": ("", 'data: {"type": "response.output_text.delta", "delta": "%s"}\n\n', _RESPONSES_END),
    }[protocol]
    return (start + "".join(piece % text for text in pieces) + end).encode()


def call_body(protocol: str, arguments: str, name: str = "look") -> bytes:
    """Return a body with one call, whose arguments are this JSON text."""
    text = json.dumps(arguments)
    function = f'{{"name": "{name}", "arguments": {text}}}'
    call = {
        "openai": '{"choices": [{"delta": {"tool_calls": '
        f'[{{"index": 0, "id": "a", "function": {function}}}]}}}}]}}',
        "anthropic": '{"type": "content_block_delta", "index": 0, "delta": '
        f'{{"type": "input_json_delta", "partial_json": {text}}}}}',
        "gemini": '{"candidates": [{"content": {"parts": [{"functionCall": '
        f'{{"name": "{name}", "args": {arguments}}}}}]}}, "finishReason": "STOP", "index": 0}}]}}',
        "ollama": '{"model": "m", "message": {"role": "assistant", "content": "", "tool_calls": '
        f'[{{"function": {{"name": "{name}", "arguments": {arguments}}}}}]}}, "done": false}}\n',
        "cohere": '{"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": '
        f'{{"id": "a", "type": "function", "function": {function}}}}}}}}}',
        "openai-responses": '{"type": "response.output_item.added", "output_index": 0, "item": '
        f'{{"type": "function_call", "call_id": "a", "name": "{name}", "arguments": {text}}}}}',
    }[protocol]
    before, after = _around(protocol, name)
    return (before + (call if protocol == "ollama" else f"data: {call}\n\n") + after).encode()


def _around(protocol: str, name: str) -> Sequence[str]:
    block = {"type": "tool_use", "id": "a", "name": name, "input": {}}
    start = json.dumps({"type": "content_block_start", "index": 0, "content_block": block})
    return {
        "openai": ("", _OPENAI_END),
        "anthropic": (f"{_ANTHROPIC_START}data: {start}\n\n", _ANTHROPIC_END),
        "gemini": ("", ""),
        "ollama": ("", _OLLAMA_END),
        "cohere": ("", _COHERE_END),
        "openai-responses": ("", _RESPONSES_END),
    }[protocol]
