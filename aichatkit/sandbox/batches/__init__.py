"""Batch jobs of the services, played by the sandbox: files, jobs, a clock that is moved by hand, and a ledger."""

from __future__ import annotations

from aichatkit.sandbox.batches.files import FileBatches
from aichatkit.sandbox.batches.jobs import Batches, BatchJob, BatchRow
from aichatkit.sandbox.batches.messages import AnthropicBatches
from aichatkit.sandbox.batches.operations import GeminiBatches

__all__ = ["BATCH_WIRES", "BatchJob", "BatchRow", "Batches"]

#: In the order in which routes are matched: the paths of the last match those of the others as well.
BATCH_WIRES = (AnthropicBatches, GeminiBatches, FileBatches)
