"""Trimming: which turns of a long conversation are not sent, and the warning about it."""

from __future__ import annotations

import sys
import warnings

import pytest

from aichatkit import Chat, Client, ConfigurationError, TrimmedWarning
from aichatkit.catalog.layers import register_records
from aichatkit.catalog.tokens import count_message
from aichatkit.chunks import ToolCall
from aichatkit.messages import Message, ToolCallsMessage, ToolResultMessage

#: With the 4 tokens of its mark, each of these messages takes 14.
WORDS = "x" * 40


@pytest.fixture(autouse=True)
def plain(monkeypatch, fresh_catalog):
    """A machine without tiktoken, and a model with a small context window."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    register_records("openai", [{"id": "small", "window": 8192}])


def turns(number):
    """Return `number` turns of 28 tokens each."""
    return [Message(role, f"{role[0]}{i}" + WORDS[2:]) for i in range(number) for role in ("user", "assistant")]


def sent(sandbox):
    """Return the start of each message of the last request."""
    return [str(turn["content"])[:2] for turn in sandbox.requests[-1].json()["messages"]]


def ask(chat, prompt="p!"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrimmedWarning)
        return chat.ask(prompt)


def test_the_oldest_turns_are_not_sent_and_stay_in_the_history(client, sandbox):
    chat = client.chat(history=turns(3), trim=28 * 2 + 5)
    with pytest.warns(TrimmedWarning, match=r"^2 of 6 messages of the conversation, the oldest, are not sent"):
        chat.ask("p!")
    assert sent(sandbox) == ["u1", "a1", "u2", "a2", "p!"]
    assert (chat.trimmed, len(chat.history)) == (2, 8)


def test_a_stream_is_trimmed_as_well(client, sandbox):
    chat = client.chat(history=turns(3), trim=40)
    with pytest.warns(TrimmedWarning):
        chat.stream("p!").read()
    assert sent(sandbox) == ["u2", "a2", "p!"]


@pytest.mark.parametrize(("trim", "remaining"), [(28 * 2 + 5, 4), (28 * 2 + 4, 2), (28 + 5, 2), (28 + 4, 0), (1, 0)])
def test_the_limit_itself_is_kept(client, sandbox, trim, remaining):
    ask(client.chat(history=turns(2), trim=trim))
    assert len(sent(sandbox)) == remaining + 1


def test_what_fits_is_sent_whole_without_a_word(client, sandbox):
    chat = client.chat(history=turns(3), trim=1000)
    chat.ask("p!")
    assert (len(sent(sandbox)), chat.trimmed) == (7, 0)


def test_it_is_said_once_and_again_when_it_begins_again(client):
    chat = client.chat(history=turns(3), trim=28 * 3)
    with pytest.warns(TrimmedWarning):
        chat.ask("p!")
    # A second warning would be an error here.
    chat.ask("p!")
    for _ in range(4):
        chat.undo()
    chat.ask("p!")
    assert chat.trimmed == 0
    with pytest.warns(TrimmedWarning):
        chat.ask("p" * 200)


def test_the_warning_names_the_line_of_the_user(client):
    with pytest.warns(TrimmedWarning) as caught:
        client.chat(history=turns(2), trim=5).ask("p!")
    assert caught[0].filename == __file__


def test_instructions_are_counted_and_never_left_out(client, sandbox):
    history = [Message("system", "s0"), *turns(1), Message("developer", "d0"), *turns(1)]
    ask(client.chat(system="S!" + WORDS, history=history, trim=10))
    assert sent(sandbox) == ["S!", "s0", "d0", "p!"]


def test_a_client_s_own_instructions_are_counted(sandbox):
    for system, remaining in ((None, 2), ("s" * 400, 0)):
        with Client(model="openai", api_key="sk-test", base_url=f"{sandbox.url}/v1", system=system) as client:
            ask(client.chat(history=turns(1), trim=60))
        assert len(sent(sandbox)) == remaining + 1 + (system is not None)


def test_calls_of_tools_and_their_results_go_together(client, sandbox):
    call = ToolCall("c1", "stock", {"article": "A-17"})
    tools = [
        Message("user", "t0"),
        ToolCallsMessage("assistant", "", (call,)),
        ToolResultMessage("tool", "4", call),
        Message("assistant", "t1"),
    ]
    ask(client.chat(history=[*tools, *turns(1)], trim=28 + 5 + 5))
    assert sent(sandbox) == ["u0", "a0", "p!"]


def test_the_turn_that_results_belong_to_stays(client, sandbox):
    call = ToolCall("c1", "stock", {"article": "A-17"})
    history = [*turns(1), Message("user", "t0"), ToolCallsMessage("assistant", "", (call,))]
    ask(client.chat(history=history, trim=1), [{"role": "tool", "tool_call_id": "c1", "content": "4!"}])
    assert [turn["role"] for turn in sandbox.requests[-1].json()["messages"]] == ["user", "assistant", "tool"]


def test_a_prompt_of_several_turns_stays_whole(client, sandbox):
    ask(client.chat(history=turns(2), trim=1), [*turns(1), Message("user", "p!")])
    assert sent(sandbox) == ["u0", "a0", "p!"]


def test_a_question_of_several_messages_goes_as_a_whole(client, sandbox):
    history = [Message("user", "u0"), Message("user", "u1"), Message("assistant", "a1"), *turns(1)]
    ask(client.chat(history=history, trim=28 + 5 + 9))
    assert sent(sandbox) == ["u0", "a0", "p!"]


def test_undo_takes_a_question_of_several_messages_back_as_a_whole(client):
    chat = client.chat(history=turns(1))
    before = chat.history
    chat.ask(["Context.", "Question?"])
    assert [turn.content for turn in chat.undo()][:2] == ["Context.", "Question?"]
    assert chat.history == before


def test_a_welcome_is_the_first_to_go(client, sandbox):
    ask(client.chat(history=[Message("assistant", "w0"), *turns(1)], trim=28 + 5))
    assert sent(sandbox) == ["u0", "a0", "p!"]


def test_tools_schemas_and_files_are_counted(client, sandbox):
    def stock(article: str) -> int:
        """Count the pieces of an article that are in stock."""
        return 4

    sandbox.says("[1]")
    for options in ({"tools": [stock]}, {"schema": list[int]}, {"files": [b"\x89PNG\r\n\x1a\n"]}):
        chat = client.chat(history=turns(1), trim=40)
        with pytest.warns(TrimmedWarning):
            chat.ask("p!", **options)


def test_a_text_file_is_counted_by_its_text():
    small, large = (
        count_message(Message("user", [{"type": "file", "file": file}]), "")
        for file in map(client_file, (b"one", b"x" * 40_000))
    )
    assert small < 20
    assert large > 10_000


def client_file(data):
    from aichatkit.attachments import load_file

    return load_file(data)


def test_auto_keeps_to_the_window_of_the_model_and_leaves_room_for_the_answer(client, sandbox):
    # The model takes 8,192: 2,048 of them are for the answer, and a tenth is left for doubt.
    history = [Message(role, "x" * 4000) for _ in range(5) for role in ("user", "assistant")]
    chat = client.chat(model="openai/small", history=history, trim="auto")
    ask(chat)
    assert chat.trimmed == 6
    chat = client.chat(model="openai/small", history=history, trim="auto", max_tokens=500)
    ask(chat)
    assert chat.trimmed == 4


def test_auto_leaves_out_turns_in_large_steps_so_that_the_history_begins_the_same(client):
    chat = client.chat(model="openai/small", trim="auto")
    counts = []
    for number in range(60):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chat.ask(f"{number} " + "x" * 800)
        counts.append(chat.trimmed)
    assert counts == sorted(counts)
    assert 60 < counts[-1] < 120
    assert len(set(counts)) <= 12


def test_auto_goes_by_the_smallest_window_that_is_known(client):
    history = [Message(role, "x" * 4000) for _ in range(5) for role in ("user", "assistant")]
    chat = client.chat(model=["openai/gpt-6-luna", "openai/unheard-of", "openai/small"], history=history, trim="auto")
    ask(chat)
    assert chat.trimmed == 6


def test_auto_with_a_window_that_is_not_known_is_an_error_before_anything_is_sent(client, sandbox):
    with pytest.raises(ConfigurationError, match="context window of openai/unheard-of is not known"):
        client.chat(model="openai/unheard-of", history=turns(1), trim="auto").ask("Hi")
    assert sandbox.requests == []


def test_a_bound_of_the_answer_that_leaves_nothing_leaves_out_all(client):
    chat = client.chat(model="openai/small", history=turns(1), trim="auto", max_tokens=10_000)
    ask(chat)
    assert chat.trimmed == 2


@pytest.mark.parametrize("trim", [0, -5, True, 1.5, "all", [100]])
def test_what_is_no_limit_is_refused(client, trim):
    with pytest.raises(ConfigurationError, match="trim: must be a number of tokens or 'auto'"):
        client.chat(trim=trim)


def test_a_fork_and_a_saved_conversation_keep_the_limit(client, sandbox, tmp_path):
    chat = client.chat(history=turns(2), trim=33)
    loaded = Chat.load(chat.save(tmp_path / "chat.json"), client=client)
    for other in (chat.fork(), loaded):
        with pytest.warns(TrimmedWarning):
            other.ask("p!")
        assert sent(sandbox) == ["u1", "a1", "p!"]
