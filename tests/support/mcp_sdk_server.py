"""A server on the official Python SDK, which is installed in an environment of its own: `stdio`, or HTTP at a port."""

from __future__ import annotations

import sys
import time
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.elicitation import ElicitationResult
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

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


class Booking(BaseModel):
    """What the user is asked for."""

    name: str
    nights: int = 2


def ask_booking(room: str):
    return Elicit(f"Who takes {room}?", Booking)


@server.tool()
async def book(room: str, booking: Annotated[ElicitationResult[Booking], Resolve(ask_booking)]) -> str:
    """Book a room, in the name that the user gives."""
    data = getattr(booking, "data", None)
    return f"{room}: {booking.action}, {data.name if data else None}, {data.nights if data else 0} nights"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run()
    else:
        server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
