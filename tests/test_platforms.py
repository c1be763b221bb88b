"""Habits of Windows and macOS that can be tried anywhere: missing modules and signals, encodings, names of files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import aichatkit
from aichatkit import ConfigurationError
from aichatkit.cli import main
from aichatkit.cli.conversations import chat_path

#: Modules that Windows does not have.
UNIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
#: Functions of `os`, and signals, that Windows does not have.
UNIX_FUNCTIONS = ("fork", "forkpty", "getegid", "geteuid", "getgid", "getuid", "killpg", "mkfifo", "register_at_fork")
UNIX_SIGNALS = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")

#: A day's work without a network: the same calls on every platform.
WORK = """
import contextlib, io, pathlib, tempfile
import aichatkit as ai
from aichatkit import Cache, Client
from aichatkit.cli import main

folder = pathlib.Path(tempfile.mkdtemp())
text = "Gr\\u00fc\\u00dfe \\N{SNOWMAN}"
with Client(model="offline", cache=Cache(folder / "cache.sqlite"), log=folder / "log.sqlite") as client:
    assert client.ask(text).text and client.ask(text).text
    assert "".join(client.stream(text))
    chat = client.chat(system=text)
    chat.ask(text)
    chat.save(folder / "chat.json")
    assert ai.Chat.load(folder / "chat.json", client=client).messages == chat.messages
    chat.export(folder / "chat.md")
    (folder / "in.csv").write_text("text\\n" + text + "\\nHello\\n", encoding="utf-8")
    for _ in range(2):
        results = client.map(folder / "in.csv", "{text}", resume=folder / "run.sqlite", progress=False)
        assert len(results) == 2 and not results.failed
    for name in ("out.csv", "out.jsonl", "out.tsv"):
        results.save(folder / name)
        assert text in (folder / name).read_text(encoding="utf-8")
for words in (
    ["-m", "offline", text],
    ["chat", "--help"],
    ["models", "offline"],
    ["map", str(folder / "in.csv"), "-p", "{text}", "-m", "offline", "--out", str(folder / "cli.csv")],
    ["providers"],
    ["chats", "list"],
    ["logs", "path"],
):
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        status = main(words)
        assert not status, (words, status, output.getvalue())
print("done")
"""


def run(code: str, tmp_path: Path, *options: str, **variables: str) -> str:
    environment = {
        **os.environ,
        "APPDATA": str(tmp_path / "roaming"),
        "LOCALAPPDATA": str(tmp_path / "local"),
        "PYTHONPATH": str(Path(aichatkit.__file__).parent.parent),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_nothing_needs_what_only_unix_has(tmp_path):
    blocked = f"""
import os, signal, sys
import sqlite3, subprocess, tempfile, threading, requests, tenacity  # these know the platform they run on
for name in {UNIX_MODULES!r}:
    sys.modules[name] = None
for name in {UNIX_FUNCTIONS!r}:
    if hasattr(os, name):
        delattr(os, name)
for name in {UNIX_SIGNALS!r}:
    if hasattr(signal, name):
        delattr(signal, name)
"""
    assert run(blocked + WORK, tmp_path).splitlines()[-1] == "done"


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 10), reason="older Pythons do not warn of it")
def test_every_file_is_opened_with_an_encoding(tmp_path):
    strict = """
import warnings
import sqlite3, requests, tenacity
warnings.filterwarnings("error", category=EncodingWarning, module="aichatkit")
"""
    assert run(strict + WORK, tmp_path, "-X", "warn_default_encoding").splitlines()[-1] == "done"


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_the_same_work_in_a_locale_without_unicode(tmp_path, locale):
    variables = {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    assert run(WORK, tmp_path, **variables).splitlines()[-1] == "done"


@pytest.mark.parametrize(
    "name", ["con", "NUL", "Aux.notes", "com1", "LPT9.2026", "a:b", "a*", "dot.", "tail ", " head"]
)
def test_names_that_windows_keeps_for_itself_are_refused_everywhere(name):
    with pytest.raises(ConfigurationError, match="name of a conversation"):
        chat_path(name)


@pytest.mark.parametrize("name", ["console", "com", "com10", "null", "a con"])
def test_names_that_only_look_like_those_are_fine(name):
    assert chat_path(name).name == f"{name}.json"


def test_the_folders_of_windows(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("aichatkit.cli.paths.sys.platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path / "roaming"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert chat_path("notes") == tmp_path / "local" / "aichatkit" / "chats" / "notes.json"
    assert not main(["-m", "offline", "--json", "Hello"])
    assert json.loads(capsys.readouterr().out)
