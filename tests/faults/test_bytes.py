"""Rows 79 to 86: bytes cut anywhere, and bodies without bounds."""

from __future__ import annotations

import io
import itertools
import time
import tracemalloc
import zlib

import pytest
import responses
from fault_checks import fails
from fault_wires import ALL, KEY, STREAMING, named, row
from test_streams_cut import Scripted, squeezed_head

from aichatkit import Client
from aichatkit.errors import BadResponseError
from aichatkit.sandbox.raw import chunk, chunked_head

#: Two line separators that end no line here, marks beyond the basic plane, a joined family, and a lone accent.
TEXT = "a\u2028b\u0085c\x0bd\x1ce 😀👨\u200d👩\u200d👧 é e\u0301 ﬁ 漢字 \ufeff."
SSE = named("openai", "aichatonline-classic", "chatgptt", "anthropic", "gemini")
SIZES = [1, 2, 3, 7, 1000]


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[place : place + size] for place in range(0, len(body), size)]


@row("79", *ALL)
@pytest.mark.parametrize("size", SIZES)
def test_the_text_is_the_same_however_the_body_was_cut(faults, wire, size):
    pieces = [chunk(piece) for piece in cut(wire.body(TEXT), size)]
    fault = faults(wire, [chunked_head(wire.content_type), *pieces, chunk(b"")])
    assert fault.client.ask("Hi").text == TEXT


@row("79-line-ends", *SSE)
@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["bare", "BOM"])
@pytest.mark.parametrize("size", SIZES)
def test_every_line_end_and_a_byte_order_mark_are_read(faults, wire, size, start, end):
    body = start + wire.body("Hel", TEXT).replace(b"\n", end)
    fault = faults(wire, [chunked_head(), *map(chunk, cut(body, size)), chunk(b"")])
    assert fault.client.ask("Hi").text == "Hel" + TEXT


@row("79-charset", *STREAMING)
def test_text_is_utf8_whatever_the_header_says(faults, wire):
    kind = wire.content_type.partition(";")[0] + "; charset=iso-8859-1"
    fault = faults(wire, [chunked_head(kind), chunk(wire.body("é😀")), chunk(b"")])
    assert fault.client.ask("Hi").text == "é😀"


@row("79-doubled")
@pytest.mark.parametrize("size", SIZES)
def test_a_double_may_cut_the_body_anywhere(wire, size):
    url = "https://openai.example/v1"
    with responses.RequestsMock() as mock, Client(model="openai", api_key=KEY, base_url=url, retry=0) as client:
        body = io.BufferedReader(Scripted(*cut(wire.body(TEXT), size)))
        mock.post(f"{url}/chat/completions", body=body, content_type=wire.content_type)
        assert client.ask("Hi").text == TEXT


@row("80", *SSE)
def test_a_carriage_return_and_its_line_feed_in_two_pieces_are_one_line_end(faults, wire):
    # JSON over two data lines: counted twice, the line end would close the event in the middle.
    first, brace, rest = wire.body("Hello").replace(b"\n", b"\r\n").partition(b'{"')
    whole = first + b"{\r\ndata: " + b'"' + rest
    place = whole.index(b"{\r\n") + 2
    assert brace
    pieces = [whole[:place], whole[place : place + 1], whole[place + 1 :]]
    fault = faults(wire, [chunked_head(), *map(chunk, pieces), chunk(b"")])
    assert fault.client.ask("Hi").text == "Hello"


@row("81", *ALL)
def test_a_byte_order_mark_in_three_pieces_is_not_text(faults, wire):
    body = wire.body("Hello")
    pieces = [b"\xef", b"\xbb", b"\xbf", body[:4], body[4:]]
    fault = faults(wire, [chunked_head(wire.content_type), *map(chunk, pieces), chunk(b"")])
    assert fault.client.ask("Hi").text == "Hello"


@row("82", *[wire for wire in ALL if wire.provider != "chatgptt"])
def test_a_line_of_four_megabytes_takes_linear_time(faults, wire):
    text = "x" * (4 << 20)
    pieces = [chunk(piece) for piece in cut(wire.body(text), 4096)]
    fault = faults(wire, [chunked_head(wire.content_type), *pieces, chunk(b"")])
    started = time.process_time()
    assert len(fault.client.ask("Hi").text) == len(text)
    # A thousand pieces, each gone over again and again, took 54 seconds.
    assert time.process_time() - started < 20


def bounded(fault, monkeypatch, **limits: int) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(fault.client.providers[fault.wire.provider], name, value)


@row("83", *SSE, *named("aichatonline", "ollama"))
def test_a_line_over_the_limit_is_refused_and_the_memory_stays_bounded(faults, monkeypatch, wire):
    endless = itertools.repeat(chunk(b"x" * 65536), 2000)
    start = b"data: " if wire in SSE else b'{"data": "'
    fault = faults(wire, lambda request: [*wire.begun("Hello"), chunk(start), endless])
    bounded(fault, monkeypatch, max_line=1 << 20)
    tracemalloc.start()
    try:
        with fails(BadResponseError) as caught:
            fault.client.ask("Hi")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)
    assert fault.server.wait_closed()


@row("84", *STREAMING)
def test_an_answer_over_the_limit_is_refused(faults, monkeypatch, wire):
    fault = faults(wire, lambda request: [*wire.begun("Hello"), itertools.repeat(chunk(wire.piece("x" * 100)), 5000)])
    bounded(fault, monkeypatch, max_answer=10_000)
    with fails(BadResponseError) as caught:
        fault.client.ask("Hi")
    assert caught.value.partial.startswith("Hello")
    assert (10_000 < len(caught.value.partial) < 10_200, len(fault.asked)) == (True, 1)


@row("85", *named("openai", "aichatonline", "aichat", "aichats"))
def test_a_compression_bomb_is_refused_and_the_memory_stays_bounded(faults, monkeypatch, wire):
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    # A block of zeros that stands on its own can be repeated: 200 MB from 200 KB.
    block = packer.compress(b"0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = start + block * 200
    fault = faults(wire, [squeezed_head(wire, "gzip"), chunk(bomb), chunk(b"")])
    bounded(fault, monkeypatch, max_line=1 << 20, max_answer=1 << 20)
    tracemalloc.start()
    try:
        with fails(BadResponseError):
            fault.client.ask("Hi")
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()
    assert len(fault.asked) == 1


@row("86", *SSE)
def test_an_event_that_never_ends_is_refused(faults, monkeypatch, wire):
    endless = itertools.repeat(chunk(b"data: 0123456789\n" * 1000))
    fault = faults(wire, lambda request: [*wire.begun("Hello"), endless])
    bounded(fault, monkeypatch, max_line=1 << 20)
    with fails(BadResponseError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)
