"""Which beginning the rows of a run share, and whether the next row goes alone."""

from __future__ import annotations

import pytest

from aichatkit import Client
from aichatkit.batch.templates import Template
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Message
from aichatkit.prompt_caching.plan import RowHead, SharedHead, parse_mode
from aichatkit.prompt_caching.runs import RunCache, common_beginning, plan_run

LONG = "word " * 5000


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def run_cache(*, is_certain=True, has_marks=True, clock=None):
    return RunCache(RowHead.of("", is_certain=is_certain), has_marks=has_marks, lifetime=300, clock=clock or Clock())


def plan(model="anthropic/claude-sonnet-5-5", beginning=LONG, size=10, is_finite=True, **options):
    client = Client(model=model, api_key="k", **options)
    return plan_run(client._build_call("?", 1), lambda: beginning, size=size, is_finite=is_finite)


def test_the_first_row_goes_alone_until_its_answer_begins():
    cache = run_cache()
    assert cache.is_cold
    cache.note_begun()
    assert not cache.is_cold


def test_an_end_whose_lifetime_has_passed_makes_the_next_row_go_alone():
    clock = Clock()
    cache = run_cache(clock=clock)
    cache.note_begun()
    clock.now = 200
    cache.note_answered(is_first=False)
    clock.now = 400
    assert not cache.is_cold
    clock.now = 700
    assert cache.is_cold
    cache.note_answered(is_first=False)
    assert cache.is_cold
    cache.note_answered(is_first=True)
    assert not cache.is_cold


def test_without_certainty_the_second_row_goes_alone_as_well():
    cache = run_cache(is_certain=False)
    cache.note_begun()
    assert cache.is_cold
    cache.note_begun()
    assert not cache.is_cold


def test_three_rows_that_fail_end_the_wait():
    cache = run_cache()
    for _ in range(3):
        assert cache.is_cold
        cache.note_failed()
    assert not cache.is_cold
    cache = run_cache()
    cache.note_failed()
    cache.note_begun()
    assert not cache.is_cold


@pytest.mark.parametrize(
    ("prompts", "beginning"),
    [
        (["Good or bad? Nice.", "Good or bad? Nasty."], "Good or bad? "),
        (["a b c", "a b d", "a c e"], "a "),
        (["Rate it:\nA", "Rate it:\nB"], "Rate it:\n"),
        (["same words", "same words"], "same "),
        (["Nothing", "in common"], ""),
        (["word", "wordy"], ""),
        (["", "a"], ""),
        ([], ""),
        (["one", 2], ""),
        ([{"text": "a"}], ""),
    ],
)
def test_the_common_beginning_ends_before_a_word_that_differs(prompts, beginning):
    assert common_beginning(prompts) == beginning


def test_the_common_beginning_is_at_least_the_text_of_the_template():
    assert common_beginning(["Rate (1)", "Rate (2)"], "Rate (") == "Rate ("
    assert common_beginning(["Rate: one two", "Rate: one three"], "Rate: ") == "Rate: one "
    # The input is not read any further.
    rows = iter(["Rate: a", "Rate: b", "Rate: c"])
    assert (common_beginning(rows, "Rate: "), list(rows)) == ("Rate: ", ["Rate: c"])


def test_a_template_begins_with_the_text_before_its_first_column():
    assert Template("Rate {{it}}: {text} {text}!").beginning == "Rate {it}: "
    assert Template("{text}").beginning == ""


def test_a_long_beginning_is_shared():
    cache = plan()
    assert (cache.head, cache.has_marks) == (RowHead.of(LONG.rstrip(), is_certain=True), True)
    assert plan(is_finite=False, size=None).head.is_certain is False


def test_after_a_long_system_prompt_a_short_beginning_has_no_mark_of_its_own():
    assert plan(beginning="Rate: ", system=LONG).head.length == 0
    assert plan(beginning=LONG, system=LONG).head.length == len(LONG) - 1


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt_cache": False},
        {"size": 1},
        {"beginning": "Rate: "},
        {"model": "offline"},
        {"model": "azure/deployment"},
        {"model": "cerebras/gpt-oss-120b"},
        {"model": "deepseek", "size": 7},
        {"model": "deepseek", "beginning": LONG[:9000]},
        {"model": "anthropic/house-model", "base_url": "https://gateway.example"},
    ],
    ids=str,
)
def test_nothing_is_shared(changes):
    assert plan(**changes) is None


@pytest.mark.parametrize("model", ["deepseek", "gemini", "mistral", "openai/gpt-5.4", "xai", "groq"])
def test_where_writing_is_free_rows_are_not_marked(model):
    assert plan(model).has_marks is False


def test_the_end_of_the_beginning_is_in_the_last_message_if_that_is_text():
    messages = [Message("system", "Be brief."), Message("user", "Hi")]
    head = RowHead.of("H", is_certain=True)
    assert head.place_in(messages) == SharedHead(1, 1, True)
    assert head.place_in([Message("user", [{"type": "text", "text": "Hi"}])]) == SharedHead(0, 0, True)
    assert head.place_in([Message("user", "Lo")]) == SharedHead(0, 0, True)


@pytest.mark.parametrize("mode", ["2h", "", None, 1.5, [], "AUTO"])
def test_an_unknown_mode_is_rejected(mode):
    with pytest.raises(ConfigurationError, match="prompt_cache must be 'auto', 'safe', True, '1h' or False"):
        parse_mode(mode)


def test_a_client_rejects_an_unknown_mode_and_so_does_a_call():
    with pytest.raises(ConfigurationError, match="prompt_cache must be"):
        Client(model="offline", prompt_cache="always")
    with Client(model="offline") as client, pytest.raises(ConfigurationError, match="prompt_cache must be"):
        client.ask("Hi", prompt_cache="always")
    with Client(model="offline") as client:
        assert client.ask("Hi", prompt_cache=None).text
