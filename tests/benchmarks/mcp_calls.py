"""Time of calls to an MCP server, next to the same POST written by hand with requests, and over standard input.

    python tests/benchmarks/mcp_calls.py

The ways take turns, and the ratio is the median over rounds of ours / by hand in the same round.
Exit codes: 0 within the bound, 1 beyond it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

import aichatkit as ai

SUPPORT = Path(__file__).resolve().parent.parent / "support"
#: What a call may take, as a multiple of the POST written by hand.
BOUND = 1.2
CALLS, ROUNDS = 100, 15
_SERVER = f"""
import sys, threading
sys.path.insert(0, {str(SUPPORT)!r})
import mcp_server
mcp_server.Handler.wbufsize = -1
mcp_server.Handler.disable_nagle_algorithm = True
print(mcp_server.HTTPServer().url, flush=True)
threading.Event().wait()
"""


def main() -> int:
    """Print the figures, and return the exit code."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            return measure(process.stdout.readline().strip())
        finally:
            process.kill()


def measure(url: str) -> int:
    """Compare calls to the server at a URL."""
    command = [sys.executable, str(SUPPORT / "mcp_server.py")]
    with ai.mcp(url) as server, ai.mcp(command=command) as local, requests.Session() as session:

        def by_hand(number: int) -> str:
            version = "2026-07-28"
            meta = {
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "hand", "version": "1"},
            }
            params = {"name": "add", "arguments": {"a": number, "b": 1}, "_meta": meta}
            headers = {
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": version,
                "Mcp-Method": "tools/call",
                "Mcp-Name": "add",
            }
            message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            response = session.post(url, json=message, headers=headers, timeout=(10, 60))
            return str(response.json()["result"]["content"][0]["text"])

        ways: dict[str, Callable[[int], str]] = {
            "requests by hand": by_hand,
            "mcp(url)": lambda number: server.call("add", a=number, b=1).text,
            "mcp(command=...)": lambda number: local.call("add", a=number, b=1).text,
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, call in ways.items():
                started = time.perf_counter()
                assert [call(number) for number in range(CALLS)] == [str(number + 1) for number in range(CALLS)]
                times[name].append(time.perf_counter() - started)
    for name, taken in times.items():
        sys.stdout.write(f"{name:<18} {statistics.median(taken) * 1e3 / CALLS:6.2f} ms a call\n")
    ratio = statistics.median(ours / plain for ours, plain in zip(times["mcp(url)"], times["requests by hand"]))
    sys.stdout.write(f"mcp(url) / by hand: {ratio:.2f}, allowed {BOUND}\n")
    return 0 if ratio <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
