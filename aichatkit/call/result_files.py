"""Files in the results of tools -> where the service takes them: in the result, after it, or only named in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import replace
from aichatkit.call.request import file_problem
from aichatkit.messages import File, Message, ToolResultMessage, text_of_file
from aichatkit.providers.base import Provider

__all__ = ["fit_results"]

_HEADING = "Files that the tools returned:"


def fit_results(messages: Sequence[Message], provider: Provider, record: Mapping[str, Any]) -> list[Message]:
    """Return the messages with results that the service takes; `record` is what the catalog knows about the model.

    A file that it does not take is no error: the program did not choose it.
    """
    fitted: list[Message] = []
    waiting: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ToolResultMessage):
            message = _fit(message, provider, record, waiting)
        elif waiting:
            # All results of a turn come first.
            fitted.append(_attach(waiting))
            waiting = []
        fitted.append(message)
    return [*fitted, _attach(waiting)] if waiting else fitted


def _fit(
    message: ToolResultMessage, provider: Provider, record: Mapping[str, Any], waiting: list[dict[str, Any]]
) -> ToolResultMessage:
    """Return a result; its files that have to follow it are added to `waiting`."""
    if isinstance(message.content, str):
        return message
    parts: list[dict[str, Any]] = []
    for part in message.content:
        file = part.get("file")
        if not isinstance(file, File):
            parts.append(part)
        elif file.kind == "text" and file.data:
            parts.append(_text(text_of_file(file)))
        elif file_problem(file, provider) or not _is_seen(file, record) or provider.takes_result_files is None:
            parts.append(_text(_describe(file, "not shown")))
        elif file.kind in provider.takes_result_files:
            parts.append(part)
        else:
            waiting.append(part)
            parts.append(_text(_describe(file, f"attached below as file {len(waiting)}")))
    if all(part["type"] == "text" for part in parts):
        return replace(message, content="\n".join(part["text"] for part in parts))
    return replace(message, content=parts)


def _attach(parts: Sequence[dict[str, Any]]) -> Message:
    return Message("user", [_text(_HEADING), *parts])


def _is_seen(file: File, record: Mapping[str, Any]) -> bool:
    """Return whether the model sees such a file, as far as the catalog knows."""
    return file.kind != "image" or "caps" not in record or "image" in record["caps"].split()


def _describe(file: File, state: str) -> str:
    size = f", {max(1, len(file.data) // 1000)} kB" if file.data else ""
    return f"[{file.media_type}{size}, {state}]"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
