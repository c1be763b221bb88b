"""Rows 58 to 78: the answer breaks off, falls silent, goes wrong, or ends as it should."""

from __future__ import annotations

import gzip
import io
import threading
import zlib

import pytest
import responses
from fault_checks import fails
from fault_wires import (
    ALL,
    BREAKABLE,
    DONE,
    KEY,
    MARKED,
    OPENAI,
    SITES,
    STOP,
    STREAMING,
    TROUBLED,
    UNMARKED,
    delta,
    named,
    row,
)
from urllib3.exceptions import IncompleteRead, ProtocolError, ReadTimeoutError

from aichatkit import Client
from aichatkit.errors import (
    BadResponseError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    StreamStalledError,
)
from aichatkit.sandbox.raw import chunk, chunked_head

pytestmark = pytest.mark.slow

CLOSING = b"Connection: close\r\n\r\n"


@row("58", *STREAMING)
def test_a_connection_closed_without_the_last_chunk_cuts_the_answer(faults, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), "close"])
    stream = fault.client.stream("Hi")
    with fails(StreamInterruptedError) as caught:
        list(stream)
    assert (caught.value.partial, stream.text, len(fault.asked)) == ("Hello", "Hello", 1)
    assert (caught.value.action, stream.reply) == ("stop", None)


@row("58-ask", *STREAMING)
def test_ask_keeps_the_text_of_an_answer_that_was_cut(faults, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), "close"])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)
    assert [attempt.error for attempt in caught.value.attempts] == [caught.value]


@row("59", *STREAMING)
def test_a_cut_inside_a_chunk_keeps_the_complete_events_of_that_chunk(faults, wire):
    pieces = b"".join(map(wire.piece, ("lo", ", ", "world")))
    fault = faults(wire, [*wire.begun("Hel"), b"%x\r\n" % (len(pieces) + 50), pieces, "close"])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello, world", 1)


@row("59-damaged")
def test_a_chunk_that_does_not_end_where_it_says_is_damaged(faults, wire):
    seen = threading.Event()
    piece = wire.piece("lo")
    damaged = b"%x\r\n" % len(piece) + piece + b"XX" + chunk(STOP + DONE) + chunk(b"")
    fault = faults(wire, [*wire.begun("Hel"), seen, damaged])
    stream = fault.client.stream("Hi")
    assert next(stream) == "Hel"
    seen.set()
    with fails(StreamInterruptedError) as caught:
        list(stream)
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("59-document", *named("aichat"))
def test_a_document_that_was_cut_is_no_answer(faults, wire):
    body = wire.body("Hello")
    fault = faults(wire, [wire.fixed(body).replace(b"Length: %d" % len(body), b"Length: 999"), "close"])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    # Nothing of it was shown, so it was asked for once more.
    assert (caught.value.partial, len(fault.asked)) == ("", 2)


@row("60", *STREAMING)
def test_a_reset_after_text_keeps_the_text(faults, wire):
    seen = threading.Event()
    fault = faults(wire, [*wire.begun("Hello"), seen, "reset"])
    stream = fault.client.stream("Hi")
    assert next(stream) == "Hello"
    seen.set()
    with fails(StreamInterruptedError) as caught:
        next(stream)
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("61", *STREAMING)
def test_silence_after_text_is_told_after_the_read_timeout(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), "wait-close"], timeout=(5, 0.5))
    with fails(StreamStalledError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked), fault.slept) == ("Hello", 1, [])
    assert fault.server.wait_closed()


class Scripted(io.RawIOBase):
    """A body for a double: hands out scripted pieces and raises what comes among them."""

    def __init__(self, *pieces):
        self._pieces = list(pieces)

    def readable(self):
        return True

    def readinto(self, into):
        if not self._pieces:
            return 0
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        into[: len(piece)] = piece
        return len(piece)


