"""Chats: what enters the history, and what a file saves."""

from __future__ import annotations

import copy
import json
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from aichatkit import (
    Chat,
    Client,
    ConfigurationError,
    Message,
    QuotaExceededError,
    Reply,
    StreamInterruptedError,
    Usage,
)
from aichatkit.chunks import Thought, ToolCall
from aichatkit.messages import ToolCallsMessage
from aichatkit.reply import sum_usage
from aichatkit.testing import Fake


def sent(sandbox):
    """Return role and content of each message of the last request."""
    return [(turn["role"], turn["content"]) for turn in sandbox.requests[-1].json()["messages"]]


def test_a_turn_enters_the_history_and_goes_with_the_next(client, sandbox):
    chat = client.chat()
    sandbox.says(["A good dog.", "Rex."])
    chat.ask("My dog is Rex.")
    assert str(chat.ask("His name?")) == "Rex."
    assert sent(sandbox) == [("user", "My dog is Rex."), ("assistant", "A good dog."), ("user", "His name?")]
    assert [turn.content for turn in chat.history] == ["My dog is Rex.", "A good dog.", "His name?", "Rex."]


def test_a_system_message_goes_before_each_turn_and_is_no_part_of_the_history(client, sandbox):
    chat = client.chat(system="Be brief.")
    chat.ask("Hi")
    chat.ask("Ho")
    assert [role for role, _ in sent(sandbox)] == ["system", "user", "assistant", "user"]
    assert "system" not in [turn.role for turn in chat.history]


def test_options_of_a_chat_hold_for_every_turn_and_those_of_a_turn_win(client, sandbox):
    chat = client.chat(model="openai/gpt-6-sol", temperature=0.1)
    chat.ask("Hi")
    chat.ask("Ho", temperature=0.9, model="openai/gpt-6-luna", system="Be rude.")
    first, second = (request.json() for request in sandbox.requests)
    assert (first["model"], first["temperature"]) == ("gpt-6-sol", 0.1)
    assert (second["model"], second["temperature"], second["messages"][0]["content"]) == (
        "gpt-6-luna",
        0.9,
        "Be rude.",
    )


def test_a_streamed_turn_enters_when_it_has_ended_and_not_before(client):
    chat = client.chat()
    with chat.stream("Hi") as stream:
        next(stream)
        assert chat.history == []
        text = stream.read().text
    assert [turn.content for turn in chat.history] == ["Hi", text]


def test_a_stream_that_was_left_does_not_enter(client, sandbox):
    sandbox.says("one two three four five")
    chat = client.chat()
    with chat.stream("Hi") as stream:
        next(stream)
    assert chat.history == []


def test_a_turn_that_broke_off_does_not_enter_and_can_be_asked_again(client, sandbox):
    sandbox.script("cut,after=1")
    chat = client.chat()
    with pytest.raises(StreamInterruptedError):
        chat.ask("Hi")
    assert chat.history == []
    chat.ask("Hi")
    assert [role for role, _ in sent(sandbox)] == ["user"]


def test_a_refused_turn_does_not_enter(client, sandbox):
    sandbox.script("quota")
    chat = client.chat()
    with pytest.raises(QuotaExceededError):
        chat.ask("Hi")
    assert chat.history == []


def test_a_bad_prompt_is_refused_and_does_not_enter(client, sandbox):
    chat = client.chat()
    with pytest.raises(ConfigurationError):
        chat.ask([{"role": "user"}])
    assert (chat.history, sandbox.requests) == ([], [])


def test_history_is_a_copy(client):
    chat = client.chat(history=["Hi"])
    chat.history.clear()
    assert chat.history == [Message("user", "Hi")]


def test_undo_takes_the_last_question_and_its_answer(client):
    chat = client.chat()
    chat.ask("Hi")
    before = chat.history
    chat.ask("Ho")
    assert [turn.role for turn in chat.undo()] == ["user", "assistant"]
    assert chat.history == before


def test_undo_of_nothing_is_nothing(client):
    assert client.chat().undo() == []


def test_undo_takes_what_came_without_a_question(client):
    chat = client.chat(history=[{"from": "bot", "content": "Welcome!"}])
    assert [turn.content for turn in chat.undo()] == ["Welcome!"]
    assert chat.history == []


