"""`%chat` line up to the cursor -> completions: options, providers and models."""

from __future__ import annotations

from typing import Any

from aichatkit.api import models
from aichatkit.notebook.cell_options import flags
from aichatkit.registry import registry

__all__ = ["COMMAND", "complete"]

#: The lines that are completed here.
COMMAND = r"%{1,2}chat\s"
_MODEL_FLAGS = ("-m", "--model")


def complete(shell: Any, event: Any) -> list[str]:
    """Return what the last word of the line may become, for IPython."""
    before = event.line[: len(event.line) - len(event.symbol)].split()
    if event.symbol.startswith("-"):
        names = flags()
    elif before[-1:] == ["%%chat"] or before[-1] in _MODEL_FLAGS:
        names = [*registry, *models()]
    else:
        names = []
    return [name for name in names if name.startswith(event.symbol)]
