"""Record of a chat completions stream -> chunks, in all the variants that services send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.chunks import Citation, Reasoning, ToolCallPart, Usage
from aichatkit.providers.openai_signatures import sign_call, sign_turn
from aichatkit.providers.request_bodies import parse_arguments

if TYPE_CHECKING:
    from aichatkit.providers import openai_images
else:
    openai_images = lazy_module("aichatkit.providers.openai_images")

__all__ = ["find_usage", "parse_citations", "parse_message", "parse_usage"]


def parse_message(message: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the chunks of a message or delta: reasoning, text, images, citations, tool calls."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str):
        yield Reasoning(reasoning)
    yield from _parse_content(message.get("content"))
    if message.get("refusal"):
        yield str(message["refusal"])
    for image in message.get("images") or ():
        yield openai_images.picture_from_uri(image["image_url"]["url"])
    for annotation in message.get("annotations") or ():
        if annotation.get("type") == "url_citation":
            source = annotation.get("url_citation") or annotation
            yield Citation(source["url"], source.get("title") or "")
    turn_signature = sign_turn(message)
    if turn_signature:
        yield Reasoning("", turn_signature)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        arguments = parse_arguments(function.get("arguments") or "")
        name = function.get("name") or ""
        yield ToolCallPart(call.get("index"), call.get("id") or "", name, arguments, sign_call(call))


def parse_citations(record: Mapping[str, Any]) -> Iterator[Citation]:
    """Yield the citations outside the message, from a list with titles if there is one."""
    for source in record.get("search_results") or record.get("citations") or ():
        yield Citation(source) if isinstance(source, str) else Citation(source["url"], source.get("title") or "")


def find_usage(record: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> Any:
    """Return the usage: services send it next to the choices, inside one, or under a custom key."""
    parents = [record, record.get("x_groq") or {}, *choices]
    return next((parent["usage"] for parent in parents if parent.get("usage")), None)


def parse_usage(usage: Mapping[str, Any] | None) -> Iterator[Usage]:
    """Yield the token counts, if there are any."""
    if usage:
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
        yield Usage(
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
            total_tokens=usage.get("total_tokens"),
            # DeepSeek and Moonshot have their own field names.
            cached_tokens=usage.get("prompt_cache_hit_tokens", usage.get("cached_tokens"))
            if cached is None
            else cached,
            reasoning_tokens=usage.get("reasoning_tokens") if reasoning is None else reasoning,
        )


def _parse_content(content: Any) -> Iterator[Any]:
    if isinstance(content, str):
        yield content
        return
    for part in content or ():
        if part.get("type") == "thinking":
            yield Reasoning("".join(item.get("text", "") for item in part.get("thinking") or ()))
        else:
            yield str(part.get("text") or "")
