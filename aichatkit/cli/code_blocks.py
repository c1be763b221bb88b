"""Markdown -> the code block in it, for --extract."""

from __future__ import annotations

import re

__all__ = ["extract_code"]

#: A fence of backquotes or tildes, indented by at most three spaces (CommonMark 0.31, 4.5).
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})")


def extract_code(text: str) -> str | None:
    """Return the first fenced code block without its fences, None if there is none.

    A block without a closing fence ends with the text.

    >>> extract_code("Run this:\\n```python\\nquit()\\n```\\nDone.")
    'quit()\\n'
    """
    lines = text.splitlines()
    for start, line in enumerate(lines):
        opening = _FENCE.match(line)
        if opening:
            closing = re.compile(rf" {{0,3}}{opening['fence']}{opening['fence'][0]}*[ \t]*")
            indent = line.index(opening["fence"])
            code = []
            for following in lines[start + 1 :]:
                if closing.fullmatch(following):
                    break
                margin = len(following) - len(following.lstrip(" "))
                code.append(following[min(indent, margin) :])
            return "".join(f"{piece}\n" for piece in code)
    return None