def test_a_fork_starts_from_the_same_history_and_goes_its_own_way(client, sandbox):
    chat = client.chat(system="Be brief.", model="openai/gpt-6-sol", seed=7)
    chat.ask("Hi")
    before = chat.history
    fork = chat.fork()
    fork.ask("Ho")
    assert (len(fork.history), chat.history) == (4, before)
    body = sandbox.requests[-1].json()
    assert (body["model"], body["seed"], body["messages"][0]["content"]) == ("gpt-6-sol", 7, "Be brief.")


def test_a_saved_conversation_goes_on_where_it_was(client, sandbox, tmp_path):
    chat = client.chat(system="Be brief.", model="openai/gpt-6-sol")
    chat.ask("Grüße, 世界!")
    loaded = Chat.load(chat.save(tmp_path / "chat.json"), client=client)
    assert loaded.history == chat.history
    loaded.ask("Ho")
    assert sandbox.requests[-1].json()["model"] == "gpt-6-sol"
    assert [role for role, _ in sent(sandbox)] == ["system", "user", "assistant", "user"]


def test_the_file_is_readable_json_with_a_version(client, tmp_path):
    path = client.chat(system="Be brief.", history=["Grüße"], seed=7).save(str(tmp_path / "chat.json"))
    text = path.read_text(encoding="utf-8")
    assert "Grüße" in text
    assert text.count("\n") > 5
    record = json.loads(text)
    assert datetime.now(timezone.utc) - datetime.fromisoformat(record.pop("saved")) < timedelta(minutes=1)
    assert record == {
        "aichatkit": 2,
        "system": "Be brief.",
        "model": None,
        "options": {"seed": 7},
        "cost": 0.0,
        "messages": [{"role": "user", "content": "Grüße"}],
    }


def test_a_loaded_conversation_keeps_its_sampling_parameters(client, sandbox, tmp_path):
    path = client.chat(temperature=0.1, top_p=None).save(tmp_path / "chat.json")
    Chat.load(path, client=client).ask("Hi")
    body = sandbox.requests[-1].json()
    assert (body["temperature"], "top_p" in body) == (0.1, False)


def test_headers_and_tools_stay_out_of_the_file(client, tmp_path):
    def stock(article: str) -> int:
        """Count."""
        return 4

    path = client.chat(headers={"X-Token": "hidden"}, tools=[stock]).save(tmp_path / "chat.json")
    assert json.loads(path.read_text(encoding="utf-8"))["options"] == {}


def test_what_json_cannot_hold_is_told_and_nothing_is_written(client, tmp_path):
    with pytest.raises(ConfigurationError, match="JSON"):
        client.chat(logit_bias={"1": {2}}).save(tmp_path / "chat.json")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_first_version_is_read(client, tmp_path):
    first = {
        "aichatkit": 1,
        "system": "Be brief.",
        "model": "openai/gpt-6-sol",
        "messages": [{"role": "user", "content": "Hi"}],
    }
    (tmp_path / "chat.json").write_text(json.dumps(first), encoding="utf-8")
    chat = Chat.load(tmp_path / "chat.json", client=client)
    assert (chat.system, chat.model, chat.history) == ("Be brief.", "openai/gpt-6-sol", [Message("user", "Hi")])


def test_a_file_of_a_newer_version_says_so(client, tmp_path):
    (tmp_path / "chat.json").write_text('{"aichatkit": 3, "turns": []}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"newer aichatkit .* upgrade"):
        Chat.load(tmp_path / "chat.json", client=client)


def test_no_key_gets_into_the_file(client, tmp_path):
    chat = client.chat()
    chat.ask("Hi")
    assert "sk-test" not in chat.save(tmp_path / "chat.json").read_text(encoding="utf-8")


def test_parts_are_saved_as_well(client, tmp_path):
    parts = [{"type": "text", "text": "Hi"}]
    path = client.chat(history=[{"role": "user", "content": parts}]).save(tmp_path / "chat.json")
    assert Chat.load(path, client=client).history[0].content == parts


def test_saving_replaces_the_file_in_one_step(client, tmp_path, monkeypatch):
    path = client.chat(history=["old"]).save(tmp_path / "chat.json")

    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="no space"):
            client.chat(history=["new"]).save(path)
    assert [path.name for path in tmp_path.iterdir()] == ["chat.json"]
    assert Chat.load(path, client=client).history == [Message("user", "old")]
    client.chat(history=["new"]).save(path)
    assert Chat.load(path, client=client).history == [Message("user", "new")]


