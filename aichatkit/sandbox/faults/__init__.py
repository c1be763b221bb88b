"""Call -> faulty response: every fault the sandbox can inject, by name."""

from __future__ import annotations

# Imported in the order in which they occur during a connection, which is how they are listed.
from aichatkit.sandbox.faults import transport  # isort: skip
from aichatkit.sandbox.faults import refusals  # isort: skip
from aichatkit.sandbox.faults import bodies  # isort: skip
from aichatkit.sandbox.faults import sites  # isort: skip
from aichatkit.sandbox.faults import embeddings  # isort: skip
from aichatkit.sandbox.faults import batches  # isort: skip
from aichatkit.sandbox.faults import decisions  # isort: skip
from aichatkit.sandbox.faults import searches  # isort: skip
from aichatkit.sandbox.faults.base import FAULTS, Fault, Plan, parse_plan, split_prefix

__all__ = [
    "FAULTS",
    "Fault",
    "Plan",
    "batches",
    "bodies",
    "decisions",
    "embeddings",
    "parse_plan",
    "refusals",
    "searches",
    "sites",
    "split_prefix",
    "transport",
]
