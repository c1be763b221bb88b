"""The process of an MCP server: start it in a group of its own, with few variables, and end the whole group."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit._reasons import reason_of
from aichatkit.errors import MCPError

__all__ = ["environment", "exit_code", "forget_in_child", "start", "stop"]

#: Variables that every process gets; keys of chat services are not among them.
_VARIABLES = (
    *("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"),
    *("APPDATA", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROCESSOR_ARCHITECTURE"),
    *("PROGRAMDATA", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE", "WINDIR"),
    # Without these, servers fail behind a company's proxy.
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "https_proxy", "http_proxy", "no_proxy"),
    *("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
)
#: How long a process may take to end after its input is closed, and after SIGTERM, in seconds.
STOP_SECONDS = 2.0
#: How long its children may take once it has ended, and how often that is looked at.
_GROUP_SECONDS, _POLL_SECONDS = 0.2, 0.01

#: Processes of the parent, kept so that a forked child never touches them.
_inherited: list[Any] = []
_running: weakref.WeakSet[Any] = weakref.WeakSet()


def environment(env: Mapping[str, str] | str | None) -> dict[str, str]:
    """Return the variables of a process: a short list and the user's own, or everything for "inherit"."""
    if isinstance(env, str):
        return dict(os.environ)
    return {**{name: os.environ[name] for name in _VARIABLES if name in os.environ}, **(env or {})}


def start(command: Sequence[str], env: Mapping[str, str], cwd: str | None, server: str) -> subprocess.Popen[bytes]:
    """Start the process of a server; raise MCPError if that is not possible."""
    # On Windows, programs such as npx are scripts that only a search finds.
    program = shutil.which(command[0], path=env.get("PATH"))
    if program is None:
        raise MCPError(
            f"MCP server {server!r}: the program {command[0]!r} is not found; install it or correct command=",
            server=server,
            code="closed",
        )
    pipe = subprocess.PIPE
    try:
        # A group of its own can be ended with all its children, and Ctrl-C does not reach it.
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        reason = reason_of(error)
    else:
        _running.add(process)
        return process
    raise MCPError(
        f"MCP server {server!r}: {command[0]!r} cannot be started", server=server, code="closed", reason=reason
    )


def stop(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a process and its children: by the end of its input, else by signals; only in the process that started it."""
    if owner != os.getpid():
        return
    _running.discard(process)
    _close(process.stdin)
    if not _wait(process):
        _signal(process, signal.SIGTERM)
        _wait(process)
    elif _signal(process, signal.SIGTERM):
        end = time.monotonic() + _GROUP_SECONDS
        while time.monotonic() < end and _signal(process, 0):
            time.sleep(_POLL_SECONDS)
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code of a process that is about to end, None if it does not."""
    try:
        return process.wait(_GROUP_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def forget_in_child() -> None:
    """In a forked child: close its copies of the pipes, so that the parent's processes see the end of their input."""
    for process in list(_running):
        _inherited.append(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if type(pipe) is io.FileIO:
                _close(pipe)
        # Python would warn that it is still running.
        process.returncode = 0
    _running.clear()


def _wait(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _signal(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to the process and its children; return whether there is one left."""
    if sys.platform == "win32":
        process.kill()
        return False
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except OSError:
        # The other side is gone.
        return


# Windows has no fork.
with contextlib.suppress(AttributeError):
    os.register_at_fork(after_in_child=forget_in_child)
