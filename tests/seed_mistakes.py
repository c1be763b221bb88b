"""Make each mistake of `mistakes.py` in a copy of the package and see whether the tests notice.

    python tests/seed_mistakes.py            all of them, two at a time
    python tests/seed_mistakes.py retries    those of the files with this in their names

Exit codes: 0 all were caught, 1 some were missed, 2 the tests fail without a mistake or a mistake cannot be made.
A mistake is caught when a test fails, or when the tests hang and had to be ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from mistakes import MISTAKES, Mistake

ROOT = Path(__file__).resolve().parent.parent
COPIES = 2
#: How long the tests of one mistake may take, and all of them without any, in seconds.
LIMIT, BASE_LIMIT = 60.0, 900.0
PASSED, FAILED = 0, 1


def main(words: Sequence[str]) -> int:
    """Make the mistakes, print a table and the figure, and return the exit code."""
    chosen = [mistake for mistake in MISTAKES if not words or any(word in mistake.file for word in words)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mistakes-") as folder:
        copies = list(prepare(Path(folder), chosen))
        if not copies:
            return 2
        free: SimpleQueue[Path] = SimpleQueue()
        for copy in copies:
            free.put(copy)
        with ThreadPoolExecutor(len(copies)) as pool:
            outcomes = list(pool.map(lambda mistake: tell(mistake, free), chosen))
    caught = sum(outcome not in ("MISSED", "BROKEN") for outcome in outcomes)
    say(f"\n{caught} of {len(chosen)} mistakes caught, in {time.monotonic() - started:.0f} s")
    return 2 if "BROKEN" in outcomes else int(caught < len(chosen))


def prepare(folder: Path, chosen: Sequence[Mistake]) -> list[Path]:
    """Return copies in which the tests pass; none where they do not."""
    first = folder / "copy-0"
    first.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, first)
    for name in ("aichatkit", "docs", "tests"):
        shutil.copytree(ROOT / name, first / name, ignore=shutil.ignore_patterns("__pycache__"))
    files = dict.fromkeys(name for mistake in chosen for name in mistake.tests.split())
    # What is compiled here is used by all the runs that follow.
    code, output = run_tests(first, files, limit=BASE_LIMIT, keep_compiled=True)
    if code != PASSED:
        say(f"the tests fail without a mistake:\n{output[-2000:]}")
        return []
    others = [folder / f"copy-{number}" for number in range(1, COPIES)]
    return [first, *(Path(shutil.copytree(first, other)) for other in others)]


def tell(mistake: Mistake, free: SimpleQueue[Path]) -> str:
    """Make one mistake in a copy that is free, print a line about it, and return what came of it."""
    copy = free.get()
    started = time.monotonic()
    try:
        outcome, by = make(mistake, copy)
    finally:
        free.put(copy)
    seconds = time.monotonic() - started
    say(f"{outcome:7} {seconds:5.1f} s  {mistake.file:30} {mistake.what}{f'  [{by}]' if by else ''}")
    return outcome


def make(mistake: Mistake, copy: Path) -> tuple[str, str]:
    """Make one mistake, run its tests, undo it; return what came of it, and the test that saw it."""
    path = copy / "aichatkit" / mistake.file
    source, stamps = path.read_bytes(), path.stat()
    old, new = mistake.old.encode(), mistake.new.encode()
    if source.count(old) != 1:
        return "BROKEN", f"its text stands there {source.count(old)} times"
    try:
        path.write_bytes(source.replace(old, new))
        code, output = run_tests(copy, mistake.tests.split(), limit=LIMIT)
    finally:
        path.write_bytes(source)
        # As before, so that what was compiled stays valid.
        os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    if code is None:
        return "hung", ""
    if code == PASSED:
        return "MISSED", ""
    failures = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if code != FAILED or not failures:
        return "BROKEN", output[-2000:]
    return "caught", failures[0].split(" - ")[0].partition(" ")[2]


def run_tests(copy: Path, files: Sequence[str], *, limit: float, keep_compiled: bool = False) -> tuple[int | None, str]:
    """Run test files of a copy; return pytest's exit code, None for a hang, and its output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "400"}
    if not keep_compiled:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    with (copy / "output.txt").open("w+", encoding="utf-8", errors="replace") as output:
        tests = subprocess.Popen(
            [*command, *(f"tests/{name}" for name in files)],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = tests.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(tests)
        output.seek(0)
        return code, output.read()


def end(tests: subprocess.Popen[bytes]) -> None:
    """End the tests and whatever they started."""
    try:
        os.killpg(tests.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nothing is left of them.
        return
    finally:
        tests.wait()


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
