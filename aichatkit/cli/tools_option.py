"""Options --tools, --mcp and --search: functions, MCP servers and the service's web search; calls are approved."""

from __future__ import annotations

import inspect
import json
import sys
from argparse import ArgumentParser, Namespace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.chunks import ToolCall
from aichatkit.cli.output import print_stderr
from aichatkit.errors import ConfigurationError

if TYPE_CHECKING:
    from aichatkit.cli import mcp_option
else:
    # Few questions have tools.
    mcp_option = lazy_module("aichatkit.cli.mcp_option")

__all__ = ["add_search_option", "add_tools_option", "tool_options"]

_MODULE = "aichatkit_tools"


def add_tools_option(parser: ArgumentParser) -> None:
    """Add the options that `tool_options` reads."""
    parser.add_argument("--tools", metavar="FILE", help="a Python file whose functions the model may call")
    parser.add_argument(
        "--mcp",
        action="append",
        default=[],
        metavar="SERVER",
        help="an MCP server whose tools the model may call: a URL, a command in quotes, or a .json file; repeatable",
    )
    parser.add_argument(
        "--mcp-token-env", metavar="VARIABLE", help="the environment variable with the token for the URL of --mcp"
    )
    parser.add_argument("--yes", action="store_true", help="with --tools or --mcp: run every call without asking")
    add_search_option(parser)


def add_search_option(parser: ArgumentParser) -> None:
    """Add the option for the web search of the service."""
    parser.add_argument("--search", action="store_true", help="let the service search the web")


def tool_options(args: Namespace) -> dict[str, Any]:
    """Return the options of a call for --tools, --mcp and --search; empty without them.

    Raises:
        ConfigurationError: the file cannot be imported or has no functions, or nobody can be asked to approve a call.
    """
    search: dict[str, Any] = {"search": True} if args.search else {}
    if args.tools is None and not args.mcp:
        for name, value in (("--yes", args.yes), ("--mcp-token-env", args.mcp_token_env)):
            if value:
                raise ConfigurationError(f"{name}: is for {'--tools and ' * (name == '--yes')}--mcp")
        return search
    if not args.yes and (sys.stdin is None or not sys.stdin.isatty()):
        name = "--mcp" if args.tools is None else "--tools"
        raise ConfigurationError(f"{name}: calls are approved at a terminal; in a pipe, pass --yes to run all of them")
    functions = [] if args.tools is None else _load_functions(Path(args.tools))
    servers = mcp_option.open_servers(args) if args.mcp else []
    options = {**search, "tools": [*functions, *servers]}
    return options if args.yes else {**options, "approve": _approve}


def _load_functions(path: Path) -> list[Callable[..., Any]]:
    """Return the public functions that a file defines, or those that its `__all__` names."""
    if path.suffix != ".py" or not path.is_file():
        raise ConfigurationError(f"--tools: {str(path)!r} is not a Python file")
    spec = spec_from_file_location(_MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # Annotations of the functions are looked up there.
    sys.modules[_MODULE] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - the user's file may raise anything
        problem, reason = f"{type(error).__name__}: {error}", reason_of(error)
    else:
        functions = [value for name, value in vars(module).items() if _is_tool(name, value, module)]
        if functions:
            return functions
        raise ConfigurationError(f"--tools: {str(path)!r} defines no public function")
    raise ConfigurationError(f"--tools: {str(path)!r} cannot be imported: {problem}", reason=reason)


def _is_tool(name: str, value: Any, module: Any) -> bool:
    names = getattr(module, "__all__", None)
    if names is not None:
        return name in names
    return inspect.isfunction(value) and value.__module__ == _MODULE and not name.startswith("_")


def _approve(call: ToolCall) -> bool:
    arguments = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items())
    # What a server says about its tools is not shown: it would be the server that asks.
    server = getattr(call, "server", "")
    print_stderr(f"{server}{': ' if server else ''}{call.name}({arguments})")
    print_stderr("run it? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
