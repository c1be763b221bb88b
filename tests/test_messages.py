"""Whatever a user may pass as a prompt, and what is refused before anything is sent."""

from __future__ import annotations

import pytest

from aichatkit import Client, ConfigurationError, Message
from aichatkit.chunks import ToolCall
from aichatkit.messages import File, ToolResultMessage, format_prompt, iter_files, parse_messages, text_of_file

PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    "prompt",
    [
        "Hi",
        Message("user", "Hi"),
        {"role": "user", "content": "Hi"},
        {"from": "you", "content": "Hi"},
        ["Hi"],
        ("Hi",),
        [Message("user", "Hi")],
        [{"role": "user", "content": "Hi"}],
        (turn for turn in ["Hi"]),
    ],
)
def test_every_form_of_a_prompt_becomes_the_same_message(prompt):
    assert parse_messages(prompt) == [Message("user", "Hi")]


def test_forms_may_be_mixed_and_keep_their_order():
    prompt = [{"role": "system", "content": "Be brief."}, {"from": "you", "content": "Hi"}, Message("assistant", "Ho")]
    assert [turn.role for turn in parse_messages([*prompt, "Bye"])] == ["system", "user", "assistant", "user"]


def test_the_old_form_calls_the_assistant_bot():
    assert parse_messages({"from": "bot", "content": "Hello!"}) == [Message("assistant", "Hello!")]


def test_parts_stay_as_they_are():
    parts = [{"type": "text", "text": "What is this?"}, PICTURE]
    assert parse_messages({"role": "user", "content": parts})[0].content == parts


def test_system_comes_first_and_history_before_the_prompt():
    turns = parse_messages("Bye", system="Be brief.", history=[Message("user", "Hi"), Message("assistant", "Ho")])
    assert [turn.content for turn in turns] == ["Be brief.", "Hi", "Ho", "Bye"]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        (None, "not NoneType"),
        (5, "not int"),
        (b"Hi", "not bytes"),
        (bytearray(b"Hi"), "not bytearray"),
        ([], "no messages"),
        ("", "empty"),
        (" \n\t", "empty"),
        ([5], "not int"),
        ([None], "not NoneType"),
        ({"content": "Hi"}, 'no "role"'),
        ({"role": "user"}, 'no "content"'),
        ({"from": "you"}, 'no "content"'),
        ({"from": "me", "content": "Hi"}, '"you" or "bot"'),
        ({"role": "robot", "content": "Hi"}, "not 'robot'"),
        ({"role": ["user"], "content": "Hi"}, "role must be one of"),
        ({"role": None, "content": "Hi"}, "role must be one of"),
        (Message("human", "Hi"), "not 'human'"),
        ({"role": "user", "content": None}, "not NoneType"),
        ({"role": "user", "content": 5}, "not int"),
        ({"role": "user", "content": []}, "empty"),
        ({"role": "user", "content": ["Hi"]}, "a part must be a dict"),
        ({"role": "user", "content": [{"text": "Hi"}]}, "a part must be a dict"),
        ({"role": "user", "content": [{"type": 5}]}, "a part must be a dict"),
        ({"role": "user", "content": [{"type": "text"}]}, "a string"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "a string"),
        ({"role": "user", "content": [{"type": "text", "text": " "}]}, "empty"),
    ],
)
def test_a_bad_prompt_is_refused_before_anything_is_sent(client, sandbox, prompt, told):
    with pytest.raises(ConfigurationError, match=told):
        client.ask(prompt)
    assert sandbox.requests == []


def test_a_picture_alone_is_a_prompt():
    assert parse_messages({"role": "user", "content": [PICTURE]})[0].content == [PICTURE]


@pytest.mark.parametrize("system", ["", " ", 5, ["Be brief."]])
def test_a_system_message_without_text_is_refused(system):
    with pytest.raises(ConfigurationError, match="system"):
        parse_messages("Hi", system=system)


def test_the_text_of_parts_is_their_lines():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert Message("user", parts).text == "one\ntwo"


def test_a_part_that_is_not_text_has_no_text_and_moves_on_to_the_next_provider():
    with pytest.raises(ConfigurationError, match="image_url") as caught:
        Message("user", [PICTURE]).text  # noqa: B018
    assert caught.value.action == "next"


