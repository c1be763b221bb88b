"""CSV files as people have them: other delimiters, blank lines, rows of the wrong length, huge cells, encodings."""

from __future__ import annotations

import csv
import threading

import pytest

from aichatkit import ConfigurationError
from aichatkit.batch.rows import read_rows
from aichatkit.testing import Fake


@pytest.fixture
def write(tmp_path):
    def write(content, encoding="utf-8"):
        path = tmp_path / "in.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def prompts(path, template=None):
    return [row.prompt if row.error is None else str(row.error) for row in read_rows(path, template).rows]


# The delimiter.


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_is_found(write, delimiter, encoding, end):
    quoted = f'"a{delimiter} ""b""{end}c"'
    lines = [["id", "text"], ["1", "Hallo"], ["2", quoted], ["3", "2.5"]]
    path = write("".join(delimiter.join(line) + end for line in lines), encoding)
    assert prompts(path, "{id}:{text}") == ["1:Hallo", f'2:a{delimiter} "b"{end}c', "3:2.5"]
    with pytest.raises(ConfigurationError, match="there are the columns id, text; pass a template"):
        prompts(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_without_a_template_the_column_prompt_is_asked(write, delimiter):
    assert prompts(write(f'"id"{delimiter}"prompt"\n1{delimiter}"Hi"\n')) == ["Hi"]


@pytest.mark.parametrize(
    ("content", "template", "expected"),
    [
        ("id;preis\n1;2,50\n2;3,75\n", "{preis}", ["2,50", "3,75"]),
        ("id;text, long\n1;Hi, there\n", "{id}", ["1"]),
        ("text\nHello; world\nOne | two\n", None, ["Hello; world", "One | two"]),
        ("text; and more\nHello\nWorld\n", None, ["Hello", "World"]),
        ("a|b,c\n1|2,3\n", "{c}", ["3"]),
        ("a;b\n", "{a}", []),
        ("text", None, []),
        ("a;b\n1;2\nx\n3;4;5\n", "{b}", ["2", "in.csv: line 3 has 1 cell for 2 columns", "line 4 has 3 cells"]),
        ('"a""', "{a}", None),
    ],
)
def test_signs_inside_of_cells_are_no_delimiters(write, content, template, expected):
    path = write(content)
    if expected is None:
        with pytest.raises(ConfigurationError):
            prompts(path, template)
        return
    found = prompts(path, template)
    assert len(found) == len(expected)
    assert all(part in told for part, told in zip(expected, found))


def test_the_delimiter_of_a_long_file_is_found_in_its_beginning(write):
    path = write("id;text\n" + "1;" + "word " * 13 + "\n" + "2;word, word\n" * 20_000)
    assert len(prompts(path, "{text}")) == 20_001


def test_an_empty_file_has_no_columns(write):
    for content in ("", "\n\n", "\ufeff"):
        with pytest.raises(ConfigurationError, match="there is no column 'text'"):
            prompts(write(content), "{text}")


# Lines that are no rows.


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^"])
@pytest.mark.parametrize("first", ["sep={}\r\n", "\nSEP={}\n\n"])
def test_a_line_that_tells_the_delimiter_is_no_header(write, delimiter, first):
    content = f"{first.format(delimiter)}id{delimiter}text\n1{delimiter}a\n"
    assert prompts(write(content, "utf-8-sig"), "{text}") == ["a"]


def test_a_quote_is_not_taken_for_a_delimiter(write):
    assert prompts(write('sep="\ntext\nHi\n')) == ["text", "Hi"]


def test_blank_lines_are_passed_over(write):
    path = write("\n\r\nid,text\n\n1,a\n   \n\t\n\n2,b\n\n")
    assert prompts(path, "{text}") == ["a", "b"]
    assert [row.position for row in read_rows(path, "{text}").rows] == [0, 1]


# Rows of the wrong length.


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("2,b,c", "line 4 has 3 cells for 2 columns; a cell that contains the delimiter must be in double quotes"),
        ("2", "line 4 has 1 cell for 2 columns"),
    ],
)
@pytest.mark.parametrize("template", ["{text}", None])
def test_a_row_of_the_wrong_length_is_an_error_of_its_own(write, tmp_path, row, told, template):
    path = write(f'id,{"text" if template else "prompt"}\n1,"a\na"\n{row}\n3,c\n')
    results = Fake(["A", "C"]).client().map(path, template, progress=False, workers=1)
    assert results.text == ["A", None, "C"]
    assert isinstance(results.errors[1], ConfigurationError)
    assert str(results.errors[1]) == f"{path}: {told}"
    results.save(tmp_path / "out.csv")
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        saved = list(csv.DictReader(file))
    assert [(line["id"], line["answer"], bool(line["error"])) for line in saved] == [
        ("1", "A", False),
        ("2", "", True),
        ("3", "C", False),
    ]


