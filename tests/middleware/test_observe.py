"""An observed answer is the answer in everything that its reader sees."""

from __future__ import annotations

import pytest

from aichatkit import Client, StreamInterruptedError
from aichatkit.chunks import Reasoning


@pytest.fixture
def watched(sandbox, policy):
    """A client whose replies are observed."""
    replies = []
    url = f"{sandbox.url}/v1"
    with Client(
        model="openai", api_key="sk-test", base_url=url, retry=policy, hooks={"reply": replies.append}
    ) as client:
        client.replies = replies
        yield client


def test_reasoning_and_attempts_are_those_of_the_answer(watched):
    stream = watched.stream("Hi")
    stream._answer._answer._collector.add(Reasoning("Let me see."))
    assert stream.read().complete
    assert stream.reasoning == "Let me see."
    assert [attempt.error for attempt in stream.attempts] == [None]
    assert watched.replies[0].reply is stream.reply


def test_an_observed_answer_that_was_left_cannot_be_finished(watched, sandbox):
    sandbox.says("one two three four")
    stream = watched.stream("Hi")
    assert next(stream)
    stream.close()
    with pytest.raises(StreamInterruptedError, match="closed before the answer ended") as caught:
        stream.read()
    assert caught.value.partial == stream.text
    assert watched.replies == []
