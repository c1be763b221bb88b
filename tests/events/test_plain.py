"""Plain text and data lines keep every character, however the body is cut."""

from __future__ import annotations

import pytest
from event_rules import BOM, all_cuts, data_lines_of, data_of, read

from aichatkit.events import iter_data_lines, iter_text

DATA_LINES = "data: a\ndata:  é\r\n\ndata:b\ndata: \n: c\rdata: d\ndata: \r\ndata: last".encode()


# Plain text


def test_text_is_handed_out_as_far_as_its_characters_are_complete() -> None:
    body = BOM + "é\r\n🦊\u2028x".encode()
    for pieces in all_cuts(body):
        assert "".join(data_of(iter_text(pieces))) == "é\r\n🦊\u2028x", pieces


def test_a_piece_of_text_is_out_before_the_next_block_is_asked_for() -> None:
    assert read(iter_text, [b"a", b"b\xc3", b"\xa9", b"\xc3"])[1] == [1, 2, 3, 3]


@pytest.mark.parametrize(("body", "text"), [(b"a\xc3", "a\ufffd"), (b"\xffa", "\ufffda"), (b"\xf0\x9f", "\ufffd")])
def test_bytes_that_are_no_character_are_replaced(body: bytes, text: str) -> None:
    for pieces in all_cuts(body):
        assert "".join(data_of(iter_text(pieces))) == text, pieces


def test_the_limit_of_a_line_does_not_hold_for_text() -> None:
    assert data_of(iter_text([b"long text"], max_line=2)) == ["long text"]


# Lines of text after `data: `


def test_data_lines_are_the_same_and_at_once_wherever_the_body_is_cut() -> None:
    for pieces in all_cuts(DATA_LINES):
        events, counts = read(iter_data_lines, pieces)
        assert events == data_lines_of(DATA_LINES), pieces
        assert counts == [
            len(data_lines_of(b"".join(pieces[: index + 1]), ended=False)) for index in range(len(pieces))
        ], pieces


def test_a_data_line_keeps_its_leading_spaces_and_its_cr() -> None:
    assert data_of(iter_data_lines([b"data:   a\r\ndata:b\ndata: \ndata: \r\n"])) == ["  a\r", "\r"]


def test_a_data_line_ends_at_no_cr() -> None:
    assert data_of(iter_data_lines([b"data: a\rdata: b\n"])) == ["a\rdata: b"]


def test_objects_and_errors_between_data_lines_have_their_own_event_type() -> None:
    events, _ = read(iter_data_lines, [b'data: a\n{"error": "No."}\nx: 1\nerror: it broke\n'])
    assert events == [("message", "a", ""), ("json", '{"error": "No."}', ""), ("error", "it broke", "")]
