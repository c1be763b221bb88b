"""Options of `%chat` and `%%chat`: what is no option is the question, as it is."""

from __future__ import annotations

import pytest

from aichatkit import ConfigurationError
from aichatkit.notebook.cell_options import parse_cell, parse_line, parse_param_options


@pytest.mark.parametrize(
    "line",
    ["What's up?", 'Say "hi" twice', "a {b} $c `d`", "is -x an option?", "a\\b", "it's 5 o'clock -s"],
)
def test_a_line_is_the_question_as_it_is(line):
    args, question = parse_line(f" {line} ")
    assert (question, args.system, args.model) == (line, None, [])


def test_options_stand_before_the_question():
    args, question = parse_line("""-m openai/gpt-6-sol --system="Be \t'brief'." --no-stream -o x What's "up"?""")
    assert question == """What's "up"?"""
    assert (args.model, args.system, args.no_stream, args.out) == (["openai/gpt-6-sol"], "Be \t'brief'.", True, "x")


@pytest.mark.parametrize("options", ["-mopenai", "-m=openai", "--model=openai", "-tm openai", "-m 'openai'"])
def test_the_value_of_an_option_may_be_attached(options):
    args, question = parse_line(f"{options} Hello there")
    assert (args.model, question) == (["openai"], "Hello there")


def test_two_dashes_end_the_options():
    assert parse_line("-t -- -s is an option")[1] == "-s is an option"


def test_a_cell_has_its_model_and_options_above_it():
    line = "openai/gpt-6-sol -o x -s 'Be brief.' -f a.png -f b.pdf -c talk --reset -t -p seed=1 --client mine --plain"
    args, question = parse_cell(line, "\nWhat {is} 'that'?\n\n-s\n")
    assert question == "What {is} 'that'?\n\n-s"
    assert vars(args) == {
        "provider_model": "openai/gpt-6-sol",
        "model": [],
        "out": "x",
        "system": "Be brief.",
        "file": ["a.png", "b.pdf"],
        "chat": "talk",
        "reset": True,
        "template": True,
        "param": ["seed=1"],
        "client": "mine",
        "plain": True,
        "no_stream": False,
    }


@pytest.mark.parametrize("line", ["", "openai"])
def test_nothing_asked_is_an_error(line):
    with pytest.raises(ConfigurationError, match="nothing was asked"):
        parse_cell(line, " \n")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--modle x", "unrecognized arguments: --modle; did you mean '--model'[?]; %chat[?] shows all"),
        ("--zzz", "unrecognized arguments: --zzz; %chat[?] shows all"),
        ("openai What is that", "the question goes below the line of %%chat"),
        ("-o", "-o/--out: expected one argument"),
        ("-o 1x", "'1x' is no name of a variable"),
        ("-o a.b", "'a.b' is no name of a variable"),
        ("-s 'Be", "a quote is not closed"),
        ("--reset", "none is named; name it with -c"),
        ("--no-strea", "did you mean '--no-stream'"),
        ("--images a.png", "did you mean '--file'"),
        ("--instructions Brief.", "did you mean '--system'"),
        ("--temperature=0.2", "set with -p, as in -p temperature="),
        ("--max-completion-tokens 5", "as in -p max_tokens="),
        ("--stream", "unless there is --no-stream"),
        ("--max-retries 3", "retry= is an option of a client or a conversation"),
        ("--max-workers 3", r"workers= belongs to map\(...\); %chat"),
        ("--workers 3", r"workers= belongs to map\(...\); %chat"),
        ("--input-type query", r"kind= belongs to embeddings: embed\(texts, kind=...\); %chat"),
        ("--resume a.sqlite", r"resume= belongs to map"),
        ("--rpm 3", r"rate= belongs to the client: Client\(rate=...\)"),
    ],
)
def test_a_wrong_option_is_an_error_that_helps(line, told):
    with pytest.raises(ConfigurationError, match=told):
        parse_cell(line, "question")


@pytest.mark.parametrize("line", ["-s", "-s 'open", "--zzz x question", "-m"])
def test_a_wrong_option_on_a_line_is_an_error_as_well(line):
    with pytest.raises(ConfigurationError, match="%chat: "):
        parse_line(line)


def test_parameters_are_read_as_python_or_text():
    assert parse_param_options(["temperature=0.2", "stop=['a', 'b']", "user=me", "x=a=b"]) == {
        "temperature": 0.2,
        "stop": ["a", "b"],
        "user": "me",
        "x": "a=b",
    }


def test_a_parameter_without_a_value_is_an_error():
    with pytest.raises(ConfigurationError, match=r"such as temperature=0\.2, not 'seed'"):
        parse_param_options(["seed"])
    with pytest.raises(ConfigurationError, match=r"such as temperature=0\.2, not '=1'"):
        parse_param_options(["=1"])