def test_a_finished_save_leaves_only_its_file(client, tmp_path):
    client.chat(history=["Hi"]).save(tmp_path / "chat.json")
    assert [path.name for path in tmp_path.iterdir()] == ["chat.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_saving_again_keeps_the_rights_of_the_file(client, tmp_path):
    path = client.chat(history=["Hi"]).save(tmp_path / "chat.json")
    path.chmod(0o600)
    client.chat(history=["Ho"]).save(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_export_is_markdown_for_people(client, sandbox, tmp_path):
    sandbox.says("Hello!")
    chat = client.chat(system="Be brief.")
    chat.ask("Grüße")
    text = chat.export(tmp_path / "chat.md").read_text(encoding="utf-8")
    assert text == chat.to_markdown() == "## System\n\nBe brief.\n\n## User\n\nGrüße\n\n## Assistant\n\nHello!\n"


def test_an_export_to_json_is_what_save_writes(client, tmp_path):
    chat = client.chat(history=["Hi"])
    assert Chat.load(chat.export(tmp_path / "chat.JSON"), client=client).history == chat.history


@pytest.mark.parametrize("name", ["x.pdf", "x.txt", "x.docx", "x.md.bak", "x", ".md"])
@pytest.mark.parametrize("kind", [str, Path])
def test_an_export_to_another_kind_of_file_is_refused(client, tmp_path, name, kind):
    with pytest.raises(ConfigurationError, match=r"must end in \.md or \.json"):
        client.chat(history=["Hi"]).export(kind(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [Chat.save, Chat.export])
def test_the_error_for_an_unwritable_path_names_it(client, tmp_path, write):
    path = tmp_path / "nowhere" / "x.json"
    with pytest.raises(FileNotFoundError) as caught:
        write(client.chat(history=["Hi"]), path)
    assert str(caught.value) == f"[Errno 2] No such file or directory: {str(path)!r}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello",
        "[]",
        "{}",
        '{"aichatkit": "2", "system": null, "model": null, "messages": []}',
        '{"aichatkit": 0, "system": null, "model": null, "messages": []}',
        '{"aichatkit": 1, "system": null}',
        '{"aichatkit": 1, "system": null, "model": null, "messages": {}}',
        '{"aichatkit": 2, "system": null, "model": null, "options": [], "messages": []}',
        '{"aichatkit": 1, "system": null, "model": null, "messages": [{"role": "user"}]}',
        "\N{REPLACEMENT CHARACTER}",
    ],
)
def test_a_file_that_is_no_conversation_is_told(client, tmp_path, text):
    (tmp_path / "chat.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"chat\.json"):
        Chat.load(tmp_path / "chat.json", client=client)


def test_a_file_that_is_not_there_is_python_s_own_error(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        Chat.load(tmp_path / "chat.json", client=client)


def test_a_loaded_conversation_uses_the_default_client_unless_told(client, tmp_path):
    path = client.chat(model="offline").save(tmp_path / "chat.json")
    assert Chat.load(path).ask("Hi").provider == "offline"


def test_turns_of_many_threads_enter_whole(client, sandbox):
    sandbox.says("Yes.")
    chat = client.chat()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: chat.ask(f"Question {number}"), range(24)))
    roles = [turn.role for turn in chat.history]
    assert roles == ["user", "assistant"] * 24
    assert len({turn.content for turn in chat.history}) == 25


def test_two_streams_of_one_chat_enter_in_the_order_of_their_ends(client, sandbox):
    sandbox.says(["first", "second"])
    chat = client.chat()
    early, late = chat.stream("A"), chat.stream("B")
    late.read()
    early.read()
    assert [turn.content for turn in chat.history] == ["B", "second", "A", "first"]


def test_a_history_may_be_given_in_any_form(client):
    chat = client.chat(history=[{"from": "you", "content": "Hi"}, Message("assistant", "Ho")])
    assert [turn.role for turn in chat.history] == ["user", "assistant"]


def test_the_repr_tells_the_length_and_no_word(client):
    assert repr(client.chat(history=["secret"])) == "<Chat of 1 messages>"


def test_a_chat_of_a_thread_that_ended_can_be_used_in_another(client):
    chats = []
    thread = threading.Thread(target=lambda: chats.append(client.chat()) or chats[0].ask("Hi"))
    thread.start()
    thread.join()
    chats[0].ask("Ho")
    assert len(chats[0].history) == 4


def test_a_chat_pickles_with_its_history_and_without_the_key():
    chat = Client(model="openai", api_key="sk-test").chat(system="Be brief.", history=["Hi"])
    data = pickle.dumps(chat)
    again = pickle.loads(data)
    assert (again.history, again.system) == (chat.history, "Be brief.")
    assert b"sk-test" not in data


def test_a_deep_copy_can_be_asked_at_once(client):
    chat = copy.deepcopy(client.chat(history=["Hi"]))
    chat.ask("Ho")
    assert len(chat.history) == 3


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def pictures(sandbox):
    """Return the addresses of the pictures in the last request."""
    contents = [turn["content"] for turn in sandbox.requests[-1].json()["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def test_a_file_of_one_turn_is_there_in_the_next(client, sandbox):
    chat = client.chat()
    chat.ask("What is this?", files=[PNG])
    with chat.stream("And its colour?") as stream:
        stream.read()
    assert len(pictures(sandbox)) == 1


def test_a_saved_conversation_keeps_its_files(client, sandbox, tmp_path):
    chat = client.chat()
    chat.ask("What are these?", files=[PNG, "https://example.org/a.png"])
    loaded = Chat.load(chat.save(tmp_path / "chat.json"), client=client)
    loaded.ask("And their colours?")
    embedded, linked = pictures(sandbox)
    assert embedded.startswith("data:image/png;base64,")
    assert linked == "https://example.org/a.png"


def test_an_answer_that_fits_no_schema_is_asked_for_again_as_the_client_does(client, sandbox):
    sandbox.says(["five", '{"sum": 5}'])
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    chat = client.chat()
    assert chat.ask("Two and three?", schema=schema).data == {"sum": 5}
    assert [turn.content for turn in chat.history] == ["Two and three?", '{"sum": 5}']


STOCK = {"name": "stock", "parameters": {"type": "object", "properties": {"part": {"type": "string"}}}}


def asks_twice(client, sandbox):
    """A conversation whose last answer calls a dict tool twice."""
    chat = client.chat(tools=[STOCK])
    chat.ask('call stock {"part": "A-17"} and call stock {"part": "B-2"}')
    return chat


def results_of(chat):
    calls = chat.history[-1].calls
    return [{"role": "tool", "tool_call_id": call.id, "content": str(i)} for i, call in enumerate(calls)]


def test_calls_that_are_left_to_the_caller_enter_and_their_results_go_on(client, sandbox):
    chat = asks_twice(client, sandbox)
    assert [call.arguments["part"] for call in chat.history[-1].calls] == ["A-17", "B-2"]
    chat.ask(results_of(chat))
    assert [turn.role for turn in chat.history] == ["user", "assistant", "tool", "tool", "assistant"]
    calls = sandbox.requests[-1].json()["messages"][1]["tool_calls"]
    results = sandbox.requests[-1].json()["messages"][2:]
    assert [turn["tool_call_id"] for turn in results] == [call["id"] for call in calls]


@pytest.mark.parametrize("prompt", ["Never mind.", 1])
def test_a_turn_without_the_results_the_model_waits_for_is_refused_before_it_is_sent(client, sandbox, prompt):
    chat = asks_twice(client, sandbox)
    with pytest.raises(ConfigurationError, match=r"waits for what 'stock' returns.*undo\(\)"):
        chat.ask(prompt if isinstance(prompt, str) else results_of(chat)[:prompt])
    assert len(sandbox.requests) == 1


def test_a_question_whose_tools_are_not_run_is_taken_back(client, sandbox):
    chat = asks_twice(client, sandbox)
    chat.undo()
    chat.ask("Never mind.")
    assert [turn.role for turn in chat.history] == ["user", "assistant"]


def test_results_may_come_after_the_conversation_was_saved(client, sandbox, tmp_path):
    chat = asks_twice(client, sandbox)
    loaded = Chat.load(chat.save(tmp_path / "chat.json"), client=client)
    assert loaded.history == chat.history
    loaded.ask(results_of(loaded))
    assert len(loaded.history) == 5


def test_what_a_service_wants_to_see_again_is_saved(client, tmp_path):
    call = ToolCall("t1", "stock", {}, "anthropic:c2ln")
    message = ToolCallsMessage("assistant", "", (call,), "Hm.", (Thought("Hm.", "anthropic:c2ln"),))
    path = client.chat(history=["Stock?", message]).save(tmp_path / "chat.json")
    assert Chat.load(path, client=client).history[-1] == message


def test_thoughts_of_another_form_are_refused():
    turn = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}], "thoughts": [7]}
    with pytest.raises(ConfigurationError, match="as a saved conversation has them"):
        Client(model="offline").chat(history=["Hi", turn])


