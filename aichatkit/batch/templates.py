"""Template + columns -> prompt: each `{name}` is replaced once, and braces in the data are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from aichatkit.errors import ConfigurationError
from aichatkit.params import suggestion

__all__ = ["Template", "is_missing"]

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Template:
    """A text with `{column}` placeholders; `{{` and `}}` are literal braces.

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
            self._parts.append(_parse_token(token))
            end = token.end()
        self._parts.append((text[end:], None))
        #: The text before the first column, with which every prompt begins.
        self.beginning = "".join(text for text, _ in takewhile(lambda part: part[1] is None, self._parts))
        #: The columns it needs, in order of first appearance.
        self.names = list(dict.fromkeys(name for _, name in self._parts if name is not None))
        if not self.names:
            raise ConfigurationError("template: names no column, so all prompts would be the same; write {column}")

    def check(self, columns: Iterable[Any]) -> None:
        """Raise ConfigurationError if a column is missing."""
        names = [str(column) for column in columns]
        for name in self.names:
            if name not in names:
                available = ", ".join(names) or "none"
                raise ConfigurationError(
                    f"template: there is no column {name!r}{suggestion(name, names)}; there is {available}"
                )

    def fill(self, fields: Mapping[str, Any]) -> str:
        """Return the prompt; raise ConfigurationError if a value is missing."""
        for name in self.names:
            if is_missing(fields.get(name)):
                raise ConfigurationError(f"the column {name!r} is empty here")
        return "".join(text if name is None else str(fields[name]) for text, name in self._parts)


def is_missing(value: Any) -> bool:
    """Return whether a cell is empty: None, NaN, or the pandas equivalents NA and NaT.

    >>> is_missing(float("nan")), is_missing("")
    (True, False)
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def _parse_token(token: re.Match[str]) -> tuple[str, str | None]:
    if token[0] in ("{{", "}}"):
        return token[0][0], None
    name = (token[1] or "").strip()
    if not name:
        raise ConfigurationError(
            f"template: the brace at position {token.start()} names no column; write {{column}}, or {{{{ for a brace"
        )
    return "", name
