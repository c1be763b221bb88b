"""A server on the official Python SDK, which is installed in an environment of its own: `stdio`, or HTTP at a port."""

from __future__ import annotations

import sys
import time

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image

server = MCPServer("sums", instructions="Add with add.")


@server.tool()
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("it broke")


@server.tool()
def pixel() -> Image:
    """Return a picture."""
    return Image(data=b"\x89PNG", format="png")


@server.tool()
def nap(seconds: float) -> str:
    """Take a nap."""
    time.sleep(seconds)
    return "rested"


@server.tool()
async def count(ctx: Context, to: int) -> str:
    """Count and report progress."""
    for number in range(to):
        await ctx.report_progress(number, to)
    return "done"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run()
    else:
        server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
