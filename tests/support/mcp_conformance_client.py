"""The client that the official conformance suite of MCP starts: it calls what the scenario tells it to."""

from __future__ import annotations

import json
import os
import sys
import warnings

import aichatkit as ai

#: What scenarios expect to be called, unless their context says so.
CALLS = {
    "elicitation-sep1034-client-defaults": [("test_client_elicitation_defaults", {})],
    "http-invalid-tool-headers": [("valid_tool", {"region": "us"})],
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "sse-retry": [("test_reconnection", {})],
}
#: Scenarios in which every tool is called, and the server asks for input.
ASKING = ("sep-2322-client-request-state",)


def confirm(message, schema):
    """Fill in nothing but a confirmation; the defaults of other fields are left to the client."""
    return {"confirmed": True} if "confirmed" in schema["properties"] else {}


def main():
    warnings.simplefilter("ignore")
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    asks = scenario in ASKING or scenario.startswith("elicitation")
    with ai.mcp(sys.argv[-1], elicit=confirm if asks else None) as server:
        tools = server.tools()
        schemas = {tool.name: tool.schema for tool in tools}
        if "json_schema_echo" in schemas:
            server.call("json_schema_echo", schema=schemas["json_schema_2020_12_tool"])
        calls = [(call["name"], call.get("arguments", {})) for call in context.get("toolCalls", ())]
        if scenario in ASKING:
            calls = [(name, {}) for name in schemas]
        for name, arguments in calls or CALLS.get(scenario, ()):
            server.call(name, **arguments)


if __name__ == "__main__":
    main()
