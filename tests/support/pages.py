"""A page of Markdown -> its blocks, and what came of running them; the README and the docs are read by the same rules.

What stands in an HTML comment right before a block, invisible to readers, tells how to run it:

- `not run: REASON`: it is only shown.
- `needs: MODULE ...`: left out where one of these is not installed.
- `prints`: a `text` block that holds what the block before it prints; `...` stands for anything.
- `setup`, with lines of Python after it in the same comment: they run, and nobody sees them.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = re.compile(
    r"^(?:<!-- (?P<marker>(?!setup\b)[^\n]*?) -->\n\n?)?^```(?P<language>[^\n]*)\n(?P<code>.*?)^```$"
    r"|^<!-- setup\n(?P<setup>.*?)^-->$",
    re.DOTALL | re.MULTILINE,
)
_SECONDS = 60


@dataclass(frozen=True)
class Block:
    """A fenced block, or the lines of a `setup` comment; `line` is that of its first line of code."""

    language: str
    code: str
    marker: str
    line: int

    @property
    def not_run(self) -> str:
        """Why it is not run."""
        return self._told("not run: ")

    @property
    def missing(self) -> list[str]:
        """What it needs and is not installed here."""
        return [name for name in self._told("needs: ").split() if importlib.util.find_spec(name) is None]

    def _told(self, kind: str) -> str:
        return self.marker[len(kind) :] if self.marker.startswith(kind) else ""


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page in order."""
    found = []
    for match in _BLOCK.finditer(text):
        group = "setup" if match["setup"] is not None else "code"
        language = "python" if group == "setup" else match["language"]
        line = text.count("\n", 0, match.start(group)) + 1
        found.append(Block(language, match[group], match["marker"] or "", line))
    return found


def run_page(path: Path, namespace: dict[str, Any]) -> None:
    """Run the blocks of a page in order, its Python in one namespace, and compare what it says is printed."""
    printed: str | None = None
    for block in blocks_of(path.read_text(encoding="utf-8")):
        if block.not_run or block.missing:
            printed = None
            continue
        if block.language == "python":
            printed = run_python(block, path, namespace)
        elif block.language == "bash":
            printed = run_commands(block, path)
        elif block.marker == "prints" and printed is not None:
            same = doctest.OutputChecker().check_output(block.code, printed, doctest.ELLIPSIS)
            assert same, f"{path.name}:{block.line}: printed is\n{printed}"


def run_python(block: Block, path: Path, namespace: dict[str, Any]) -> str:
    """Run a block, whose lines in a traceback are those of the page, and return what it printed."""
    printed = io.StringIO()
    lines = "\n" * (block.line - 1) + block.code
    with contextlib.redirect_stdout(printed):
        exec(compile(lines, str(path), "exec", dont_inherit=True), namespace)
    return printed.getvalue()


def run_commands(block: Block, path: Path) -> str:
    """Run a block of commands but those that install, and return what they printed."""
    lines = [line for line in block.code.splitlines() if "pip install" not in line]
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_SECONDS,
    )
    assert done.returncode == 0, f"{path.name}:{block.line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
