"""Errors, replies, chats and results -> short Markdown, HTML or text for notebooks; arguments are duck-typed."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aichatkit.display import markup

__all__ = ["chat_markdown", "error_html", "error_lines", "reply_markdown", "results_html", "running_shell"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_SHELL_FOLDERS = (f"{os.sep}IPython{os.sep}", f"{os.sep}ipykernel{os.sep}")
_MAX_ROWS = 10
_MAX_MESSAGES = 20
_MAX_ATTEMPTS = 20
#: A long word, such as a URL or base64, breaks instead of widening the table.
_CELL_STYLE = 'style="text-align: left; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere"'
_ROLE_TITLES = {"user": "You", "assistant": "Assistant", "system": "System", "developer": "System", "tool": "Tool"}


def running_shell() -> Any:
    """Return the running IPython shell, None outside IPython; IPython is never imported for this."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def reply_markdown(reply: Any) -> str:
    """Return a reply as Markdown, with its reasoning in a collapsed section and the pages that it cites."""
    parts = [markup.collapsible(reply.reasoning, "Reasoning")] if reply.reasoning else []
    parts.append(markup.sanitize(reply.text, reply.images))
    parts += ["*(broken off)*"] if reply.complete is False else []
    parts += [f"**Sources**\n\n{markup.source_list(reply.sources)}"] if reply.sources else []
    return "\n\n".join(parts)


def chat_markdown(system: str | None, messages: Sequence[Any]) -> str:
    """Return the last messages of a conversation as Markdown, after the system prompt."""
    recent = messages[-_MAX_MESSAGES:]
    parts = [f"*{_plural(len(messages), 'message')}*"]
    parts += [f"**System**\n\n{markup.sanitize(system)}"] if system else []
    parts += [f"*... {len(messages) - len(recent)} earlier ...*"] if len(recent) < len(messages) else []
    parts += [
        f"**{_ROLE_TITLES[message.role]}**\n\n{markup.sanitize(_content_text(message.content))}" for message in recent
    ]
    return "\n\n".join(parts)


def error_lines(error: Any) -> list[str]:
    """Return the lines a notebook shows instead of an error's traceback.

    They contain no source code, which may include an API key.
    """
    lines = [f"{type(error).__name__}: {error}"]
    location = _user_location(error.__traceback__)
    lines += [location] if location else []
    if len(error.attempts) > 1:
        rows = list(_attempt_rows(error.attempts))
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if error.partial:
        lines.append(f"{_plural(len(error.partial), 'character')} of the answer were received and are in `.partial`.")
    return lines


def error_html(error: Any) -> str:
    """Return an error as HTML: its message, a table of the attempts if there are several, and the partial text."""
    text = f"<b>{type(error).__name__}</b>: {markup.escape(error)}"
    if len(error.attempts) > 1:
        text += _table(_attempt_rows(error.attempts))
    text += markup.collapsible_html(error.partial, "Text received") if error.partial else ""
    return f"<div {markup.NO_MATH}>{text}</div>"


def results_html(results: Any, unasked: int) -> str:
    """Return batch results as HTML: counts, tokens and cost, then the first rows; `unasked` rows did not fail."""
    missing, tokens, cost, pending = len(results.failed), results.usage.total_tokens, results.cost, results.pending
    failed = missing - unasked - pending
    summary = [_plural(len(results), "row"), f"{len(results) - missing:,} answered", f"{failed:,} failed"]
    summary += [f"{pending:,} pending in batch jobs"] if pending else []
    summary += [f"{unasked:,} not asked"] if unasked else []
    summary += [] if tokens is None else [_plural(tokens, "token")]
    summary += [] if cost is None else [f"${cost:.4f}"]
    text = f"<p>{', '.join(summary)}</p>"
    if results.stopped is not None:
        text += f"<p>{markup.escape(results.stopped)}</p>"
    text += _table([("", "prompt", "answer"), *(_result_row(result) for result in results[:_MAX_ROWS])])
    text += f"<p>... {len(results) - _MAX_ROWS:,} more</p>" if len(results) > _MAX_ROWS else ""
    return f"<div {markup.NO_MATH}>{text}</div>"


def _result_row(result: Any) -> tuple[str, str, str]:
    answer = result.text if result.error is None else f"{type(result.error).__name__}: {result.error}"
    prompt = result.prompt if isinstance(result.prompt, str) else repr(result.prompt)
    return str(result.index), _truncate(prompt, 200), _truncate(answer, 300)


def _attempt_rows(attempts: Sequence[Any]) -> Iterator[tuple[str, ...]]:
    yield "try", "asked", "outcome", "seconds", "waited"
    for number, attempt in enumerate(attempts[:_MAX_ATTEMPTS], 1):
        outcome = "answered" if attempt.error is None else type(attempt.error).__name__
        target = f"{attempt.provider}/{attempt.model}"
        yield str(number), target, outcome, f"{attempt.elapsed:.1f}", f"{attempt.wait:.1f}"


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *body = ([markup.escape(cell) for cell in row] for row in rows)
    lines = ["<table><thead><tr>" + "".join(f"<th {_CELL_STYLE}>{cell}</th>" for cell in head) + "</tr></thead><tbody>"]
    lines += ["<tr>" + "".join(f"<td {_CELL_STYLE}>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return "\n".join([*lines, "</tbody></table>"])


def _user_location(tb: Any) -> str:
    """Return the last location in the user's code before the call into this package, "" if there is none."""
    location = None
    for frame in traceback.extract_tb(tb):
        if os.path.abspath(frame.filename).startswith(_PACKAGE):
            break
        if not any(folder in frame.filename for folder in _SHELL_FOLDERS):
            location = frame
    if location is None:
        return ""
    cell = getattr(getattr(running_shell(), "compile", None), "format_code_name", lambda name: None)(location.filename)
    name = " ".join(cell) if cell else location.filename
    function = "" if location.name.startswith("<") else f", in {location.name}"
    return f"{name}, line {location.lineno}{function}"


def _content_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(str(part["text"]) if "text" in part else _describe_part(part) for part in content)


def _describe_part(part: Any) -> str:
    file = part.get("file")
    return f"({getattr(file, 'kind', '') or part.get('type', 'file')} {getattr(file, 'name', '')})".replace(" )", ")")


def _truncate(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
