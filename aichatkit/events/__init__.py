"""Bytes -> lines -> events: parse server-sent events, JSON lines, JSON and plain text.

Each `iter_` function takes the response body as UTF-8 blocks of any size, and yields every complete event before it
reads the next block. A record longer than `max_line` bytes raises `BadResponseError`.
"""

from __future__ import annotations

from aichatkit.events.json_lines import iter_json, iter_json_array, iter_json_lines
from aichatkit.events.lines import MAX_LINE, iter_lines
from aichatkit.events.plain import iter_data_lines, iter_text
from aichatkit.events.sse import Event, iter_sse

__all__ = [
    "MAX_LINE",
    "Event",
    "iter_data_lines",
    "iter_json",
    "iter_json_array",
    "iter_json_lines",
    "iter_lines",
    "iter_sse",
    "iter_text",
]