def test_a_conversation_is_labelled_for_services_that_take_one_string():
    turns = [Message("user", "Hi"), Message("assistant", "Ho"), Message("user", "Bye")]
    assert format_prompt(turns) == "User: Hi\nAssistant: Ho\nUser: Bye\nAssistant:"


def test_the_user_s_own_list_is_not_altered(sandbox):
    prompt = [{"role": "user", "content": "Hi"}]
    with Client(model="openai", api_key="sk-test", base_url=f"{sandbox.url}/v1", system="Be brief.") as client:
        client.ask(prompt)
    assert prompt == [{"role": "user", "content": "Hi"}]


def test_the_files_of_messages_are_found_in_their_order():
    one, two = File("image", "image/png", url="https://example.org/a.png"), File("text", "text/plain", data=b"x")
    parts = [{"type": "file", "file": one}, {"type": "text", "text": "What is this?"}]
    turns = [Message("user", parts), Message("user", "Hi"), Message("user", [{"type": "file", "file": two}])]
    assert list(iter_files(turns)) == [one, two]


def asks(arguments='{"part": "A-17"}', **call):
    """Return an assistant's turn in OpenAI's form that asks for a tool."""
    function = {"name": "stock", "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "function": function, **call}]}


def test_the_turns_of_tools_are_read_from_openai_s_form():
    result = {"role": "tool", "tool_call_id": "call_1", "content": "12"}
    _, asked, answered = parse_messages(["Stock of A-17?", asks(), result])
    assert asked.calls == (ToolCall("call_1", "stock", {"part": "A-17"}),)
    assert (asked.text, answered.text, answered.call) == ("", "12", asked.calls[0])


def test_a_result_that_nobody_asked_for_is_refused():
    with pytest.raises(ConfigurationError, match="no message before asks for the tool call 'call_9'"):
        parse_messages(["Stock?", asks(), {"role": "tool", "tool_call_id": "call_9", "content": "12"}])


@pytest.mark.parametrize(
    "turn", [asks("{"), asks("[]"), asks(function=None), asks(function={"arguments": "{}"}), asks(5)]
)
def test_a_tool_call_that_cannot_be_read_is_refused(turn):
    with pytest.raises(ConfigurationError, match="a tool call must look like"):
        parse_messages(["Stock?", turn])


def test_a_text_file_is_shown_under_its_name():
    assert text_of_file(File("text", "text/plain", "a.txt", b"One.")) == "a.txt:\nOne."
    assert text_of_file(File("text", "text/plain", data=b"One.")) == "One."


@pytest.mark.parametrize("extra", [5, "x", [("a", 1)]])
def test_extra_fields_that_are_no_dict_are_refused(client, sandbox, extra):
    with pytest.raises(ConfigurationError, match="extra: must be a dict"):
        client.ask("Hi", extra=extra)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"n": 1}, {"n": 1}),
        ({}, {}),
        (None, {}),
        ("", {}),
        (" ", {}),
        ("null", {}),
        (r'"{\"n\": 1}"', {"n": 1}),
    ],
)
def test_the_arguments_of_a_call_may_be_an_object_or_missing(arguments, fields):
    assert parse_messages(["Stock?", asks(arguments)])[1].calls[0].arguments == fields


@pytest.mark.parametrize("arguments", ['{"n": NaN}', {"n": float("inf")}, {"n": {1}}, [1], "[1]", 5, "5", False])
def test_arguments_that_are_not_a_json_object_are_rejected(arguments):
    with pytest.raises(ConfigurationError, match="a tool call must look like"):
        parse_messages(["Stock?", asks(arguments)])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("12", "12"),
        ("", ""),
        (None, ""),
        (0, "0"),
        (False, "false"),
        (1.5, "1.5"),
        ({"n": [12, "ü"]}, '{"n": [12, "\\u00fc"]}'),
        ([], "[]"),
        ([12, None], "[12, null]"),
        ([{"n": 1}], '[{"n": 1}]'),
        ([{"type": "text", "text": "1"}, {"type": "text", "text": "2"}], "1\n2"),
        (({"type": "text", "text": "1"},), "1"),
        ("caf\udce9", "caf\ufffd"),
    ],
)
def test_the_content_of_a_result_becomes_text(content, text):
    result = {"role": "tool", "tool_call_id": "call_1", "content": content}
    message = ToolResultMessage("tool", content, ToolCall("call_1", "stock"))
    for item in (result, message):
        assert parse_messages(["Stock?", asks(), item])[2].content == text


