"""A small loopback server that speaks every wire, for tests and for machines without a network.

It is a test double: an ELIZA answers, no model is asked.
"""

from __future__ import annotations

from aichatkit.sandbox.faults import Fault
from aichatkit.sandbox.playground import Sandbox, serve
from aichatkit.sandbox.raw import RawServer

__all__ = ["Fault", "RawServer", "Sandbox", "serve"]
