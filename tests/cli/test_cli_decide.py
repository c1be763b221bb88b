"""`aichatkit decide` and `aichatkit map --decide`."""

from __future__ import annotations

import json

import pytest

from aichatkit.cli import main

TEXT = "I am furious about this bug, I want a refund"
QUESTIONS = ["-q", "refund?", "-q", "topic: bug | billing", "-q", "anger: calm < furious", "-q", "stars: 1..5"]


def test_each_question_has_a_line_with_its_answer_and_probability(capsys):
    assert main(["decide", "-m", "offline", *QUESTIONS, "-q", "mad: Is the writer mad?", TEXT]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ["refund?", "topic", "anger", "stars", "mad"]
    assert lines["refund?"].startswith("yes (0.")
    assert lines["topic"].startswith("bug (0.9")
    assert lines["anger"].startswith("furious (0.9")
    assert lines["mad"].startswith("no (0.")


def test_its_help_is_about_a_text(capsys):
    with pytest.raises(SystemExit):
        main(["decide", "--help"])
    assert "the text; several words need no quotes" in capsys.readouterr().out


def test_all_numbers_are_printed_as_json(capsys):
    assert main(["decide", "-m", "offline", "--json", *QUESTIONS, TEXT]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["topic"]["value"] == "bug"
    assert record["refund?"]["source"] == "decision"


@pytest.mark.parametrize(("threshold", "answer"), [("0.01", "yes"), ("0.99", "no")])
def test_a_threshold_is_taken(capsys, threshold, answer):
    assert main(["decide", "-m", "offline", "-q", "refund?", "--threshold", threshold, TEXT]) == 0
    assert capsys.readouterr().out.startswith(f"refund?: {answer} (")


@pytest.mark.parametrize("template", ["A customer wrote: {text}", "---\nmodel: offline\nsystem: Be kind.\n---\n{text}"])
def test_a_template_is_filled_in(capsys, tmp_path, template):
    path = tmp_path / "ticket.txt"
    path.write_text(template, encoding="utf-8")
    assert main(["decide", "-m", "offline", "-q", "refund?", "-t", str(path), TEXT]) == 0
    assert capsys.readouterr().out.startswith("refund?: yes (0.")


def test_a_template_cannot_set_what_decisions_do_not_take(capsys, tmp_path):
    path = tmp_path / "ticket.txt"
    path.write_text("---\ntemperature: 0.2\ntop_p: 0.5\n---\n{text}", encoding="utf-8")
    assert main(["decide", "-m", "offline", "-q", "refund?", "-t", str(path), TEXT]) == 2
    assert "sets temperature, top_p, which this command does not take" in capsys.readouterr().err


@pytest.fixture
def service(sandbox, monkeypatch):
    def point(fault):
        monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}{fault}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        return sandbox

    return point


def test_a_refused_question_is_named_and_gives_the_exit_code_1(service, capsys):
    service("/fault/refuse-question")
    assert main(["decide", "-m", "openai", *QUESTIONS, TEXT]) == 1
    assert capsys.readouterr().out.startswith("refund?: refused\ntopic: bug (0.")


def test_a_chat_model_has_no_probabilities(service, capsys):
    service("").says('{"refund": true}')
    assert main(["decide", "-m", "openai", "--emulate", "always", "-q", "refund?", TEXT]) == 0
    assert capsys.readouterr().out == "refund?: yes\n"


def test_the_system_prompt_is_sent(service):
    box = service("")
    assert main(["decide", "-m", "openai", "-s", "Be kind.", "-q", "refund?", TEXT]) == 0
    assert "Be kind." in str(box.requests[-1].json())


def test_images_are_sent_as_well(service, tmp_path, capsys):
    sandbox = service("")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n0000")
    assert main(["decide", "-m", "openai", "-q", "damaged?", "-f", str(tmp_path / "a.png"), "What is it"]) == 0
    assert [part["type"] for part in sandbox.requests[0].json()["input"][0]["content"]] == ["input_text", "input_image"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Hello"], "at least one question with -q"),
        (["-q", "refund?"], "pass a text"),
        (["-q", "refund", "Hello"], "'refund?', or with it, as in 'refund: Does the writer ...?'\n"),
        (["-q", ": a | b", "Hello"], "-q: cannot read the question"),
        (["-q", "topic:", "Hello"], "-q: cannot read the question"),
        (["-q", "topic: bug", "Hello"], "-q: cannot read the question"),
        (["-q", "a?", "-q", "a?", "Hello"], "-q: two questions are named 'a?'"),
    ],
)
def test_what_cannot_be_decided_is_an_error(monkeypatch, capsys, arguments, words):
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO(""))
    assert main(["decide", "-m", "offline", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_file_gets_columns(tmp_path, capsys):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\nI want a refund\nAll is well\n", encoding="utf-8")
    command = ["map", str(source), "-t", "{text}", "-m", "offline", "--out", str(out), "--decide", "refund?"]
    assert main([*command, "--decide", "topic: bug | billing"]) == 0
    head, first, _ = out.read_text(encoding="utf-8").splitlines()
    assert head == "text,refund,refund_p,topic,topic_p,error,input_tokens,output_tokens,cost"
    assert first.startswith("I want a refund,True,0.")
