"""Prompt -> web search: what the sandbox pretends to find, and an answer that cites it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from aichatkit._dataclasses import dataclass
from aichatkit.sandbox.exchange import APIError, fragments
from aichatkit.sandbox.wires.base import Call

__all__ = ["Page", "Segment", "WebSearch", "link_annotations", "play_search", "refuse_combination", "segment_parts"]

_TITLES = ("Ebbe und Flut \u2013 Übersicht", "Naïve answers 🔎", "Facts & figures")


@dataclass(frozen=True)
class Page:
    """A page that is found."""

    url: str
    title: str
    #: What a service that hides the content sends instead.
    sealed: str


@dataclass(frozen=True)
class Segment:
    """A piece of the answer, and the page that it cites."""

    text: str
    page: Page | None = None

    @property
    def quote(self) -> str:
        """The words of the page."""
        return f"It is known that {self.text}" if self.page else ""

    @property
    def link(self) -> str:
        """The link in the text that some services add."""
        return f"([example.org]({self.page.url}))" if self.page else ""


@dataclass(frozen=True)
class WebSearch:
    """A search with its results and the answer; `error` is the code of one that fails, `pauses` if it is not over."""

    id: str
    query: str
    pages: Sequence[Page]
    segments: Sequence[Segment]
    error: str = ""
    pauses: bool = False

    def text_parts(self, *, with_links: bool = False) -> list[str]:
        """Return the answer in the parts in which it is streamed; a service may add links to what it cites."""
        return [part for segment in self.segments for part in segment_parts(segment, with_links=with_links)]


def segment_parts(segment: Segment, *, with_links: bool = False) -> list[str]:
    """Return a piece of the answer in the parts in which it is streamed."""
    return fragments(segment.text) + ([f" {segment.link}"] if with_links and segment.page else [])


def play_search(call: Call, turns: Sequence[str]) -> WebSearch | None:
    """Return a search for the last of the user's turns, None if the model decides against one.

    A prompt with the words "from memory" is answered without a search; the faults `search-error` and `search-pause`
    set what goes wrong.
    """
    prompt = turns[-1] if turns else ""
    call.report_turns(turns)
    if call.text is not None or re.search(r"\bfrom memory\b", prompt, re.IGNORECASE):
        return None
    query = " ".join(re.findall(r"\w+", prompt)[:6]).lower() or "news"
    error, pauses = str(call.overrides.get("search-error", "")), bool(call.overrides.get("search-pause"))
    identity = call.wire.digest("search", query)
    pages = [
        Page(f"https://example.org/{call.wire.digest(query, number)[:8]}", title, call.wire.digest(query, title))
        for number, title in enumerate(_TITLES)
    ]
    if error:
        segments = [Segment("Die Suche ist nicht möglich.")]
    else:
        segments = [
            Segment(f"Für „{query}“ 🔎 fand ich: "),
            Segment("zwölf Stunden, so the naïve answer", pages[0]),
            Segment(" \u2013 und "),
            Segment("der Mond zieht daran 🌙", pages[1]),
            Segment("."),
        ]
    return WebSearch(identity[:20], query, () if error else pages, segments, error, pauses)


def link_annotations(search: WebSearch | None) -> list[dict[str, Any]]:
    """Return the citations as OpenAI places them: around the links in the text, in characters."""
    annotations: list[dict[str, Any]] = []
    position = 0
    for segment in search.segments if search is not None else ():
        position += len(segment.text)
        if segment.page is not None:
            start = position + 1
            position = start + len(segment.link)
            place = {"start_index": start, "end_index": position}
            annotations.append({"type": "url_citation", "url": segment.page.url, "title": segment.page.title, **place})
    return annotations


def refuse_combination(problem: Any, message: str) -> None:
    """Reject a request with a combination that the service does not take."""
    if problem:
        raise APIError("bad-request", message)
