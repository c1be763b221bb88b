"""Lines come out whole, at once and bounded, however the network cut them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from event_rules import BOM, all_cuts, cut, lines_of, read

from aichatkit.errors import BadResponseError
from aichatkit.events.lines import drop_bom, iter_lines, iter_runs


def cuts_of_a_hard_body() -> Iterator[list[bytes]]:
    return all_cuts(BOM + "a\r\nb\rc\n\r\n\u2028\x85\x0c\x1d é🦊\n\r\r\nlast".encode())


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", []),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\n\n", ["one", ""]),
        (b"one\rtwo\r\nthree\nfour", ["one", "two", "three", "four"]),
        (b"one\n\rtwo", ["one", "", "two"]),
        (b"one\r\r\ntwo", ["one", "", "two"]),
        ("a\u2028b\x85c\x0bd\x0ce\x1cf".encode(), ["a\u2028b\x85c\x0bd\x0ce\x1cf"]),
        (BOM + b"one", ["one"]),
        (b"one\n" + BOM + b"two", ["one", "\ufefftwo"]),
        (BOM + BOM, ["\ufeff"]),
        (BOM[:2], ["\ufffd"]),
        (b"caf\xe9\nok\n", ["caf\ufffd", "ok"]),
        (b"\xf0\x9f\xa6\nok", ["\ufffd", "ok"]),
    ],
)
def test_a_line_ends_at_lf_cr_or_crlf_and_nowhere_else(body: bytes, lines: list[str]) -> None:
    assert list(iter_lines([body])) == lines


def test_lines_are_the_same_wherever_the_body_is_cut() -> None:
    for pieces in cuts_of_a_hard_body():
        assert read(iter_lines, pieces)[0] == lines_of(b"".join(pieces)), pieces


def test_a_line_is_out_before_the_next_block_is_asked_for() -> None:
    for pieces in cuts_of_a_hard_body():
        ended = [len(lines_of(b"".join(pieces[: index + 1]))) - 1 for index in range(len(pieces))]
        assert read(iter_lines, pieces)[1] == ended, pieces


def test_empty_blocks_between_cr_and_lf_change_nothing() -> None:
    assert list(iter_lines([b"", b"a\r", b"", b"\nb", b""])) == ["a", "b"]


def test_a_byte_order_mark_may_come_in_three_pieces() -> None:
    assert list(iter_lines([b"\xef", b"", b"\xbb", b"\xbf", b"one\n"])) == ["one"]


def test_what_only_starts_like_a_byte_order_mark_is_kept() -> None:
    assert b"".join(drop_bom([b"\xef", b"\xbb", b"a"])) == b"\xef\xbba"


def test_nothing_is_read_before_the_first_line_is_asked_for() -> None:
    iter_lines(pytest.fail("read too early") for _ in range(1))


@pytest.mark.parametrize("body", [b"ab\nabc\nabcd\nab", b"ab\nabc\nabcd", b"ab\r\nabc\rabcd\r\n"])
def test_a_line_over_the_limit_is_an_error_once_those_before_it_are_out(body: bytes) -> None:
    for pieces in all_cuts(body):
        lines = iter_lines(pieces, max_line=3)
        assert [next(lines), next(lines)] == ["ab", "abc"]
        with pytest.raises(BadResponseError, match="more than 3 bytes"):
            next(lines)


def test_the_limit_counts_bytes() -> None:
    assert list(iter_lines(["éé\n".encode()], max_line=4)) == ["éé"]
    with pytest.raises(BadResponseError):
        list(iter_lines(["éé\n".encode()], max_line=3))


def test_what_is_left_at_the_end_is_told_from_what_was_ended() -> None:
    assert list(iter_runs([b"a\n\nb\n"], b"\n\n", 80)) == [("a\n\n", True), ("b\n\n\n", False)]


def test_a_mark_of_two_bytes_may_be_cut_in_two() -> None:
    for pieces in all_cuts(b"a\n\nbc\n\nd\n\n"):
        runs = list(iter_runs(pieces, b"\n\n", 80))
        assert "".join(text for text, _ in runs) == "a\n\nbc\n\nd\n\n"
        assert all(whole and text.endswith("\n\n") for text, whole in runs)


def test_cr_is_text_where_only_lf_ends_a_line() -> None:
    for place in range(6):
        runs = iter_runs(cut(b"a\r\nb\r", place), b"\n", 80, universal_newlines=False)
        assert "".join(text for text, _ in runs) == "a\r\nb\r\n"


def test_an_error_of_the_network_comes_after_the_lines_before_it() -> None:
    def broken() -> Iterator[bytes]:
        yield b"one\ntw"
        raise OSError("reset")

    lines = iter_lines(broken())
    assert next(lines) == "one"
    with pytest.raises(OSError, match="reset"):
        next(lines)