@row("60-doubled")
@pytest.mark.parametrize(
    ("trouble", "headers", "kind"),
    [
        pytest.param(ProtocolError("broken", ConnectionResetError(104, "reset")), {}, StreamInterruptedError, id="60"),
        pytest.param(ReadTimeoutError(None, "/", "silent"), {}, StreamStalledError, id="61"),
        pytest.param(IncompleteRead(10, 20), {}, StreamInterruptedError, id="69"),
    ],
)
def test_a_double_cuts_an_answer_as_a_server_does(wire, policy, trouble, headers, kind):
    url = "https://openai.example/v1"
    with responses.RequestsMock() as mock, Client(model="openai", api_key=KEY, base_url=url, retry=policy) as client:
        body = io.BufferedReader(Scripted(wire.piece("Hel"), wire.piece("lo"), trouble))
        mock.post(f"{url}/chat/completions", body=body, content_type=wire.content_type, headers=headers)
        with fails(kind) as caught:
            client.ask("Hi")
        assert (caught.value.partial, len(mock.calls)) == ("Hello", 1)


@row("62", *TROUBLED)
def test_an_error_event_after_text_keeps_the_text(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(wire.trouble), chunk(b"")])
    with pytest.raises(ServerError) as caught:
        fault.client.ask("Hi")
    with fails(type(caught.value)) as again:
        raise caught.value
    assert (again.value.partial, again.value.action, len(fault.asked)) == ("Hello", "stop", 1)


@row("63", *BREAKABLE)
def test_a_record_that_cannot_be_read_is_never_skipped(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(wire.broken), *wire.more("more"), chunk(wire.end), chunk(b"")])
    with fails(BadResponseError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("64", *MARKED)
def test_a_clean_end_without_the_end_marker_is_a_cut(faults, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), chunk(b"")])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("72-74", *named("anthropic", "ollama"))
def test_the_last_record_of_the_protocol_must_come(faults, wire):
    nearly = wire.end[: wire.end.rindex(b"event:")] if wire.provider == "anthropic" else b""
    fault = faults(wire, [*wire.begun("Hello"), *([chunk(nearly)] if nearly else []), chunk(b"")])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("65")
def test_a_finish_reason_is_an_end_marker(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(STOP), chunk(b"")])
    reply = fault.client.ask("Hi")
    assert (reply.text, reply.finish_reason, reply.complete) == ("Hello", "stop", True)


@row("66")
def test_done_is_an_end_marker(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(DONE), chunk(b"")])
    reply = fault.client.ask("Hi")
    assert (reply.text, reply.finish_reason, reply.complete) == ("Hello", None, True)


@row("67", *UNMARKED)
def test_where_there_is_no_end_marker_completeness_is_unknown(faults, wire):
    fault = faults(wire, wire.whole("Hel", "lo"))
    reply = fault.client.ask("Hi")
    assert (reply.text, reply.complete) == ("Hello", None)


@row("67-switched-off")
def test_a_provider_may_do_without_its_end_marker(faults, monkeypatch, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), chunk(b"")])
    monkeypatch.setattr(fault.client.providers["openai"], "requires_end", False)
    reply = fault.client.ask("Hi")
    assert (reply.text, reply.complete) == ("Hello", None)


@row("68", *MARKED)
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_body_that_ends_with_its_connection_is_cut_where_its_end_marker_lacks(faults, wire, version):
    head = version + b" 200 OK\r\nContent-Type: " + wire.content_type.encode() + b"\r\n" + CLOSING
    fault = faults(wire, [head, wire.start + wire.piece("Hello"), "close"])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("68-whole", *STREAMING)
def test_a_body_that_ends_with_its_connection_is_an_answer(faults, wire):
    head = b"HTTP/1.0 200 OK\r\nContent-Type: " + wire.content_type.encode() + b"\r\n" + CLOSING
    fault = faults(wire, [head, wire.body("Hel", "lo"), "close"])
    reply = fault.client.ask("Hi")
    assert (reply.text, reply.complete) == ("Hello", True if wire.end else None)


@row("69", *STREAMING)
def test_a_body_shorter_than_its_length_is_cut(faults, wire):
    body = wire.start + wire.piece("Hel") + wire.piece("lo")
    fault = faults(wire, [wire.fixed(body).replace(b"Length: %d" % len(body), b"Length: 9999"), "close"])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


def squeezed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body)
    return zlib.compress(body)


