"""Blocks of an answer that go back to the service as they came."""

from __future__ import annotations

from aichatkit.call.blocks import Blocks
from aichatkit.call.collector import Collector
from aichatkit.chunks import Block, Finish, Reasoning, SearchPart, Thought, ToolCall, ToolCallPart

SEARCH = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
RESULT = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "u", "encrypted_content": "e"}]}
CITED = {"type": "web_search_result_location", "url": "u", "encrypted_index": "i"}


def piece(index, text):
    return ToolCallPart(index, arguments=text)


def test_all_blocks_are_put_together_in_order():
    blocks, text = Blocks(), "Ich suche. Ebbe!"
    blocks.add(Block(0, {"type": "thinking", "thinking": ""}), 0, 0, 0)
    blocks.add(Block(1, {"type": "redacted_thinking"}), 0, 1, 0)
    blocks.add(Block(2, {"type": "text", "text": ""}), 0, 2, 0)
    blocks.add(Block(3, SEARCH), 11, 2, 0)
    blocks.add_input(piece(3, ""))
    blocks.add_input(piece(3, '{"query": '))
    blocks.add_input(piece(3, '"tides"}'))
    blocks.add_input(piece(99, "{}"))
    blocks.add(Block(4, RESULT), 11, 2, 0)
    blocks.add(Block(5, {"type": "text", "text": ""}), 11, 2, 0)
    blocks.add(Block(5, citation=CITED), 11, 2, 0)
    blocks.add(Block(98, citation=CITED), 11, 2, 0)
    blocks.add(Block(6, {"type": "text", "text": ""}), 16, 2, 0)
    blocks.add(Block(7, {"type": "tool_use"}), 16, 2, 0)
    thoughts = [Thought("Hm.", "sig"), Thought("", "secret", hidden=True)]
    assert blocks.build(text, thoughts, [ToolCall("t1", "stock", {"n": 1})]) == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "Ich suche. "},
        {**SEARCH, "input": {"query": "tides"}},
        RESULT,
        {"type": "text", "text": "Ebbe!", "citations": [CITED]},
        {"type": "tool_use", "id": "t1", "name": "stock", "input": {"n": 1}},
    ]
    assert list(blocks.searches()) == [SearchPart("s1", "tides")]


def test_a_thought_at_the_end_is_sent_back():
    blocks = Blocks()
    blocks.add(Block(0, RESULT), 0, 0, 0)
    blocks.add(Block(1, {"type": "thinking"}), 0, 0, 0)
    assert len(blocks.build("", [Thought("Hm.", "sig")], [])) == 2


def test_an_answer_without_a_tool_of_the_service_has_none_unless_it_pauses():
    blocks = Blocks()
    blocks.add(Block(0), 0, 0, 0)
    assert blocks.build("Hi", [], []) == []
    assert blocks.build("Hi", [], [], is_paused=True) == [{"type": "text", "text": "Hi"}]


def test_text_before_the_first_block_is_a_block():
    blocks = Blocks()
    blocks.add(Block(None, {"toolCall": {}}), 4, 0, 0)
    blocks.add(Block(None), 4, 0, 0)
    assert blocks.build("Hm. Ja", [], []) == [
        {"type": "text", "text": "Hm. "},
        {"toolCall": {}},
        {"type": "text", "text": "Ja"},
    ]
    assert Blocks().build("", [], [], is_paused=True) == []


def test_an_input_that_broke_off_is_left_as_announced():
    for pieces in ('{"query', '["tides"]'):
        blocks = Blocks()
        blocks.add(Block(0, SEARCH), 0, 0, 0)
        blocks.add_input(piece(0, pieces))
        assert blocks.build("", [], []) == [SEARCH]
        assert list(blocks.searches()) == []


def test_a_tool_of_the_service_that_is_no_search_is_none():
    blocks = Blocks()
    blocks.add(Block(0, {**SEARCH, "name": "code_execution"}), 0, 0, 0)
    blocks.add_input(piece(0, '{"query": "x"}'))
    assert list(blocks.searches()) == []


def test_a_collector_notes_where_blocks_begin():
    parts = []
    collector = Collector("m", parts)
    collector.add(Block(None))
    parts.append("Hm. ")
    collector.add(Block(1, SEARCH))
    collector.add(Block(2, {"type": "text"}))
    parts.append("Ja.")
    collector.add(Reasoning("x", "s"))
    collector.add(Finish("pause_turn"))
    assert collector.starts == [(None, 0), (2, 4)]
    assert [block["type"] for block in collector.sent_blocks("Hm. Ja.", [])] == ["text", "server_tool_use", "text"]
    assert Collector("m").sent_blocks("", []) == []
