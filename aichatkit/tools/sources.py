"""Tools that run elsewhere: what a `ToolSource` hands to a call."""

from __future__ import annotations

from collections.abc import Callable

from aichatkit.chunks import ToolCall
from aichatkit.messages import Content
from aichatkit.providers.base import Tool

__all__ = ["Approve", "RemoteTool"]

Approve = Callable[[ToolCall], bool]


class RemoteTool:
    """A tool of a source: its definition for the service, and how to run it."""

    definition: Tool

    def run(self, call: ToolCall, approve: Approve | None) -> Content:
        """Run a call and return its result, or an error message for the model."""
        raise NotImplementedError
