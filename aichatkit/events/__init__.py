"""Bytes -> lines -> events: read server-sent events, JSON lines, JSON and plain text.

Every reader takes the blocks of a body as they come, bytes in UTF-8, and hands out each event before it
asks for the next block. A record that grows past `max_line` bytes is a `BadResponseError`.
"""

from __future__ import annotations

from aichatkit.events.event import Event
from aichatkit.events.json_lines import iter_json, iter_json_array, iter_json_lines
from aichatkit.events.lines import MAX_LINE, iter_lines
from aichatkit.events.plain import iter_data_lines, iter_text
from aichatkit.events.sse import iter_sse

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
