"""Every answer in progress has what `AnswerLike` promises, and nothing else that a caller could come to rely on."""

from __future__ import annotations

import pytest
from answer_doubles import answered

from aichatkit.call.answer_like import AnswerLike
from aichatkit.chunks import Finish
from aichatkit.middleware.cache import CachedAnswer
from aichatkit.middleware.observe import ObservedAnswer
from aichatkit.middleware.tool_rounds import ToolRounds
from aichatkit.reply import Reply

PROMISED = {name for name in vars(AnswerLike) if not name.startswith("_")}


@pytest.fixture
def answers(client):
    """One of each, by its class."""
    plain = answered("Hi", Finish("stop", last=True))
    call = client._build_call("Hi", 0, tools=[{"name": "stock", "parameters": {"type": "object"}}])
    observed = ObservedAnswer(plain, None, lambda: None, [])
    rounds = ToolRounds(call, lambda call: plain)
    return {type(each).__name__: each for each in (plain, rounds, CachedAnswer(Reply("Hi", "openai", "m")), observed)}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("Answer", {"start", "fake", "http", "explain_miss"}),
        ("ToolRounds", set()),
        ("CachedAnswer", set()),
        ("ObservedAnswer", set()),
    ],
)
def test_every_answer_has_the_members_of_the_protocol_and_no_others(answers, name, own):
    answer = answers[name]
    assert {member for member in dir(answer) if not member.startswith("_")} - own == PROMISED
    assert iter(answer) is not None
    assert callable(answer.__next__)
