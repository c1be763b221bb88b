"""Option --mcp: URLs, commands and configuration files -> MCP servers."""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from aichatkit.cli.mcp_forms import FORMS, Forms
from aichatkit.errors import ConfigurationError
from aichatkit.tools.mcp.config import mcp_config
from aichatkit.tools.mcp.server import MCPServer, mcp

__all__ = ["add_token_option", "open_servers", "parse_target", "token_of"]

_URL = re.compile(r"https?://", re.IGNORECASE)


def add_token_option(parser: ArgumentParser) -> None:
    """Add the option that `token_of` reads."""
    parser.add_argument(
        "--mcp-token-env", metavar="VARIABLE", help="the environment variable with the token for the server's URL"
    )


def token_of(args: Namespace) -> str | None:
    """Return the token for a server, None without the option."""
    variable = args.mcp_token_env
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token:
        raise ConfigurationError(f"--mcp-token-env: the environment variable {variable} is not set")
    return token


def parse_target(text: str, **options: Any) -> MCPServer:
    """Return the server at a URL, the one that a command starts, or the only one in a configuration file."""
    options["elicit"] = _elicit()
    if _URL.match(text):
        return mcp(text, **options)
    token = options.pop("token", None)
    if token is not None:
        raise ConfigurationError("--mcp-token-env: is for the URL of a server; a command reads its own environment")
    if not _is_config(text):
        return mcp(command=text, **options)
    servers = mcp_config(text, **options)
    if len(servers) != 1:
        names = ", ".join(server.name for server in servers) or "none"
        raise ConfigurationError(f"{text}: must hold one server to list or call its tools; it has {names}")
    return servers[0]


def open_servers(args: Namespace) -> list[MCPServer]:
    """Return the servers of --mcp; none is started."""
    token = token_of(args)
    if token is not None and len(args.mcp) != 1:
        # It must not reach a server that it is not for.
        raise ConfigurationError("--mcp-token-env: is for one --mcp; put several servers into a JSON file")
    servers = []
    for text in args.mcp:
        if _is_config(text):
            servers += mcp_config(text, elicit=_elicit())
        else:
            servers.append(parse_target(text, token=token))
    return servers


def _is_config(text: str) -> bool:
    # The last argument of a command may be a JSON file as well.
    return text.lower().endswith(".json") and (len(text.split()) == 1 or os.path.isfile(text))


def _elicit() -> Forms | None:
    """Return what asks the user, None where nobody would see the question."""
    return FORMS if sys.stdin is not None and sys.stdin.isatty() else None
