"""Provider and model -> rules of its prompt cache: how it is asked to cache, from which length, and at what price."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.catalog.models import Catalog
from aichatkit.providers.base import Provider

__all__ = ["CacheRules", "rules_of"]


class CacheRules(NamedTuple):
    """How a model is cached: the shortest prompt in tokens, lifetimes in seconds, prices as multiples of the input's.

    `style` is "blocks" for marks that cost a fee, "breakpoints" for marks in place of the prompts that the service
    would write for a fee. Services that cache every prompt without one have "key" if they take a key that groups
    requests, else "none".
    """

    style: str
    minimum: int = 1024
    lifetime: float = 300.0
    long_lifetime: float = 3600.0
    write: float = 1.25
    long_write: float = 2.0
    read: float = 0.1
    #: Whether a count of tokens that were read is left out if it is 0.
    omits_zero: bool = False

    @property
    def has_fee(self) -> bool:
        """Whether writing costs more than sending the prompt without a cache."""
        return self.style in ("blocks", "breakpoints")

    def lifetime_of(self, mode: Any) -> float:
        """Return how long a prompt is cached, in seconds, for a value of `prompt_cache`."""
        return self.long_lifetime if mode == "1h" else self.lifetime


#: Shortest prompts that Claude models cache; other models of the family cache from 1,024 tokens.
_CLAUDE_MINIMUMS = (
    (re.compile(r"(?:opus|sonnet|haiku|fable|mythos)-5[-.]5|opus-5|(?:fable|mythos)-5"), 512),
    (re.compile(r"sonnet-4[-.][56]|sonnet-5|opus-4[-.]8"), 1024),
    (re.compile(r"opus-4[-.]7|3[-.]5-haiku"), 2048),
    (re.compile(r"haiku-4[-.]5|opus-4[-.][56]"), 4096),
)
_CLAUDE = re.compile(r"claude-")
#: The same of Gemini's; other models of the family cache from 4,096 tokens.
_GEMINI_MINIMUMS = ((re.compile(r"gemini-2[-.]5"), 2048), (re.compile(r"gemini-4"), 6144))
_BREAKPOINTS = CacheRules("breakpoints", lifetime=1800.0, long_lifetime=43_200.0, long_write=2.5)
_KEYS = CacheRules("key", lifetime=600.0)
_AUTOMATIC = frozenset(("deepseek", "fireworks", "gemini", "groq", "mistral", "moonshot", "together", "zai"))


def rules_of(provider: Provider, model: str, record: Mapping[str, Any]) -> CacheRules | None:
    """Return the rules for a model, None if nothing is known about its cache, so that nothing is sent for it.

    Behind another URL than the service's own, only models that the catalog knows count as the service's.
    """
    style = provider.cache_style or ("none" if provider.name in _AUTOMATIC else "")
    if not style or not (record or provider.url == type(provider).url):
        return None
    if style == "claude" and _CLAUDE.search(model):
        return CacheRules("blocks", _minimum(model, _CLAUDE_MINIMUMS, 1024), read=_read_price(record))
    if style == "openai" and _takes_breakpoints(provider.priced_as or provider.name, model):
        return _BREAKPOINTS._replace(read=_read_price(record))
    if style == "claude":
        return None
    if provider.name == "gemini":
        return _KEYS._replace(style="none", minimum=_minimum(model, _GEMINI_MINIMUMS, 4096), omits_zero=True)
    return _KEYS._replace(style="none" if style == "none" else "key")


def _minimum(model: str, minimums: Iterable[tuple[re.Pattern[str], int]], default: int) -> int:
    return next((tokens for pattern, tokens in minimums if pattern.search(model)), default)


def _read_price(record: Mapping[str, Any]) -> float:
    """Return the price of a read as a multiple of the input's, 0.1 if it is not known."""
    full, read = record.get("in"), record.get("read")
    return read / full if full and read is not None else 0.1


@cache
def _takes_breakpoints(service: str, model: str) -> bool:
    """Return whether a model charges for writes: only those take the fields that control them."""
    # Not the user's catalog: own prices do not change what a model takes.
    record = Catalog().find(service, model)
    return record is not None and "write" in record
