"""Texts -> model names, and what the catalog says of each on a given day: never on the day the tests run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import lru_cache

from aichatkit.catalog.layers import Layer, Record, shipped
from aichatkit.catalog.models import Catalog
from aichatkit.catalog.retirements import is_retiring
from aichatkit.registry import registry

#: Public sites have labels of their own, which say little about the model that answers.
SITES = ("aichat", "aichatfree", "aichatonline", "aichatonline-classic", "aichats", "chatgptt", "free")
#: A released version in the changelog, with its date.
_HEADING = re.compile(r"^## \[\d[^\]]*\] - (\d{4}-\d\d-\d\d)$", re.MULTILINE)
_WORD = re.compile(r"(?<![\w./@-])[A-Za-z][\w./:@-]*\w")
#: The date at the end of a pinned version.
_DATE = re.compile(r"-(?:20\d\d-?\d\d-?\d\d)$")
_NOTICE = timedelta(days=60)
_MAX_AGE = timedelta(days=45)
#: Vendors whose names other services write in their own way: "anthropic/claude-sonnet-5.5".
_VENDORS = {"anthropic": "anthropic", "google": "gemini", "openai": "openai"}
#: Services whose names mean the same without the provider before them.
_MAKERS = ("anthropic", "cerebras", "deepseek", "gemini", "groq", "mistral", "moonshot", "openai", "perplexity", "xai")
#: Names that are also words, or models that others serve under the same name.
_WORDS = {"sonar", "deepseek-r1", "deepseek-v3"}


def release_date(changelog: str, planned: date) -> date:
    """Return the day to check for: that of the newest version in the changelog, or the planned one if it is later.

    >>> release_date("## [Unreleased]", date(2026, 11, 26)), release_date("## [1.2] - 2027-02-01", date(2026, 11, 26))
    (datetime.date(2026, 11, 26), datetime.date(2027, 2, 1))
    """
    return max([planned, *map(date.fromisoformat, _HEADING.findall(changelog))])


def is_stale(layer: Layer, day: date) -> bool:
    """Return whether the data is too old for a release on a day."""
    return day - layer.as_of > _MAX_AGE


def problem(record: Record | None, day: date) -> str:
    """Return why a model must not be shipped or documented on a day, "" if it may be."""
    if record is None:
        return "not in the catalog"
    if is_retiring(record, day, notice=_NOTICE):
        return f"retires {record.get('retires', 'or is gone')}, use {record.get('successor', 'another')}"
    return ""


def records_of(name: str, model: str, catalog: Catalog) -> list[Record | None]:
    """Return the records that tell whether a provider serves a model: its own, and that of the vendor behind it."""
    provider_cls = registry[name].for_model(model) or registry[name]
    found = [catalog.find(provider_cls.priced_as or name, model)]
    vendor, slash, rest = model.partition("/")
    if slash and vendor in _VENDORS and (rest.startswith(("claude-", "gemini-")) or re.match(r"gpt-\d", rest)):
        behind = catalog.find(_VENDORS[vendor], rest.replace(".", "-") if vendor == "anthropic" else rest)
        # A router may serve a model that its own rows do not have yet.
        found = [*filter(None, found), behind]
    return found


@lru_cache
def retiring(day: date) -> Mapping[str, str]:
    """Return the names that must not be in a text on a day, with their provider and without, and why."""
    catalog, names = Catalog(), {}
    for key in shipped().records:
        provider, _, model = key.partition("/")
        trouble = problem(catalog.find(provider, model), day)
        if trouble:
            names[key] = trouble
            if provider in _MAKERS and model not in _WORDS:
                names[model] = trouble
    return names


def words(text: str) -> Iterator[str]:
    """Yield what may be a model's name in a text, with its provider and without; the sites' labels are none.

    >>> list(words('Client(model="openai/gpt-6-luna"), free/gpt-4 or `gpt-4o`.'))[1:]
    ['model', 'openai/gpt-6-luna', 'gpt-6-luna', 'or', 'gpt-4o']
    """
    for match in _WORD.finditer(text):
        word = match[0]
        first, slash, rest = word.partition("/")
        if first not in SITES:
            yield word
            if slash:
                yield rest


def named_in(text: str, day: date) -> dict[str, str]:
    """Return the names in a text that must not be there on a day, with the reason."""
    names = retiring(day)
    found = ((word, names.get(word) or names.get(_DATE.sub("", word))) for word in words(text))
    return {word: trouble for word, trouble in found if trouble}
