"""Recordings -> blocks: real answers of a service, split the way a network may split them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aichatkit.providers.services import SERVICES

#: Any address, for a web whose answers do not depend on it.
ANYWHERE = re.compile(".*")
RECORDINGS = Path(__file__).parent.parent / "providers" / "recordings"


def recording(name: str, kind: str = "") -> bytes:
    """Return the body of one real answer of a provider, or of its handshake."""
    path = RECORDINGS / f"{name.replace('-', '_')}{kind}.txt"
    if name in SERVICES and not kind and not path.exists():
        # A row of data that answers like every other needs no recording of its own.
        path = RECORDINGS / "services.txt"
    if not path.exists():
        pytest.fail(f"{name} has no recording: put the body of one real answer, without secrets, into {path}")
    return path.read_bytes()


def handshake(name: str) -> bytes:
    """Return the recorded response to the provider's `prepare`."""
    return recording(name, ".handshake")


def cut(body: bytes, size: int) -> Iterator[bytes]:
    """Yield a body in blocks of `size` bytes."""
    return (body[start : start + size] for start in range(0, len(body), size))


class Pieces(io.RawIOBase):
    """A raw file that returns a body `size` bytes at a time."""

    def __init__(self, body: bytes, size: int) -> None:
        super().__init__()
        self._blocks = cut(body, size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = next(self._blocks, b"")
        buffer[: len(block)] = block
        return len(block)


def in_pieces(body: bytes, size: int) -> io.BufferedReader:
    """Return a buffered file that receives a body `size` bytes at a time."""
    return io.BufferedReader(Pieces(body, size), buffer_size=max(size, 1))


class Handshake:
    """The part of `Transport` that `prepare` uses, answered from the recording."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_text(self, url: str, *, headers: Any = None) -> str:
        return handshake(self.name).decode()

    def get_json(self, url: str, *, headers: Any = None) -> Any:
        return json.loads(handshake(self.name))