# Cells of any size.


def test_a_cell_may_be_as_long_as_memory_allows_and_the_limit_of_the_process_stays(write):
    limit = csv.field_size_limit()
    long = "x" * 400_000
    assert prompts(write(f"id,text\n1,{long}\n"), "{text}") == [long]
    rows = read_rows(write(f"text\n{long}\n{long}\n")).rows
    assert next(rows).prompt == long
    assert csv.field_size_limit() == limit


def test_threads_may_read_huge_cells_at_the_same_time(write):
    path, limit, failed = write("text\n" + f"{'x' * 200_000}\n" * 20), csv.field_size_limit(), []

    def read():
        try:
            assert len(prompts(path)) == 20
        except ConfigurationError as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (failed, csv.field_size_limit()) == ([], limit)


# Lines that cannot be read.


@pytest.mark.parametrize("before", [0, 1, 300, 5000])
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_line_that_is_not_utf_8_is_the_one_of_an_editor(tmp_path, before, name, end):
    path = tmp_path / name
    plain, bad = (b"plain words of a row", b"caf\xe9") if name == "in.csv" else (b'"plain words"', b'"caf\xe9"')
    header = b"text" if name == "in.csv" else b'"first"'
    preview = "'café'" if name == "in.csv" else "'\"café\"'"
    path.write_bytes(end.join([header, *[plain] * before, bad, plain, b""]))
    with pytest.raises(ConfigurationError) as caught:
        list(read_rows(path).rows)
    assert str(caught.value) == (
        f"{path}: line {before + 2} cannot be read: its byte 0xe9 is not UTF-8; "
        f"save the file as UTF-8, or pass encoding=, such as 'cp1252', which reads it as {preview}"
    )


@pytest.mark.parametrize(
    ("content", "preview"),
    [
        ("one " * 20 + "Größe " + "two " * 20, ", which reads it as 'e one one one one Größe two two two two'"),
        ("Größe", ", which reads it as 'Größe'"),
        # Windows' Western encoding lacks this byte.
        ("\x81\xe9", ""),
    ],
)
def test_the_text_around_a_byte_is_shown_as_it_might_be_meant(write, content, preview):
    path = write(b"text\n" + content.encode("latin-1"))
    with pytest.raises(ConfigurationError) as caught:
        list(read_rows(path).rows)
    assert str(caught.value).endswith(f"pass encoding=, such as 'cp1252'{preview}")


def test_a_line_inside_of_a_cell_of_several_lines_is_counted(write):
    path = write(b'id,text\n1,"a\nb\nc"\n2,"d\ncaf\xe9"\n')
    with pytest.raises(ConfigurationError, match="line 6 cannot be read"):
        prompts(path, "{text}")


def test_what_the_csv_module_refuses_is_told_with_its_line(write, monkeypatch):
    monkeypatch.setattr("aichatkit.batch.csv_rows._MAX_CELL", 20)
    with pytest.raises(ConfigurationError, match=r"line 3 cannot be read: field larger than field limit \(20\)"):
        prompts(write(f"id,text\n1,a\n2,{'x' * 30}\n"), "{text}")


def test_a_file_that_cannot_be_cut_into_cells_has_no_delimiter_but_the_comma(write):
    limit = csv.field_size_limit(5)
    try:
        assert prompts(write("idididid,text\n1,aaaaaaaaaaaaa\n"), "{text}") == ["aaaaaaaaaaaaa"]
    finally:
        csv.field_size_limit(limit)
