"""Words, piped text, template and files -> prompt."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.attachments import load_file
from aichatkit.batch.templates import Template
from aichatkit.cli.key_values import parse_key_values
from aichatkit.cli.stdin import check_encoding, read_stdin
from aichatkit.cli.stored_templates import load_template
from aichatkit.errors import ConfigurationError
from aichatkit.messages import File
from aichatkit.params import suggestion

__all__ = ["Prompt", "add_prompt_options", "build_prompt"]


class Prompt(NamedTuple):
    """A prompt and its files; both are empty if there is nothing to send."""

    text: str
    files: list[File]


def add_prompt_options(parser: ArgumentParser, *, words: str = "the question") -> None:
    """Add the arguments that `build_prompt` reads; `words` says what the positional ones are."""
    parser.add_argument("prompt", nargs="*", help=f"{words}; several words need no quotes; - reads the pipe")
    parser.add_argument(
        "-f", "--file", action="append", default=[], help="a file to attach: a path, a URL, or - for the pipe"
    )
    parser.add_argument(
        "-t", "--template", help="a stored one by name, a file, or text such as 'Translate to {language}: {text}'"
    )
    parser.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="a value for a field of the template"
    )
    parser.add_argument(
        "--encoding", metavar="NAME", help="encoding of the piped text, such as latin-1 (default: detected)"
    )


def build_prompt(args: Namespace) -> Prompt:
    """Return the prompt and its files: the filled-in template, the words, then the piped text.

    The piped text fills the template's field `text` and the words fill `question`; without a pipe the words fill
    `text`. Whatever the template has no field for follows it. Nothing is dropped, and a missing field is an error.
    The settings of a template become those of `args` that were not passed.
    """
    question = " ".join(word for word in args.prompt if word != "-").strip()
    template = _Template(args.template) if args.template is not None else None
    if template is not None:
        _apply_settings(args, template)
    values = parse_key_values(args.param, option="-p")
    if values and template is None:
        raise ConfigurationError("-p: gives a value to a field of a template, so it needs -t")
    explicit = "-" in [*args.prompt, *args.file]
    if args.encoding is not None:
        check_encoding(args.encoding)
    document = read_stdin(explicit=explicit, encoding=args.encoding)
    files = [_read_file(name, document) for name in args.file]
    text = "" if "-" in args.file else document
    if isinstance(text, File):
        files, text = [*files, text], ""
    parts = [question, text.strip()]
    if template is not None:
        parts = template.fill(values, question=question, text=text.strip())
    return Prompt("\n\n".join(part for part in parts if part), files)


def _apply_settings(args: Namespace, template: _Template) -> None:
    settings = template.settings
    params = {name: value for name, value in settings.items() if name not in ("model", "system")}
    if params and "option" not in args:
        raise ConfigurationError(f"{template.label} sets {', '.join(params)}, which this command does not take")
    if params:
        # The last value of a parameter wins.
        args.option = [*(f"{name}={value}" for name, value in params.items()), *args.option]
    if "model" in settings and args.model is None:
        args.model = [settings["model"]]
    args.system = settings.get("system") if args.system is None else args.system


def _read_file(name: str, document: str | File) -> File:
    if name != "-":
        return load_file(name)
    return document if isinstance(document, File) else load_file(document.encode())


class _Template:
    """The template given with -t: `label` names it in error messages, `names` lists its fields."""

    def __init__(self, name: str) -> None:
        self.label, text, self.settings = load_template(name)
        # Text without fields is valid too, as the piped text follows it.
        self._template = Template(text) if "{" in text or "}" in text else None
        self._text = text.strip()
        self.names = self._template.names if self._template else []

    def fill(self, values: dict[str, str], *, question: str, text: str) -> list[str]:
        """Return the template with its fields filled in, then the question and text it has no field for."""
        for name in values:
            if name not in self.names:
                raise ConfigurationError(f"{self.label} has no field {name!r}{suggestion(name, self.names)}")
        fields: dict[str, Any] = dict(values)
        if "text" in self.names and "text" not in values:
            if text:
                fields["text"], text = text, ""
            elif question:
                fields["text"] = question
                question = "" if "question" not in self.names else question
        if "question" in self.names and "question" not in values and question:
            fields["question"], question = question, ""
        missing = [name for name in self.names if name not in fields]
        if missing:
            hint = "through a pipe or as words" if missing[0] == "text" else f"with -p {missing[0]}=..."
            raise ConfigurationError(f"{self.label} has no value for its field {missing[0]!r}; give it {hint}")
        filled = self._template.fill(fields).strip() if self._template else self._text
        return [filled, question, text]
