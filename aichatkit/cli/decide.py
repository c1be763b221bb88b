"""`aichatkit decide`: text and questions -> typed answers with probabilities."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from aichatkit.cli.client_options import add_client_options, announce_offline, model_option, open_client
from aichatkit.cli.json_output import format_json
from aichatkit.cli.output import write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.cli.prompts import add_prompt_options, build_prompt
from aichatkit.cli.questions import EMULATE, HELP, add_emulate_option, parse_questions_option
from aichatkit.errors import ConfigurationError

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit decide",
        usage="aichatkit decide [options] -q QUESTION [-q QUESTION ...] text ...",
        description="Answer closed questions about a text, each with its probability; for a file of rows, use: "
        "aichatkit map --decide",
    )
    add_prompt_options(parser, words="the text")
    parser.add_argument("-q", "--question", action="append", default=[], metavar="QUESTION", help=HELP)
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="system prompt")
    parser.add_argument("--threshold", type=float, metavar="P", help="probability that counts as yes (default 0.5)")
    add_emulate_option(parser)
    parser.add_argument("--json", action="store_true", help="print all numbers as one JSON object")
    return parser


def run(args: Namespace) -> int:
    """Print the decisions and return the exit code, 1 if a question was refused."""
    questions = parse_questions_option(args.question, "-q")
    prompt = build_prompt(args)
    if not questions or not prompt.text:
        raise ConfigurationError("decide: pass a text, and at least one question with -q, such as -q 'refund?'")
    options: dict[str, Any] = {"files": prompt.files} if prompt.files else {}
    with open_client(args) as client:
        decisions = client.decide(
            prompt.text,
            questions,
            model=model_option(args),
            system=args.system,
            threshold=args.threshold,
            emulate=EMULATE[args.emulate],
            **options,
        )
    announce_offline(args)
    write_stdout(format_json(decisions.to_dict()) if args.json else _lines(decisions))
    return 1 if decisions.refused else 0


def _lines(decisions: Any) -> str:
    """Return a line for each answer: the question, the answer, and its probability."""
    return "".join(f"{name}: {_answer(decision)}\n" for name, decision in decisions.items())


def _answer(decision: Any) -> str:
    if decision.refused:
        return "refused"
    value = decision.value if decision.label is None else decision.label
    text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return text if decision.probability is None else f"{text} ({decision.probability:.2f})"
