"""Body of a request -> prompt as its service caches it: its blocks in order, its marks, and the rules that apply."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aichatkit.sandbox.exchange import APIError
from aichatkit.sandbox.prompt_caches import Block, CacheRules, Prompt, block_of
from aichatkit.sandbox.wires.model_rules import find_record

__all__ = ["anthropic_prompt", "chat_prompt", "gemini_prompt", "responses_prompt"]

_LIFETIMES = {"5m": 300.0, "1h": 3600.0, "30m": 1800.0, "12h": 43_200.0}
_MAX_MARKS = 4
#: Shortest prompt that Anthropic caches, by model.
_MINIMUMS = (
    (r"(?:opus|sonnet|haiku|fable|mythos)-5-5|opus-5|(?:fable|mythos)-5", 512),
    (r"sonnet-4-[56]|sonnet-5|opus-4-8", 1024),
    (r"opus-4-7", 2048),
    (r"haiku-4-5|opus-4-[56]", 4096),
)
#: Services that cache every prompt without a mark, in order of looking up a model: how long and in which units.
_AUTOMATIC = {
    "openai": CacheRules(automatic=600.0, unit=128),
    "deepseek": CacheRules(automatic=3600.0, unit=64),
    "mistral": CacheRules(64, automatic=3600.0, unit=64),
    "xai": CacheRules(automatic=3600.0, unit=64),
    "groq": CacheRules(automatic=7200.0, unit=128),
}
_BREAKPOINT = "prompt_cache_breakpoint"
_OPENAI_LOOKBACK = 80


def anthropic_prompt(record: Mapping[str, Any]) -> Prompt:
    """Return the prompt of a request for Anthropic; raise what the service answers to marks that it refuses."""
    model = str(record["model"])
    tools = [_marked(tool) for tool in record.get("tools") or ()]
    system = [_marked(block) for block in _content_blocks(record.get("system") or ())]
    settings = json.dumps([record.get("thinking"), record.get("tool_choice"), record.get("output_config")])
    turns = [
        _marked(block, role=message["role"])
        for message in record["messages"]
        for block in _content_blocks(message["content"])
    ]
    blocks = [*tools, *system, Block(settings, 0), *turns]
    if record.get("cache_control"):
        blocks[-1] = blocks[-1]._replace(lifetime=_lifetime(record["cache_control"], 300.0))
    lifetimes = [block.lifetime for block in blocks if block.lifetime]
    if len(lifetimes) > _MAX_MARKS:
        raise APIError(
            "bad-request", f"A maximum of 4 blocks with cache_control may be provided. Found {len(lifetimes)}."
        )
    if lifetimes != sorted(lifetimes, reverse=True):
        raise APIError(
            "bad-request",
            "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are "
            "processed in the following order: `tools`, `system`, `messages`.",
        )
    minimum = next((tokens for pattern, tokens in _MINIMUMS if re.search(pattern, model)), 1024)
    return Prompt(f"anthropic/{model}", blocks, CacheRules(minimum), find_record("anthropic", model))


def chat_prompt(record: Mapping[str, Any]) -> Prompt:
    """Return the prompt of a request for chat completions; the model's name says which service it is for."""
    tools = [block_of(tool) for tool in record.get("tools") or ()]
    turns = [block for message in record["messages"] for block in _openai_blocks(message, "content")]
    return _openai_prompt(record, [*tools, *turns])


def responses_prompt(record: Mapping[str, Any]) -> Prompt:
    """Return the prompt of a request for OpenAI's Responses API."""
    items = [{"role": "user", "content": record["input"]}] if isinstance(record["input"], str) else record["input"]
    tools = [block_of(tool) for tool in record.get("tools") or ()]
    instructions = [block_of(record["instructions"])] if record.get("instructions") else []
    turns = [
        block
        for item in items
        for block in _openai_blocks(item, "output" if item.get("type") == "function_call_output" else "content")
    ]
    return _openai_prompt(record, [*tools, *instructions, *turns])


def gemini_prompt(record: Mapping[str, Any], model: str) -> Prompt:
    """Return the prompt of a request for Gemini, which caches without marks."""
    contents = [content for content in record["contents"] if isinstance(content, dict)]
    parts = [part for content in contents for part in content["parts"]]
    system = (record.get("systemInstruction") or {}).get("parts") or ()
    head = [block_of(tool) for tool in record.get("tools") or ()] + [block_of(part) for part in system]
    rules = CacheRules(2048 if "2.5" in model else 4096, automatic=3600.0)
    return Prompt(f"gemini/{model}", [*head, *map(block_of, parts)], rules, find_record("gemini", model))


def _openai_prompt(record: Mapping[str, Any], blocks: list[Block]) -> Prompt:
    model = str(record["model"])
    options = record.get("prompt_cache_options")
    service = next((name for name in _AUTOMATIC if find_record(name, model)), "openai")
    known = find_record(service, model)
    has_marks = any(block.lifetime for block in blocks)
    if service != "openai" or "write" not in known:
        if known and (options is not None or has_marks):
            name = "prompt_cache_options" if options is not None else _BREAKPOINT
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            raise APIError("bad-request", message, code="unsupported_parameter", param=name)
        rules = _AUTOMATIC[service]
        if service == "mistral" and not record.get("prompt_cache_key"):
            rules = CacheRules()
        return Prompt(f"{service}/{model}", blocks, rules, known)
    usual = _lifetime(options or {}, 1800.0)
    blocks = [block._replace(lifetime=usual) if block.lifetime == 1.0 else block for block in blocks]
    is_implicit = (options or {}).get("mode", "implicit") == "implicit"
    marks = [place for place, block in enumerate(blocks) if block.lifetime]
    kept = marks[-(_MAX_MARKS - 1) if is_implicit else -_MAX_MARKS :]
    blocks = [
        block if place in kept or not block.lifetime else block._replace(lifetime=0.0)
        for place, block in enumerate(blocks)
    ]
    if is_implicit:
        blocks[-1] = blocks[-1]._replace(lifetime=usual)
    return Prompt(f"openai/{model}", blocks, CacheRules(lookback=_OPENAI_LOOKBACK), known)


def _openai_blocks(message: Mapping[str, Any], field: str) -> Iterator[Block]:
    """Yield the blocks of a message or item: one for each part of its content."""
    rest = {name: value for name, value in message.items() if name != field}
    content = message.get(field)
    parts = [{"text": content}] if isinstance(content, str) else content or ()
    for part in parts:
        own = {name: value for name, value in part.items() if name not in ("type", _BREAKPOINT)}
        mark: Any = part.get(_BREAKPOINT)
        # A mark without a lifetime has that of the request.
        lifetime = _lifetime(mark, 1.0) if mark else 0.0
        yield block_of({**rest, "content": own}, lifetime)
    if not parts:
        yield block_of(rest)


def _content_blocks(content: Any) -> Sequence[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _marked(block: Mapping[str, Any], **more: Any) -> Block:
    mark = block.get("cache_control")
    content = {name: value for name, value in block.items() if name != "cache_control"}
    return block_of({**content, **more}, _lifetime(mark, 300.0) if mark else 0.0)


def _lifetime(mark: Mapping[str, Any], usual: float) -> float:
    ttl = mark.get("ttl")
    if ttl is not None and ttl not in _LIFETIMES:
        raise APIError("bad-request", f"ttl: Input should be {' or '.join(map(repr, _LIFETIMES))}")
    return usual if ttl is None else _LIFETIMES[ttl]
