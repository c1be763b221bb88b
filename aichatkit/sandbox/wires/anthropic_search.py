"""Anthropic's web search: the blocks of a search, and what the service checks of those that are sent back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aichatkit.sandbox.exchange import APIError
from aichatkit.sandbox.wires.searches import Segment, WebSearch, refuse_combination

__all__ = ["check_search", "count_searches", "is_search", "paused_search", "search_blocks"]

_PREFIX = "srvtoolu_"


def is_search(tool: Any) -> bool:
    """Return whether a tool is the web search of the service."""
    return str(tool.get("type", "")).startswith("web_search_")


def check_search(record: dict[str, Any], digest: Callable[..., str]) -> None:
    """Reject what cannot be combined with a search, and blocks of a search that are not sent back unchanged."""
    tools = record.get("tools") or []
    names = [tool.get("name") for tool in tools]
    refuse_combination(len(set(map(str, names))) < len(names), "tools: Tool names must be unique.")
    offered = any(map(is_search, tools))
    json_format = record.get("output_format") or (record.get("output_config") or {}).get("format")
    refuse_combination(
        offered and json_format, "output_config.format: Citations are not compatible with output format."
    )
    for tool in filter(is_search, tools):
        refuse_combination(
            tool.get("allowed_domains") and tool.get("blocked_domains"),
            "tools: Only one of allowed_domains and blocked_domains can be specified.",
        )
    for index, block in enumerate(_search_blocks(record)):
        if not offered:
            raise APIError("bad-request", f"messages.{index}: a block of web_search is used without the tool")
        if block["type"] == "server_tool_use" and not (block.get("input") or {}).get("query"):
            raise APIError("bad-request", f"messages.{index}.input.query: Field required")
        content = block.get("content")
        for result in content if isinstance(content, list) else ():
            query_digest = str(result.get("encrypted_content"))
            if len(query_digest) != len(digest("")):
                raise APIError("bad-request", "Invalid `encrypted_content` in `search_result` block")


def paused_search(record: dict[str, Any]) -> str:
    """Return the ID of a search without results at the end of the conversation, with which the answer goes on."""
    last = record["messages"][-1]
    content = last.get("content")
    if last["role"] != "assistant" or not isinstance(content, list) or content[-1].get("type") != "server_tool_use":
        return ""
    return str(content[-1]["id"])


def count_searches(search: WebSearch) -> dict[str, int]:
    """Return the searches that are charged for: none that failed."""
    return {"web_search_requests": 0 if search.error or search.pauses else 1, "web_fetch_requests": 0}


def search_blocks(search: WebSearch, *, resumes: str = "") -> list[dict[str, Any]]:
    """Return the blocks of a search and its answer; `resumes` is the ID of one that has been announced."""
    blocks: list[dict[str, Any]] = []
    if not resumes:
        use = {"type": "server_tool_use", "id": _PREFIX + search.id, "name": "web_search"}
        blocks = [{"type": "text", "text": "Ich suche 🔎. "}, {**use, "input": {"query": search.query}}]
    if search.pauses:
        return blocks or [{"type": "text", "text": "Noch nicht. "}]
    results: Any = [
        {
            "type": "web_search_result",
            "url": page.url,
            "title": page.title,
            "page_age": None,
            "encrypted_content": page.sealed,
        }
        for page in search.pages
    ]
    if search.error:
        results = {"type": "web_search_tool_result_error", "error_code": search.error}
    found = {"type": "web_search_tool_result", "tool_use_id": resumes or _PREFIX + search.id, "content": results}
    return [*blocks, found, *map(_text_block, search.segments)]


def _text_block(segment: Segment) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": segment.text}
    if segment.page is not None:
        citation = {
            "type": "web_search_result_location",
            "url": segment.page.url,
            "title": segment.page.title,
            "cited_text": segment.quote,
            "encrypted_index": segment.page.sealed[:12],
        }
        block["citations"] = [citation]
    return block


def _search_blocks(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for message in record["messages"]:
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and block.get("type") in ("server_tool_use", "web_search_tool_result"):
                yield block