@pytest.mark.parametrize("content", [b"12", {1}, float("nan"), {"n": object()}])
def test_a_result_that_is_not_json_data_is_rejected(content):
    with pytest.raises(ConfigurationError, match="must be text or JSON data"):
        parse_messages(["Stock?", asks(), {"role": "tool", "tool_call_id": "call_1", "content": content}])


def test_a_result_keeps_its_files():
    content = [{"type": "text", "text": "Here:"}, PICTURE]
    result = {"role": "tool", "tool_call_id": "call_1", "content": content}
    message = ToolResultMessage("tool", content, ToolCall("call_1", "stock"))
    for item in (result, message):
        assert parse_messages(["Stock?", asks(), item])[2].content == content


@pytest.mark.parametrize("part", [{"type": "table"}, {"type": "text", "text": 5}])
def test_a_result_has_only_texts_and_files(part):
    with pytest.raises(ConfigurationError, match="part of type"):
        parse_messages(["Stock?", asks(), {"role": "tool", "tool_call_id": "call_1", "content": [part]}])


def test_results_belong_to_the_latest_call_of_their_id():
    first, second = asks('{"part": "1"}'), asks('{"part": "2"}')
    result = {"role": "tool", "tool_call_id": "call_1", "content": "12"}
    messages = parse_messages(["Stock?", first, result, second, result])
    assert [message.call.arguments for message in (messages[2], messages[4])] == [{"part": "1"}, {"part": "2"}]


@pytest.mark.parametrize(
    "content", ["", " \n", None, [], [{"type": "text", "text": " "}], ({"type": "text", "text": ""},)]
)
def test_empty_turns_are_left_out(content):
    empty = {"role": "assistant", "content": content}
    assert parse_messages(["Hi", empty, "Bye"]) == [Message("user", "Hi"), Message("user", "Bye")]
    assert parse_messages(["Hi", empty]) == [Message("user", "Hi")]
    assert parse_messages([{"role": "user", "content": content}, "Hi"]) == [Message("user", "Hi")]
    for prompt in ([empty], ["Hi", {"role": "user", "content": content}]):
        with pytest.raises(ConfigurationError, match="content"):
            parse_messages(prompt)


def test_a_turn_with_a_picture_or_a_call_is_not_empty():
    picture = {"role": "assistant", "content": [PICTURE]}
    assert len(parse_messages(["Hi", picture, asks(), "Bye"])) == 4
    assert parse_messages(["Hi", {**asks(), "content": []}])[1].content == ""


@pytest.mark.parametrize("content", [0, 5, {"text": "Hi"}])
def test_a_turn_of_calls_has_text_or_parts(content):
    with pytest.raises(ConfigurationError, match="content must be a string or a list of parts"):
        parse_messages(["Hi", {**asks(), "content": content}])


def test_lone_surrogates_are_replaced_in_every_part_of_a_message():
    parts = [{"type": "text", "text": "a\ud83d"}, PICTURE, {"type": "text", "text": "b"}]
    messages = parse_messages([Message("user", parts), "c\ude00"], system="d\ud83d")
    assert [messages[0].text, messages[1].content, messages[2].text] == [
        "d\ufffd",
        [{"type": "text", "text": "a\ufffd"}, PICTURE, {"type": "text", "text": "b"}],
        "c\ufffd",
    ]
    # What the user passed is not altered.
    assert parts[0]["text"] == "a\ud83d"


@pytest.mark.parametrize("name", ["tool_calls", "thoughts"])
@pytest.mark.parametrize("value", [5, "x", {"a": 1}, 1.5], ids=repr)
def test_calls_and_thoughts_are_lists(name, value):
    call = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    record = {"role": "assistant", "content": "", "tool_calls": [call], name: value}
    with pytest.raises(ConfigurationError, match=f"message: its '{name}' must be a list"):
        parse_messages([record, {"role": "user", "content": "Hi"}])
