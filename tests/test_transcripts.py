"""A conversation as Markdown: what people see of files, tools and code."""

from __future__ import annotations

import pytest

from aichatkit import _json
from aichatkit.chunks import ToolCall
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.transcripts import message_to_dict, messages_to_markdown, searchable_text

CALL = ToolCall("c1", "stock", {"article": "A-17"})
TOOLS = [
    Message("user", "How many?"),
    ToolCallsMessage("assistant", "", (CALL,)),
    ToolResultMessage("tool", "4", CALL),
    Message("assistant", "Four."),
]


def body(content):
    """Return what stands below the heading of one message."""
    return messages_to_markdown([Message("user", content)]).partition("\n\n")[2][:-1]


def test_a_conversation_without_messages_is_empty():
    assert messages_to_markdown([]) == ""


def test_every_role_has_its_heading():
    roles = ["developer", "user", "assistant", "system"]
    text = messages_to_markdown([Message(role, role) for role in roles], system="first")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## System",
        "## System",
        "## User",
        "## Assistant",
        "## System",
    ]


def test_calls_of_tools_and_their_results_are_shown_as_code():
    assert messages_to_markdown(TOOLS[1:3]) == (
        '## Assistant\n\nCalls `stock`:\n\n```json\n{\n  "article": "A-17"\n}\n```\n\n'
        "## Tool\n\n`stock` answered:\n\n```\n4\n```\n"
    )


def test_the_words_beside_a_call_are_kept():
    assert "I look.\n\nCalls `stock`" in messages_to_markdown([ToolCallsMessage("assistant", "I look.", (CALL,))])


def test_a_fence_in_a_result_does_not_end_its_own():
    text = messages_to_markdown([ToolResultMessage("tool", "````\ncode\n````", CALL)])
    assert "`````\n````\ncode\n````\n`````" in text


def test_files_in_a_result_are_named_next_to_its_text():
    parts = [{"type": "text", "text": "Here:"}, {"type": "file", "file": File("image", "image/png", "a.png", b"12")}]
    text = messages_to_markdown([ToolResultMessage("tool", parts, CALL)])
    assert text.endswith("`stock` answered:\n\n```\nHere:\n```\n\n*Attached: a.png (image/png, 2 bytes)*\n")


def test_a_file_is_named_and_its_bytes_stay_out():
    file = File("image", "image/png", "cat.png", bytes(1234))
    assert body([{"type": "text", "text": "Look"}, {"type": "file", "file": file}]) == (
        "Look\n\n*Attached: cat.png (image/png, 1,234 bytes)*"
    )


def test_a_file_without_a_name_is_told_by_its_kind():
    assert body([{"type": "file", "file": File("audio", "audio/wav", "", b"RIFF")}]) == (
        "*Attached: audio file (audio/wav, 4 bytes)*"
    )


def test_a_picture_with_an_address_is_shown_and_another_file_is_linked():
    picture = File("image", "image/png", "a].png", url="https://example.org/a b>.png")
    paper = File("pdf", "application/pdf", "b.pdf", url="https://example.org/b.pdf")
    assert body([{"type": "file", "file": file} for file in (picture, paper)]) == (
        "![a .png](<https://example.org/a%20b%3E.png>)\n\n[b.pdf](<https://example.org/b.pdf>)"
    )


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("```python\nprint(1)", "\n```"),
        ("~~~~\ncode\n~~~", "\n~~~~"),
        ("```\none\n```\n\n```\ntwo", "\n```"),
        ("```\none\n```", ""),
        ("```\none\n````  ", ""),
        ("``` inline ``` and more", ""),
        ("~~~ a ~ b", "\n~~~"),
        ("    ```\nindented code", ""),
        ("no code", ""),
    ],
)
def test_a_fence_that_was_left_open_is_closed(text, end):
    assert body(text) == text + end


def test_blank_parts_leave_no_gap():
    assert body([{"type": "text", "text": ""}, {"type": "text", "text": "Hi"}]) == "Hi"


def test_words_of_a_saved_turn_name_files_and_tools():
    file = File("pdf", "application/pdf", "report.pdf", b"%PDF-")
    turn = message_to_dict(Message("user", [{"type": "text", "text": "Read"}, {"type": "file", "file": file}]))
    assert searchable_text(turn) == "Read\nreport.pdf"
    assert "A-17" in searchable_text(message_to_dict(TOOLS[1]))


@pytest.mark.parametrize("turn", [None, {}, {"content": [1, {"type": "image"}]}, {"tool_calls": [1]}])
def test_a_turn_that_is_none_has_no_words(turn):
    assert searchable_text(turn) == ""


def test_arguments_are_saved_with_all_digits():
    call = ToolCall("c1", "pay", _json.loads('{"sum": 98765432109876543.210}'))
    (saved,) = message_to_dict(ToolCallsMessage("assistant", "", (call,)))["tool_calls"]
    assert saved["function"]["arguments"] == '{"sum": 98765432109876543.210}'
