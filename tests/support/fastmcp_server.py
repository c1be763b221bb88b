"""A server on FastMCP, which is installed in an environment of its own: `stdio`, or a transport and a port."""

from __future__ import annotations

import sys

from fastmcp import Context, FastMCP
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from fastmcp.utilities.types import Image

PNG = b"\x89PNG\r\n\x1a\n"
#: With "token" as the last argument, only this one is let in.
TOKENS = {"good-token": {"client_id": "test", "scopes": ["read"]}}
is_closed = sys.argv[-1] == "token"
server = FastMCP("rooms", auth=StaticTokenVerifier(TOKENS, required_scopes=["read"]) if is_closed else None)


@server.tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@server.tool
def pixel() -> Image:
    """Return a picture."""
    return Image(data=PNG, format="png")


@server.tool
async def count(ctx: Context, to: int) -> str:
    """Count and report progress."""
    for number in range(to):
        await ctx.report_progress(number, to)
    return "done"


@server.tool
async def book(ctx: Context, room: str) -> str:
    """Book a room, in the name that the user gives."""
    answer = await ctx.elicit("In which name?", response_type=str)
    return f"{room}: {answer.action}, {getattr(answer, 'data', None)}"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run(show_banner=False)
    else:
        server.run(transport=sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]), show_banner=False)
