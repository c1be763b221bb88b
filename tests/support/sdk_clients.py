"""Official SDKs as clients of a server, each in its own Python, since they need newer versions than this package."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peer_servers
import pytest

WORKER = Path(__file__).parent / "sdks" / "worker.py"


@dataclass(frozen=True)
class SDKError:
    """An exception raised by an SDK: the names of its class and base classes, the status, the message."""

    errors: list[str]
    status: int | None
    message: str


class SDK:
    """One SDK in a process that runs for the whole test session."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    def call(self, call: str, *, url: str, key: str = "sk-peers", retries: int = 0, **given: Any) -> Any:
        """Make a call and return its result; fail the test if it raises."""
        answer = self._exchange(call, url, key, retries, given)
        assert "errors" not in answer, answer
        return answer["result"]

    def fail(self, call: str, *, url: str, key: str = "sk-peers", retries: int = 0, **given: Any) -> SDKError:
        """Make a call for which the SDK must raise an exception, and return that."""
        answer = self._exchange(call, url, key, retries, given)
        assert "errors" in answer, answer
        return SDKError(**answer)

    def _exchange(self, call: str, url: str, key: str, retries: int, given: dict[str, Any]) -> Any:
        order = {"call": call, "connect": {"url": url, "key": key, "retries": retries}, "given": given}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            pytest.fail(f"the SDK {self.name} died:\n{self._log.read_text(errors='replace')[-2000:]}")
        return json.loads(line)


@contextlib.contextmanager
def run_sdk(name):
    """Start the SDK that the module of this name in the folder sdks/ imports."""
    python = peer_servers.find_by_variable("AICHATKIT_SDKS", "the Python that the official SDKs are installed for")
    with peer_servers.folder() as home:
        log = home / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [python, str(WORKER), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                encoding="utf-8",
                env={"PATH": os.defpath},
            )
        try:
            yield SDK(name, process, log)
        finally:
            process.stdin.close()
            peer_servers.stop(process)
            process.stdout.close()
