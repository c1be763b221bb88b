"""Rows: whatever shape the prompts have, and only as far as they are wanted."""

from __future__ import annotations

import os
from itertools import count

import pytest

from aichatkit import Client, Message
from aichatkit.batch.csv_rows import with_format
from aichatkit.batch.rows import read_rows
from aichatkit.errors import ConfigurationError


def told(source):
    """Return label and prompt of each row."""
    return [(row.index, row.prompt) for row in source.rows]


@pytest.fixture
def write(tmp_path):
    def write(name, text, encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize(
    ("prompts", "template", "rows"),
    [
        (["a", "b"], None, [(0, "a"), (1, "b")]),
        (("a", "b"), "Say {x}", [(0, "Say a"), (1, "Say b")]),
        ({"k": "a", 3: "b"}, None, [("k", "a"), (3, "b")]),
        ([{"t": "a", "u": "b"}], "{t}{u}", [(0, "ab")]),
        ([{"t": "a"}], None, [(0, "a")]),
        ([{"id": 1, "prompt": "a"}], None, [(0, "a")]),
        ([{"id": 1, "messages": ["a"]}], None, [(0, ["a"])]),
        ([{1: "a"}], "{1}", [(0, "a")]),
        ([[{"role": "user", "content": "a"}]], None, [(0, [{"role": "user", "content": "a"}])]),
        ([{"role": "user", "content": "a"}], None, [(0, {"role": "user", "content": "a"})]),
        ([{"from": "you", "content": "a"}], None, [(0, {"from": "you", "content": "a"})]),
        ([Message("user", "a")], None, [(0, Message("user", "a"))]),
        ([], None, []),
        ([], "{a}", []),
    ],
)
def test_rows_of_plain_shapes(prompts, template, rows):
    assert told(read_rows(prompts, template)) == rows


def test_a_generator_is_read_as_far_as_it_is_wanted():
    drawn = []
    source = read_rows(drawn.append(number) or f"p{number}" for number in count())
    assert source.size is None
    assert drawn == [0]
    assert [next(source.rows).prompt for _ in range(3)] == ["p0", "p1", "p2"]
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize(
    ("prompts", "size", "finite"), [([1, 2], 2, True), ({"a": "b"}, 1, True), (iter("ab"), None, False)]
)
def test_the_size_is_known_where_the_input_knows_it(prompts, size, finite):
    source = read_rows(prompts)
    assert (source.size, source.finite) == (size, finite)


@pytest.mark.parametrize("prompts", ["What is this?", b"bytes", 3, None, Message("user", "a"), "folder/in.txt"])
def test_a_single_prompt_or_no_prompts_at_all_are_refused(prompts):
    with pytest.raises(ConfigurationError, match="prompts: "):
        read_rows(prompts)


@pytest.mark.parametrize(
    ("prompts", "template", "told"),
    [
        ([{"a": 1}], "{b}", "no column 'b'"),
        (({"a": 1} for _ in range(1)), "{b}", "no column 'b'"),
        (["x"], "{a} and {b}", "have no columns"),
        ([{"a": 1, "b": 2}], None, "pass a template"),
        ([{}], None, "there are the columns none"),
    ],
)
def test_a_missing_column_is_told_before_the_first_call(prompts, template, told):
    with pytest.raises(ConfigurationError, match=told):
        read_rows(prompts, template)


@pytest.mark.parametrize(
    ("prompts", "template", "told"),
    [
        ([{"a": "x"}, {"a": None}], "{a}", "row 1: the column 'a' is empty here"),
        ([{"a": "x"}, {"b": "y"}], "{a}", "row 1: template: there is no column 'a'"),
        (["x", None], None, "row 1: there is no prompt here"),
        ([{"a": "x"}, {"a": 1, "b": 2}], None, "row 1: prompts: there are the columns a, b"),
        ([{"a": "x"}, "y"], "{a}{a}", None),
    ],
)
def test_a_later_row_that_does_not_fit_holds_its_error(prompts, template, told):
    second = list(read_rows(prompts, template).rows)[1]
    assert second.error is None if told is None else str(second.error).startswith(told)


def test_a_csv_file_is_read_row_by_row(write):
    path = write("in.csv", 'id,text\r\n1,"a, b"\r\n2,"two\r\nlines"\r\n', "utf-8-sig")
    source = read_rows(str(path), "Say {text}")
    assert told(source) == [(0, "Say a, b"), (1, "Say two\r\nlines")]
    assert (source.size, source.finite) == (None, True)


def test_rows_of_a_csv_file_keep_their_columns(write):
    assert next(read_rows(write("in.csv", "id,text\n1,a\n"), "{text}").rows).fields == {"id": "1", "text": "a"}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("in.csv", "", "there is no column 'a'"),
        ("in.csv", "a,a\n1,2\n", "two columns are named 'a'"),
        ("in.jsonl", '{"a": 1}\n\n{"a": \n', "line 3 cannot be read"),
    ],
)
def test_a_damaged_file_is_told_with_its_line(write, name, content, told):
    with pytest.raises(ConfigurationError, match=told):
        list(read_rows(write(name, content), "{a}").rows)


def test_json_lines_hold_texts_or_columns(write):
    path = write("in.jsonl", '"one"\n\n{"prompt": "two", "id": 7}\n')
    assert told(read_rows(path)) == [(0, "one"), (1, "two")]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot find the file"):
        read_rows(tmp_path / "in.csv")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="reads what only root may not")
def test_a_file_that_cannot_be_opened_is_told(write, monkeypatch):
    path = write("in.csv", "a\n1\n")

    def refuse(self, *args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ConfigurationError, match="cannot be opened: Permission denied"):
        read_rows(path, "{a}")


