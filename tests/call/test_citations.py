"""Places of citations: every unit that a service counts in, and what is left out because it does not fit the text."""

from __future__ import annotations

import pytest

from aichatkit.call.citations import merge_searches, place, with_urls
from aichatkit.chunks import Citation, Cited, Search, SearchPart, Source

URL = "https://example.org/a"
LINK = f"([example.org]({URL}))"
TEXT = f"Ebbe 🌊 \u2014 naïve {LINK}."
START = TEXT.index(LINK)
END = START + len(LINK)


def utf16(position):
    return len(TEXT[:position].encode("utf-16-le")) // 2


def utf8(position):
    return len(TEXT[:position].encode())


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START, END),
        (START, END - 1),
        (utf16(START), utf16(END)),
        (utf16(START), utf16(END) - 1),
        (utf8(START), utf8(END)),
        (utf8(START), utf8(END) - 1),
    ],
)
def test_the_place_of_a_link_is_found_in_whatever_unit_it_is_counted(start, end):
    assert place([Cited(URL, "A", "marker", start, end)], TEXT, []) == [Citation(URL, "A", START, END, LINK)]


def test_a_place_without_a_link_counts_characters():
    assert place([Cited(URL, "", "marker", 0, 6)], TEXT, []) == [Citation(URL, "", 0, 6, "Ebbe 🌊")]


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (0, None), ("0", 5), (True, 5), (-1, 5), (5, 5), (6, 5), (0, 5000), (2000, 2001), (4, 5)],
)
def test_a_place_that_does_not_fit_is_left_out(start, end):
    assert place([Cited(URL, "A", "marker", start, end)], TEXT, []) == [Citation(URL, "A")]


def test_a_place_counts_from_its_part_of_the_text():
    starts = [(("text", "item_id", "m", 0), 0), (("text", "item_id", "m", 1), 3)]
    cited = [
        Cited(URL, "", "marker", START, END, part=(("text", "output_index", 5, 1), ("text", "item_id", "m", 1))),
        Cited(URL, "", "marker", START, END, part=(("text", "item_id", "unknown", 0),)),
    ]
    assert place(cited, "ab\n" + TEXT, starts) == [Citation(URL, "", START + 3, END + 3, LINK)]
    assert place(cited[1:], TEXT, starts) == [Citation(URL)]
    assert place(cited[1:], TEXT, []) == [Citation(URL, "", START, END, LINK)]


def test_a_segment_counted_in_bytes_is_found_in_any_part():
    segment, start = "naïve", utf8(TEXT.index("naïve"))
    cited = Cited(URL, "A", "bytes", start, start + len(segment.encode()), segment)
    expected = Citation(URL, "A", TEXT.index(segment), TEXT.index(segment) + 5, segment)
    assert place([cited], TEXT, []) == [expected]
    assert place([cited], "Köln: " + TEXT, [(None, 6)])[0].start == 6 + TEXT.index(segment)


@pytest.mark.parametrize(("start", "end"), [(6, 9), (0, 4000), (0, 3), (0, None)])
def test_bytes_inside_a_character_or_of_another_text_have_no_place(start, end):
    assert place([Cited(URL, "A", "bytes", start, end, "Ebbe 🌊")], TEXT, []) == [Citation(URL, "A", text="Ebbe 🌊")]


def test_a_block_ends_where_the_next_one_begins():
    cited = [Cited(URL, "A", "block", quote="q", part=(index,)) for index in (0, 2, 4, 9)]
    assert place(cited, "eins zwei", [(0, 0), (2, 5), (4, 9)]) == [
        Citation(URL, "A", 0, 5, "eins ", "q"),
        Citation(URL, "A", 5, 9, "zwei", "q"),
    ]


def test_marks_with_numbers_are_each_a_place():
    text = "Ü [1], [2][1] and [1](https://example.org)"
    cited = [Cited(URL, "A", "number", number=1), Cited(f"{URL}b", "B", "number", number=2)]
    cited += [Cited(f"{URL}c", "C", "number", number=3), Cited(f"{URL}d", "D", "number")]
    assert [(citation.title, citation.start, citation.text) for citation in place(cited, text, [])] == [
        ("A", 2, "[1]"),
        ("A", 10, "[1]"),
        ("B", 7, "[2]"),
        ("C", None, ""),
        ("D", None, ""),
    ]


def test_a_citation_stands_where_the_text_had_got_to():
    cited = [Cited(URL, "A", start=2), Cited(URL, "B", start=9)]
    assert place(cited, "ab", []) == [Citation(URL, "A", 2, 2, "")]


def test_repetitions_are_one_and_a_title_or_a_quote_may_come_later():
    cited = [
        Cited(URL, "", "marker", START, END),
        Cited(URL, "A", "marker", START, END, quote="q"),
        Citation(URL),
        Citation(f"{URL}b"),
        Citation(f"{URL}b", ["B"]),
        Citation(f"{URL}b", "B"),
    ]
    assert place(cited, TEXT, []) == [Citation(URL, "A", START, END, LINK, "q"), Citation(f"{URL}b", "B")]


def test_each_place_of_a_source_is_a_citation_with_its_title():
    cited = [Cited(URL, "", "bytes", 0, 4, "Ebbe"), Cited(URL, "A", "bytes", 0, 4, "lost"), Citation(URL, "A")]
    assert place(cited, TEXT, []) == [Citation(URL, "A", 0, 4, "Ebbe"), Citation(URL, "A", text="lost")]


@pytest.mark.parametrize(
    ("title", "number", "url"),
    [
        ("A", 2, "https://a.example"),
        ("lost", 2, "https://b.example"),
        ("B", 3, "https://c.example"),
        ("lost", 9, None),
    ],
)
def test_a_fetched_document_is_found_by_its_title_or_else_by_its_number(title, number, url):
    pages = [Source("https://a.example", "A"), Source("https://b.example", "B"), Source("https://c.example", "B")]
    cited = [Cited("", title, "block", quote="q", part=(0,), number=number), Citation(URL), Cited(URL)]
    urls = [citation.url for citation in with_urls(cited, pages)]
    assert urls == [*([url] if url else []), URL, URL]


def test_searches_are_put_together_in_order():
    page = Source(URL, "A\ud83d")
    parts = [
        SearchPart("1", "tides"),
        SearchPart("2", results=[page]),
        SearchPart("2", "moon"),
        SearchPart("1", error="x"),
    ]
    assert merge_searches(parts) == [Search("tides", [], "x"), Search("moon", [Source(URL, "A\ufffd")])]
