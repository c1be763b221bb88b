"""Usage of Gemini's answers -> chunks: prompts of tools and thoughts are counted separately from prompt and answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aichatkit.chunks import Bill, Usage, parse_count

__all__ = ["parse_usage"]


def parse_usage(usage: Any) -> tuple[Usage, Bill] | tuple[()]:
    """Return the token counts and what else the bill depends on.

    Every record of a stream has them, and the last one may lack some: the parts are added up at the end.
    """
    if not isinstance(usage, Mapping):
        return ()
    get = usage.get
    prompt, tool_prompt = parse_count(get("promptTokenCount")), parse_count(get("toolUsePromptTokenCount"))
    visible, thoughts = parse_count(get("candidatesTokenCount")), parse_count(get("thoughtsTokenCount"))
    counts = Usage(
        None if prompt is None else prompt + (tool_prompt or 0),
        None if visible is None and not thoughts else (visible or 0) + (thoughts or 0),
        parse_count(get("totalTokenCount")),
        parse_count(get("cachedContentTokenCount")),
        thoughts,
    )
    tier = get("serviceTier") or get("trafficType")
    bill = Bill(
        tier=tier if isinstance(tier, str) else "",
        prompt=prompt,
        tool_prompt=tool_prompt,
        visible=visible,
        audio_input=_tokens_of("AUDIO", get("promptTokensDetails"), get("toolUsePromptTokensDetails")),
        audio_cached=_tokens_of("AUDIO", get("cacheTokensDetails")),
        audio_output=_tokens_of("AUDIO", get("candidatesTokensDetails")),
        image_output=_tokens_of("IMAGE", get("candidatesTokensDetails")),
    )
    return counts, bill


def _tokens_of(modality: str, *lists: Any) -> int | None:
    """Return the tokens of a modality in lists of counts by modality, None if there are none."""
    total = 0
    for details in lists:
        for entry in details if isinstance(details, list) else ():
            if isinstance(entry, Mapping) and entry.get("modality") == modality:
                total += parse_count(entry.get("tokenCount")) or 0
    return total or None
