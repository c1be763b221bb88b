"""Text -> token count: exact if tiktoken and its encoding files are on this machine, else an estimate."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from aichatkit.messages import File, Message, ToolCallsMessage, text_of_file
from aichatkit.providers.base import Options

__all__ = ["count_call", "count_message", "count_tokens", "estimate_tokens"]

#: Tokens added by a message or tool on top of its content, and those assumed for a file without readable text.
_OVERHEAD, _FILE_TOKENS = 4, 1000
_ENCODING_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def count_tokens(text: str, model: str = "") -> int:
    """Return the token count of a text, or `estimate_tokens` of it if an exact count would require a download.

    >>> count_tokens("Hello, world")
    3
    """
    encoder = _encoder(model)
    return estimate_tokens(text) if encoder is None else len(encoder.encode_ordinary(text))


def estimate_tokens(text: str) -> int:
    """Return a rough token count: one token per four bytes of UTF-8, which suits English and is close elsewhere.

    >>> estimate_tokens("Hello, world")
    3
    """
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / 4)


def count_message(message: Message, model: str) -> int:
    """Return the token count of a message, including its files and tool calls."""
    content, total = message.content, _OVERHEAD
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        file = part.get("file")
        if part["type"] == "text":
            total += count_tokens(str(part["text"]), model)
        elif isinstance(file, File) and file.kind == "text" and file.data:
            total += count_tokens(text_of_file(file), model)
        else:
            total += _FILE_TOKENS
    for call in message.calls if isinstance(message, ToolCallsMessage) else ():
        total += _OVERHEAD + count_tokens(call.name + json.dumps(call.arguments, default=str), model)
    return total


def count_call(messages: Sequence[Message], options: Options, model: str) -> int:
    """Return the token count of everything a call sends: messages, tool definitions and schema."""
    total = sum(count_message(message, model) for message in messages)
    if options.schema is not None:
        total += count_tokens(json.dumps(options.schema), model)
    for tool in options.tools:
        definition = json.dumps([tool.name, tool.description, tool.parameters], default=str)
        total += _OVERHEAD + count_tokens(definition, model)
    return total


@cache
def _encoder(model: str) -> Any:
    """Return tiktoken's encoder for a model, None if its encoding file would have to be downloaded."""
    try:
        import tiktoken
    except ImportError:
        return None
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or Path(tempfile.gettempdir(), "data-gym-cache")
    # tiktoken names its cached files by the SHA-1 of their URL.
    filename = hashlib.sha1(_ENCODING_URL.format(name).encode()).hexdigest()
    return tiktoken.get_encoding(name) if Path(folder, filename).is_file() else None
