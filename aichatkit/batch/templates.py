"""Template + columns -> prompt: `{name}` is filled in once, and braces in the data stay what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aichatkit.errors import ConfigurationError
from aichatkit.params import nearest

__all__ = ["Template", "is_missing"]

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Template:
    """A text with `{column}` in it; `{{` and `}}` stand for braces.

    >>> Template("Sentiment of {review}, as {{json}}").fill({"review": "So {good}!"})
    'Sentiment of So {good}!, as {json}'
    """

    def __init__(self, text: Any) -> None:
        if not isinstance(text, str):
            raise ConfigurationError(
                f"template: must be a text such as 'Translate: {{text}}', not {type(text).__name__}"
            )
        self._parts: list[tuple[str, str | None]] = []
        end = 0
        for token in _TOKEN.finditer(text):
            self._parts.append((text[end : token.start()], None))
            self._parts.append(_read(token))
            end = token.end()
        self._parts.append((text[end:], None))
        #: The columns it wants, in order.
        self.names = list(dict.fromkeys(name for _, name in self._parts if name is not None))
        if not self.names:
            raise ConfigurationError("template: names no column, so all prompts would be the same; write {column}")

    def check(self, columns: Iterable[Any]) -> None:
        """Refuse a template whose columns are not all there."""
        known = [str(column) for column in columns]
        for name in self.names:
            if name not in known:
                there = ", ".join(known) or "none"
                raise ConfigurationError(
                    f"template: there is no column {name!r}{nearest(name, known)}; there is {there}"
                )

    def fill(self, fields: Mapping[str, Any]) -> str:
        """Return the prompt; raise ConfigurationError where a value is missing."""
        for name in self.names:
            if is_missing(fields.get(name)):
                raise ConfigurationError(f"the column {name!r} is empty here")
        return "".join(text if name is None else str(fields[name]) for text, name in self._parts)


def is_missing(value: Any) -> bool:
    """Tell whether a cell holds nothing: None, NaN, or what pandas has in their place.

    >>> is_missing(float("nan")), is_missing("")
    (True, False)
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def _read(token: re.Match[str]) -> tuple[str, str | None]:
    if token[0] in ("{{", "}}"):
        return token[0][0], None
    name = (token[1] or "").strip()
    if not name:
        raise ConfigurationError(
            f"template: the brace at position {token.start()} names no column; write {{column}}, or {{{{ for a brace"
        )
    return "", name
