"""Fixtures for pytest: `sandbox`, `fake` and `replay`. They load nothing of the package before a test asks for them."""

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
    """Add the option of `replay`."""
    parser.getgroup("aichatkit").addoption(
        "--aichatkit-record",
        choices=("none", "once", "all"),
        help="what the fixture replay records: none (only play), once (what is not recorded yet), all (anew); "
        "by default AICHATKIT_RECORD, else none where CI is set and once elsewhere",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> None:
    """Remember whether the test itself failed: then what a fixture has to complain about is of no use."""
    item.stash[_failed] = item.stash.get(_failed, False) or call.excinfo is not None


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A server on this machine that speaks the services' protocols, and fails on request."""
    with sandboxes.Sandbox() as running:
        yield running


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Fake]]:
    """Make a `Fake` that stands in for every service until the test ends: `fake(["Paris."])`.

    A test that passes although answers were left, or missing, is an error.
    """
    made: list[Fake] = []

    def make(answers: Any) -> Fake:
        made.append(testing.Fake(answers).install())
        return made[-1]

    yield make
    for each in reversed(made):
        each.remove()
    if not request.node.stash.get(_failed, False):
        for each in made:
            each.assert_done()


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Iterator[Replay]:
    """Record real answers once, beside the test in `recordings/`, and play them from then on: see `Replay`."""
    mode = request.config.getoption("aichatkit_record") or os.environ.get("AICHATKIT_RECORD")
    playing = testing.Replay(
        _path(request.node),
        mode=mode or ("none" if os.environ.get("CI") else "once"),
        again=f'pytest --aichatkit-record=all "{request.node.nodeid}"',
    ).install()
    yield playing
    playing.remove()
    if not request.node.stash.get(_failed, False):
        playing.assert_found()


def _path(node: Any) -> Path:
    name = node.nodeid.partition("::")[2].replace("::", ".")
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-")
    if len(plain) > 100 or plain != re.sub(r"\[(.*)\]$", r"-\1", name):
        # Two tests whose names differ only in what a file's name cannot hold keep files of their own.
        plain = f"{plain[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    path: Path = node.path
    return path.parent / "recordings" / path.stem / f"{plain}.json"
