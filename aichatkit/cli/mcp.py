"""`aichatkit mcp`: the tools of an MCP server, listed and called without a model."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aichatkit.cli.json_output import format_json
from aichatkit.cli.mcp_option import add_token_option, parse_target, token_of
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.errors import ConfigurationError
from aichatkit.structured.fit import fit_arguments
from aichatkit.tools.mcp.definitions import ServerTool
from aichatkit.tools.mcp.server import MCPServer

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit mcp",
        usage="aichatkit mcp [options] SERVER [TOOL [NAME=VALUE ...]]",
        description="List the tools of an MCP server, or call one of them. A tool runs at once: there "
        "is no prompt to approve it.",
        epilog="A tool that fails, or a server that cannot be reached, ends with the exit code 1.",
    )
    parser.add_argument(
        "server",
        metavar="SERVER",
        help="a URL, a command in quotes such as 'npx -y server', or a .json file with one server",
    )
    parser.add_argument("tool", nargs="?", metavar="TOOL", help="call this tool; without it, tools are listed")
    parser.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="arguments, or one JSON object with all")
    add_token_option(parser)
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="without a sign of life (default 60; at a terminal, where a server may ask you, 600)",
    )
    parser.add_argument("--pin", action="store_true", help="print the hashes of the tools, for pin= and JSON files")
    parser.add_argument("--json", action="store_true", help="print tools with their schemas, or the data of a result")
    return parser


def run(args: Namespace) -> int:
    """List the tools or call one, and return the exit code."""
    if args.pin and args.tool is not None:
        raise ConfigurationError("--pin: is for all tools of a server; leave out the name of the tool")
    with parse_target(args.server, token=token_of(args), timeout=args.timeout) as server:
        if args.pin:
            write_stdout(format_json(server.fingerprints()))
            return 0
        if args.tool is None:
            return _list(server, as_json=args.json)
        return _call(server, args.tool, args.arguments, as_json=args.json)


def _list(server: MCPServer, *, as_json: bool) -> int:
    tools = server.tools()
    if as_json:
        fields = ("name", "description", "schema", "hints")
        write_stdout(format_json([{name: getattr(tool, name) for name in fields} for tool in tools]))
        return 0
    for tool in tools:
        write_stdout("".join(f"{line}\n" for line in _lines(tool)))
    if not tools:
        print_stderr(f"{server.name}: no tools")
    return 0


def _lines(tool: ServerTool) -> Iterator[str]:
    parameters = tool.definition.parameters
    required = parameters.get("required") or ()
    yield f"{tool.name}({', '.join(name if name in required else f'[{name}]' for name in parameters['properties'])})"
    for line in tool.description.strip().splitlines():
        yield f"    {line.strip()}"


def _call(server: MCPServer, name: str, texts: Sequence[str], *, as_json: bool) -> int:
    tool = next((one for one in server.tools() if one.name == name), None)
    arguments = _parse_arguments(texts)
    if tool is not None:
        # As a model's: "3" is a number where the tool wants one.
        arguments = fit_arguments(arguments, tool.definition.parameters)
    result = server.call(name, **arguments)
    if as_json:
        fields = {"text": result.text, "data": result.data, "is_error": result.is_error}
        write_stdout(format_json(fields))
    else:
        write_stdout(result.text if result.text.endswith("\n") else f"{result.text}\n")
    return 1 if result.is_error else 0


def _parse_arguments(texts: Sequence[str]) -> dict[str, Any]:
    if len(texts) == 1 and texts[0].lstrip().startswith("{"):
        try:
            value = json.loads(texts[0])
        except ValueError:
            value = None
        if isinstance(value, Mapping):
            return dict(value)
        raise ConfigurationError("the arguments of the tool are not a valid JSON object")
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"an argument of the tool must be name=value, not {text!r}")
        pairs[name] = value
    return pairs
