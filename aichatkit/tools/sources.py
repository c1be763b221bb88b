"""Sources of tools that run elsewhere, which `tools=` takes along with functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aichatkit.chunks import ToolCall
from aichatkit.providers.base import Tool
from aichatkit.transport.connections import Connections

__all__ = ["RemoteTool", "ToolSource"]

Approve = Callable[[ToolCall], bool]


class RemoteTool:
    """A tool of a source: its definition for the service, and how to run it."""

    definition: Tool

    def run(self, call: ToolCall, approve: Approve | None) -> str:
        """Run a call and return its result as text, or an error message for the model."""
        raise NotImplementedError


class ToolSource:
    """Something that has tools, such as an MCP server."""

    name: str

    def open_tools(self, connections: Connections | None = None) -> Sequence[RemoteTool]:
        """Return the tools; `connections` are those of the client that calls."""
        raise NotImplementedError
