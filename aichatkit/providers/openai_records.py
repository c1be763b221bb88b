"""Record of a chat completions stream -> chunks, in all the variants that services send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.chunks import Cited, Reasoning, Refusal, ToolCallPart, dicts_in
from aichatkit.providers.request_bodies import parse_arguments

if TYPE_CHECKING:
    from aichatkit.providers import openai_images, openai_signatures, search_results
else:
    openai_signatures = lazy_module("aichatkit.providers.openai_signatures")
    openai_images = lazy_module("aichatkit.providers.openai_images")
    search_results = lazy_module("aichatkit.providers.search_results")

__all__ = ["find_tier", "find_usage", "has_content", "parse_citations", "parse_message"]


_CONTENT = ("content", "refusal", "tool_calls", "reasoning_content", "reasoning", "images")


def has_content(message: Mapping[str, Any]) -> bool:
    """Return whether a message or delta holds anything of the answer."""
    return any(message.get(name) for name in _CONTENT)


def parse_message(message: Mapping[str, Any], *, is_whole: bool = False, repeats: bool = False) -> Iterator[Any]:
    """Yield the chunks of a message or delta: reasoning, text, images, citations, tool calls.

    With `is_whole`, each entry of `tool_calls` is a separate call; with `repeats`, the message may already have been
    received in pieces.
    """
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str):
        yield Reasoning(reasoning)
    elif not reasoning:
        yield from _parse_details(message.get("reasoning_details"))
    yield from _parse_content(message.get("content"))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        yield Refusal(message["refusal"])
    yield from _parse_images(message.get("images"))
    if message.get("annotations"):
        yield from search_results.parse_annotations(message["annotations"])
    if message.get("executed_tools"):
        yield from search_results.parse_executed_tools(message["executed_tools"])
    if message.get("reasoning_details") or message.get("extra_content"):
        yield Reasoning("", openai_signatures.sign_turn(message))
    for number, call in enumerate(dicts_in(message.get("tool_calls"))):
        function = call.get("function") or {}
        arguments = parse_arguments(function.get("arguments") or "")
        position = number if is_whole else call.get("index")
        name, signature = function.get("name") or "", openai_signatures.sign_call(call)
        yield ToolCallPart(position, call.get("id") or "", name, arguments, signature, whole=repeats)


def parse_citations(record: Mapping[str, Any]) -> Iterator[Cited]:
    """Yield the citations outside the message, from a list with titles if there is one; the text has their numbers."""
    sources = record.get("search_results") or record.get("citations")
    for number, source in enumerate(sources if isinstance(sources, list) else (), 1):
        url, title = (source.get("url"), source.get("title")) if isinstance(source, dict) else (source, "")
        if url and isinstance(url, str):
            yield Cited(url, title if isinstance(title, str) else "", "number", number=number)


def find_usage(record: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> Any:
    """Return the usage: services send it next to the choices, inside one, or under a custom key."""
    parents = [record, _groq_part(record), *choices]
    return next((parent["usage"] for parent in parents if parent.get("usage")), None)


def find_tier(record: Mapping[str, Any]) -> Any:
    """Return the service tier that served the request, as the service names it."""
    return record.get("service_tier") or _groq_part(record).get("service_tier")


def _groq_part(record: Mapping[str, Any]) -> Mapping[str, Any]:
    part = record.get("x_groq")
    return part if isinstance(part, Mapping) else {}


def _parse_content(content: Any) -> Iterator[Any]:
    if isinstance(content, str):
        yield content
        return
    for part in content or ():
        if part.get("type") == "thinking":
            yield Reasoning("".join(item.get("text", "") for item in part.get("thinking") or ()))
        else:
            yield str(part.get("text") or "")


def _parse_details(details: Any) -> Iterator[Reasoning]:
    for detail in dicts_in(details):
        text = detail.get("text") or detail.get("summary")
        if isinstance(text, str):
            yield Reasoning(text)


def _parse_images(images: Any) -> Iterator[Any]:
    for image in dicts_in(images):
        source = image.get("image_url")
        uri = source.get("url") if isinstance(source, dict) else None
        if uri and isinstance(uri, str):
            yield openai_images.picture_from_uri(uri)