def test_a_pandas_frame_keeps_its_index():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"t": ["a", "b"], 3: [1, 2]}, index=["x", "y"])
    source = read_rows(frame, "{t}{3}")
    assert told(source) == [("x", "a1"), ("y", "b2")]
    assert (source.size, source.table is frame) == (2, True)


def test_a_pandas_series_keeps_its_index_and_tells_what_is_missing():
    pandas = pytest.importorskip("pandas")
    rows = list(read_rows(pandas.Series(["a", None], index=[5, 9]), "Say {it}").rows)
    assert (rows[0].index, rows[0].prompt) == (5, "Say a")
    assert (rows[1].index, str(rows[1].error)) == (9, "row 1: the column 'it' is empty here")


def test_frames_with_doubled_or_missing_columns_are_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ConfigurationError, match="two columns are named 'a'"):
        read_rows(frame, "{a}")
    with pytest.raises(ConfigurationError, match="no column 'b'"):
        read_rows(pandas.DataFrame({"a": []}), "{b}")


def test_polars_frames_and_series_are_read():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"t": ["a", "b"], "n": [1, 2]})
    assert told(read_rows(frame, "{t}{n}")) == [(0, "a1"), (1, "b2")]
    assert told(read_rows(frame["t"])) == [(0, "a"), (1, "b")]
    assert read_rows(frame["t"]).size == 2
    with pytest.raises(ConfigurationError, match=r"frame\.collect\(\)"):
        read_rows(frame.lazy(), "{t}")


# Encodings and delimiters.


def rows_of(path, template="{text}", **options):
    return list(read_rows(with_format(path, options.get("encoding"), options.get("delimiter")), template).rows)


@pytest.mark.parametrize(
    ("encoding", "passed"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("utf-32", None), ("cp1252", "cp1252")],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_file_in_another_encoding_is_read(tmp_path, encoding, passed, suffix):
    path = tmp_path / f"in{suffix}"
    separator = "\t" if suffix == ".tsv" else ";"
    text = '{"text": "Größe", "id": 1}\n' if suffix == ".jsonl" else f"text{separator}id\nGröße{separator}1\n"
    path.write_bytes(text.encode(encoding))
    assert [row.prompt for row in rows_of(path, encoding=passed)] == ["Größe"]


def test_a_delimiter_that_is_passed_is_not_guessed(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("text;a,b,c\nx;1,2,3\n", encoding="utf-8")
    assert rows_of(path, delimiter=";")[0].fields == {"text": "x", "a,b,c": "1,2,3"}


@pytest.mark.parametrize("line", ["sep=;", "sep=;;;", "SEP=;"])
def test_the_line_of_a_spreadsheet_is_no_header_even_if_padded(tmp_path, line):
    path = tmp_path / "in.csv"
    path.write_text(f"{line}\ntext;id;more\nx;1;2\n", encoding="utf-8")
    assert [row.prompt for row in rows_of(path)] == ["x"]


def test_text_that_cannot_be_decoded_is_an_error_with_its_place(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes("text\nGröße\n".encode("cp1252"))
    with pytest.raises(ConfigurationError, match=r"line 2 .* is not UTF-8; .* pass encoding="):
        rows_of(path)
    with pytest.raises(ConfigurationError, match="cannot be decoded as ascii; pass another encoding="):
        rows_of(path, encoding="ascii")


@pytest.mark.parametrize(
    ("prompts", "options", "words"),
    [
        ("in.csv", {"encoding": "cp12"}, "there is no encoding 'cp12'"),
        ("in.csv", {"encoding": "base64"}, "there is no encoding 'base64'"),
        ("in.csv", {"encoding": 8}, "there is no encoding 8"),
        ("in.csv", {"delimiter": "::"}, "a single character"),
        ("in.csv", {"delimiter": '"'}, "a single character"),
        ("in.jsonl", {"delimiter": ";"}, "delimiter: is for .csv and .tsv files"),
        (["Hi"], {"delimiter": ";"}, "delimiter: is for a file"),
        (["Hi"], {"encoding": "utf-8"}, "encoding: is for a file"),
    ],
)
def test_a_format_that_cannot_be_kept_is_an_error(tmp_path, monkeypatch, prompts, options, words):
    monkeypatch.chdir(tmp_path)
    for name in ("in.csv", "in.jsonl"):
        (tmp_path / name).write_text('{"text": "Hi"}\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=words):
        Client(model="offline").map(prompts, "{text}", progress=False, **options)


def test_map_takes_the_encoding_and_the_delimiter(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes("text|id\nGröße|1\n".encode("cp1252"))
    results = Client(model="offline").map(path, "{text}", progress=False, encoding="cp1252", delimiter="|")
    assert results[0].prompt == "Größe"
    assert results[0].error is None


# How many rows there are, for a progress bar.


def count_of(prompts):
    return read_rows(prompts, "{text}").count()


def test_the_rows_of_a_file_are_counted_and_can_still_be_read(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text('text\nx\n\n"two\nlines"\ny\n', encoding="utf-8")
    source = read_rows(path, "{text}")
    assert source.count() == 3
    assert len(list(source.rows)) == 3
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"text": "x"}\n\n{"text": "y"}\n', encoding="utf-8")
    assert count_of(lines) == 2


def test_rows_that_cannot_be_counted_are_unknown(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"text": "x"}\n{"text":\n')
    assert count_of(path) is None
    assert count_of({"text": text} for text in "abc") is None
    assert count_of([{"text": "x"}]) == 1
    assert read_rows(iter(["a"])).count() is None
