"""Where only the start of a body tells its form: every cut of the same bytes gives the same events."""

from __future__ import annotations

import pytest

from aichatkit.errors import BadResponseError
from aichatkit.events import Event
from aichatkit.events.documents import iter_json_lines_or_document
from aichatkit.events.sniffing import iter_data_lines_or_json, iter_sse_or_json, iter_text_or_error

SIZES = [1, 2, 3, 7, 1000]
ERROR = '{"error": {"message": "Nö."}}'
FIRST = [("{}", "message")]


def read(reader, body, size=1000, **options):
    blocks = (body[start : start + size] for start in range(0, len(body), size))
    return [(event.data, event.type) for event in reader(blocks, **options)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('data: {"a": 1}\n\nevent: x\ndata: b\n\n', [('{"a": 1}', "message"), ("b", "x")]),
        ("\n\n\r\n  data: a\n\ndata: b\n\n", [("b", "message")]),
        ("\ufeffdata: a\n\n", [("a", "message")]),
        (': ping\n\n{"a": 1}\n\ndata: é🌞\n\n', [('{"a": 1}', "message"), ("é🌞", "message")]),
        ('{"a":\n 1}', [('{"a":\n 1}', "json")]),
        (' \r\n\t[{"é": 1}]', [(' \r\n\t[{"é": 1}]', "json")]),
        ("\ufeff \n{}", [(" \n{}", "json")]),
        # More lines after the first record, with or without field names.
        ("{}\n\nevent: x\ndata: a\n\nerror: b\nid: 1\n: c\ndata:\n{}", [*FIRST, ("a", "x"), ("b", "error"), *FIRST]),
        ('{"a": 1}\n\n \n', [('{"a": 1}\n\n \n', "json")]),
        ('{\n"a": 1}\n\ndata: b\n\n', [('{\n"a": 1}', "json"), ("b", "message")]),
        ('{"a": 1}{"b": 2}\n', [('{"a": 1}', "json"), ('{"b": 2}', "message")]),
        ('{"a', [('{"a', "json")]),
        ("", []),
        (" \n\ufeff", []),
        ("hello", []),
    ],
)
def test_events_or_one_document(size, body, expected):
    assert read(iter_sse_or_json, body.encode(), size) == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("data: a\n\ndata:  é🌞\r\ndata:c\ndata: \n", [("a", "message"), (" é🌞\r", "message")]),
        ('data: {"a"\ndata: }', [('{"a"', "message"), ("}", "message")]),
        (f"data: a\n{ERROR}\ndata: b\n", [("a", "message"), (ERROR, "json"), ("b", "message")]),
        ('data: a\n{"code": 1}\nerror: no\n', [("a", "message"), ('{"code": 1}', "json"), ("no", "error")]),
        (f"\n{ERROR}", [(f"\n{ERROR}", "json")]),
        ('{"data": []}\ndata: a\n', [('{"data": []}', "json"), ("a", "message")]),
        ("", []),
    ],
)
def test_lines_or_one_document(size, body, expected):
    assert read(iter_data_lines_or_json, body.encode(), size) == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Hello é🌞\n", ("Hello é🌞\n", {"message"})),
        (" \n {} ", (" \n {} ", {"message"})),
        (ERROR, (ERROR, {"json"})),
        (f"\ufeff{ERROR}", (ERROR, {"json"})),
        (f" \n{ERROR} \n", (f" \n{ERROR} \n", {"json"})),
        ('{ "error" :{}}', ('{ "error" :{}}', {"json"})),
        ('{"error": "text"}', ('{"error": "text"}', {"message"})),
        ('{"error": {}, "b": 1}', ('{"error": {}, "b": 1}', {"message"})),
        ('{"error": {', ('{"error": {', {"message"})),
        (f"{ERROR} is what it says.", (f"{ERROR} is what it says.", {"message"})),
        ('{"error', ('{"error', {"message"})),
        ('{"errata": {}}', ('{"errata": {}}', {"message"})),
        ("", ("", set())),
    ],
)
def test_text_or_one_error(size, body, expected):
    events = read(iter_text_or_error, body.encode(), size)
    assert ("".join(data for data, _ in events), {kind for _, kind in events}) == expected


@pytest.mark.parametrize(
    ("reader", "first"),
    [
        (iter_sse_or_json, b"data: a\n\n"),
        (iter_data_lines_or_json, b"data: a\n"),
        (iter_text_or_error, b"a"),
        (iter_text_or_error, b" "),
    ],
)
def test_an_event_is_out_before_the_next_block_is_asked_for(reader, first):
    asked = []

    def blocks():
        yield first
        asked.append(True)
        yield first

    events = reader(blocks())
    assert isinstance(next(events), Event) or not first.strip()
    assert len(asked) == (0 if first.strip() else 1)


@pytest.mark.parametrize("reader", [iter_sse_or_json, iter_data_lines_or_json, iter_text_or_error])
def test_a_document_is_bounded(reader):
    with pytest.raises(BadResponseError):
        read(reader, ERROR.encode() * 3, max_line=len(ERROR))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"a": 1}\n{"b": 2}\n', ['{"a": 1}', '{"b": 2}']),
        ('\n \n{"a": 1}\n', ['{"a": 1}']),
        ('{"a": 1}', ['{"a": 1}']),
        ('{\n"a": 1\n}\n', ['{\n"a": 1\n}\n']),
        ('{\n"a": 1\n}\n{"b": 2}\n', ['{\n"a": 1\n}', '{"b": 2}']),
        ("oops\n{}\n", ["oops", "{}"]),
        ("", []),
        (" \n", []),
        ("  ", []),
    ],
)
def test_lines_or_a_document_over_several(size, body, expected):
    assert [data for data, _ in read(iter_json_lines_or_document, body.encode(), size)] == expected


def test_a_document_is_read_no_further_than_its_limit():
    def blocks():
        yield b'{"text": "'
        for _ in range(20):
            yield b"x" * 10
        raise AssertionError("all of it was read")

    with pytest.raises(BadResponseError, match="more than 100 bytes"):
        list(iter_sse_or_json(blocks(), max_line=100))
