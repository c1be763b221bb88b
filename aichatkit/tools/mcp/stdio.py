"""MCP over the pipes of a child process: one JSON object per line; threads read, write and drain what it prints."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Callable

from aichatkit.errors import BadResponseError, MCPError
from aichatkit.events.lines import iter_lines
from aichatkit.tools.mcp import processes
from aichatkit.tools.mcp.mailbox import Mailbox
from aichatkit.tools.mcp.messages import MAX_MESSAGE, Limits, encode, messages_in
from aichatkit.tools.mcp.wire import OnMessage, Wire, cancelled

__all__ = ["StdioWire"]

_BLOCK = 65536
#: How much of the text that a server prints is kept, in bytes.
_STDERR_BYTES = 8192
#: How long to wait for that text once the process has ended, in seconds.
_STDERR_SECONDS = 0.5


class StdioWire(Wire):
    """The process of a server, started at once; it ends with `close`."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: str | None, server: str, on_message: OnMessage
    ) -> None:
        self.process = processes.start(command, env, cwd, server)
        self.owner = os.getpid()
        self._server = server
        self._on_message = on_message
        self._mailbox = Mailbox(server, self._receive)
        self._unsent: queue.Queue[bytes | None] = queue.Queue()
        self._stderr = bytearray()
        #: The first line on the standard output that is not a message.
        self._noise = ""
        self._threads = [_start(self._drain_stderr), _start(self._read), _start(self._write)]

    @property
    def is_closed(self) -> bool:
        return bool(self._mailbox.closed) or self.owner != os.getpid()

    @property
    def stderr(self) -> str:
        return bytes(self._stderr).decode("utf-8", "replace")

    def request(self, message: Mapping[str, Any], limits: Limits, headers: Mapping[str, str]) -> Mapping[str, Any]:
        request_id, line = message["id"], _encode(message)
        is_sent = False
        try:
            self._mailbox.add(request_id)
            is_sent = True
            self._unsent.put(line)
            return self._mailbox.wait(request_id, limits)
        except MCPError as error:
            failure = error
        except BaseException:
            self._unsent.put(_encode(cancelled(message)))
            raise
        finally:
            self._mailbox.remove(request_id)
        failure.maybe_processed = is_sent
        if failure.code == "timeout" and message["method"] != "initialize":
            self._unsent.put(_encode(cancelled(message)))
        if failure.code == "timeout" and self._noise:
            failure.message += f"; it printed {self._noise!r}, which is not a message of the protocol"
            failure.args = (failure.message,)
        if failure.code == "closed":
            self._threads[0].join(_STDERR_SECONDS)
            self._explain(failure)
        raise failure

    def notify(self, message: Mapping[str, Any], limits: Limits) -> None:
        self._unsent.put(_encode(message))

    def close(self) -> None:
        self._mailbox.close("it was closed")
        self._unsent.put(None)
        processes.stop(self.process, self.owner)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_STDERR_SECONDS)

    def _explain(self, error: MCPError) -> None:
        """Add what is known about the end of the process to an error."""
        error.stderr = self.stderr
        code = processes.exit_code(self.process)
        ended = "" if code is None else f" (exit code {code})"
        noise = f"; it printed {self._noise!r}" if self._noise else ""
        shown = self.stderr.strip().splitlines()[-1:]
        error.message = f"{error.message}{ended}{noise}{': ' if shown else ''}{''.join(shown)[:500]}"
        error.args = (error.message,)

    def _read(self) -> None:
        try:
            for line in iter_lines(_blocks(self.process.stdout), max_line=MAX_MESSAGE):
                messages = messages_in(line)
                if not messages and not self._noise:
                    self._noise = line.strip()[:200]
                for message in messages:
                    self._mailbox.deliver(message)
        except BadResponseError:
            self._mailbox.close(f"it sent a message of more than {MAX_MESSAGE >> 20} MiB")
        self._mailbox.close("the process ended or closed its output")
        self._unsent.put(None)

    def _receive(self, message: Mapping[str, Any]) -> None:
        if message.get("id") is None:
            self._on_message(message)
        else:
            # Not in this thread, which has the answers to read: a person may be asked.
            _start(partial(self._reply, message))

    def _reply(self, message: Mapping[str, Any]) -> None:
        reply = self._on_message(message)
        if reply is not None:
            self._unsent.put(_encode(reply))

    def _write(self) -> None:
        # In a thread of its own, a server that does not read its input blocks nobody.
        for line in iter(self._unsent.get, None):
            try:
                for start in range(0, len(line), _BLOCK):
                    _write_all(self.process.stdin, line[start : start + _BLOCK])
            except (OSError, ValueError):
                # The process has ended, or is being closed; its output says so too.
                return

    def _drain_stderr(self) -> None:
        for block in _blocks(self.process.stderr):
            self._stderr += block
            del self._stderr[:-_STDERR_BYTES]


def _start(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, name="aichatkit-mcp", daemon=True)
    thread.start()
    return thread


def _encode(message: Mapping[str, Any]) -> bytes:
    return encode(message) + b"\n"


def _write_all(pipe: Any, data: bytes) -> None:
    while data:
        data = data[pipe.write(data) :]


def _blocks(pipe: Any) -> Iterator[bytes]:
    """Yield what a process prints, and close the pipe at its end."""
    with pipe:
        yield from iter(lambda: pipe.read(_BLOCK), b"")
