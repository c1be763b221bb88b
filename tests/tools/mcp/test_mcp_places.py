"""Where MCP servers are used: under gevent, in a running event loop, and in worker processes."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import mcp_server
import pytest

import aichatkit as ai

COMMAND = [sys.executable, mcp_server.__file__]

GEVENT = """
from gevent import monkey
monkey.patch_all()
import json, sys, time
import gevent
import aichatkit as ai

ticks = []

def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)

gevent.spawn(tick)
url, *command = sys.argv[1:]
for server in (ai.mcp(url), ai.mcp(command=command)):
    with server:
        before = len(ticks)
        jobs = [gevent.spawn(server.call, "slow") for _ in range(4)]
        gevent.joinall(jobs, timeout=20)
        print(json.dumps([[job.value.text for job in jobs], len(ticks) - before]))
"""


@pytest.fixture
def server():
    running = mcp_server.HTTPServer("legacy", "sse")
    yield running
    running.close()


@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
def test_under_gevent_nothing_blocks_the_hub(tmp_path):
    script = tmp_path / "greenlets.py"
    script.write_text(GEVENT)
    slow = tmp_path / "slow.py"
    slow.write_text(
        f"import sys, threading, time; sys.path.insert(0, {str(Path(mcp_server.__file__).parent)!r})\n"
        "import mcp_server\n"
        "mcp_server.TOOLS.append({'name': 'slow'})\n"
        "mcp_server.call = lambda name, arguments: time.sleep(0.1) or mcp_server.text_result('done')\n"
        "if sys.argv[1:]:\n"
        "    server = mcp_server.HTTPServer()\n"
        "    print(server.url, flush=True)\n"
        "    time.sleep(60)\n"
        "mcp_server.serve_stdio('modern', [])\n"
    )
    with subprocess.Popen([sys.executable, str(slow), "http"], stdout=subprocess.PIPE, text=True) as http:
        try:
            url = http.stdout.readline().strip()
            words = [sys.executable, str(script), url, sys.executable, str(slow)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        finally:
            http.kill()
    assert done.stderr == ""
    for line in done.stdout.splitlines():
        texts, ticks = json.loads(line)
        assert texts == ["done"] * 4
        assert ticks > 2
    assert len(done.stdout.splitlines()) == 2


def test_in_a_running_event_loop_everything_works_the_same(server):
    async def cell():
        with ai.mcp(server.url) as remote, ai.mcp(command=COMMAND) as local:
            return remote.call("add", a=1, b=2).text, local.call("add", a=3, b=4).text

    assert asyncio.run(cell()) == ("3", "7")


def add_in_worker(mcp):
    return mcp.call("add", a=1, b=2).text


@pytest.mark.parametrize(
    "method", [name for name in ("fork", "spawn") if name in multiprocessing.get_all_start_methods()]
)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("kind", ["http", "stdio"])
def test_workers_have_servers_of_their_own(server, method, kind):
    with ai.mcp(server.url) if kind == "http" else ai.mcp(command=COMMAND) as mcp:
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.map(add_in_worker, [mcp, mcp]) == ["3", "3"]
        assert mcp.call("add", a=3, b=4).text == "7"
