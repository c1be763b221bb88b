"""What users write, as a strict type checker sees it; the checker proves each type, nothing here is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import requests

import aichatkit as ai
from aichatkit import Chat, ChatError, Client, ImageResponse, Rate, Reply, Results, RetryPolicy, Stream, Timeout, Usage

if TYPE_CHECKING:
    from typing_extensions import assert_type


@dataclass
class Capital:
    """A schema."""

    city: str
    inhabitants: int


def stock(article: str) -> int:
    """Count the pieces of an article that are in stock."""
    return len(article)


def ask_all() -> None:
    """Ask in every way there is."""
    client = Client(
        model=["openai/gpt-6-luna", "offline"],
        session=requests.Session(),
        timeout=Timeout(total=30),
        retry=RetryPolicy(attempts=2),
        rate=Rate("60/min"),
        hooks={"wait": print},
        temperature=0.2,
    )
    reply = client.ask("Hi", tools=[stock], max_rounds=2)
    assert_type(reply, Reply)
    assert_type(reply.text, str)
    assert_type(reply.usage, Usage)
    assert_type(reply.usage.total_tokens, Optional[int])
    assert_type(reply.cost, Optional[float])
    with client.stream("Hi") as stream:
        assert_type(stream, Stream)
        for chunk in stream:
            assert_type(chunk, str)
        assert_type(stream.reply, Optional[Reply])
    chat = client.chat(system="Be brief.")
    assert_type(chat, Chat)
    assert_type(chat.fork(), Chat)
    assert_type(client.image("a cat"), ImageResponse)
    assert_type(client.map(["a", "b"], workers=2), Results)
    assert_type(client.models("openai"), "list[str]")
    assert_type(ai.ask("Hi"), Reply)
    try:
        ai.ask("Hi", schema=Capital)
    except ChatError as error:
        assert_type(error.partial, str)
        assert_type(error.retry_after, Optional[float])
        assert_type(error.status, Optional[int])
