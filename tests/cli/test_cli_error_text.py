"""What errors say on the command line."""

from __future__ import annotations

import io

import pytest

from aichatkit.cli import main
from aichatkit.cli.error_text import in_words
from aichatkit.errors import AllProvidersFailedError, ChatError, ConnectError, MCPError, ServerError
from aichatkit.tools.mcp import http


def test_every_service_that_was_not_reached_is_named_once():
    failures = [
        ConnectError("openai: no", provider="openai"),
        ServerError("groq: down", provider="groq"),
        ConnectError("ollama: no", provider="ollama"),
        ConnectError("openai: no", provider="openai"),
    ]
    error = AllProvidersFailedError("all failed")
    error.errors = failures
    assert in_words(error).endswith("find the cause with: aichatkit doctor openai ollama")


def test_what_an_mcp_server_printed_is_shown():
    error = MCPError("MCP server 'x': ended: see the log")
    error.stderr = "no such package\nsee the log\n"
    assert in_words(error) == "MCP server 'x': ended: see the log; it printed:\n    no such package\n    see the log"
    error.stderr = "".join(f"line {number}\n" for number in range(50))
    assert in_words(error).splitlines()[1:] == [f"    line {number}" for number in range(38, 50)]
    # Then it is in the message already.
    for text in ("", "see the log\n"):
        error.stderr = text
        assert in_words(error) == "MCP server 'x': ended: see the log"


def test_a_token_for_an_mcp_server_comes_from_the_environment():
    advice = "wants a token (401): pass token= with one that its provider issued, or headers=; there"
    assert in_words(ChatError(advice)) == (
        "wants a token (401): put one that its provider issued into an environment variable, and name that with "
        "--mcp-token-env; there"
    )
    with open(http.__file__, encoding="utf-8") as file:
        assert advice.partition(": ")[2].partition(";")[0] in file.read()


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("x: down; with emulate=True, models answer", "x: down; with --emulate always, models answer"),
        ("without emulate=False, models answer", "without --emulate never, models answer"),
        (
            "the same call sends it again once no job is running, and without batch= sends it live",
            "the same command sends it again once no job is running, and without --batch sends it live",
        ),
        ("1 job goes on; the same call collects the answers", "1 job goes on; the same command collects the answers"),
        (
            "no key; set X in the environment or pass api_key=; with AWS credentials, pass auth=aichatkit.aws_auth()",
            "no key; set X in the environment, or store it with: aichatkit keys set SERVICE; "
            "AWS credentials need Python, with auth=aichatkit.aws_auth()",
        ),
        ("no answer in time; raise timeout read=, the service", "no answer in time; raise --timeout, the service"),
        ("no answer within 60 s; raise timeout=", "no answer within 60 s; raise --timeout"),
        ("base_url: must not hold a user; pass session= with its auth set", "base_url: must not hold a user"),
        ("is 'systemone/MODEL' with base_url=; x", "is 'systemone/MODEL' with --base-url; x"),
        ("Set X, or pass base_url=, with the address", "Set X, or pass --base-url, with the address"),
        ("as in {'refund': (bool, 'Does it ...?')}", "as in 'refund: Does it ...?'"),
        ("check verify=, cert=, REQUESTS_CA_BUNDLE and SSL_CERT_FILE", "check REQUESTS_CA_BUNDLE and SSL_CERT_FILE"),
        ("no project; set X, or pass auth=google_auth(project=...)", "no project; set X"),
    ],
)
def test_options_of_programs_become_those_of_the_command_line(message, shown):
    assert in_words(ChatError(message)) == shown


def test_a_question_is_followed_by_a_sentence():
    error = ConnectError("openai at x: cannot connect; is the service running?", provider="openai")
    assert "running? If this machine is offline or behind a proxy, find" in in_words(error)
    error = ConnectError("openai at x: the proxy did not connect; check proxies= and the environment")
    assert "; check HTTPS_PROXY and the other variables for proxies; if this machine is offline" in in_words(error)


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("vertex/gemini-x", "set GOOGLE_VERTEX_API_KEY, or use Python, with auth=aichatkit.google_auth()\n"),
        ("systemone/x", "closed questions only: aichatkit decide -m systemone/x -q QUESTION TEXT\n"),
    ],
)
def test_models_that_the_command_line_cannot_call_name_a_way(monkeypatch, capsys, model, shown):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")
    monkeypatch.setenv("SYSTEMONE_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["-m", model, "--no-save", "Hi"]) == 2
    assert capsys.readouterr().err.endswith(shown)
