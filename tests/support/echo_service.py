"""A scripted service, and a script for it that answers with the prompt."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Callable

from aichatkit import Client
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head

PIECE = b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def echo(request: Any) -> list[bytes]:
    """Answer with the prompt, in two pieces."""
    prompt = json.loads(request.body)["messages"][-1]["content"]
    body = PIECE % b"re: " + PIECE % json.dumps(prompt)[1:-1].encode() + DONE
    # In one piece, so that the end of the body is there with the end marker however busy the machine is.
    return [chunked_head() + chunk(body) + chunk(b"")]


@contextlib.contextmanager
def services(**defaults: Any) -> Iterator[Callable[..., tuple[RawServer, Client]]]:
    """Yield a function that makes a scripted service and a client of it: `make(script, ..., option=value)`."""
    with contextlib.ExitStack() as made:

        def make(*scripts: Any, **options: Any) -> tuple[RawServer, Client]:
            server = RawServer(*scripts).start()
            made.callback(server.close)
            given = {"model": "openai/m", "base_url": f"{server.url}/v1", **defaults, **options}
            client = Client(**given)
            made.callback(client.close)
            return server, client

        yield make
