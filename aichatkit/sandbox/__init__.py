"""A small local server that speaks every protocol, for tests and for machines without network access.

It is a test double: an ELIZA answers, not a language model.
"""

from __future__ import annotations

from aichatkit.sandbox.faults import Fault
from aichatkit.sandbox.playground import Sandbox, serve
from aichatkit.sandbox.raw import RawServer

__all__ = ["Fault", "RawServer", "Sandbox", "serve"]
