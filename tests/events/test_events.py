"""Events come out whole, at once and in linear time, whatever the form of the body and however it was cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Callable

import pytest
from event_rules import BOM, data_of

from aichatkit.errors import BadResponseError
from aichatkit.events import (
    Event,
    iter_data_lines,
    iter_json,
    iter_json_array,
    iter_json_lines,
    iter_lines,
    iter_sse,
    iter_text,
)

Reader = Callable[..., Iterator[Event]]
READERS = [iter_sse, iter_json_lines, iter_json, iter_json_array, iter_text, iter_data_lines]


@pytest.mark.parametrize("body", [b"", b" \r\n\t", BOM])
@pytest.mark.parametrize("reader", [iter_json, iter_json_array, iter_json_lines, iter_sse])
def test_a_blank_body_has_no_events(reader: Reader, body: bytes) -> None:
    assert list(reader([body])) == []


@pytest.mark.parametrize(
    ("reader", "before", "block"),
    [
        (iter_lines, b"0123456789", b"0123456789"),
        (iter_sse, b"data: 7890", b"\ndata: 890"),
        (iter_sse, b": ping\n890", b"\n: ping\n90"),
        (iter_json_lines, b"{123456789", b"0123456789"),
        (iter_json, b"{123456789", b"0123456789"),
        (iter_json_array, b'[{"3456789', b"0123456789"),
        (iter_data_lines, b"data: 7890", b"0123456789"),
    ],
)
def test_a_record_that_never_ends_is_given_up_at_the_limit(reader: Reader, before: bytes, block: bytes) -> None:
    blocks = chain([before], repeat(block, 20))
    with pytest.raises(BadResponseError, match="more than 98 bytes"):
        list(reader(blocks, max_line=98))
    assert len(list(blocks)) == 11


@pytest.mark.parametrize("reader", READERS)
def test_nothing_is_read_before_the_first_event_is_asked_for(reader: Reader) -> None:
    reader(pytest.fail("read too early") for _ in range(1))


@pytest.mark.parametrize("reader", READERS)
def test_an_error_of_the_network_passes_through(reader: Reader) -> None:
    def broken() -> Iterator[bytes]:
        yield b"{"
        raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        list(reader(broken()))


@pytest.mark.parametrize(
    ("reader", "before", "after"),
    [
        (iter_sse, "data: ", "\n\n"),
        (iter_sse, "event: x\r\ndata: ", "\r\n\r\n"),
        (iter_json_lines, "", "\n"),
        (iter_json, "", ""),
        (iter_json_array, "[", "]"),
        (iter_data_lines, "data: ", "\n"),
    ],
)
def test_ten_megabytes_in_one_record_arrive_whole(reader: Reader, before: str, after: str) -> None:
    record = json.dumps({"image": "iVBOR/+=" * 1_310_720})
    body = (before + record + after).encode()
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    assert data_of(reader(pieces)) == [record]
