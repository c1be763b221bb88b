"""`aichatkit embed`."""

from __future__ import annotations

import json

import pytest

from aichatkit.batch.rows import _SUFFIXES
from aichatkit.cli import main
from aichatkit.embeddings import services
from aichatkit.errors import JournalError


def test_a_text_becomes_a_line_of_numbers(capsys):
    assert main(["embed", "red fox", "-m", "offline", "-d", "4"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_each_row_of_a_file_becomes_a_line(tmp_path, capsys):
    source, out = tmp_path / "texts.csv", tmp_path / "vectors.jsonl"
    source.write_text("title,body\nFox,red\nWolf,grey\n", encoding="utf-8")
    journal = tmp_path / "run.sqlite"
    command = ["embed", str(source), "-t", "{title}: {body}", "-m", "offline", "--out", str(out), "--kind", "query"]
    assert main([*command, "--journal", str(journal)]) == 0
    assert [len(json.loads(line)) for line in out.read_text("utf-8").splitlines()] == [64, 64]
    assert f"2 vectors of 64 numbers written to {out}, $0.000000" in capsys.readouterr().err
    assert journal.exists()


def test_vectors_are_scaled_and_texts_are_cut_on_request(sandbox, monkeypatch, capsys):
    monkeypatch.setenv("VOYAGE_API_KEY", "sk-test")
    seen = []
    command = ["embed", "red fox", "-m", "voyage", "--base-url", f"{sandbox.url}/v1"]
    with monkeypatch.context() as patch:
        patch.setattr("aichatkit.client.Client.embed", lambda self, *_, **options: seen.append(options) or [])
        assert main(command) == 0
        assert main([*command, "--normalize", "--truncate"]) == 0
    assert [(options["normalize"], options["truncate"]) for options in seen] == [(None, False), (True, True)]
    assert main([*command, "--truncate"]) == 0
    assert sandbox.requests[-1].json()["truncation"] is True
    assert len(json.loads(capsys.readouterr().out)) == 1024


def test_a_cost_that_is_not_known_is_left_out(sandbox, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    out = tmp_path / "vectors.jsonl"
    assert main(["embed", "red fox", "-m", "openai/some-model", "--out", str(out)]) == 0
    assert "$" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["red fox"], "name one embedding model"),
        (["red fox", "-m", "a", "-m", "b"], "name one embedding model"),
        (["red fox", "-m", "offline", "-t", "{x}"], "-t: a template needs a file"),
        ([" ", "-m", "offline"], "the text is empty"),
    ],
)
def test_what_cannot_be_embedded_is_an_error(capsys, arguments, words):
    assert main(["embed", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_the_name_of_a_file_is_never_embedded_as_a_text(tmp_path, capsys, suffix):
    assert main(["embed", str(tmp_path / f"absent{suffix}"), "-m", "offline"]) == 2
    assert "cannot find the file" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "words"), [("absent/vectors.jsonl", "there is no folder"), ("folder", "is a folder")])
def test_an_output_file_that_cannot_be_written_is_reported_before_anything_is_sent(
    sandbox, tmp_path, monkeypatch, capsys, name, words
):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    (tmp_path / "folder").mkdir()
    assert main(["embed", "red fox", "-m", "openai/some-model", "--out", str(tmp_path / name)]) == 2
    assert words in capsys.readouterr().err
    assert sandbox.requests == []


def test_a_dash_reads_the_pipe_as_one_text(monkeypatch, capsys):
    main(["embed", "red fox\n", "-m", "offline"])
    expected = capsys.readouterr().out
    monkeypatch.setattr("aichatkit.cli.embed.read_stdin", lambda *, explicit: "red fox\n")
    assert main(["embed", "-", "-m", "offline"]) == 0
    assert capsys.readouterr().out == expected
    monkeypatch.setattr("aichatkit.cli.embed.read_stdin", lambda *, explicit: object())
    assert main(["embed", "-", "-m", "offline"]) == 2
    assert "only text can be embedded" in capsys.readouterr().err


