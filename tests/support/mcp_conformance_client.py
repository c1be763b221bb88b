"""The client that the official conformance suite of MCP starts: it calls what the scenario tells it to."""

from __future__ import annotations

import json
import os
import sys
import warnings

import aichatkit as ai

#: What scenarios expect to be called, unless their context says so.
CALLS = {
    "http-invalid-tool-headers": [("valid_tool", {"region": "us"})],
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "sse-retry": [("test_reconnection", {})],
}


def main():
    warnings.simplefilter("ignore")
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    with ai.mcp(sys.argv[-1]) as server:
        tools = server.tools()
        schemas = {tool.name: tool.schema for tool in tools}
        if "json_schema_echo" in schemas:
            server.call("json_schema_echo", schema=schemas["json_schema_2020_12_tool"])
        calls = [(call["name"], call.get("arguments", {})) for call in context.get("toolCalls", ())]
        for name, arguments in calls or CALLS.get(scenario, ()):
            server.call(name, **arguments)


if __name__ == "__main__":
    main()
