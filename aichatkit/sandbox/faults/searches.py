"""Faults of web search: a search that fails, and an answer that pauses while it searches."""

from __future__ import annotations

from aichatkit.sandbox.exchange import Response
from aichatkit.sandbox.faults.base import Respond, fault
from aichatkit.sandbox.wires import Call


@fault()
def search_error(respond: Respond, call: Call, code: str = "unavailable") -> Response:
    """A web search that fails, with the code that the service sends for it; the answer is complete."""
    call.overrides["search-error"] = code
    return respond()


@fault()
def search_pause(respond: Respond, call: Call) -> Response:
    """An answer that pauses in the middle of a web search, and goes on once it is sent back (Anthropic)."""
    call.overrides["search-pause"] = True
    return respond()
