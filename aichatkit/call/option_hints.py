"""Name of an option that a call does not take -> where it belongs, or what it is called here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from aichatkit.call import other_words

__all__ = ["hint_for", "operand_hint", "place_of"]

_CLIENT = frozenset(
    {
        *(
            "api_key",
            "auth",
            "base_url",
            "budget",
            "cache",
            "catalog",
            "cert",
            "hooks",
            "log",
            "prices",
            "rate",
            "session",
            "telemetry",
        ),
        "verify",
    }
)
_CALL = frozenset(
    {"approve", "extra", "files", "max_rounds", "raw", "schema", "search", "strict", "tool_choice", "tools"}
)
_CHAT = frozenset({"history", "trim"})
_MAP = frozenset(
    {
        *(
            "as_completed",
            "batch",
            "decide",
            "delimiter",
            "encoding",
            "executor",
            "late",
            "max_tokens_total",
            "on_error",
        ),
        *("progress", "resume", "template", "wait", "workers"),
    }
)
_DECIDE = frozenset({"emulate", "threshold"})
_IMAGE = frozenset({"quality", "size"})
_EMBED = frozenset({"dimensions", "kind", "normalize", "truncate"})
_PHRASES = {
    "files": "files=[...]",
    "model": "model='provider/model', or model=[...] for several",
    "schema": "schema=, for structured output",
    "system": "system=, the system prompt",
}
_STREAMS = {
    "ask": "did you mean stream(...) instead of ask(...)?",
    "stream": "stream(...) always streams, so leave it out",
    "show": "show(...) always streams, so leave it out",
}


def hint_for(name: str, accepted: Collection[str] = (), function: str = "") -> str:
    """Return "; ..." with what to write instead of an unknown option of a function, or an empty string.

    `accepted` are the options that the function takes.

    >>> hint_for("max_retries", ["retry"]), hint_for("workers")
    ('; did you mean retry=?', '; it belongs to map(...)')
    """
    word = other_words.snake_case(name)
    if word in ("stream", "streaming"):
        return f"; {_STREAMS.get(function, 'to stream an answer, call stream(...)')}"
    if word in other_words.COUNTS and "n" in accepted:
        return "; did you mean n=?"
    if word in other_words.COUNTS:
        return "; a call gives one answer; for several to one prompt, use map([prompt] * 3)"
    if word in other_words.FIELDS:
        return "; fields of a service go in as they are" + (
            f": extra={{{name!r}: ...}}"
            if "extra" in accepted
            else f", in a call: ask(prompt, extra={{{name!r}: ...}})"
        )
    if name != word and word in accepted:
        return f"; did you mean {word}=?"
    if belongs := place_of(word):
        return f"; it belongs to {belongs}"
    option = word if word == "prompt" else other_words.option_for(name)
    if option == "prompt":
        return f"; {_prompt_hint(name, accepted, function)}"
    if not option:
        return ""
    meant = f"; did you mean {_PHRASES.get(option, f'{option}=')}?"
    return meant if option in accepted else f"{meant} It belongs to {place_of(option)}"


def place_of(option: str) -> str:
    """Return where an option of ours belongs, or an empty string."""
    if option in _CLIENT:
        return f"the client: Client({option}=...)"
    if option in _CALL:
        return "a call: ask, stream, chat or map"
    if option in _CHAT:
        return f"a conversation: client.chat({option}=...)"
    if option == "decide":
        return "map(prompts, decide=...); for one text, call decide(text, questions)"
    if option in _DECIDE:
        return f"decisions: decide(text, questions, {option}=...)"
    if option in _IMAGE:
        return f"images: image(prompt, {option}=...)"
    if option in _EMBED:
        return f"embeddings: embed(texts, {option}=...)"
    return "map(...)" if option in _MAP else ""


def _prompt_hint(name: str, accepted: Collection[str], function: str) -> str:
    if "history" in accepted:
        return "did you mean history=? A prompt is passed to ask(), as in chat().ask(prompt)"
    if function == "Client":
        return f"it belongs to a call: ask({name})"
    if function == "check":
        return "check(...) sends a prompt of its own"
    if function in ("map", "estimate"):
        return f"the prompts come first, {function}(prompts)"
    if function == "decide":
        return "the text comes first, decide(text, questions)"
    if function == "embed":
        return "the texts come first, embed(texts)"
    return (
        "messages are passed as the prompt, ask(messages)"
        if name == "messages"
        else "the prompt comes first, ask(prompt)"
    )


def operand_hint(name: str, operands: Sequence[Any]) -> str:
    """Return the hint for a call with too many positional arguments, or none.

    >>> operand_hint("ask", ["Hi", "openai"])
    "takes one prompt, and options by name, such as model='openai'"
    """
    if not operands:
        return "takes a prompt first, a text or a list of messages, as in ask('Hi') and ask(messages)"
    if name == "Client":
        return "takes the model first, and other options by name, such as api_key="
    if name == "Chat":
        return f"takes a client first, and options by name, such as model={operands[1]!r:.60}"
    if name in ("map", "estimate", "embed"):
        operand = "texts" if name == "embed" else "prompts"
        return f"takes {operand}, a template, and options by name, such as model="
    if name == "decide":
        return "takes a text, questions, one question's text, and options by name, such as model="
    if name == "check":
        return "takes the model, and options by name, such as timeout="
    if name == "chat":
        return (
            "takes options by name only, such as model= and system=; pass the prompt to ask(), as in chat().ask('Hi')"
        )
    return f"takes one prompt, and options by name, such as model={operands[1]!r:.60}"
