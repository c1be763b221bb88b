"""MCP over the pipes of a process: noise, errors, hanging, crashes, forks, and processes that must not stay behind."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import mcp_server
import pytest

import aichatkit as ai
from aichatkit.tools.mcp import mailbox, messages, peer, processes, stdio
from aichatkit.tools.mcp.server import _close_peer as close_peer

SERVER = [sys.executable, mcp_server.__file__]


@pytest.fixture
def hurry(monkeypatch):
    """Wait only briefly for processes that do not end by themselves."""
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)


@pytest.fixture
def run(monkeypatch):
    """Start servers in processes of their own, ended at the end."""
    # However busy the machine is.
    monkeypatch.setattr(processes, "STOP_SECONDS", 20.0)
    opened = []

    def start(*arguments, **options):
        opened.append(ai.mcp(command=[*SERVER, *arguments], **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def process_of(server):
    return server._peer._wire.process


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def eventually(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("faults", [(), ("noise",), ("stderr",)])
@pytest.mark.parametrize("era", ["modern", "legacy", "both"])
def test_a_server_of_each_era_lists_and_runs_its_tools(run, era, faults):
    server = run("--era", era, *faults)
    assert [tool.name for tool in server.tools()] == ["add", "files.read", "fail"]
    assert server.call("add", a=1, b=2).text == "3"
    assert process_of(server).poll() is None


def test_nothing_is_started_before_the_first_use():
    assert ai.mcp(command=["no-such-program"]).name == "no-such-program"


def test_with_starts_and_ends_the_process(run):
    with run() as server:
        process = process_of(server)
        assert process.poll() is None
    assert process.returncode == 0
    assert process.stdout.closed
    assert process.stderr.closed


def test_a_closed_server_starts_again_when_it_is_used(run):
    server = run()
    server.tools()
    first = process_of(server).pid
    server.close()
    assert server.call("add", a=1, b=2).text == "3"
    assert process_of(server).pid != first


def test_a_server_that_does_not_answer_the_question_gets_a_handshake(run, monkeypatch):
    monkeypatch.setattr(peer, "_PROBE_SECONDS", 0.1)
    assert run("--era", "both", "silent").call("add", a=1, b=2).text == "3"


def test_a_server_that_ends_at_the_question_is_started_again_for_a_handshake(run):
    server = run("--era", "legacy", "strict")
    assert server.call("add", a=1, b=2).text == "3"
    first = process_of(server)
    first.kill()
    assert eventually(lambda: server._peer._wire.is_closed)
    assert server.call("add", a=1, b=2).text == "3"
    assert process_of(server).pid != first.pid


def test_a_server_that_cannot_start_says_why(run):
    server = run("dead", "noise")
    with pytest.raises(ai.MCPError) as caught:
        server.tools()
    error = caught.value
    assert str(error).endswith("(exit code 3); it printed 'Listening on stdio': no such database")
    assert (error.stderr, error.code, error.server) == ("no such database\n", "closed", "mcp_server.py")


def test_a_process_that_has_ended_already_says_why_too():
    command = [sys.executable, "-c", "import sys; print('Hello'); sys.exit('no licence')"]
    wire = stdio.StdioWire(command, dict(os.environ), None, "x", lambda message: None)
    assert eventually(lambda: wire.is_closed)
    with pytest.raises(ai.MCPError, match=r"\(exit code 1\); it printed 'Hello': no licence") as caught:
        wire.request({"id": 1, "method": "tools/call"}, messages.Limits(1, 1, 1), {})
    assert not caught.value.maybe_processed
    wire.close()


def test_a_program_that_does_not_exist_is_named():
    with pytest.raises(ai.MCPError, match="'no-such-program' is not found; install it"):
        ai.mcp(command=["no-such-program"]).tools()


def test_a_program_that_cannot_be_run_is_an_error(tmp_path):
    program = tmp_path / "broken"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    with pytest.raises(ai.MCPError, match="cannot be started") as caught:
        ai.mcp(command=[program]).tools()
    assert "FileNotFoundError" in caught.value.reason


def test_calls_in_flight_are_lost_with_the_process_and_the_next_starts_another(run):
    server = run("crash")
    first = server.tools() and process_of(server).pid
    with pytest.raises(ai.MCPError, match="exit code 7") as caught:
        server.call("fail")
    assert (caught.value.maybe_processed, caught.value.code) == (True, "closed")
    assert server.call("add", a=1, b=2).text == "3"
    assert process_of(server).pid != first


def test_a_call_for_which_the_server_does_not_start_again_has_not_run(tmp_path):
    script = tmp_path / "server.py"
    script.write_text(Path(mcp_server.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    with ai.mcp(command=[sys.executable, script]) as server:
        process = process_of(server)
        script.unlink()
        process.kill()
        assert eventually(lambda: server._peer._wire.is_closed)
        with pytest.raises(ai.MCPError, match="exit code 2") as caught:
            server.call("add", a=1, b=2)
    assert not caught.value.maybe_processed


def test_a_process_that_closes_its_output_and_lives_on_is_gone_too(hurry):
    code = "import os, sys, time; sys.stdin.readline(); os.close(1); os.close(2); time.sleep(60)"
    server = ai.mcp(command=[sys.executable, "-c", code])
    with pytest.raises(ai.MCPError, match=r"closed its output$"):
        server.tools()


def test_a_call_that_takes_too_long_does_not_disturb_the_next(run):
    server = run("hang", timeout=0.3)
    server.tools()
    with pytest.raises(ai.MCPError, match=r"no answer within 0.3 s; raise timeout=") as caught:
        server.call("fail")
    assert (caught.value.code, caught.value.maybe_processed) == ("timeout", True)
    server._settings = ai.mcp(command=SERVER)._settings
    assert server.call("add", a=1, b=2).text == "3"


def test_a_call_that_is_interrupted_is_cancelled(run, monkeypatch):
    server = run()
    server.tools()
    wire = server._peer._wire

    def interrupt(*args):
        raise KeyboardInterrupt

    sent = []
    monkeypatch.setattr(wire._mailbox, "wait", interrupt)
    monkeypatch.setattr(wire._unsent, "put", sent.append)
    with pytest.raises(KeyboardInterrupt):
        server.call("add", a=1, b=2)
    monkeypatch.undo()
    assert b"notifications/cancelled" in sent[1]


def test_an_initialization_that_takes_too_long_is_not_cancelled(run, monkeypatch):
    monkeypatch.setattr(peer, "_PROBE_SECONDS", 0.05)
    code = "import sys\nfor line in sys.stdin: sys.stderr.write(line); sys.stderr.flush()"
    server = ai.mcp(command=[sys.executable, "-c", code])
    server._peer._limits = messages.Limits(1, 0.2, 0.2)
    with pytest.raises(ai.MCPError, match="no answer within") as caught:
        server.tools()
    assert caught.value.stderr.count("notifications/cancelled") == 1
    assert '"initialize"' in caught.value.stderr
    assert "no answer within 0.2 s; raise timeout=; the last that it printed: {" in str(caught.value)


def test_a_program_that_prints_something_else_than_messages_is_quoted(monkeypatch):
    lines, printed = [], threading.Event()

    def messages_in(line):
        lines.append(line)
        if len(lines) == 2:
            printed.set()
        return []

    def wait(box, request_id, limits):
        assert printed.wait(30)
        raise box._error("timeout", "no answer within 1 s; raise timeout=")

    monkeypatch.setattr(stdio, "messages_in", messages_in)
    monkeypatch.setattr(mailbox.Mailbox, "wait", wait)
    code = "import sys\nprint('Hello'); print('World', flush=True)\nfor line in sys.stdin: ..."
    server = ai.mcp(command=[sys.executable, "-c", code], mode="legacy")
    words = r"raise timeout=; it printed 'Hello', which is not a message of the protocol$"
    with pytest.raises(ai.MCPError, match=words):
        server.tools()


def test_a_server_that_is_silent_altogether_is_only_a_timeout(monkeypatch):
    monkeypatch.setattr(peer, "_PROBE_SECONDS", 0.05)
    server = ai.mcp(command=[sys.executable, "-c", "import sys\nfor line in sys.stdin: ..."])
    server._peer._limits = messages.Limits(1, 0.2, 0.2)
    with pytest.raises(ai.MCPError, match=r"no answer within 0.2 s; raise timeout=$"):
        server.tools()


def test_what_a_server_asks_is_answered(run):
    server = run("ask")
    server.tools()
    assert server.call("fail").is_error
    assert eventually(lambda: '{"jsonrpc": "2.0", "id": "s0", "result": {}}' in server._peer._wire.stderr)
    assert '"code": -32601' in server._peer._wire.stderr


def test_many_calls_are_in_flight_on_one_pipe(run):
    server = run()
    server.tools()
    results = {}
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: server.call("add", a=i, b=i).text})) for i in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: str(2 * i) for i in range(32)}


def test_a_large_argument_and_a_large_result_pass(run):
    code = (
        "import sys, json\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    r = {'supportedVersions': ['2026-07-28'], 'tools': [{'name': 'echo'}]}\n"
        "    x = m['params'].get('arguments', {}).get('x')\n"
        "    r['content'] = [{'type': 'text', 'text': x}]\n"
        "    print(json.dumps({'id': m['id'], 'result': r}), flush=True)\n"
    )
    with ai.mcp(command=[sys.executable, "-c", code], limit=None) as server:
        assert server.call("echo", x="y" * 3_000_000).text == "y" * 3_000_000


def test_a_message_that_is_too_long_ends_the_connection(run, monkeypatch):
    monkeypatch.setattr(stdio, "MAX_MESSAGE", 100)
    with pytest.raises(ai.MCPError, match="a message of more than"):
        run().tools()


def test_a_server_that_does_not_read_blocks_nobody(hurry):
    code = "import time; time.sleep(60)"
    server = ai.mcp(command=[sys.executable, "-c", code])
    server._peer._limits = messages.Limits(1, 0.2, 0.2)
    server._peer._mode = "legacy"
    wire = server._peer._open_wire(lambda message: None)
    with pytest.raises(ai.MCPError, match="no answer"):
        wire.request({"id": 1, "method": "x", "params": "y" * 1_000_000}, messages.Limits(1, 0.1, 0.1), {})
    wire.close()
    assert wire.is_closed
    with pytest.raises(ai.MCPError, match="it was closed"):
        wire.request({"id": 2, "method": "x"}, messages.Limits(1, 0.1, 0.1), {})


# The environment.


def test_keys_of_chat_services_do_not_reach_a_server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    env = processes.environment({"MINE": "1"})
    assert "OPENAI_API_KEY" not in env
    assert (env["MINE"], env["HTTPS_PROXY"], env["PATH"]) == ("1", "http://proxy.example:3128", os.environ["PATH"])
    assert processes.environment("inherit")["OPENAI_API_KEY"] == "sk-secret"


def test_env_and_cwd_reach_the_process(tmp_path):
    code = (
        "import sys, json, os\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    text = os.environ['MINE'] + ' ' + os.getcwd() + ' ' + os.environ.get('OPENAI_API_KEY', 'no key')\n"
        "    r = {'supportedVersions': ['2026-07-28'], 'tools': [{'name': 'show'}]}\n"
        "    r['content'] = [{'type': 'text', 'text': text}]\n"
        "    print(json.dumps({'id': m['id'], 'result': r}), flush=True)\n"
    )
    with ai.mcp(command=[sys.executable, "-c", code], env={"MINE": "1"}, cwd=tmp_path) as server:
        assert server.call("show").text == f"1 {tmp_path} no key"


# Nothing stays behind.

GRANDCHILD = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal, time; {signal} time.sleep(60)'])\n"
    "print(child.pid, file=sys.stderr, flush=True)\n"
    f"sys.argv = ['x']; sys.path.insert(0, {os.path.dirname(mcp_server.__file__)!r})\n"
    "import mcp_server; mcp_server.serve_stdio('modern', [])\n"
)


@pytest.mark.parametrize("handler", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN);"])
def test_children_of_the_server_end_with_it(run, handler):
    with ai.mcp(command=[sys.executable, "-c", GRANDCHILD.replace("{signal}", handler)]) as server:
        wire = server._peer._wire
        assert eventually(lambda: wire.stderr.endswith("\n"))
        child = int(wire.stderr)
        assert is_alive(child)
    assert eventually(lambda: not is_alive(child))


@pytest.mark.parametrize("ignores", [False, True])
def test_a_server_that_ignores_the_end_of_its_input_is_ended_by_signals(hurry, ignores):
    code = f"import signal\nif {ignores}: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += f"import sys; sys.path.insert(0, {os.path.dirname(mcp_server.__file__)!r})\n"
    code += "import mcp_server; mcp_server.serve_stdio('modern', ['stubborn'])\n"
    with ai.mcp(command=[sys.executable, "-c", code]) as server:
        process = process_of(server)
    assert process.returncode == -(signal.SIGKILL if ignores else signal.SIGTERM)


def test_a_dropped_server_is_ended(run):
    server = ai.mcp(command=SERVER)
    server.tools()
    process = process_of(server)
    del server
    assert process.returncode == 0


SCRIPT = """
import sys, aichatkit as ai
server = ai.mcp(command=[sys.executable, {path!r}, "stubborn"])
server.tools()
print(server._peer._wire.process.pid, flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise KeyboardInterrupt"])
def test_no_process_stays_when_the_interpreter_ends(end):
    code = SCRIPT.format(
        path=mcp_server.__file__, end=f"from aichatkit.tools.mcp import processes; processes.STOP_SECONDS = 0.2\n{end}"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert not is_alive(int(done.stdout))
    if end != "raise KeyboardInterrupt":
        assert done.stderr == ""


def test_no_process_stays_when_the_interpreter_is_killed():
    code = SCRIPT.format(path=mcp_server.__file__, end="import time; time.sleep(60)").replace(', "stubborn"', "")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    assert eventually(lambda: not is_alive(pid))


# Forks and pickles.


def in_child(function):
    """Run a function in a forked child and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if hasattr(os, "waitstatus_to_exitcode") else 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_starts_a_server_of_its_own(run):
    server = run()
    server.tools()
    process = process_of(server)

    def use():
        assert server.call("add", a=1, b=2).text == "3"
        assert process_of(server).pid != process.pid
        server.close()

    assert in_child(use) == 0
    assert in_child(server.close) == 0
    assert process.poll() is None
    assert server.call("add", a=2, b=2).text == "4"


def test_what_the_parent_started_is_left_to_it(run):
    server = run()
    server.tools()
    parents, process = server._peer, process_of(server)
    server._pid = -1
    assert server.call("add", a=1, b=2).text == "3"
    assert process_of(server).pid != process.pid
    server._pid = -1
    own = server._peer
    server.close()
    for left in (parents, own):
        close_peer(left, -1)
        assert left._wire.process.poll() is None
        close_peer(left, os.getpid())
        assert left._wire is None


def test_a_thread_that_collects_garbage_may_close_a_server(run):
    server = run()
    server.tools()
    wire = server._peer._wire
    wire._threads.append(threading.current_thread())
    wire.close()
    assert wire.process.returncode == 0


def test_pipes_of_the_parent_are_closed_in_a_child(monkeypatch):
    monkeypatch.setattr(
        processes, "_running", {(process := subprocess.Popen(["cat"], stdin=subprocess.PIPE, bufsize=0))}
    )
    monkeypatch.setattr(processes, "_inherited", [])
    processes.forget_in_child()
    assert process.stdin.closed
    assert (process.returncode, processes._running, processes._inherited) == (0, set(), [process])
    process.returncode = None
    assert process.wait(10) == 0


def test_a_process_is_ended_by_its_owner_only():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        processes.stop(process, os.getpid() + 1)
        assert process.poll() is None


def test_a_pickled_server_is_unstarted_and_shared_by_all_its_copies(run):
    server = run(prefix="my_")
    server.tools()
    data = pickle.dumps(server)
    copy, other = pickle.loads(data), pickle.loads(data)
    assert copy is other
    assert copy is not server
    assert copy._peer._wire is None
    assert copy.tools()[0].definition.name == "my_add"
    copy.close()


# Signals on other systems, and the mailbox.


def test_on_windows_the_process_itself_is_killed(monkeypatch):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        monkeypatch.setattr(sys, "platform", "win32")
        assert processes._signal(process, signal.SIGTERM) is False
        assert process.wait(10) == -signal.SIGKILL


def test_a_pipe_that_broke_is_closed_all_the_same():
    class Broken:
        def close(self):
            raise BrokenPipeError

    assert processes._close(Broken()) is None


def test_ids_that_became_text_are_those_of_the_requests():
    box = mailbox.Mailbox("x", lambda message: None)
    box.add(1)
    for odd in ("one", "\u00b2", "", None, [1], "2"):
        box.deliver({"id": odd, "result": {}})
    box.deliver({"id": "1", "result": {"a": 1}})
    assert box.wait(1, messages.Limits(1, 1, 1))["result"] == {"a": 1}


@pytest.mark.parametrize(("limits", "shown"), [((1, 5.0, 9.0), "5 s"), ((1, 9.0, 5.0), "5 s"), ((1, 0.0, 9.0), "0 s")])
def test_the_limit_that_expired_is_named(limits, shown, monkeypatch):
    box = mailbox.Mailbox("x", lambda message: None, clock=lambda: 0.0)
    box.add(1)
    monkeypatch.setattr(queue.Queue, "get", raise_empty)
    with pytest.raises(ai.MCPError, match=f"no answer within {shown}; raise timeout="):
        box.wait(1, messages.Limits(*limits))


def raise_empty(self, timeout):
    raise queue.Empty


def test_after_progress_the_total_limit_is_named():
    times = iter([0.0])
    box = mailbox.Mailbox("x", lambda message: None, clock=lambda: next(times, 9.0))
    box.add(1)
    box.deliver({"method": "notifications/progress", "params": {"progressToken": 1}})
    with pytest.raises(ai.MCPError, match="no answer within 8 s; raise timeout="):
        box.wait(1, messages.Limits(1, 5.0, 8.0))


def test_signs_of_progress_reset_the_shorter_limit_only():
    times = iter([0.0, 0.0, 0.0])
    box = mailbox.Mailbox("x", lambda message: None, clock=lambda: next(times, 5.0))
    box.add(1)
    for token in (1, 2, None):
        box.deliver({"method": "notifications/progress", "params": {"progressToken": token}})
    box.deliver({"method": "notifications/progress"})
    box.deliver({"id": "unknown", "result": {}})
    with pytest.raises(ai.MCPError, match="no answer within"):
        box.wait(1, messages.Limits(1, 0.0, 0.0))
    box.deliver({"method": "notifications/progress", "params": {"progressToken": 1}})
    box.deliver({"id": 1, "result": {}})
    assert box.wait(1, messages.Limits(1, 9, 9)) == {"id": 1, "result": {}}
    assert box._waiting[1].empty()