def test_an_answer_without_anything_does_not_enter():
    class Asks(Client):
        def ask(self, prompt, **options):
            return Reply("", "openai", "gpt-6-sol")

    chat = Asks().chat()
    chat.ask("Stock of A-17?")
    assert chat.history == []


def test_how_closely_to_look_at_a_picture_is_kept(client, sandbox, tmp_path):
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}
    chat = client.chat()
    chat.ask([{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}])
    Chat.load(chat.save(tmp_path / "chat.json"), client=client).ask("And now?")
    assert [request.json()["messages"][0]["content"][1] for request in sandbox.requests] == [picture, picture]


def test_a_conversation_adds_up_what_its_replies_used_and_cost():
    chat = Fake(["one", "two", "three"]).client().chat()
    assert (chat.cost, chat.usage) == (0.0, Usage())
    replies = [chat.ask("Hi"), chat.stream("Ho").read(), chat.show("Hey", plain=True)]
    assert min(reply.cost for reply in replies) > 0
    assert chat.cost == pytest.approx(sum(reply.cost for reply in replies))
    assert chat.usage == sum_usage(reply.usage for reply in replies)
    assert chat.usage.total_tokens == sum(reply.usage.total_tokens for reply in replies)
    assert len(chat) == 6
    assert chat.messages == chat.history


