"""Text from a service -> text for a terminal: no control characters, and only characters it can encode."""

from __future__ import annotations

from typing import Any

__all__ = ["strip_control_characters", "write_encodable"]

#: Control characters except tab and newline: text from a service must not send escape sequences to the terminal.
_CONTROL_CHARACTERS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def strip_control_characters(text: str) -> str:
    r"""Return text without control characters, which could move the cursor or change colors.

    >>> strip_control_characters("\x1b[2Jred\r\n")
    '[2Jred\n'
    """
    return text.translate(_CONTROL_CHARACTERS)


def write_encodable(stream: Any, text: str) -> None:
    """Write text to a stream, with question marks for characters it cannot encode."""
    try:
        stream.write(text)
    except UnicodeEncodeError as error:
        stream.write(text.encode(error.encoding, "replace").decode(error.encoding))
