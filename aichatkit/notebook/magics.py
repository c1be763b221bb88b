"""`%load_ext aichatkit`: the magics `%chat` and `%%chat` of IPython and Jupyter."""

from __future__ import annotations

import argparse
import re
from typing import Any

from aichatkit.api import default_client
from aichatkit.batch.templates import Template
from aichatkit.chats.chat import Chat
from aichatkit.client import Client
from aichatkit.display.screen import open_screen, show
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.notebook.cell_options import parse_cell, parse_line, parse_param_options
from aichatkit.notebook.completion import COMMAND, complete
from aichatkit.params import suggestion
from aichatkit.reply import Reply
from aichatkit.streams import Stream

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

_QUESTION = re.compile(r"^([ \t]*)%chat[ \t]+(\S.*\?)[ \t]*$")
_HELP = """Send a prompt to a chat model and show its answer while it streams.

    %chat [options] question

    %%chat [MODEL] [options]
    question, of any length; braces and quotes in it are left unchanged

Options:
    -m, --model MODEL   provider/model or provider; repeat it for fallbacks
    -o, --out NAME      store the reply in this variable; if the answer breaks off, its text with `complete` False
    -s, --system TEXT   the system prompt
    -f, --file FILE     attach a file or URL; may be repeated
    -c, --chat NAME     continue the conversation in this variable, or start one
    --reset             start that conversation again
    -t, --template      fill {name} in the question and in --system from variables; {{ and }} are literal braces
    -p, --param K=V     such as temperature=0.2; may be repeated
    --client NAME       use the Client in this variable
    --plain             show plain text
    --no-stream         show the answer when it is complete

Cells are independent, so running one again sends the same prompt; only -c keeps a conversation.
"""


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to IPython."""
    from IPython.core import magic

    def chat(line: str, cell: str | None = None) -> None:
        args, question = parse_line(line) if cell is None else parse_cell(line, cell)
        _run(shell.user_ns, args, question)

    chat.__doc__ = _HELP
    # Otherwise IPython would expand expressions in braces.
    no_var_expand: Any = magic.no_var_expand
    shell.register_magic_function(no_var_expand(chat), magic_kind="line_cell", magic_name="chat")
    shell.input_transformers_cleanup.append(_rewrite_question_marks)
    shell.set_hook("complete_command", complete, re_key=COMMAND)


def unload_ipython_extension(shell: Any) -> None:
    """Remove the magics from IPython."""
    for magic_kind in ("line", "cell"):
        shell.magics_manager.magics[magic_kind].pop("chat", None)
    shell.strdispatchers["complete_command"].regexs.pop(re.compile(COMMAND), None)
    # The transformer is registered twice if the extension was loaded under two names.
    transformers = shell.input_transformers_cleanup
    transformers[:] = [transformer for transformer in transformers if transformer is not _rewrite_question_marks]


def _rewrite_question_marks(lines: list[str]) -> list[str]:
    """Rewrite `%chat ...?` as a call of the magic: to IPython, a trailing question mark is a request for help."""
    if lines and lines[0].startswith("%%"):
        return lines
    return [
        _QUESTION.sub(lambda match: f"{match[1]}get_ipython().run_line_magic('chat', {match[2]!r})", line)
        for line in lines
    ]


def _run(variables: dict[str, Any], args: argparse.Namespace, question: str) -> None:
    """Send the question, show the answer, and assign the reply, complete or partial, to the variable of --out."""
    if args.template:
        question, args.system = _fill(question, variables), _fill(args.system or "", variables)
    options = parse_param_options(args.param)
    options.update({"files": args.file} if args.file else {})
    stream: Stream | None = None
    reply: Reply | None = None
    try:
        stream = _open_stream(variables, args, question, options)
        reply = show(stream, screen=open_screen(plain=args.plain, live=not args.no_stream))
    except (ChatError, KeyboardInterrupt) as error:
        reply = _partial_reply(stream, error)
        raise
    finally:
        if args.out is not None:
            variables[args.out] = reply


def _open_stream(variables: dict[str, Any], args: argparse.Namespace, question: str, options: dict[str, Any]) -> Stream:
    """Send the question in the conversation given with -c, or on its own."""
    models = [*filter(None, [args.provider_model]), *args.model]
    options.update({"model": models if len(models) > 1 else models[0]} if models else {})
    options.update({"system": args.system} if args.system else {})
    client: Client | None = _find_variable(variables, args.client, Client, "--client") if args.client else None
    if args.chat is None:
        return (client or default_client()).stream(question, **options)
    existing: Chat | None = _find_variable(variables, args.chat, Chat, "-c") if args.chat in variables else None
    if existing is not None and not args.reset:
        if client is not None:
            raise ConfigurationError(f"%chat: {args.chat} has its client; leave --client out, or add --reset")
        return existing.stream(question, **options)
    chat_options = {name: options.pop(name) for name in ("model", "system") if name in options}
    new: Chat = (client or (existing.client if existing else default_client())).chat(**chat_options)
    variables[args.chat] = new
    return new.stream(question, **options)


def _partial_reply(stream: Stream | None, error: Any) -> Reply:
    """Return the text received so far as a reply with `complete=False`."""
    if stream is not None:
        return Reply(stream.text, stream.provider, stream.model, complete=False, attempts=stream.attempts)
    text, provider, model = (getattr(error, name, None) or "" for name in ("partial", "provider", "model"))
    return Reply(text, provider, model, complete=False, attempts=getattr(error, "attempts", []))


def _find_variable(variables: dict[str, Any], name: str, cls: type[Any], option: str) -> Any:
    value = variables.get(name)
    if not isinstance(value, cls):
        problem = f"is a {type(value).__name__}" if name in variables else "is not there"
        raise ConfigurationError(f"%chat: {option} wants a variable that holds a {cls.__name__}; {name!r} {problem}")
    return value


def _fill(text: str, variables: dict[str, Any]) -> str:
    """Fill in the template's variables; text without a brace is returned unchanged."""
    if "{" not in text:
        return text
    template = Template(text)
    for name in template.names:
        if name not in variables:
            candidates = [variable for variable in variables if not variable.startswith("_")]
            raise ConfigurationError(f"%chat: -t finds no variable {name!r}{suggestion(name, candidates)}")
    return template.fill(variables)