def test_what_was_paid_stays_paid():
    chat = Fake(["one", "two", "three"]).client().chat()
    first = chat.ask("Hi").cost
    chat.undo()
    second = chat.ask("Hi").cost
    other = chat.fork()
    chat.clear()
    assert (len(chat), chat.history, chat.cost) == (0, [], pytest.approx(first + second))
    third = chat.ask("Ho").cost
    assert (chat.cost, other.cost, len(other)) == (
        pytest.approx(first + second + third),
        pytest.approx(first + second),
        2,
    )
    assert copy.deepcopy(other).cost == other.cost


def test_a_turn_of_unknown_cost_makes_the_cost_unknown():
    chat = Fake(["one", "two", "three"]).client().chat()
    chat.ask("Hi")
    known = chat.usage.total_tokens
    chat.ask("Ho", model="openai/a-model-without-a-price")
    chat.ask("Hey")
    assert chat.cost is None
    assert chat.usage.total_tokens > known


def test_a_call_that_failed_is_not_counted(client, sandbox):
    chat = client.chat()
    sandbox.script("quota")
    with pytest.raises(QuotaExceededError):
        chat.ask("Hi")
    assert (chat.cost, chat.usage, len(chat)) == (0.0, Usage(), 0)


def test_a_saved_conversation_keeps_its_usage_and_cost(tmp_path):
    chat = Fake(["one"]).client().chat()
    chat.ask("Hi")
    again = Chat.load(chat.save(tmp_path / "chat.json"), client=chat.client)
    assert chat.cost > 0
    assert (again.cost, again.usage) == (chat.cost, chat.usage)


@pytest.mark.parametrize(
    ("given", "cost", "usage"),
    [
        ({}, None, Usage()),
        ({"cost": "a lot", "usage": 5}, None, Usage()),
        ({"cost": -1, "usage": {"input_tokens": -1, "output_tokens": 2, "other": 3}}, None, Usage(output_tokens=2)),
        ({"cost": 1, "usage": {"input_tokens": True}}, 1.0, Usage()),
    ],
)
def test_a_file_that_does_not_say_what_was_paid_has_an_unknown_cost(client, tmp_path, given, cost, usage):
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"aichatkit": 2, "system": None, "model": None, "messages": [], **given}))
    chat = Chat.load(path, client=client)
    assert (chat.cost, chat.usage) == (cost, usage)
    # Nothing is made up when it is saved again.
    assert Chat.load(chat.save(path), client=client).cost == cost


def test_a_conversation_without_messages_is_still_one(client):
    assert client.chat()
    assert len(client.chat()) == 0
    assert client.chat().clear() is None


@pytest.mark.parametrize("name", ["chat.md", "chat.txt", "chat.csv"])
def test_a_suffix_that_is_not_written_is_refused(tmp_path, client, name):
    with pytest.raises(ConfigurationError, match=r"must end in \.json; export writes \.md"):
        client.chat(history=["Hi"]).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["chat.json", "chat.JSON", "chat"])
def test_a_chat_is_saved_as_json(tmp_path, client, name):
    path = client.chat(history=["Hi"]).save(tmp_path / name)
    assert path.read_text(encoding="utf-8").startswith("{")
