"""Standard input -> piped document; a note says so if a pipe keeps the command waiting."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading

from aichatkit._reasons import reason_of
from aichatkit.attachments import load_file
from aichatkit.cli.output import print_stderr
from aichatkit.errors import ConfigurationError
from aichatkit.messages import File

__all__ = ["NOTE_AFTER", "check_encoding", "read_stdin", "read_stdin_bytes"]

#: Seconds after which a note says that the command is waiting for its pipe.
#: Under cron, ssh and CI an inherited pipe may stay open and empty forever.
NOTE_AFTER = 3.0

#: Control characters that do not occur in text.
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def check_encoding(name: str) -> None:
    """Raise ConfigurationError unless `name` is a text encoding that Python knows."""
    try:
        b"a".decode(name, "ignore")
    except (LookupError, UnicodeError, ValueError) as error:
        reason = reason_of(error)
    else:
        return
    raise ConfigurationError(
        f"--encoding: {name!r} is not a known text encoding; use a name such as latin-1, cp1252 or utf-16",
        reason=reason,
    )


def read_stdin(*, explicit: bool = False, encoding: str | None = None) -> str | File:
    """Return piped input as text, or as a File if it is an image, a PDF or audio; `encoding` means it is text.

    Raises:
        ConfigurationError: the data is of an unknown type, or is not text in `encoding`.
    """
    content = read_stdin_bytes(explicit=explicit)
    if not content:
        return ""
    if encoding is not None:
        return _decode(content, encoding)
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
        "the piped input is neither UTF-8 text nor an image, PDF or audio; for text in another encoding, "
        "add --encoding, such as --encoding latin-1",
        reason=reason,
    )


def _decode(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeError as error:
        reason = reason_of(error)
    raise ConfigurationError(f"--encoding: the piped input is not text in {encoding}", reason=reason)


def _decode_locale(content: bytes) -> str | None:
    """Return the bytes decoded in the system's encoding, None if they are not text."""
    try:
        text = content.decode(getattr(sys.stdin, "encoding", None) or "utf-8")
    except UnicodeDecodeError:
        return None
    # Some encodings decode any byte.
    return None if _BINARY.search(text) else text


def read_stdin_bytes(*, explicit: bool = False) -> bytes:
    """Return all bytes of a pipe, a redirected file or a socket, however long they take.

    A terminal is read only if `explicit`. Otherwise, a note is printed if nothing arrives within `NOTE_AFTER` seconds.
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
    if not explicit and not reader.ready.wait(NOTE_AFTER):
        print_stderr(
            "waiting for the pipe on standard input, which is open and has sent nothing yet; "
            "if there is no input, stop with Ctrl-C and add < /dev/null"
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
