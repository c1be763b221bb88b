"""`--prompt-cache` of `aichatkit ask`, `chat` and `map`."""

from __future__ import annotations

import json

import pytest

from aichatkit.cli import main

DOCUMENT = "word " * 6000


def marks(request):
    """Return whether a request marks its prompt, and the options for the cache."""
    body = request.json()
    return "prompt_cache_breakpoint" in json.dumps(body["messages"]), body.get("prompt_cache_options")


@pytest.mark.parametrize(
    ("word", "is_marked", "options"),
    [
        (None, False, {"mode": "explicit"}),
        ("auto", False, {"mode": "explicit"}),
        ("safe", False, {"mode": "explicit"}),
        ("off", False, {"mode": "explicit"}),
        ("on", True, None),
        ("1h", True, {"ttl": "12h"}),
    ],
)
def test_a_question_is_marked_as_the_flag_says(service, word, is_marked, options, capsys):
    flag = [] if word is None else ["--prompt-cache", word]
    assert main(["Short?", "-s", DOCUMENT, "-m", "openai/gpt-6-luna", *flag]) == 0
    marked, found = marks(service.requests[-1])
    assert marked == is_marked
    assert {**(options or {}), **(found or {})} == (found or {})


def test_a_conversation_is_marked_as_the_flag_says(service, piped, capsys):
    piped("Hello\n")
    assert main(["chat", "-s", DOCUMENT, "-m", "openai/gpt-6-luna", "--prompt-cache", "on"]) == 0
    assert marks(service.requests[-1])[0]


def test_rows_are_marked_as_the_flag_says(service, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("text\none\ntwo\nthree\n", encoding="utf-8")
    command = ["map", "in.csv", "-t", DOCUMENT + "{text}", "-m", "openai/gpt-6-luna"]
    assert main([*command, "--out", "out.csv"]) == 0
    assert marks(service.requests[0])[0]
    assert main([*command, "--out", "other.csv", "--prompt-cache", "off"]) == 0
    assert not any(marks(request)[0] for request in service.requests[3:])


def test_another_word_is_an_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["Hi", "-m", "offline", "--prompt-cache", "2h"])
    assert "--prompt-cache" in capsys.readouterr().err
