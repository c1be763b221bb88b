"""Errors, conversations and results -> what a notebook shows of them, short; values are taken as they are."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aichatkit.display import markup

__all__ = ["answer_markdown", "chat_markdown", "error_html", "error_lines", "results_html", "running_shell"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_OTHERS = (f"{os.sep}IPython{os.sep}", f"{os.sep}ipykernel{os.sep}")
_MOST_ROWS = 10
_MOST_TURNS = 20
_MOST_TRIES = 20
_LEFT = 'style="text-align: left; vertical-align: top; white-space: pre-wrap"'
_SPEAKERS = {"user": "You", "assistant": "Assistant", "system": "System", "developer": "System", "tool": "Tool"}


def running_shell() -> Any:
    """Return the IPython this runs in, None outside of one; it is never imported for that."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def answer_markdown(reply: Any) -> str:
    """Return an answer as Markdown, its reasoning folded."""
    parts = [markup.folded(reply.reasoning, "Reasoning")] if reply.reasoning else []
    parts.append(markup.safe(reply.text, reply.images))
    parts += ["*(broken off)*"] if reply.complete is False else []
    return "\n\n".join(parts)


def chat_markdown(system: str | None, turns: Sequence[Any]) -> str:
    """Return the last turns of a conversation as Markdown."""
    shown = turns[-_MOST_TURNS:]
    parts = [f"*{_counted(len(turns), 'message')}*"]
    parts += [f"**System**\n\n{markup.safe(system)}"] if system else []
    parts += [f"*... {len(turns) - len(shown)} earlier ...*"] if len(shown) < len(turns) else []
    parts += [f"**{_SPEAKERS[turn.role]}**\n\n{markup.safe(_content(turn.content))}" for turn in shown]
    return "\n\n".join(parts)


def error_lines(error: Any) -> list[str]:
    """Return an error as the lines a notebook shows in the place of a traceback.

    No line of source is among them, as a key may stand in it.
    """
    lines = [f"{type(error).__name__}: {error}"]
    place = _place(error.__traceback__)
    lines += [place] if place else []
    if len(error.attempts) > 1:
        rows = list(_tries(error.attempts))
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if error.partial:
        lines.append(f"{_counted(len(error.partial), 'character')} of the answer had come and are kept in `.partial`.")
    return lines


def error_html(error: Any) -> str:
    """Return an error as HTML."""
    text = f"<b>{type(error).__name__}</b>: {markup.escape(error)}"
    if len(error.attempts) > 1:
        text += _table(_tries(error.attempts))
    return text + (markup.folded_html(error.partial, "What had come") if error.partial else "")


def results_html(results: Any) -> str:
    """Return what came of many rows as HTML: how many, what it took, and the first of them."""
    failed, tokens, cost = len(results.failed), results.usage.total_tokens, results.cost
    told = [_counted(len(results), "row"), f"{len(results) - failed:,} answered", f"{failed:,} failed"]
    told += [] if tokens is None else [_counted(tokens, "token")]
    told += [] if cost is None else [f"${cost:.4f}"]
    text = f"<p>{', '.join(told)}</p>"
    if results.stopped is not None:
        text += f"<p>{markup.escape(results.stopped)}</p>"
    text += _table([("", "prompt", "answer"), *(_row(result) for result in results[:_MOST_ROWS])])
    return text + (f"<p>... {len(results) - _MOST_ROWS:,} more</p>" if len(results) > _MOST_ROWS else "")


def _row(result: Any) -> tuple[str, str, str]:
    answer = result.text if result.error is None else f"{type(result.error).__name__}: {result.error}"
    prompt = result.prompt if isinstance(result.prompt, str) else repr(result.prompt)
    return str(result.index), _short(prompt, 200), _short(answer, 300)


def _tries(attempts: Sequence[Any]) -> Iterator[tuple[str, ...]]:
    yield "try", "asked", "outcome", "seconds", "waited"
    for number, attempt in enumerate(attempts[:_MOST_TRIES], 1):
        outcome = "answered" if attempt.error is None else type(attempt.error).__name__
        asked = f"{attempt.provider}/{attempt.model}"
        yield str(number), asked, outcome, f"{attempt.elapsed:.1f}", f"{attempt.wait:.1f}"


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *body = ([markup.escape(cell) for cell in row] for row in rows)
    lines = ["<table><thead><tr>" + "".join(f"<th {_LEFT}>{cell}</th>" for cell in head) + "</tr></thead><tbody>"]
    lines += ["<tr>" + "".join(f"<td {_LEFT}>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return "\n".join([*lines, "</tbody></table>"])


def _place(trace: Any) -> str:
    """Return where in the user's code it happened: the last place before ours."""
    found = None
    for frame in traceback.extract_tb(trace):
        if os.path.abspath(frame.filename).startswith(_PACKAGE):
            break
        if not any(part in frame.filename for part in _OTHERS):
            found = frame
    if found is None:
        return ""
    cell = getattr(getattr(running_shell(), "compile", None), "format_code_name", lambda name: None)(found.filename)
    name = " ".join(cell) if cell else found.filename
    function = "" if found.name.startswith("<") else f", in {found.name}"
    return f"{name}, line {found.lineno}{function}"


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(str(part["text"]) if "text" in part else _named(part) for part in content)


def _named(part: Any) -> str:
    file = part.get("file")
    return f"({getattr(file, 'kind', '') or part.get('type', 'file')} {getattr(file, 'name', '')})".replace(" )", ")")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
