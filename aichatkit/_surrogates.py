"""Text with lone surrogates -> text that can be encoded; they come from services, file names and cut-off streams."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = ["UNDECODED", "join_pieces", "repair", "repair_escapes"]

#: A byte that `errors="surrogateescape"` could not decode.
UNDECODED = re.compile("[\udc80-\udcff]")

_ANY = re.compile("[\ud800-\udfff]")
# These two are compiled on first use: few texts need them.
_PAIR_OR_HALF = "([\ud800-\udbff])([\udc00-\udfff])|[\ud800-\udfff]"
#: One escape in JSON text: a surrogate pair, a lone surrogate, or any other escape.
_ESCAPE = r"(?s)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."


def repair(text: str) -> str:
    r"""Return the text with surrogate pairs joined and lone surrogates replaced by U+FFFD.

    >>> repair("a\ud83d\ude00b\ud83d")
    'a😀b�'
    """
    if text.isascii() or not _ANY.search(text):
        return text
    return re.sub(_PAIR_OR_HALF, _joined, text)


def repair_escapes(text: str) -> str:
    r"""Return JSON text with escaped lone surrogates replaced by U+FFFD.

    >>> repair_escapes(r'["\ud83d", "\ud83d\ude00", "\\ud83d"]')
    '["\\ufffd", "\\ud83d\\ude00", "\\\\ud83d"]'
    """
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return re.sub(_ESCAPE, lambda match: "\\ufffd" if match[2] else match[0], text)


def join_pieces(pieces: Iterable[str]) -> Iterator[str]:
    r"""Yield the pieces of a text, repaired; a surrogate at the end of a piece is held back for the next one.

    >>> list(join_pieces(["a\ud83d", "\ude00b", "\ud83d"]))
    ['a', '😀b', '�']
    """
    half = ""
    for piece in pieces:
        if half or not piece.isascii():
            if half:
                piece, half = half + piece, ""
            if "\ud800" <= piece[-1] <= "\udbff":
                piece, half = piece[:-1], piece[-1]
            piece = repair(piece)
            if not piece:
                continue
        yield piece
    if half:
        yield "\ufffd"


def _joined(match: re.Match[str]) -> str:
    if match[1] is None:
        return "\ufffd"
    return chr(0x10000 + ((ord(match[1]) - 0xD800) << 10) + ord(match[2]) - 0xDC00)
