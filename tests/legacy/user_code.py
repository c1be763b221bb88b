"""What users write, as a strict type checker sees it; the checker proves each type, nothing here is run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Optional

import requests

import aichatkit as ai
from aichatkit import (
    Chat,
    ChatError,
    Client,
    Decision,
    Decisions,
    ImageResponse,
    Rate,
    Reply,
    Results,
    RetryPolicy,
    Stream,
    Timeout,
    Usage,
)

if TYPE_CHECKING:
    from typing_extensions import assert_type


@dataclass
class Capital:
    """A schema."""

    city: str
    inhabitants: int


class Topic(Enum):
    """What a text is about."""

    BUG = "bug"
    BILLING = "billing"


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


def decide_all() -> None:
    """Decide in every way there is."""
    client = Client("openai/gpt-6-luna")
    flags = client.decide("Hi", {"refund?": bool, "urgent?": bool}, threshold=0.8)
    assert_type(flags["refund?"].value, bool)
    assert_type(flags.data, "dict[str, bool]")
    assert_type(flags["refund?"].probability, Optional[float])
    mixed = client.decide("Hi", {"refund?": bool, "topic": Literal["bug", "billing"], "anger": ["calm", "furious"]})
    assert_type(mixed, "Decisions[dict[str, Any], Any]")
    assert_type(mixed["topic"].value, Any)
    assert_type(mixed.refused, "list[str]")
    assert_type(client.decide("Hi", Capital).data, Capital)
    assert_type(client.decide("Hi", bool, "Is it urgent?"), Decision[bool])
    assert_type(client.decide("Hi", Topic, "What is it about?").value, Topic)
    assert_type(client.decide("Hi", range(1, 6), "How many stars?").value, int)
    assert_type(client.decide("Hi", ["calm", "furious"], "How angry?").value, float)
    assert_type(ai.decide("Hi", {"bug": "Broken.", "billing": None}, "Which?", model="offline").value, str)
    assert_type(ai.decide("Hi", Literal["bug", "billing"], "Which?").value, Any)
    anything: Decisions = ai.decide("Hi", {"refund?": bool})
    one: Decision = anything["refund?"]
    assert_type(one.value, Any)
    assert_type(client.estimate(["Hi"], decide={"refund?": bool}, threshold=0.8).cost, Optional[float])
