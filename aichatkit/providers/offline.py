"""The offline provider: ELIZA in a local sandbox, for experiments and tests.

It speaks OpenAI's protocol over real HTTP to a server started in this process on first use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import requests

from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Message
from aichatkit.providers.base import NO_OPTIONS, Options
from aichatkit.providers.openai_compatible import OpenAICompatible
from aichatkit.sandbox import Sandbox

if TYPE_CHECKING:
    from aichatkit.transport.transport import Transport


_sandboxes: dict[int, Sandbox] = {}
_lock = threading.Lock()


class Offline(OpenAICompatible):
    """Chat with ELIZA in this process; nothing leaves the machine."""

    name = "offline"
    url = "http://127.0.0.1/v1"
    default_model = "eliza"
    models = ("eliza",)
    needs_key = False
    direct = True
    free = True
    search_style = "openai-chat"

    def prepare(self, http: Transport) -> Mapping[str, str]:
        return {"url": _sandbox_url()}

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        request = super().build_request(messages, model, options=options)
        request.url = options.tokens["url"] + self.path
        return request


def _sandbox_url() -> str:
    """Return the URL of this process's own sandbox, started on first use; a forked child starts another."""
    with _lock:
        sandbox = _sandboxes.get(os.getpid())
        if sandbox is None:
            sandbox = _start()
            _sandboxes[os.getpid()] = sandbox
        return f"{sandbox.url}/v1"


def _start() -> Sandbox:
    try:
        return Sandbox().start()
    except (OSError, RuntimeError) as error:
        problem, reason = getattr(error, "strerror", None) or str(error), reason_of(error)
    raise ConfigurationError(
        f"offline: its server cannot be started here ({problem}); a browser, for example, allows no servers: "
        "ask a service, or use aichatkit.testing.Fake",
        provider="offline",
        reason=reason,
    )
