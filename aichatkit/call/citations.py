"""Citations as services report them -> citations with places in the text of the reply, and searches put together.

Services count in different units, and from different places. A place that does not fit the text is left out, never
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from aichatkit._surrogates import repair
from aichatkit.chunks import Citation, Cited, Search, SearchPart, Source

__all__ = ["merge_searches", "place", "with_urls"]

Span = Optional["tuple[int, int]"]
Starts = Sequence["tuple[Any, int]"]
#: Characters that follow a number in brackets that is no reference: it is the text of a link.
_MARK = r"\[{}\](?!\()"


def place(cited: Sequence[Citation | Cited], text: str, starts: Starts) -> list[Citation]:
    """Return the citations with their places in the text; `starts` says where the parts of the text begin.

    Services repeat citations: each place and source is one citation, and a source without a place is listed once, if
    it is not cited anywhere.
    """
    found: list[Citation] = []
    for citation in cited:
        found += [citation] if isinstance(citation, Citation) else _place(citation, text, starts)
    return _distinct(map(_cleaned, found))


def with_urls(cited: Sequence[Citation | Cited], documents: Sequence[Source]) -> list[Citation | Cited]:
    """Return the citations; those of fetched documents have their URLs, or are left out if it is not clear which one.

    >>> with_urls([Cited("", "Tides", "block", number=1)], [Source("https://example.org", "Tides")])[0].url
    'https://example.org'
    """
    found: list[Citation | Cited] = []
    for citation in cited:
        if isinstance(citation, Citation) or citation.url:
            found.append(citation)
            continue
        titled = {document.url for document in documents if document.title == citation.title}
        # Documents of the user are numbered too, so the number says less than the title.
        numbered = {document.url for document in documents[citation.number - 1 : citation.number]}
        urls = titled if len(titled) == 1 else numbered
        found += [citation._replace(url=url) for url in urls]
    return found


def merge_searches(parts: Sequence[SearchPart]) -> list[Search]:
    """Return the searches, each put together from its parts.

    >>> merge_searches([SearchPart("s1", "tides"), SearchPart("s1", error="unavailable")])
    [Search(query='tides', results=[], error='unavailable')]
    """
    merged: dict[str, SearchPart] = {}
    for part in parts:
        known = merged.get(part.id, part)
        merged[part.id] = SearchPart(
            part.id, part.query or known.query, part.results or known.results, part.error or known.error
        )
    return [
        Search(repair(part.query), [Source(*map(repair, source)) for source in part.results], repair(part.error))
        for part in merged.values()
    ]


def _place(cited: Cited, text: str, starts: Starts) -> Iterator[Citation]:
    if cited.unit == "number":
        marks = list(re.finditer(_MARK.format(cited.number), text)) if cited.number else []
        for mark in marks:
            yield Citation(cited.url, cited.title, mark.start(), mark.end(), mark[0], cited.quote)
        if marks:
            return
    span = _SPANS[cited.unit](cited, text, starts) if cited.unit in _SPANS else None
    if span is None:
        yield Citation(cited.url, cited.title, None, None, cited.text, cited.quote)
    else:
        yield Citation(cited.url, cited.title, *span, text[slice(*span)], cited.quote)


def _here(cited: Cited, text: str, starts: Starts) -> Span:
    return None if cited.start is None or cited.start > len(text) else (cited.start, cited.start)


def _block(cited: Cited, text: str, starts: Starts) -> Span:
    """Return the place of a text block, which ends where the next one begins."""
    for number, (key, start) in enumerate(starts):
        if key in cited.part:
            end = starts[number + 1][1] if number + 1 < len(starts) else len(text)
            return (start, end) if start < end else None
    return None


def _marker(cited: Cited, text: str, starts: Starts) -> Span:
    """Return the place of a link in the text: the first reading of the positions that is around the link.

    Positions count characters, at some gateways UTF-16 units or bytes, and some services count the last one as a part.
    """
    bases = [start for key, start in starts if key in cited.part]
    base = bases[0] if bases else None if cited.part and starts else 0
    if base is None or not _is_range(cited):
        return None
    assert cited.end is not None
    text = text[base:]
    spans = [
        (first, last)
        for unit in ("characters", "utf-16-le", "utf-8")
        for end in (cited.end, cited.end + 1)
        if (first := _characters(text, cited.start, unit)) is not None
        and (last := _characters(text, end, unit)) is not None
    ]
    around = [span for span in spans if _is_link(text[slice(*span)], cited.url)]
    # It may be around the words that the source supports, as some gateways have it.
    plain = [span for span in spans[:1] if span[1] == cited.end and text[slice(*span)].strip()]
    return next(((base + first, base + last) for first, last in (*around, *plain)), None)


def _bytes(cited: Cited, text: str, starts: Starts) -> Span:
    """Return the place of a segment that is counted in bytes of its part, if its text is there."""
    if not _is_range(cited):
        return None
    for base in dict.fromkeys((0, *(start for _key, start in starts))):
        first, last = (_characters(text[base:], offset, "utf-8") for offset in (cited.start, cited.end))
        if first is not None and last is not None and text[base + first : base + last] == cited.text:
            return base + first, base + last
    return None


_SPANS = {"here": _here, "block": _block, "marker": _marker, "bytes": _bytes}


def _is_range(cited: Any) -> bool:
    numbers = (cited.start, cited.end)
    return all(number.__class__ is int and number >= 0 for number in numbers) and numbers[0] < numbers[1]


def _characters(text: str, offset: Any, unit: str) -> int | None:
    """Return the number of characters for an offset in a unit; None beyond the text, or inside a character.

    >>> _characters("né!", 3, "utf-8"), _characters("né!", 2, "utf-8"), _characters("né!", 9, "utf-8")
    (2, None, None)
    """
    if unit == "characters":
        return offset if offset <= len(text) else None
    size = 2 if unit == "utf-16-le" else 1
    encoded = text.encode(unit)
    if offset * size > len(encoded):
        return None
    try:
        return len(encoded[: offset * size].decode(unit))
    except ValueError:
        return None


def _is_link(text: str, url: str) -> bool:
    return url in text and all(text.count(opening) == text.count(closing) for opening, closing in ("()", "[]"))


def _cleaned(citation: Citation) -> Citation:
    title, quote = (text if isinstance(text, str) else "" for text in (citation.title, citation.quote))
    url, title, text, quote = map(repair, (citation.url, title, citation.text, quote))
    return citation._replace(url=url, title=title, text=text, quote=quote)


def _distinct(citations: Iterator[Citation]) -> list[Citation]:
    """Return the citations without repetitions; some services send the title, or the place, later."""
    merged: dict[tuple[Any, ...], Citation] = {}
    for citation in citations:
        key = (citation.url, citation.start, citation.end, "" if citation.start is not None else citation.text)
        known = merged.get(key)
        if known is None:
            merged[key] = citation
        else:
            merged[key] = known._replace(title=known.title or citation.title, quote=known.quote or citation.quote)
    titles = {citation.url: citation.title for citation in merged.values() if citation.title}
    precise = {citation.url for citation in merged.values() if citation.start is not None or citation.text}
    return [
        citation if citation.title else citation._replace(title=titles.get(citation.url, ""))
        for citation in merged.values()
        if citation.start is not None or citation.text or citation.url not in precise
    ]
