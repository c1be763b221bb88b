"""Tools that run elsewhere: what a `ToolSource` hands to a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from aichatkit._dataclasses import NamedTuple
from aichatkit.chunks import Citation, Search, ToolCall
from aichatkit.messages import Content
from aichatkit.providers.base import Tool

__all__ = ["Approve", "Findings", "RemoteTool", "running_for", "traceparent"]

Approve = Callable[[ToolCall], bool]


#: The span for which tools run, in the form of the header `traceparent` (W3C Trace Context); "" without telemetry.
traceparent: ContextVar[str] = ContextVar("aichatkit.traceparent", default="")


@contextmanager
def running_for(span: str) -> Iterator[None]:
    """Let tools know the span of the call for which they run."""
    token = traceparent.set(span)
    try:
        yield
    finally:
        traceparent.reset(token)


class Findings(NamedTuple):
    """The searches that a tool ran for an answer, and where the answer cites what they found."""

    searches: Sequence[Search] = ()
    citations: Sequence[Citation] = ()


class RemoteTool:
    """A tool of a source: its definition for the service, and how to run it."""

    definition: Tool
    #: Where it runs: a URL or a command, which decides what it returns; "" if there is only one such place.
    origin: str = ""

    def run(self, call: ToolCall, approve: Approve | None) -> Content:
        """Run a call and return its result, or an error message for the model."""
        raise NotImplementedError

    def findings(self, text: str) -> Findings:
        """Return what the tool found for an answer with this text."""
        return Findings()