def squeezed_head(wire, encoding: str) -> bytes:
    return chunked_head(wire.content_type)[:-2] + b"Content-Encoding: " + encoding.encode() + b"\r\n\r\n"


def flushed(body: bytes) -> bytes:
    """The start of a gzip body that holds all of `body`, and no end."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH)


@row("70", *STREAMING)
def test_a_compressed_body_cut_within_whole_chunks_is_a_cut(faults, wire):
    start = chunk(flushed(wire.start + wire.piece("Hel") + wire.piece("lo")))
    fault = faults(wire, [squeezed_head(wire, "gzip"), start, chunk(b"")])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("71", *ALL)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_that_is_garbage_cannot_be_read(faults, wire, encoding):
    fault = faults(wire, [squeezed_head(wire, encoding), chunk(b"\x00garbage\xff" * 9), chunk(b"")])
    with fails(BadResponseError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("", 1)


@row("71-later", *STREAMING)
def test_garbage_after_compressed_text_keeps_the_text(faults, wire):
    start = flushed(wire.start + wire.piece("Hello"))
    fault = faults(wire, [squeezed_head(wire, "gzip"), chunk(start), chunk(b"\xff" * 40), chunk(b"")])
    with fails(BadResponseError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("71b", *ALL)
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
def test_a_server_that_compresses_unasked_is_read(faults, wire, encoding):
    body = squeezed(wire.body("Hello"), encoding.replace("x-", ""))
    pieces = [chunk(body[place : place + 7]) for place in range(0, len(body), 7)]
    fault = faults(wire, [squeezed_head(wire, encoding), *pieces, chunk(b"")])
    assert fault.client.ask("Hi").text == "Hello"
    assert {request.headers["accept-encoding"] for request in fault.asked} == {"identity"}


@row("73", *named("ollama", "aichatonline"))
def test_an_error_line_after_text_keeps_the_text(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(wire.trouble), chunk(b"")])
    with fails(ServerError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello", 1)


@row("75", *named("ollama", "aichatonline"))
def test_empty_lines_between_records_mean_nothing(faults, wire):
    steps = [*wire.begun("Hel"), chunk(b"\n \n\r\n"), *wire.more("lo"), chunk(b"\n" + wire.end + b"\n\n"), chunk(b"")]
    assert faults(wire, steps).client.ask("Hi").text == "Hello"


NOTICE = "The request limit for today has been reached. Please try again tomorrow."


@row("76", *SITES)
@pytest.mark.parametrize("cut", [len(NOTICE), 7, 1])
def test_a_limit_notice_is_not_handed_out_as_an_answer(faults, wire, cut):
    texts = [NOTICE[place : place + cut] for place in range(0, len(NOTICE), cut)]
    fault = faults(wire, wire.whole(*texts))
    with fails(RateLimitError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, caught.value.action, len(fault.asked)) == ("", "next", 1)


HONEST = (
    "The request limit of an API is the number of calls it takes in a span of time. "
    "Rate limit exceeded is what a service says when a caller goes beyond it."
)


@row("77", *ALL)
@pytest.mark.parametrize("cut", [len(HONEST), 9])
def test_an_honest_answer_about_limits_passes_whole(faults, wire, cut):
    texts = [HONEST[place : place + cut] for place in range(0, len(HONEST), cut)]
    assert faults(wire, wire.whole(*texts)).client.ask("Hi").text == HONEST


@row("78", *named("openai", "chatgptt"))
def test_an_end_marker_may_have_a_suffix(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(b"data: [DONE][LIMIT_CONVERSATION]\n\n"), chunk(b"")])
    reply = fault.client.ask("Hi")
    assert (reply.text, reply.complete) == ("Hello", True)


@row("78-two-ends")
def test_nothing_after_the_last_marker_is_read_as_text(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(STOP + DONE + delta("never")), chunk(b"")])
    assert fault.client.ask("Hi").text == "Hello"


@row("78-usage")
def test_what_comes_between_the_finish_reason_and_done_still_counts(faults, wire):
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}\n\n'
    fault = faults(OPENAI, [*wire.begun("Hello"), chunk(STOP), chunk(usage), chunk(DONE), chunk(b"")])
    assert fault.client.ask("Hi").usage.output_tokens == 5
