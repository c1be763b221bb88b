"""What services report about searches, in the forms of each protocol, and in odd ones."""

from __future__ import annotations

import pytest

from aichatkit.chunks import Cited, SearchPart, Source, Usage
from aichatkit.providers import openai_records
from aichatkit.providers import search_results as read

PAGE = {"url": "https://example.org", "title": "Example"}
SOURCE = Source("https://example.org", "Example")


def test_a_block_is_a_query_or_results_or_an_error():
    use = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "tides"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s1"}
    assert list(read.parse_block(use)) == [SearchPart("s1", "tides")]
    assert list(read.parse_block({**result, "content": [PAGE, 5, {"title": "x"}]})) == [SearchPart("s1", "", [SOURCE])]
    failed = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    assert list(read.parse_block({**result, "content": failed})) == [
        SearchPart("s1", error="max_uses_exceeded", results=[])
    ]
    assert list(read.parse_block({"type": "server_tool_use", "name": "code_execution"})) == []


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"id": "w", "action": {"type": "search", "queries": ["a", "b"], "query": "a"}}, SearchPart("w", "a; b", [])),
        ({"action": {"query": "a", "sources": [PAGE]}}, SearchPart("#3", "a", [SOURCE])),
        ({"id": "w", "results": [PAGE], "status": "failed"}, SearchPart("w", "", [SOURCE], "failed")),
        ({"id": "w", "action": {"type": "open_page", "url": "https://example.org"}}, None),
    ],
)
def test_an_item_is_a_search_unless_it_opens_a_page(item, found):
    assert list(read.parse_search_item({"type": "web_search_call", **item}, 3)) == ([found] if found else [])


def test_grounding_has_a_citation_for_each_source_of_a_segment():
    grounding = {
        "webSearchQueries": ["tides", "tides"],
        "groundingChunks": [{"web": {"uri": "u", "title": "U"}}, {"web": {"title": "none"}}, {"retrieved": {}}],
        "groundingSupports": [
            {"segment": {"endIndex": 4, "text": "Ebbe"}, "groundingChunkIndices": [0, 9, True, -1]},
            {"segment": {"startIndex": 4, "endIndex": 5}, "groundingChunkIndices": None},
            5,
        ],
    }
    assert list(read.parse_grounding(grounding)) == [
        Usage(searches=1),
        SearchPart("tides", "tides", [Source("u", "U")]),
        Cited("u", "U", "bytes", 0, 4, "Ebbe"),
        Cited("u", "U", ""),
        Cited("", "none", ""),
        Cited("", "", ""),
    ]
    several = list(read.parse_grounding({**grounding, "webSearchQueries": ["a", "b"], "groundingSupports": []}))
    assert several[:3] == [Usage(searches=2), SearchPart("a", "a", []), SearchPart("b", "b", [])]
    assert list(read.parse_grounding({"webSearchQueries": "tides"})) == []


@pytest.mark.parametrize("arguments", ['{"query": "tides"}', {"query": "tides"}])
def test_tools_that_groq_ran_are_searches(arguments):
    tool = {"index": 4, "type": "search", "arguments": arguments, "search_results": {"results": [PAGE]}}
    assert list(
        read.parse_executed_tools([tool, {"type": "python"}, {"type": "browser_search", "arguments": "{"}])
    ) == [
        SearchPart("#4", "tides", [SOURCE]),
        Cited(*SOURCE, ""),
        SearchPart("#2", "", []),
        Usage(searches=2),
    ]
    assert list(read.parse_executed_tools("x")) == []
    message = {"role": "assistant", "content": "Twice a day.", "executed_tools": [tool]}
    assert list(openai_records.parse_message(message))[1:] == list(read.parse_executed_tools([tool]))


def test_an_annotation_may_be_nested_and_quote_the_page():
    flat = {"type": "url_citation", "url": "u", "title": "U", "start_index": 0, "end_index": 4}
    nested = {"type": "url_citation", "url_citation": {"url": "u", "content": "words"}}
    assert list(read.parse_annotations([flat, nested, {"type": "file_citation"}, None], ("p",))) == [
        Cited("u", "U", "marker", 0, 4, part=("p",)),
        Cited("u", "", "marker", quote="words", part=("p",)),
    ]
