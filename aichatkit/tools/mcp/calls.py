"""Call of a tool -> result, over the rounds in which a server asks to come again, or for input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable

from aichatkit.errors import MCPError
from aichatkit.tools.mcp.contents import ToolResult, parse_result
from aichatkit.tools.mcp.inputs import Inputs

__all__ = ["call_tool"]

#: How often a call that the server answers with "later" is sent, and the first wait, in seconds.
_LATER_ROUNDS, _LATER_SECONDS = 5, 0.5
#: How often a server may ask for input in one call.
_INPUT_ROUNDS = 10
#: Errors that a server answers with in place of running a tool; others may be those of the tool, halfway.
_REFUSED = ("-32700", "-32600", "-32601", "-32602", "-32002", "-32020", "-32021", "-32022", "-32042")
#: An error inside the server, which is often what a tool raised.
_INTERNAL = "-32603"
_RPC_CODE = re.compile(r"-?[0-9]+")


def call_tool(
    server: str,
    call: Mapping[str, Any],
    send: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    inputs: Inputs,
    limit: int | None,
    sleep: Callable[[float], None],
) -> ToolResult:
    """Return the result of a call; `send` sends its parameters once."""
    params, later, asked = call, 0, 0
    while True:
        try:
            result = send(params)
        except MCPError as error:
            error.maybe_processed = error.maybe_processed or _may_have_run(error)
            if error.maybe_processed:
                error.message = f"{error.message} (tool {call['name']})"
                error.args = (error.message,)
            raise
        kind = result.get("resultType") or "complete"
        if kind == "complete":
            return parse_result(result, limit)
        if kind != "input_required":
            raise _error(server, f"the result of {call['name']} has the unknown type {kind!r}")
        # Neither is for any other call.
        params = {**call, "requestState": result["requestState"]} if "requestState" in result else dict(call)
        requests = result.get("inputRequests")
        if isinstance(requests, Mapping) and requests:
            asked += 1
            answers = inputs.answer_all(requests)
            if answers is None:
                return ToolResult(_refusal(requests), is_error=True, content=_refusal(requests))
            if asked > _INPUT_ROUNDS:
                raise _error(server, f"{call['name']} still asks for input after {_INPUT_ROUNDS} times")
            params["inputResponses"] = answers
            continue
        later += 1
        if later == _LATER_ROUNDS:
            raise _error(server, f"{call['name']} is still not ready after {_LATER_ROUNDS} calls")
        sleep(_LATER_SECONDS * 2 ** (later - 1))


def _may_have_run(error: MCPError) -> bool:
    """Return whether the tool may have run although the server answered with an error."""
    if error.code in ("unreadable", _INTERNAL):
        # Whatever it is, it is an answer.
        return True
    if error.status is not None and error.status < 500:
        return False
    return error.code == "status" or (_RPC_CODE.fullmatch(error.code or "") is not None and error.code not in _REFUSED)


def _refusal(requests: Mapping[str, Any]) -> str:
    methods = {str(request.get("method")) for request in requests.values() if isinstance(request, Mapping)}
    return f"the server wants input that this client does not give ({', '.join(sorted(methods))})"


def _error(server: str, text: str) -> MCPError:
    return MCPError(f"MCP server {server!r}: {text}", server=server, maybe_processed=True)
