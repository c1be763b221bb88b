"""Fixtures of the provider tests: a web without a network, and a client that knows the services' own addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from recorded import ANYWHERE

from aichatkit import Client, Reply, RetryPolicy


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """All of the web; what a test does not name is not there."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def online(policy: RetryPolicy, web: responses.RequestsMock) -> Iterator[Client]:
    """A client that asks the services at their own addresses, with a key where they want one."""
    with Client(api_key={"openai": "sk-test"}, retry=policy) as made:
        yield made


@pytest.fixture
def asks(web: responses.RequestsMock, online: Client) -> Callable[..., Reply]:
    """Ask a provider that answers with these bytes, whatever the address; `page` is what its handshake gets."""

    def ask(
        model: str,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = "text/event-stream",
        page: bytes = b"",
        prompt: Any = "Hi",
        **options: Any,
    ) -> Reply:
        web.get(ANYWHERE, body=page, content_type="application/octet-stream")
        web.post(ANYWHERE, body=body, status=status, content_type=content_type)
        return online.ask(prompt, model=model, **{"retry": 0, **options})

    return ask
