"""`%load_ext aichatkit`: the magics `%chat` and `%%chat` of IPython and Jupyter."""

from __future__ import annotations

import argparse
import re
from typing import Any

from aichatkit.batch.templates import Template
from aichatkit.chats.chat import Chat
from aichatkit.client import Client, default_client
from aichatkit.display.screen import open_screen, show
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.notebook.cell_options import read_cell, read_line, read_params
from aichatkit.params import nearest
from aichatkit.reply import Reply
from aichatkit.streams import Stream

_QUESTION = re.compile(r"^([ \t]*)%chat[ \t]+(\S.*\?)[ \t]*$")

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

_HELP = """Ask a chat model and show its answer while it comes.

    %chat [options] question

    %%chat [MODEL] [options]
    question, of any length; braces and quotes in it stay what they are

Options:
    -m, --model MODEL   provider/model or provider; repeat it for fallbacks
    -o, --out NAME      keep the reply in this variable; of an answer that broke off what came, `complete` being False
    -s, --system TEXT   instructions that go before the question
    -f, --file FILE     a file or URL that goes with the question; may be repeated
    -c, --chat NAME     go on with the conversation in this variable, which is begun where there is none
    --reset             begin that conversation anew
    -t, --template      fill {name} in the question and in --system from variables; {{ and }} are braces then
    -p, --param K=V     such as temperature=0.2; may be repeated
    --client NAME       ask with the Client in this variable
    --plain             show plain text
    --no-stream         show the answer when it is complete

Each cell is asked by itself, so that running one again asks the same; only -c remembers.
"""


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to IPython."""
    from IPython.core import magic

    def chat(line: str, cell: str | None = None) -> None:
        asked, question = read_line(line) if cell is None else read_cell(line, cell)
        _chat(shell.user_ns, asked, question)

    chat.__doc__ = _HELP
    # Without that IPython itself would fill in what stands in braces.
    safe: Any = magic.no_var_expand
    shell.register_magic_function(safe(chat), magic_kind="line_cell", magic_name="chat")
    shell.input_transformers_cleanup.append(_keep_question_marks)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("chat", None)
    # Twice where it was loaded by two names.
    steps = shell.input_transformers_cleanup
    steps[:] = [step for step in steps if step is not _keep_question_marks]


def _keep_question_marks(lines: list[str]) -> list[str]:
    """Call the magic where a question ends as one: IPython takes a word and a question mark for a call for help."""
    if lines and lines[0].startswith("%%"):
        return lines
    return [
        _QUESTION.sub(lambda found: f"{found[1]}get_ipython().run_line_magic('chat', {found[2]!r})", line)
        for line in lines
    ]


def _chat(variables: dict[str, Any], asked: argparse.Namespace, question: str) -> None:
    """Ask, show the answer, and keep the reply or what came of it."""
    if asked.template:
        question, asked.system = _filled(question, variables), _filled(asked.system or "", variables)
    options = read_params(asked.param)
    options.update({"files": asked.file} if asked.file else {})
    stream: Stream | None = None
    reply: Reply | None = None
    try:
        stream = _open(variables, asked, question, options)
        reply = show(stream, screen=open_screen(plain=asked.plain, live=not asked.no_stream))
    except (ChatError, KeyboardInterrupt) as error:
        reply = _partial(stream, error)
        raise
    finally:
        if asked.out is not None:
            variables[asked.out] = reply


def _open(variables: dict[str, Any], asked: argparse.Namespace, question: str, options: dict[str, Any]) -> Stream:
    """Ask in the conversation that is named, else on its own."""
    models = [*filter(None, [asked.provider_model]), *asked.model]
    options.update({"model": models if len(models) > 1 else models[0]} if models else {})
    options.update({"system": asked.system} if asked.system else {})
    client: Client | None = _variable(variables, asked.client, Client, "--client") if asked.client else None
    if asked.chat is None:
        return (client or default_client()).stream(question, **options)
    old: Chat | None = _variable(variables, asked.chat, Chat, "-c") if asked.chat in variables else None
    if old is not None and not asked.reset:
        if client is not None:
            raise ConfigurationError(f"%chat: {asked.chat} has its client; leave --client out, or add --reset")
        return old.stream(question, **options)
    lasting = {name: options.pop(name) for name in ("model", "system") if name in options}
    begun: Chat = (client or (old.client if old else default_client())).chat(**lasting)
    variables[asked.chat] = begun
    return begun.stream(question, **options)


def _partial(stream: Stream | None, error: Any) -> Reply:
    """Return what came as a reply that says it is not complete."""
    if stream is not None:
        return Reply(stream.text, stream.provider, stream.model, complete=False, attempts=stream.attempts)
    text, provider, model = (getattr(error, name, None) or "" for name in ("partial", "provider", "model"))
    return Reply(text, provider, model, complete=False, attempts=getattr(error, "attempts", []))


def _variable(variables: dict[str, Any], name: str, kind: type[Any], option: str) -> Any:
    value = variables.get(name)
    if not isinstance(value, kind):
        found = f"is a {type(value).__name__}" if name in variables else "is not there"
        raise ConfigurationError(f"%chat: {option} wants a variable that holds a {kind.__name__}; {name!r} {found}")
    return value


def _filled(text: str, variables: dict[str, Any]) -> str:
    """Fill in variables; without a brace there is nothing to fill in."""
    if "{" not in text:
        return text
    template = Template(text)
    for name in template.names:
        if name not in variables:
            shown = [known for known in variables if not known.startswith("_")]
            raise ConfigurationError(f"%chat: -t finds no variable {name!r}{nearest(name, shown)}")
    return template.fill(variables)
