"""The commands `keys`, `doctor` and `providers --check`: keys are kept and used, and never shown."""

from __future__ import annotations

import io
import os
import pty
import stat
import subprocess
import sys

import pytest

import aichatkit
from aichatkit.cli import key_store as keys
from aichatkit.cli import main

SECRET = "sk-a-secret-nobody-sees"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A home without keys, and no keyring."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(keys, "_keyring", lambda: None)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def piped(monkeypatch):
    """Pipe text into the command."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_key_is_read_from_a_pipe_and_not_shown(piped, home, capsys):
    piped(f"{SECRET}\n")
    assert main(["keys", "set", "openai"]) == 0
    assert keys.stored("openai") == SECRET
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"aichatkit: the key of openai is in {home / 'aichatkit' / 'keys.json'}\n"


def test_a_variable_that_counts_before_the_stored_key_is_told(piped, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    piped(SECRET)
    assert main(["keys", "set", "openai"]) == 0
    assert "OPENAI_API_KEY is set as well" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "\n"])
def test_no_key_stores_nothing(piped, text, capsys):
    piped(text)
    assert main(["keys", "set", "openai"]) == 2
    assert keys.names() == []


def test_no_input_at_all_stores_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["keys", "set", "openai"]) == 2


def test_an_unknown_service_is_refused_before_a_key_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["keys", "set", "opnai"]) == 2
    assert "did you mean 'openai'" in capsys.readouterr().err


def test_at_a_terminal_it_is_asked_for_without_an_echo(monkeypatch, piped):
    piped("what is typed elsewhere")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: SECRET if "openai" in prompt else "")
    assert main(["keys", "set", "openai"]) == 0
    assert keys.stored("openai") == SECRET


def test_keys_are_listed_by_place_and_not_shown(piped, monkeypatch, capsys):
    assert main(["keys", "list"]) == 0
    assert "aichatkit keys set" in capsys.readouterr().err
    for name in ("openai", "groq"):
        keys.store(name, SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    assert main(["keys", "list"]) == 0
    rows = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert rows["openai"] == "OPENAI_API_KEY, and stored"
    assert (rows["anthropic"], rows["groq"]) == ("ANTHROPIC_API_KEY", "stored")


def test_a_key_of_a_provider_that_is_gone_is_listed_and_can_be_removed(home, capsys):
    keys.store("openai", SECRET)
    path = keys.file_path()
    path.write_text(path.read_text().replace("openai", "gone-plugin"))
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().out.split() == ["gone-plugin", "stored"]
    assert main(["keys", "remove", "gone-plugin"]) == 0


def test_a_key_is_removed_once(capsys):
    keys.store("openai", SECRET)
    assert main(["keys", "remove", "openai"]) == 0
    assert main(["keys", "remove", "openai"]) == 1
    assert "no key of openai is stored" in capsys.readouterr().err


def test_what_to_do_with_keys_must_be_said(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["keys"])
    assert caught.value.code == 2


def test_a_stored_key_answers_where_none_is_in_the_environment(monkeypatch, sandbox, capsys):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setattr(sys, "stdin", None)
    sandbox.says("Paris.")
    keys.store("openai", SECRET)
    assert main(["Capital of France?"]) == 0
    assert main(["-m", "openai/gpt-6-sol", "Capital of France?"]) == 0
    assert tuple(capsys.readouterr()) == ("Paris.\nParis.\n", "")
    assert {request.headers["Authorization"] for request in sandbox.requests} == {f"Bearer {SECRET}"}


def test_a_typed_key_is_not_echoed(home):
    controller, terminal = pty.openpty()
    folder = os.path.dirname(os.path.dirname(aichatkit.__file__))
    child = subprocess.Popen(
        [sys.executable, "-m", "aichatkit", "keys", "set", "groq"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": folder, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"},
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    while b"not shown" not in shown:
        shown += os.read(controller, 1000)
    os.write(controller, f"{SECRET}\n".encode())
    assert child.wait(30) == 0
    while b"groq is in" not in shown:
        shown += os.read(controller, 1000)
    os.close(controller)
    assert SECRET.encode() not in shown
    assert keys.stored("groq") == SECRET
    assert stat.S_IMODE(keys.file_path().stat().st_mode) == 0o600


def test_the_doctor_finds_a_service_well(monkeypatch, sandbox, capsys):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    keys.store("openai", SECRET)
    assert main(["doctor"]) == 0
    said = capsys.readouterr()
    assert "ok    openai: 127.0.0.1 reached" in said.out
    assert SECRET not in said.out + said.err


@pytest.mark.parametrize(("services", "count"), [(["openai"], "2 problems found"), (["ollama"], "1 problem found")])
def test_the_doctor_says_what_is_wrong(monkeypatch, capsys, services, count):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert main(["doctor", *services]) == 1
    said = capsys.readouterr()
    assert f"bad   {services[0]}:" in said.out
    assert said.err == f"aichatkit: {count}\n"


def test_the_doctor_knows_whom_it_is_asked_about(capsys):
    assert main(["doctor", "nobody/at-all"]) == 2
    assert "there is no provider 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("services", "told"),
    [
        (["opnai"], "there is no provider 'opnai'; did you mean 'openai'?"),
        (["openai", "antropic"], "there is no provider 'antropic'; did you mean 'anthropic'?"),
        (["google"], "there is no provider 'google'; did you mean 'gemini'?"),
        (["qqqqq", "openai"], "there is no provider 'qqqqq'"),
    ],
)
def test_the_doctor_refuses_a_wrong_name_before_it_looks_at_anything(capsys, services, told):
    assert main(["doctor", *services]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"aichatkit: {told}\n")


def test_the_doctor_tells_of_a_missing_key_as_the_command_line_does(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    main(["doctor", "openai"])
    out = capsys.readouterr().out
    assert "aichatkit keys set openai" in out
    assert "api_key=" not in out


def test_a_wrong_name_of_a_stored_key_gets_the_nearest(capsys):
    keys.store("openai", SECRET)
    assert main(["keys", "remove", "opnai"]) == 2
    assert "there is no provider 'opnai'; did you mean 'openai'?" in capsys.readouterr().err
    assert main(["keys", "remove", "groq"]) == 1
    assert keys.stored("openai") == SECRET


@pytest.fixture
def two(monkeypatch, sandbox):
    """Two services, one with its key in the environment and one with a stored key."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", sandbox.url)
    keys.store("anthropic", SECRET)
    return sandbox


def test_providers_with_a_key_are_checked(two, capsys):
    assert main(["providers", "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0].partition("/")[0] for line in lines] == ["ok    anthropic", "ok    openai"]
    assert len(two.requests) == 2


def test_those_named_are_checked_alone_and_a_failure_is_told(two, capsys):
    two.script("unauthorized")
    assert main(["providers", "--check", "openai/gpt-6-sol"]) == 1
    line = capsys.readouterr().out
    assert line.startswith("bad   openai/gpt-6-sol: AuthenticationError: openai: the key was refused")
    assert SECRET not in line
    assert len(two.requests) == 1


def test_a_check_takes_no_longer_than_it_may(two, capsys):
    two.script("slow-head,seconds=20")
    assert main(["providers", "--check", "openai", "--timeout", "0.2"]) == 1
    assert "DeadlineExceededError" in capsys.readouterr().out


def test_with_nobody_to_check_nobody_is_asked(capsys):
    assert main(["providers", "--check"]) == 2
    assert "name a provider to check" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["openai"], ["--timeout", "3"]])
def test_options_of_a_check_without_one_are_refused(words, capsys):
    assert main(["providers", *words]) == 2
    assert "need --check" in capsys.readouterr().err
