"""`aichatkit mcp` and --mcp: tools of MCP servers listed, called, and offered to a model."""

from __future__ import annotations

import io
import json
import shlex
import sys
import warnings

import mcp_server
import pytest

import aichatkit as ai
from aichatkit.cli import main

COMMAND = shlex.join([sys.executable, mcp_server.__file__])
QUESTION = 'call add {"a": 1, "b": 2}'


class Terminal(io.StringIO):
    """Standard input of a person at a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def server():
    running = mcp_server.HTTPServer()
    yield running
    running.close()


def test_tools_are_listed(server, capsys):
    assert main(["mcp", server.url]) == 0
    assert capsys.readouterr().out == (
        "add(a, b, [note])\n    Add two numbers.\nfiles.read()\n    Read a file\nfail()\n    Fail.\n"
    )


def test_tools_are_listed_as_json(server, capsys):
    assert main(["mcp", server.url, "--json"]) == 0
    tools = json.loads(capsys.readouterr().out)
    assert [tool["name"] for tool in tools] == ["add", "files.read", "fail"]
    assert tools[0]["schema"] == mcp_server.TOOLS[0]["inputSchema"]
    assert tools[0]["hints"] == {"readOnlyHint": True}


def test_the_hashes_for_a_pin_are_printed(server, capsys):
    assert main(["mcp", server.url, "--pin"]) == 0
    pin = json.loads(capsys.readouterr().out)
    assert pin == ai.mcp(server.url).fingerprints()
    assert list(pin) == ["add", "files.read", "fail"]


def test_a_file_with_a_pin_and_an_optional_server(server, capsys, tmp_path):
    servers = {"maths": {"url": server.url, "pin": ai.mcp(server.url).fingerprints()}}
    servers["ghost"] = {"command": "no-such-program", "optional": True}
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    words = ["-m", "offline", "--mcp", str(file), "--yes", QUESTION]
    with pytest.warns(ai.SkippedServerWarning, match="MCP server 'ghost': the program 'no-such-program' is not found"):
        assert main(words) == 0
    assert capsys.readouterr().out == "The tool says: 3\n"
    servers["maths"]["pin"]["add"] = "0" * 64
    file.write_text(json.dumps({"mcpServers": servers}))
    assert main(words) == 1
    assert "MCP server 'maths': its tools are not the pinned ones: 'add' has changed" in capsys.readouterr().err


def test_a_server_without_tools_says_so(server, capsys):
    server.on("tools/list", lambda handler, message: handler.send_json(mcp_server.answer(message, {})))
    assert main(["mcp", server.url]) == 0
    assert "127.0.0.1: no tools" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["a=1", "b=2"], ['{"a": 1, "b": 2}']])
def test_a_tool_is_called(capsys, arguments):
    assert main(["mcp", COMMAND, "add", *arguments]) == 0
    assert capsys.readouterr().out == "3\n"


def test_options_may_come_before_the_tool_and_its_arguments(capsys):
    assert main(["mcp", COMMAND, "--json", "add", "a=1", "--timeout", "30", "b=2"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "3"


@pytest.mark.parametrize(
    ("servers", "code", "shown"),
    [
        (["maths"], 0, "add(a, b, [note])"),
        (["maths", "other"], 2, "mcp.json: must hold one server to list or call its tools; it has maths, other"),
        ([], 2, "it has none"),
    ],
)
def test_the_only_server_of_a_file_is_used(monkeypatch, tmp_path, capsys, servers, code, shown):
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(COMMAND)
    entry = {"command": program, "args": arguments}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": dict.fromkeys(servers, entry)}), encoding="utf-8")
    assert main(["mcp", "mcp.json"]) == code
    assert shown in "".join(capsys.readouterr())
    # A command may end in a file of its own.
    assert main(["mcp", f"{COMMAND} mcp.json"]) == 0


def test_a_result_is_shown_as_json(capsys):
    assert main(["mcp", "--json", COMMAND, "add", "a=1", "b=2"]) == 0
    assert json.loads(capsys.readouterr().out) == {"text": "3", "data": {"sum": 0}, "is_error": False}


def test_a_failed_tool_is_the_exit_code(capsys):
    assert main(["mcp", COMMAND, "fail"]) == 1
    assert capsys.readouterr().out == "it broke\n"


def test_a_text_that_ends_its_line_gets_no_other(server, capsys):
    result = mcp_server.text_result("done\n")
    server.on("tools/call", lambda handler, message: handler.send_json(mcp_server.answer(message, result)))
    assert main(["mcp", server.url, "fail"]) == 0
    assert capsys.readouterr().out == "done\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([COMMAND, "sub"], 2, "has no tool 'sub'"),
        ([COMMAND, "add", "a"], 2, "must be name=value, not 'a'"),
        ([COMMAND, "add", "=1"], 2, "must be name=value"),
        ([COMMAND, "add", "{"], 2, "not a valid JSON object"),
        ([COMMAND, "--mcp-token-env", "TOKEN"], 2, "TOKEN is not set"),
        (["no-such-program"], 1, "'no-such-program' is not found; install it or correct the command\n"),
        ([""], 2, "mcp: the server must be a URL, a command in quotes, such as 'npx -y server', or a .json file\n"),
        (["http://nowhere.example/mcp"], 2, "unencrypted to nowhere.example; use https\n"),
        ([COMMAND, "add", "--pin"], 2, "leave out the name of the tool"),
        (["http://127.0.0.1:9/mcp"], 1, "ConnectionRefused|no connection|could not connect|cannot"),
    ],
)
def test_mistakes_are_explained(capsys, words, code, message):
    assert main(["mcp", *words]) == code
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|"))


def test_a_token_comes_from_the_environment(server, monkeypatch, capsys):
    monkeypatch.setenv("MY_SECRET", "secret-token")
    assert main(["mcp", "--mcp-token-env", "MY_SECRET", server.url, "fail"]) == 1
    assert server.headers_of("tools/call")[0]["Authorization"] == "Bearer secret-token"
    assert main(["mcp", COMMAND, "--mcp-token-env", "MY_SECRET"]) == 2
    assert "is for the URL of a server" in capsys.readouterr().err


# Offered to a model.


@pytest.mark.parametrize(("answer", "shown"), [("y\n", "The tool says: 3"), ("n\n", "not allow")])
def test_a_call_runs_only_if_it_is_approved(monkeypatch, capsys, answer, shown):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert main(["-m", "offline", "--no-save", "--mcp", COMMAND, QUESTION]) == 0
    captured = capsys.readouterr()
    assert shown in captured.out
    assert "mcp_server.py: add(a=1, b=2)" in captured.err


def test_servers_and_functions_are_offered_together(server, monkeypatch, capsys, tmp_path):
    path = tmp_path / "tools.py"
    path.write_text('def stock(article: str) -> int:\n    """Count."""\n    return 4\n', encoding="utf-8")
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"maths": {"url": server.url}}}))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.delitem(sys.modules, "aichatkit_tools", raising=False)
    words = ["-m", "offline", "--no-save", "--tools", str(path), "--mcp", str(config), "--yes"]
    assert main([*words, f'{QUESTION} and call stock {{"article": "A-17"}}']) == 0
    assert capsys.readouterr().out == "The tool says: 3; 4\n"


def test_a_chat_takes_servers(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\n{QUESTION}\n"))
    assert main(["chat", "-m", "offline", "--no-save", "--mcp", COMMAND, "--yes"]) == 0
    assert capsys.readouterr().out.count("The tool says: 3") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--yes", "Hi"], "--yes: is for --tools and --mcp"),
        (["--mcp-token-env", "X", "Hi"], "--mcp-token-env: is for --mcp"),
        (["--mcp", COMMAND, "Hi"], "--mcp: calls are approved at a terminal"),
        (["--mcp", COMMAND, "--mcp", COMMAND, "--mcp-token-env", "MY_SECRET", "--yes", "Hi"], "is for one --mcp"),
    ],
)
def test_options_that_do_not_fit_are_explained(monkeypatch, capsys, words, message):
    monkeypatch.setenv("MY_SECRET", "secret-token")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["-m", "offline", "--no-save", *words]) == 2
    assert message in capsys.readouterr().err


def test_warnings_are_messages(server, monkeypatch, capsys):
    server.on("tools/list", lambda handler, message: handler.send_json(mcp_server.answer(message, {"tools": [{}]})))
    monkeypatch.setattr(sys, "argv", ["aichatkit", "mcp", server.url])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main() == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "aichatkit: MCP server '127.0.0.1': a tool is left out: it has no name"
