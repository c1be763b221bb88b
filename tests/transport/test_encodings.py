"""Compressed bodies are decoded or rejected by name, on every wire."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from aichatkit import Client
from aichatkit.errors import BadResponseError, ChatError, QuotaExceededError, StreamInterruptedError
from aichatkit.sandbox.raw import RawServer, chunk, response
from aichatkit.transport.encodings import UnknownEncodingError, encoding_of, inflate, read_start, unknown_framing

TEXT = b"Hello, " + bytes(range(256)) * 40
SSE = (
    b"".join(b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % piece for piece in (b"Hel", b"lo"))
    + b"data: [DONE]\n\n"
)
HALF = len(SSE) // 2


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def members(data: bytes, size: int = 100) -> bytes:
    return b"".join(gzip.compress(data[at : at + size], mtime=0) for at in range(0, len(data), size))


def unpacked(data: bytes, encoding: str, size: int = 1 << 20, **options) -> bytes:
    blocks = iter([data[at : at + size] for at in range(0, len(data), size)])
    return b"".join(inflate(lambda: next(blocks, b""), encoding, **options))


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        pytest.param(gzip.compress(TEXT), "gzip", id="gzip"),
        pytest.param(gzip.compress(TEXT), "x-gzip", id="x-gzip"),
        pytest.param(members(TEXT), "gzip", id="members"),
        pytest.param(gzip.compress(TEXT) + b"\0" * 9, "gzip", id="padded"),
        pytest.param(gzip.compress(TEXT[:99]) + b"\0" * 9 + gzip.compress(TEXT[99:]), "gzip", id="padded-between"),
        pytest.param(gzip.compress(b"") * 3 + gzip.compress(TEXT), "gzip", id="empty-members"),
        pytest.param(gzip.compress(TEXT) + b"\x1f", "gzip", id="odd-end"),
        pytest.param(zlib.compress(TEXT), "deflate", id="deflate"),
        pytest.param(raw_deflate(TEXT), "deflate", id="raw-deflate"),
        pytest.param(members(TEXT), "deflate", id="gzip-named-deflate"),
        pytest.param(zlib.compress(TEXT), "gzip", id="deflate-named-gzip"),
    ],
)
def test_every_form_is_decoded(data, encoding, size):
    assert unpacked(data, encoding, size) == TEXT


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (members(TEXT), "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (raw_deflate(TEXT), "deflate"),
    ],
)
def test_a_truncated_body_is_an_error(data, encoding, size):
    with pytest.raises(EOFError):
        unpacked(data[:-3], encoding, size)


def test_an_empty_body_stays_empty():
    assert unpacked(b"", "gzip") == b""


def test_endless_data_after_the_compressed_body_is_an_error():
    blocks = iter([gzip.compress(TEXT), *[b"-" * 65536] * 20])
    with pytest.raises(zlib.error):
        b"".join(inflate(lambda: next(blocks, b""), "gzip"))


def test_output_of_exactly_the_maximum_size_is_complete():
    data = b"x" * ((1 << 20) + 200)
    for made in (gzip.compress(data), zlib.compress(data), raw_deflate(data)):
        assert unpacked(made, "deflate", 50) == data


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_recorded_body_may_be_decoded_already(encoding, size):
    assert unpacked(SSE, encoding, size, maybe_decoded=True) == SSE
    packed = {"gzip": gzip.compress, "deflate": raw_deflate}[encoding](SSE)
    assert unpacked(packed, encoding, size, maybe_decoded=True) == SSE


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        ("", ""),
        ("identity", ""),
        ("Identity", ""),
        ("utf-8", ""),
        ("UTF8", ""),
        ("ISO-8859-1", ""),
        ("none", ""),
        ("gzip", "gzip"),
        (" GZIP ", "gzip"),
        ("gzip, identity", "gzip"),
        ("gzip, gzip", "gzip, gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("rot13", "rot13"),
        ("a\0b", "a\0b"),
    ],
)
def test_the_encoding_is_parsed_from_its_header(value, encoding):
    assert encoding_of({"Content-Encoding": value}) == encoding


@pytest.mark.parametrize(
    ("value", "unknown"),
    [("chunked", ""), ("CHUNKED ", ""), ("identity", ""), ("gzip, chunked", "gzip, chunked"), ("gzip", "gzip")],
)
def test_a_transfer_encoding_other_than_chunked_is_unknown(value, unknown):
    assert unknown_framing({"Transfer-Encoding": value}) == unknown


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("data", "name"), [(gzip.compress(TEXT, mtime=0), "gzip"), (b"\x28\xb5\x2f\xfd\x04\0", "zstd")]
)
def test_an_undeclared_encoding_is_detected(data, name, size):
    blocks = iter([data[at : at + size] for at in range(0, len(data), size)])
    with pytest.raises(UnknownEncodingError, match=name):
        read_start(lambda: next(blocks, b""))


@pytest.mark.parametrize("data", [b"", b"\x1f", b"(", b"(text", b"\x1f\x8bx"])
def test_data_that_only_resembles_an_encoding_is_passed_through(data):
    blocks = iter([data[:1], data[1:]])
    assert read_start(lambda: next(blocks, b"")) == data


# Through a client, on wires of records and of plain text.

PLAIN = {"openai": SSE, "aichatfree": b"Hello"}


def ask(wire: str, body: bytes, *headers: tuple[str, str], status: str = "200 OK", chunked: bool = False):
    """Return the answer to a prompt, or the error and the number of requests."""
    kind = "text/event-stream" if wire == "openai" else "text/plain"
    sent = [response(body, status=status, headers=[("Content-Type", kind), *headers])]
    if chunked:
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *(f"{name}: {value}" for name, value in headers)]
        sent = ["\r\n".join(lines).encode() + b"\r\n\r\n", chunk(body), chunk(b"")]
    with RawServer(lambda request: sent) as server:
        options = {"api_key": "sk-test-0123456"} if wire == "openai" else {}
        with Client(model=wire, base_url=server.url, timeout=5, **options) as client:
            try:
                return client.ask("Hi").text
            except ChatError as error:
                return error, len(server.requests)


@pytest.mark.parametrize("wire", PLAIN)
@pytest.mark.parametrize(
    ("encoding", "make"),
    [
        ("gzip", gzip.compress),
        ("gzip", lambda data: members(data, 3)),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
)
def test_a_compressed_answer_is_decoded(wire, encoding, make):
    assert ask(wire, make(PLAIN[wire]), ("Content-Encoding", encoding)) == "Hello"


@pytest.mark.parametrize("wire", PLAIN)
@pytest.mark.parametrize("value", ["identity", "", "utf-8", "UTF-8, identity"])
def test_values_that_name_no_encoding_are_ignored(wire, value):
    assert ask(wire, PLAIN[wire], ("Content-Encoding", value)) == "Hello"


@pytest.mark.parametrize("wire", PLAIN)
@pytest.mark.parametrize("value", ["x-unknown", "compress", "gzip, gzip", "deflate, gzip", "aes128gcm"])
def test_an_unknown_encoding_is_reported_without_a_retry(wire, value):
    error, count = ask(wire, gzip.compress(PLAIN[wire]), ("Content-Encoding", value))
    assert (type(error), count) == (BadResponseError, 1)
    assert value in str(error)


@pytest.mark.parametrize("wire", PLAIN)
def test_a_compressed_transfer_encoding_is_reported_without_a_retry(wire):
    error, count = ask(wire, gzip.compress(PLAIN[wire]), ("Transfer-Encoding", "gzip, chunked"), chunked=True)
    assert (type(error), count) == (BadResponseError, 1)
    assert "gzip, chunked" in str(error)


@pytest.mark.parametrize("wire", PLAIN)
def test_a_compressed_answer_without_the_header_is_reported(wire):
    error, count = ask(wire, gzip.compress(PLAIN[wire]))
    assert (type(error), count) == (BadResponseError, 1)
    assert "gzip" in str(error)


def test_a_truncated_member_is_an_interrupted_stream():
    error, _ = ask("aichatfree", members(b"Hello", 3)[:-4], ("Content-Encoding", "gzip"))
    assert type(error) is StreamInterruptedError


@pytest.mark.parametrize(
    ("encoding", "make"),
    [("gzip", lambda data: members(data, 20)), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
def test_an_error_body_is_decoded_as_well(encoding, make):
    body = json.dumps({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}).encode()
    error, count = ask("openai", make(body), ("Content-Encoding", encoding), status="429 Too Many Requests")
    assert (type(error), count) == (QuotaExceededError, 1)
