"""Text -> tokens: a count where tiktoken and its tables are on this machine, else a rule of thumb."""

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

#: Tokens that mark a message, and those a file is taken to have whose text is not at hand.
_MARKS, _FILE = 4, 1000
_TABLES = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def count_tokens(text: str, model: str = "") -> int:
    """Return the tokens of a text: counted where that is possible without a download, else one for four bytes.

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
    """Return the tokens of a message with its files and calls of tools."""
    content, taken = message.content, _MARKS
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        file = part.get("file")
        if part["type"] == "text":
            taken += count_tokens(str(part["text"]), model)
        elif isinstance(file, File) and file.kind == "text" and file.data:
            taken += count_tokens(text_of_file(file), model)
        else:
            taken += _FILE
    for call in message.calls if isinstance(message, ToolCallsMessage) else ():
        taken += _MARKS + count_tokens(call.name + json.dumps(call.arguments, default=str), model)
    return taken


def count_call(messages: Sequence[Message], options: Options, model: str) -> int:
    """Return the tokens that a call sends: its messages, its tools and its schema."""
    taken = sum(count_message(message, model) for message in messages)
    if options.schema is not None:
        taken += count_tokens(json.dumps(options.schema), model)
    for tool in options.tools:
        told = json.dumps([tool.name, tool.description, tool.parameters], default=str)
        taken += _MARKS + count_tokens(told, model)
    return taken


@cache
def _encoder(model: str) -> Any:
    """Return tiktoken's encoder for a model, None where it would have to be fetched."""
    try:
        import tiktoken
    except ImportError:
        return None
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or Path(tempfile.gettempdir(), "data-gym-cache")
    # The names of its files, as it makes them.
    table = hashlib.sha1(_TABLES.format(name).encode()).hexdigest()
    return tiktoken.get_encoding(name) if Path(folder, table).is_file() else None
