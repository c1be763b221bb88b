"""The result of one check of `doctor`."""

from __future__ import annotations

from aichatkit._dataclasses import NamedTuple

__all__ = ["Finding"]


class Finding(NamedTuple):
    """The result of one check: `verdict` is "ok", "note" (worth knowing) or "bad" (calls will fail)."""

    verdict: str
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:<5} {self.topic}: {self.text}"
