"""Standard input -> piped document, without waiting forever for a pipe that never sends anything."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading

from aichatkit._reasons import reason_of
from aichatkit.attachments import load_file
from aichatkit.errors import ConfigurationError
from aichatkit.messages import File

__all__ = ["STDIN_TIMEOUT", "read_stdin", "read_stdin_bytes"]

#: Seconds within which a pipe must send its first byte or close, if the prompt is complete without it.
#: Under cron, ssh and CI an inherited pipe may stay open and empty forever.
STDIN_TIMEOUT = 3.0

#: Control characters that do not occur in text.
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def read_stdin(*, timeout: float | None, explicit: bool = False) -> str | File:
    """Return piped input as text, or as a File if it is an image, a PDF or audio.

    Raises:
        ConfigurationError: the pipe sends nothing within `timeout` seconds, or data of an unknown type.
    """
    content = read_stdin_bytes(timeout=timeout, explicit=explicit)
    if not content:
        return ""
    try:
        file = load_file(content)
    except ConfigurationError as error:
        reason = error.reason
    else:
        return file.data.decode() if file.kind == "text" else file
    text = _decode_locale(content)
    if text is not None:
        return text
    raise ConfigurationError(
        "the piped input is neither UTF-8 text nor an image, PDF or audio; for text in another encoding, set "
        "PYTHONIOENCODING, such as PYTHONIOENCODING=latin-1, or convert it with iconv",
        reason=reason,
    )


def _decode_locale(content: bytes) -> str | None:
    """Return the bytes decoded in the system's encoding, None if they are not text."""
    try:
        text = content.decode(getattr(sys.stdin, "encoding", None) or "utf-8")
    except UnicodeDecodeError:
        return None
    # Some encodings decode any byte.
    return None if _BINARY.search(text) else text


def read_stdin_bytes(*, timeout: float | None, explicit: bool = False) -> bytes:
    """Return all bytes of a pipe, a redirected file or a socket.

    `timeout` limits the wait for the first byte; None means no limit. A terminal is read only if `explicit`.
    """
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError) as error:
        if explicit:
            raise ConfigurationError("-: standard input is closed", reason=reason_of(error)) from None
        return b""
    if not (explicit or stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return b""
    reader = _Reader(descriptor)
    reader.start()
    if not reader.ready.wait(timeout):
        raise ConfigurationError(
            f"the pipe has sent nothing for {timeout:g} seconds and is still open; "
            "add - to the question to wait for it, or < /dev/null to send the question without it"
        )
    reader.join()
    if reader.error is not None:
        raise reader.error
    return b"".join(reader.chunks)


class _Reader(threading.Thread):
    """Reads standard input in a thread, the only way to limit the wait that works for every pipe and platform."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="aichatkit-stdin", daemon=True)
        self._descriptor = descriptor
        self.ready = threading.Event()
        self.chunks: list[bytes] = []
        self.error: OSError | None = None

    def run(self) -> None:
        """Read to the end; `ready` is set at the first chunk, or at the end if there is none."""
        try:
            while chunk := os.read(self._descriptor, 1 << 16):
                self.chunks.append(chunk)
                self.ready.set()
        except OSError as error:
            self.error = error
        self.ready.set()