def test_a_file_of_another_type_is_not_embedded_by_its_name(tmp_path, capsys):
    path = tmp_path / "notes.txt"
    path.write_text("red fox", encoding="utf-8")
    assert main(["embed", str(path), "-m", "offline"]) == 2
    assert f"aichatkit embed - < {path}" in capsys.readouterr().err


@pytest.fixture
def interrupted(sandbox, tmp_path, monkeypatch, capsys):
    """A run of four texts that ended after the first two, the command for it, and the journal it left."""
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=2))
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    source, out = tmp_path / "texts.jsonl", tmp_path / "vectors.jsonl"
    source.write_text("".join(f'{{"prompt": "fox {number}"}}\n' for number in range(4)), encoding="utf-8")
    command = ["embed", str(source), "-m", "openai/some-model", "--out", str(out), "-w", "1"]
    sandbox.script("vectors-reversed", "quota,on=embeddings")
    assert main(command) == 1
    part = tmp_path / "vectors.jsonl.part.sqlite"
    assert f"run the same command again; {part} keeps the vectors until then" in capsys.readouterr().err
    assert part.exists()
    assert not out.exists()
    return command, out, part


def test_a_run_that_ends_early_is_continued_by_the_same_command(interrupted, sandbox, capsys):
    command, out, part = interrupted
    sandbox.requests.clear()
    assert main(command) == 0
    assert [request.json()["input"] for request in sandbox.requests] == [["fox 2", "fox 3"]]
    assert len(out.read_text("utf-8").splitlines()) == 4
    assert not part.exists()
    assert "continuing the last run" in capsys.readouterr().err


def test_the_vectors_of_another_model_are_not_mixed_in(interrupted, capsys):
    command, _, part = interrupted
    assert main([*command, "-d", "4"]) == 2
    errors = capsys.readouterr().err
    assert f"continuing the last run: {part} has its vectors; delete it" in errors
    assert "holds vectors of openai/some-model, not of openai/some-model dimensions=4" in errors
    assert part.exists()


def test_a_journal_that_cannot_be_made_is_left_out_with_a_note(tmp_path, monkeypatch, capsys):
    def refuse(self):
        raise JournalError("the journal cannot be opened")

    monkeypatch.setattr("aichatkit.storage.sqlite.Database._open", refuse)
    out = tmp_path / "vectors.jsonl"
    assert main(["embed", "red fox", "-m", "offline", "--out", str(out)]) == 0
    assert "without it, the vectors are lost if this run is killed" in capsys.readouterr().err
    assert len(out.read_text("utf-8").splitlines()) == 1


def test_the_input_file_is_not_overwritten(tmp_path, capsys):
    source = tmp_path / "texts.jsonl"
    source.write_text('{"prompt": "fox"}\n', encoding="utf-8")
    assert main(["embed", str(source), "-m", "offline", "--out", str(source)]) == 2
    assert "is the input file" in capsys.readouterr().err
    assert source.read_text("utf-8") == '{"prompt": "fox"}\n'


def test_a_failed_run_leaves_the_output_file_as_it_was(tmp_path, capsys):
    out = tmp_path / "vectors.jsonl"
    out.write_text("[1.0]\n", encoding="utf-8")
    assert main(["embed", " ", "-m", "offline", "--out", str(out)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.jsonl"]
    assert out.read_text("utf-8") == "[1.0]\n"


def test_a_dash_as_output_file_is_standard_output(capsys):
    assert main(["embed", "red fox", "-m", "offline", "--out", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 64


def test_each_row_of_a_file_is_embedded_without_a_template_too(tmp_path, capsys):
    source = tmp_path / "texts.tsv"
    source.write_text("prompt\nred fox\ngrey wolf\n", encoding="utf-8")
    assert main(["embed", str(source), "-m", "offline"]) == 0
    assert [len(json.loads(line)) for line in capsys.readouterr().out.splitlines()] == [64, 64]
