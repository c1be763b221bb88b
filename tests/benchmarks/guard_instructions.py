"""Count the instructions of a fixed decode, under valgrind, against a plain loop over the same bytes in the same run.

    python tests/benchmarks/guard_instructions.py

Instructions do not depend on how busy the machine is, and the ratio hardly on how Python was built.
Exit codes: 0 within the bound or no valgrind here (which is said), 1 beyond it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_wires import TEXTS, event

#: Instructions of our decode / those of split, `json.loads` and a dict's look-up: measured, and what is allowed.
MEASURED, BOUND = 0.84, 1.1
EVENTS = 3_000


def main() -> int:
    """Compare three runs: nothing decoded, by hand, and by the package."""
    if len(sys.argv) > 1:
        return decode(sys.argv[1])
    if shutil.which("valgrind") is None:
        sys.stdout.write("skipped: valgrind is not installed\n")
        return 0
    nothing, plain, ours = map(_instructions, ("nothing", "plain", "ours"))
    ratio = (ours - nothing) / (plain - nothing)
    sys.stdout.write(
        f"{(ours - nothing) / EVENTS:,.0f} instructions for an event, {(plain - nothing) / EVENTS:,.0f} by hand: "
        f"{ratio:.2f}, recorded {MEASURED}, allowed {BOUND}\n"
    )
    return 0 if ratio <= BOUND else 1


def decode(how: str) -> int:
    """Decode the same bytes one way, after everything was imported that any of the ways needs."""
    from aichatkit.registry import registry

    provider = registry["openai"]("http://127.0.0.1/v1")
    body = b"".join(event("openai", TEXTS[number % 2]) for number in range(EVENTS))
    blocks = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    texts = {"nothing": lambda: [], "plain": lambda: _plain(blocks), "ours": lambda: _ours(provider, blocks)}[how]()
    assert len(texts) in (0, EVENTS)
    return 0


def _plain(blocks: list[bytes]) -> list[str]:
    texts, rest = [], b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        texts += [json.loads(line[6:])["choices"][0]["delta"]["content"] for line in lines if line]
    return texts


def _ours(provider: object, blocks: list[bytes]) -> list[str]:
    parse = provider.parse_event  # type: ignore[attr-defined]
    return [parse(found) for found in type(provider).iter_events(blocks)]  # type: ignore[attr-defined]


def _instructions(how: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, __file__, how]
        surroundings = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=surroundings, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None, done.stderr[-500:]
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
