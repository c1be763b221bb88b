"""A tool of a server as a call of a client has it: approval, arguments that fit, and errors as text for the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from aichatkit.chunks import ToolCall
from aichatkit.errors import MCPError
from aichatkit.messages import Content
from aichatkit.structured.fit import fit_arguments
from aichatkit.tools.mcp.contents import ToolResult
from aichatkit.tools.mcp.definitions import ServerTool
from aichatkit.tools.sources import Approve, RemoteTool

__all__ = ["BoundTool", "MCPToolCall"]

#: Unknown tools and wrong arguments, after which the list is read again, and input that this client does not give.
_UNKNOWN, _NO_INPUT = ("-32601", "-32602"), ("-32021", "-32042")


class MCPToolCall(ToolCall):
    """A call of a server's tool, for `approve`: `tool` is its name on `server`; `hints` are unverified."""

    server: str = ""
    tool: str = ""
    hints: Mapping[str, Any] = {}


class BoundTool(RemoteTool):
    """A tool of a server for the calls of a model; `send` calls it, `forget_list` is for one that is unknown there.

    `excuses` returns whether an error is left to the model, because the server is optional.
    """

    def __init__(
        self,
        tool: ServerTool,
        *,
        server: str,
        origin: str,
        approve: Approve | None,
        send: Callable[[ServerTool, Mapping[str, Any]], ToolResult],
        forget_list: Callable[[], None],
        excuses: Callable[[MCPError], bool],
    ) -> None:
        self.definition = tool.definition
        self.origin = origin
        self._tool = tool
        self._server = server
        self._approve = approve
        self._send = send
        self._forget_list = forget_list
        self._excuses = excuses

    def run(self, call: ToolCall, approve: Approve | None) -> Content:
        try:
            arguments = fit_arguments(call.arguments, self.definition.parameters)
        except RecursionError:
            return "Error: the arguments are nested too deeply"
        shown = MCPToolCall(call.id, call.name, arguments)
        # Not fields, so that it stays equal to the call in the reply.
        vars(shown).update(server=self._server, tool=self._tool.name, hints=dict(self._tool.hints))
        for allows in (self._approve, approve):
            if allows is not None and not allows(shown):
                return "Error: the user did not allow this call"
        try:
            result = self._send(self._tool, arguments)
        except MCPError as error:
            if error.code in _UNKNOWN:
                self._forget_list()
            elif not error.maybe_processed and error.code not in _NO_INPUT and not self._excuses(error):
                raise
            failure = error.message
            if error.maybe_processed:
                failure += "; it is not known whether the tool ran, so do not repeat the call without checking"
            return f"Error: {failure}"
        return f"Error: {result.content}" if result.is_error else result.content
