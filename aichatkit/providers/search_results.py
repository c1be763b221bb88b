"""What services report about their searches -> chunks: queries, pages found, citations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aichatkit.chunks import Cited, SearchPart, Source, Usage, dict_or_empty, dicts_in

__all__ = [
    "parse_annotations",
    "parse_block",
    "parse_executed_tools",
    "parse_grounding",
    "parse_results",
    "parse_search_item",
    "query_of",
]


def parse_block(block: Mapping[str, Any]) -> Iterator[SearchPart]:
    """Yield the search in a block of Anthropic's messages: its query, or the pages it found, or why it failed."""
    content = block.get("content")
    if block["type"] == "server_tool_use" and block.get("name") == "web_search":
        yield SearchPart(_text(block.get("id")), _text(dict_or_empty(block.get("input")).get("query")))
    elif block["type"] == "web_search_tool_result":
        error = _text(dict_or_empty(content).get("error_code"))
        yield SearchPart(_text(block.get("tool_use_id")), results=parse_results(content), error=error)


def parse_search_item(item: Mapping[str, Any], position: Any = None) -> Iterator[SearchPart]:
    """Yield the search in an item of the Responses API; opening a page that was found is not a search."""
    action = dict_or_empty(item.get("action"))
    if item.get("type") != "web_search_call" or action.get("type", "search") != "search":
        return
    queries = action.get("queries")
    query = "; ".join(map(str, queries)) if isinstance(queries, list) and queries else _text(action.get("query"))
    results = parse_results(action.get("sources")) or parse_results(item.get("results"))
    failed = item.get("status") == "failed"
    yield SearchPart(_text(item.get("id")) or f"#{position}", query, results, "failed" if failed else "")


def parse_annotations(annotations: Any, part: Sequence[Any] = ()) -> Iterator[Cited]:
    """Yield the citations of a text of OpenAI's; the positions are around the link in the text."""
    for annotation in dicts_in(annotations):
        if annotation.get("type") == "url_citation":
            fields = dict_or_empty(annotation.get("url_citation")) or annotation
            yield Cited(
                _text(fields.get("url")),
                _text(fields.get("title")),
                "marker",
                fields.get("start_index"),
                fields.get("end_index"),
                quote=_text(fields.get("content")),
                part=part,
            )


def parse_grounding(grounding: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the searches and citations of Gemini's grounding metadata."""
    webs = [dict_or_empty(chunk.get("web")) for chunk in dicts_in(grounding.get("groundingChunks"))]
    sources = [Source(_text(web.get("uri")), _text(web.get("title"))) for web in webs]
    queries = grounding.get("webSearchQueries")
    if queries and isinstance(queries, list):
        # Queries may be listed twice, and are charged for once.
        queries = list(dict.fromkeys(map(str, queries)))
        yield Usage(searches=len(queries))
        found = [source for source in sources if source.url] if len(queries) == 1 else []
        yield from (SearchPart(query, query, found) for query in queries)
    for support in dicts_in(grounding.get("groundingSupports")):
        segment = dict_or_empty(support.get("segment"))
        indices = support.get("groundingChunkIndices")
        for index in indices if isinstance(indices, list) else ():
            if index.__class__ is int and 0 <= index < len(sources):
                start, text = segment.get("startIndex") or 0, _text(segment.get("text"))
                yield Cited(*sources[index], "bytes", start, segment.get("endIndex"), text)
    yield from (Cited(*source, "") for source in sources)


def parse_executed_tools(tools: Any) -> Iterator[Any]:
    """Yield the searches of Groq's models, which report no places."""
    count = 0
    for number, tool in enumerate(dicts_in(tools)):
        results = parse_results(dict_or_empty(tool.get("search_results")).get("results"))
        if results or tool.get("type") in ("search", "browser_search"):
            count += 1
            yield SearchPart(f"#{tool.get('index', number)}", query_of(tool.get("arguments")), results)
            yield from (Cited(*source, "") for source in results)
    if count:
        yield Usage(searches=count)


def parse_results(results: Any) -> list[Source]:
    """Return the pages in a list of search results."""
    sources = [Source(_text(result.get("url")), _text(result.get("title"))) for result in dicts_in(results)]
    return [source for source in sources if source.url]


def query_of(arguments: Any) -> str:
    """Return the query in the arguments of a search, which may be text."""
    try:
        fields = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return ""
    return _text(dict_or_empty(fields).get("query"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
