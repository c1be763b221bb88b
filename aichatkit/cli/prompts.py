"""Words, document, template and files -> what is asked."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, NamedTuple

from aichatkit.attachments import load_file
from aichatkit.batch.templates import Template
from aichatkit.cli.key_values import parse_key_values
from aichatkit.cli.paths import config_folder
from aichatkit.cli.stdin import STDIN_TIMEOUT, read_stdin
from aichatkit.errors import ConfigurationError
from aichatkit.messages import File
from aichatkit.params import nearest

__all__ = ["Question", "add_prompt_options", "build_prompt"]


class Question(NamedTuple):
    """What is asked; both are empty where there is nothing to ask."""

    prompt: str
    files: list[File]


def add_prompt_options(parser: ArgumentParser) -> None:
    """Add the words and the options that `build_prompt` reads."""
    parser.add_argument("prompt", nargs="*", help="the question; several words need no quotes; - waits for a pipe")
    parser.add_argument(
        "-f", "--file", action="append", default=[], help="goes with the question: a path, a URL, or - for the pipe"
    )
    parser.add_argument(
        "-t", "--template", help="a stored one by name, a file, or text such as 'Translate to {language}: {text}'"
    )
    parser.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="a value for a field of the template"
    )


def build_prompt(args: Namespace) -> Question:
    """Return the prompt and its files: the template filled in, the words, then what came through the pipe.

    The pipe is the template's field `text`, and the words are `question`; without a pipe the words are `text`.
    What the template has no field for goes after it. Nothing is lost and nothing is sent before all fields are there.
    """
    question = " ".join(word for word in args.prompt if word != "-").strip()
    template = _Template(args.template) if args.template is not None else None
    given = parse_key_values(args.param, option="-p")
    if given and template is None:
        raise ConfigurationError("-p: gives a value to a field of a template, so it needs -t")
    asked = "-" in [*args.prompt, *args.file]
    enough = bool(question) or (template is not None and "text" not in {*template.names} - {*given})
    document = read_stdin(patience=STDIN_TIMEOUT if enough and not asked else None, asked=asked)
    files = [_read_file(name, document) for name in args.file]
    text = "" if "-" in args.file else document
    if isinstance(text, File):
        files, text = [*files, text], ""
    parts = [question, text.strip()]
    if template is not None:
        parts = template.fill(given, question=question, text=text.strip())
    return Question("\n\n".join(part for part in parts if part), files)


def _read_file(name: str, document: str | File) -> File:
    if name != "-":
        return load_file(name)
    return document if isinstance(document, File) else load_file(document.encode())


class _Template:
    """A template of the command line: what it is called, and its text."""

    def __init__(self, named: str) -> None:
        self.called, text = _find(named)
        # A text without any field is as good here, as the document follows it.
        self._template = Template(text) if "{" in text or "}" in text else None
        self._text = text.strip()
        self.names = self._template.names if self._template else []

    def fill(self, given: dict[str, str], *, question: str, text: str) -> list[str]:
        """Return the text with its fields filled in, and what it has no field for."""
        for name in given:
            if name not in self.names:
                raise ConfigurationError(f"{self.called} has no field {name!r}{nearest(name, self.names)}")
        fields: dict[str, Any] = dict(given)
        if "text" in self.names and "text" not in given:
            if text:
                fields["text"], text = text, ""
            elif question:
                fields["text"] = question
                question = "" if "question" not in self.names else question
        if "question" in self.names and "question" not in given and question:
            fields["question"], question = question, ""
        missing = [name for name in self.names if name not in fields]
        if missing:
            how = "through a pipe or as words" if missing[0] == "text" else f"with -p {missing[0]}=..."
            raise ConfigurationError(f"{self.called} has no value for its field {missing[0]!r}; give it {how}")
        filled = self._template.fill(fields).strip() if self._template else self._text
        return [filled, question, text]


def _find(named: str) -> tuple[str, str]:
    """Return what a template is called, and its text."""
    folder = config_folder() / "templates"
    stored = {path.stem: path for path in sorted(folder.glob("*.txt")) + sorted(folder.glob("*.md"))}
    path = stored.get(named, Path(named))
    if "{" in named and named not in stored:
        return "the template", named
    try:
        # Editors on Windows put a mark in front.
        return f"the template {named!r}", path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise ConfigurationError(
        f"-t: there is no template {named!r} ({reason}){nearest(named, stored)}; "
        f"it may be a file, a text with {{fields}}, or the name of a .txt or .md file in {folder}"
    )
