"""What is asked: words, the pipe, files and templates."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from aichatkit.cli import main
from aichatkit.cli.schema_option import parse_schema_option

pytestmark = pytest.mark.usefixtures("service")

PNG = b"\x89PNG\r\n\x1a\n of a cat"


# Files.


def test_files_go_with_the_question(sandbox, tmp_path):
    (tmp_path / "cat.png").write_bytes(PNG)
    (tmp_path / "notes.txt").write_text("The cat is Rex.", encoding="utf-8")
    assert main(["What is this?", "-f", "cat.png", "-f", "notes.txt", "-f", "https://example.org/dog.png"]) == 0
    parts = sandbox.requests[-1].json()["messages"][0]["content"]
    assert parts[0] == {"type": "text", "text": "What is this?"}
    assert [part["type"] for part in parts[1:]] == ["image_url", "text", "image_url"]
    assert "The cat is Rex." in parts[2]["text"]
    assert parts[3]["image_url"]["url"] == "https://example.org/dog.png"


def test_a_file_that_is_not_there_is_told_before_anything_is_sent(sandbox, capsys):
    assert main(["Hi", "-f", "nope.png"]) == 2
    assert "cannot read 'nope.png'" in capsys.readouterr().err
    assert sandbox.requests == []


def test_a_picture_may_come_through_the_pipe(sandbox, piped):
    piped(PNG)
    assert main(["What is this?"]) == 0
    assert [part["type"] for part in sandbox.requests[-1].json()["messages"][0]["content"]] == ["text", "image_url"]


@pytest.mark.parametrize("content", [PNG, b"A report."])
def test_a_dash_as_a_file_is_the_pipe(sandbox, piped, content):
    piped(content)
    assert main(["What is this?", "-f", "-"]) == 0
    parts = sandbox.requests[-1].json()["messages"][0]["content"]
    assert len(parts) == 2
    assert parts[0]["text"] == "What is this?"


def test_a_file_alone_asks_nothing(sandbox, tmp_path, capsys):
    (tmp_path / "cat.png").write_bytes(PNG)
    assert main(["-f", "cat.png"]) == 2
    assert "there is no question" in capsys.readouterr().err
    assert sandbox.requests == []


def test_text_in_the_encoding_of_another_system_is_read(asked, piped):
    piped("Grüße".encode("utf-16"))
    main(["Translate:"])
    assert asked() == [("user", "Translate:\n\nGrüße")]


@pytest.mark.parametrize(
    ("encoding", "content", "text"),
    [
        ("latin-1", "Caf\xe9, na\xefve", "Caf\xe9, na\xefve"),
        ("cp1252", "\u201cCaf\xe9\u201d for 5 \u20ac", "\u201cCaf\xe9\u201d for 5 \u20ac"),
        ("koi8-r", "\u041f\u0440\u0438\u0432\u0435\u0442", "\u041f\u0440\u0438\u0432\u0435\u0442"),
        ("shift_jis", "\u65e5\u672c\r\n", "\u65e5\u672c"),
    ],
)
def test_text_in_the_encoding_of_this_system_is_read(asked, piped, encoding, content, text):
    piped(content.encode(encoding), encoding=encoding)
    assert main(["Translate:"]) == 0
    assert asked() == [("user", f"Translate:\n\n{text}")]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_text_in_utf_8_is_read_on_every_system(asked, piped, encoding):
    piped("Gr\xfc\xdfe \u65e5".encode(), encoding=encoding)
    main(["Translate:"])
    assert asked() == [("user", "Translate:\n\nGr\xfc\xdfe \u65e5")]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-8", b"caf\xe9 \x80\r\n"),
        ("utf-8", "\u20ac 5".encode("cp1252")),
        ("utf-8", bytes(range(128, 256)) * 12),
        ("utf-8", b"text with a \0 in it"),
        ("latin-1", b"PK\x03\x04 \xe9 an archive"),
        ("cp1252", b"\x81\x8d"),
        ("ascii", b"caf\xe9"),
    ],
)
@pytest.mark.parametrize("words", [["Translate:"], [], ["Translate:", "-f", "-"]])
def test_bytes_that_are_no_text_are_refused(sandbox, piped, capsys, encoding, content, words):
    piped(content, encoding=encoding)
    assert main(words) == 2
    assert "neither UTF-8 text nor an image" in capsys.readouterr().err
    assert sandbox.requests == []


# The pipe.


@pytest.fixture
def open_pipe(monkeypatch):
    """A pipe whose writer is there and says nothing."""
    source, target = os.pipe()
    with os.fdopen(source, encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield target
        os.close(target)


@pytest.fixture
def slow_pipe(monkeypatch, open_pipe):
    """A pipe that sends a word once the command has said, or would have said, that it is waiting."""
    wait = threading.Event.wait

    def send_and_wait(event, timeout=None):
        if timeout != 3.0:
            return wait(event, timeout)
        os.write(open_pipe, b"late")
        os.dup2(os.open(os.devnull, os.O_WRONLY), open_pipe)
        return False

    monkeypatch.setattr(threading.Event, "wait", send_and_wait)


@pytest.mark.parametrize("words", [["Hi"], ["Hi", "-t", "Sum up: {question}"], ["-t", "{q}", "-p", "q=Hi"], []])
def test_a_slow_pipe_is_waited_for_and_a_note_says_so(sandbox, slow_pipe, capsys, words):
    assert main(words) == 0
    assert "waiting for the pipe on standard input" in capsys.readouterr().err
    assert "late" in str(sandbox.requests[-1].json()["messages"])


@pytest.mark.parametrize("words", [["-"], ["Sum up:", "-"], ["Sum up:", "-f", "-"]])
def test_a_pipe_that_is_named_gets_no_note(sandbox, piped, monkeypatch, capsys, words):
    piped(b"late")
    monkeypatch.setattr("aichatkit.cli.stdin.NOTE_AFTER", 0.0)
    wait = threading.Event.wait
    monkeypatch.setattr(threading.Event, "wait", lambda event, timeout=None: timeout != 0.0 and wait(event, timeout))
    assert main(words) == 0
    assert "waiting for the pipe" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--encoding", "latin-1"], ["--encoding", "latin-1", "-f", "-"]])
def test_encoding_names_the_encoding_of_the_pipe(sandbox, piped, words):
    piped("Gr\xfc\xdfe".encode("latin-1"))
    assert main(["Translate:", *words]) == 0
    assert "Gr\xfc\xdfe" in str(sandbox.requests[-1].json()["messages"])


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("latin-x", "is not a known text encoding"), ("hex", "is not a known"), ("ascii", "is not text in ascii")],
)
def test_a_wrong_encoding_is_an_error(sandbox, piped, capsys, encoding, words):
    piped("Gr\xfc\xdfe".encode("latin-1"))
    assert main(["Translate:", "--encoding", encoding]) == 2
    err = capsys.readouterr().err
    assert "--encoding: " in err
    assert words in err
    assert sandbox.requests == []


def test_text_in_an_unknown_encoding_leads_to_the_flag(sandbox, piped, capsys):
    piped(b"caf\xe9 and more")
    assert main(["Translate:"]) == 2
    assert "--encoding latin-1" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["caf\udce9"], ["chat", "-s", "caf\udce9"], ["Hi", "-f", "\udcff.png"]])
def test_arguments_that_are_not_text_are_refused(sandbox, capsys, words):
    assert main(words) == 2
    assert f"argument {len(words)} is not valid" in capsys.readouterr().err
    assert sandbox.requests == []


def test_a_pipe_that_began_is_read_to_its_end(asked, open_pipe, monkeypatch):
    # Longer than the test: the first piece is there before it is looked for.
    os.write(open_pipe, b"one ")
    later = threading.Timer(0.05, lambda: (os.write(open_pipe, b"two"), os.dup2(os.open(os.devnull, 1), open_pipe)))
    later.start()
    assert main(["Sum up:"]) == 0
    later.join()
    assert asked() == [("user", "Sum up:\n\none two")]


@pytest.mark.parametrize("words", [["-", "Sum up:"], ["Sum up:", "-"], ["Sum up:", "-f", "-"], []])
def test_a_dash_or_the_lack_of_a_question_waits_for_the_pipe(sandbox, open_pipe, monkeypatch, capsys, words):
    monkeypatch.setattr("aichatkit.cli.stdin.NOTE_AFTER", 60.0)
    later = threading.Timer(0.05, lambda: (os.write(open_pipe, b"late"), os.dup2(os.open(os.devnull, 1), open_pipe)))
    later.start()
    assert main(words) == 0
    later.join()
    assert "late" in str(sandbox.requests[-1].json()["messages"])
    assert capsys.readouterr().err == ""


def test_a_dash_where_there_is_no_input_is_told(sandbox, capsys):
    assert main(["-", "Hi"]) == 2
    assert "standard input is closed" in capsys.readouterr().err
    assert sandbox.requests == []


def test_an_input_that_cannot_be_read_is_told(open_pipe, monkeypatch, capsys):
    with os.fdopen(os.dup(open_pipe), "w", encoding="utf-8") as wrong_end:
        monkeypatch.setattr(sys, "stdin", wrong_end)
        assert main(["Hi"]) == 1
    assert "Bad file descriptor" in capsys.readouterr().err


# Templates.


@pytest.fixture
def stored(tmp_path):
    """Store a template by its name."""
    folder = tmp_path / "config" / "aichatkit" / "templates"
    folder.mkdir(parents=True)
    return lambda name, text: (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("template", "words", "document", "prompt"),
    [
        ("Sum up: {text}", [], "A report.", "Sum up: A report."),
        ("Sum up: {text}", ["A", "report."], "", "Sum up: A report."),
        ("Sum up: {text}", ["In French."], "A report.", "Sum up: A report.\n\nIn French."),
        ("{question} of {text}", ["Points?"], "A report.", "Points? of A report."),
        ("{question}, {text}", ["Points?"], "", "Points?, Points?"),
        ("Sum up this:", [], "A report.", "Sum up this:\n\nA report."),
        ("In {lang}:", ["-p", "lang=French", "Hi"], "A report.", "In French:\n\nHi\n\nA report."),
        ("In {lang}: {text}", ["-p", "lang=French", "-p", "text=Ho"], "A report.", "In French: Ho\n\nA report."),
        ("As {{json}} of {text}", ["Hi"], "", "As {json} of Hi"),
        ("Braces stay: {text}", [], "{lang}", "Braces stay: {lang}"),
    ],
)
def test_a_template_is_filled_in_and_nothing_is_lost(asked, piped, stored, template, words, document, prompt):
    stored("mine.txt", template)
    piped(document)
    assert main(["-t", "mine", *words]) == 0
    assert asked() == [("user", prompt)]


def test_a_template_may_be_a_file_or_a_text(asked, tmp_path):
    (tmp_path / "sum.txt").write_bytes(b"\xef\xbb\xbfSum up: {text}")
    main(["-t", "sum.txt", "Hi"])
    assert asked() == [("user", "Sum up: Hi")]
    main(["-t", "Translate: {text}", "Hi"])
    assert asked() == [("user", "Translate: Hi")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-t", "In {lang}: {text}", "Hi"], "no value for its field 'lang'; give it with -p lang=..."),
        (["-t", "Sum up: {text}"], "no value for its field 'text'; give it through a pipe or as words"),
        (["-t", "{text}", "-p", "txt=1", "Hi"], "has no field 'txt'; did you mean 'text'?"),
        (["-t", "{text}", "-p", "text", "Hi"], "must be name=value, not 'text'"),
        (["-t", "{text", "Hi"], "template"),
        (["-t", "summaryse", "Hi"], "there is no template 'summaryse'"),
        (["-t", "summaryse", "Hi"], "did you mean 'summarise'?"),
        (["-t", "nul\0", "Hi"], "there is no template"),
        (["-p", "a=b", "Hi"], "needs -t"),
    ],
)
def test_what_a_template_lacks_is_told_before_anything_is_sent(sandbox, stored, capsys, words, told):
    stored("summarise.md", "Sum up: {text}")
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert sandbox.requests == []


# Parameters.


def test_parameters_are_sent_with_their_types(sandbox):
    words = ["temperature=0.2", "max_tokens=5", "stop=END", "logprobs=true", "user=7"]
    assert main([*(part for word in words for part in ("-o", word)), "Hi"]) == 0
    sent = sandbox.requests[-1].json()
    assert (sent["temperature"], sent["stop"], sent["logprobs"], sent["user"]) == (0.2, ["END"], True, "7")
    assert 5 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("temprature=1", "did you mean 'temperature'?"),
        ("max_output_tokens=5", "did you mean 'max_tokens'?"),
        ("max_retries=5", "it must be one of"),
        ("temperature", "must be name=value"),
        ("=1", "must be name=value"),
        ("temperature=hot", "must be a number, not 'hot'"),
        ("temperature=true", "must be a number, not 'true'"),
        ("max_tokens=1.5", "must be a whole number"),
        ("logprobs=1", "must be true or false"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(sandbox, capsys, word, told):
    assert main(["-o", word, "Hi"]) == 2
    assert told in capsys.readouterr().err
    assert sandbox.requests == []


# Schemas.


def test_a_short_schema_is_sent_and_its_data_printed(sandbox, capsys):
    sandbox.says('{"name": "Rex", "age": 3}')
    assert main(["--schema", "name, age int: in years", "My dog?"]) == 0
    assert capsys.readouterr().out == '{\n  "name": "Rex",\n  "age": 3\n}\n'
    sent = sandbox.requests[-1].json()["response_format"]["json_schema"]["schema"]
    assert sent["properties"]["age"] == {"type": "integer", "description": "in years"}
    assert sent["required"] == ["name", "age"]


def test_a_list_is_asked_for_in_brackets(sandbox, capsys):
    sandbox.says('{"value": [{"name": "Rex"}]}')
    assert main(["--schema", "[name]", "Dogs?"]) == 0
    assert capsys.readouterr().out == '[\n  {\n    "name": "Rex"\n  }\n]\n'


def test_an_answer_that_does_not_fit_is_an_error_with_code_1(sandbox, capsys):
    sandbox.says("No.")
    assert main(["--schema", "name", "Dogs?"]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("source", ["shape.json", "shape", '{"type": "object", "properties": {}}'])
def test_a_schema_may_be_a_file_or_json(tmp_path, source):
    for name in ("shape.json", "shape"):
        (tmp_path / name).write_text('{"type": "object", "properties": {}}', encoding="utf-8")
    assert parse_schema_option(source) == {"type": "object", "properties": {}}


def test_a_schema_may_have_a_field_a_line_and_lists():
    schema = parse_schema_option("\nname str: first, last,\ntags str[]\nfine bool\n")
    assert schema["properties"] == {
        "name": {"type": "string", "description": "first, last"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "fine": {"type": "boolean"},
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nope.json", "cannot read 'nope.json'"),
        ("{nope}", "is no JSON schema"),
        ("list.json", "must be an object"),
        ("", "names no field"),
        ("age intt", "did you mean 'int'?"),
        ("age int years", "cannot read the field 'age int years'"),
        ("x" * 5000 + " a b", "cannot read the field"),
    ],
)
def test_a_schema_that_cannot_be_read_is_told(sandbox, tmp_path, capsys, text, told):
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    assert main(["--schema", text, "Hi"]) == 2
    assert told in capsys.readouterr().err
    assert sandbox.requests == []
