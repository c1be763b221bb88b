"""Fixtures for pytest: `sandbox`, `fake` and `replay`. Nothing is imported until a test uses one of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from aichatkit._lazy import lazy_module

if TYPE_CHECKING:
    from aichatkit import sandbox as sandboxes
    from aichatkit import testing
    from aichatkit.sandbox import Sandbox
    from aichatkit.testing import Fake, Replay
else:
    sandboxes = lazy_module("aichatkit.sandbox")
    testing = lazy_module("aichatkit.testing")

__all__ = ["fake", "replay", "sandbox"]

_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the `replay` fixture."""
    parser.getgroup("aichatkit").addoption(
        "--aichatkit-record",
        choices=("none", "once", "all"),
        help="what the fixture replay records: none (only play), once (what is not recorded yet), all (again); "
        "by default AICHATKIT_RECORD, else none where CI is set and once elsewhere",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> None:
    """Record whether the test itself failed: the fixtures' own checks would then only add noise."""
    item.stash[_failed] = item.stash.get(_failed, False) or call.excinfo is not None


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A local server that speaks the services' protocols and injects faults on request."""
    with sandboxes.Sandbox() as running:
        yield running


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Fake]]:
    """Return a function that installs a `Fake` for every service until the test ends: `fake(["Paris."])`.

    If the test passes although answers are unused or were missing, that is an error.
    """
    fakes: list[Fake] = []

    def install(answers: Any) -> Fake:
        fakes.append(testing.Fake(answers).install())
        return fakes[-1]

    yield install
    for installed in reversed(fakes):
        installed.remove()
    if not request.node.stash.get(_failed, False):
        for installed in fakes:
            installed.assert_done()


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Iterator[Replay]:
    """Record real answers once, in `recordings/` next to the test, and replay them afterwards: see `Replay`."""
    mode = request.config.getoption("aichatkit_record") or os.environ.get("AICHATKIT_RECORD")
    installed = testing.Replay(
        _recording_path(request.node),
        mode=mode or ("none" if os.environ.get("CI") else "once"),
        again=f'pytest --aichatkit-record=all "{request.node.nodeid}"',
    ).install()
    yield installed
    installed.remove()
    if not request.node.stash.get(_failed, False):
        installed.assert_found()


def _recording_path(node: Any) -> Path:
    name = node.nodeid.partition("::")[2].replace("::", ".")
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-")
    if len(stem) > 100 or stem != re.sub(r"\[(.*)\]$", r"-\1", name):
        # Tests whose names differ only in characters not allowed in file names need separate files.
        stem = f"{stem[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    path: Path = node.path
    return path.parent / "recordings" / path.stem / f"{stem}.json"
