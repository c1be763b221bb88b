"""Text of a model -> Markdown and HTML that a notebook may show: nothing in it runs, and nothing is loaded from afar.

Front ends clean Markdown themselves, but nbconvert does not, and none of them keeps the address of a picture from being
asked, which is how a text that was read can send away what else was said.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["escape", "folded", "folded_html", "pictures_html", "safe"]

_LINE_END = re.compile(r"\r\n|\n|\r")
_FENCE = re.compile(r" *(`{3,}|~{3,})(.*)")
#: What begins a list without an empty line before it.
_INTERRUPTING = ("-", "*", "+", "1.", "1)")
_ITEM = re.compile(r" *([-*+]|\d{1,9}[.)])( {1,4}|$)")
#: Outside of blocks of code: what is escaped already, a span of code (a table may cut one at a bar), an address,
#: a mark whose span is not on this line, a picture, what may begin another one, what may begin a tag.
_TOKEN = re.compile(
    r"\\[^<]|(?<!`)(?P<ticks>`+)(?!`)[^|]{0,2000}?(?<!`)(?P=ticks)(?!`)|<https?://[^\s<>`]*>|(?P<lone>`+)|(?P<address>\w{1,12}://[^\s<!]*)"
    r"|!\[(?P<alt>[^\[\]]*)\]\((?P<target>[^()\s]+)\)|(?P<opening>!\[)|(?P<tag>\\?<(?=[A-Za-z/!?]))"
)
_DATA = re.compile(r"data:image/[\w.+-]+(?:;[\w=-]+)*,[^\s()<>\[\]\"'\\`]+")
_PLACEHOLDER = re.compile(r"image-\d+")


def safe(text: str, images: Sequence[str] = ()) -> str:
    r"""Return Markdown without the HTML in it; pictures are links but for `images`, those the service itself sent.

    Code stays as it is where it is certain to be code; elsewhere a `<` in it may show as `&lt;`.

    >>> safe("**A** <b> and `<b>` ![x](http://example.org/x.png)")
    '**A** &lt;b> and `<b>` [picture: x](http://example.org/x.png)'
    """
    drawn = [image for image in images if _is_picture(image)]
    lines = list(_Lines(drawn).read(_LINE_END.split(text)))
    # What is held as data has only a placeholder in the text, if that.
    lines += [f"\n![]({image})" for image in drawn if image.startswith("data:")]
    return "\n".join(lines)


def escape(text: object) -> str:
    """Return plain text as HTML."""
    return html.escape(str(text))


def folded(text: str, title: str) -> str:
    """Return Markdown that is folded under a title."""
    return f"<details><summary>{escape(title)}</summary>\n\n{safe(text)}\n\n</details>"


def folded_html(text: str, title: str) -> str:
    """Return text as HTML that is folded under a title."""
    body = f'<pre style="white-space: pre-wrap">{escape(text)}</pre>'
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def pictures_html(images: Iterable[str], alt: str) -> str:
    """Return pictures as HTML."""
    shown = filter(_is_picture, images)
    return "\n".join(f'<img src="{escape(image)}" alt="{escape(alt)}" style="max-width: 100%">' for image in shown)


class _Lines:
    """Lines of Markdown: from the first one that could be read in two ways nothing is taken for a block of code."""

    def __init__(self, drawn: list[str]) -> None:
        self._drawn = drawn
        self._sure = True
        self._spans = True
        self._fence = ""
        self._depth = 0
        self._last = ""
        self._indents = [0]

    def read(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the lines, and the end of a block of code that has none."""
        for line in lines:
            depth = len(line) - len(line.lstrip(" "))
            if self._fence and line.strip(" \t") and depth < self._depth:
                # What the block is part of may have ended, and the block with it.
                self._fence, self._sure = "", False
            if self._fence:
                found = _FENCE.fullmatch(line)
                if found and found[1].startswith(self._fence) and not found[2].strip(" \t"):
                    # One that is indented more may be a line of the code.
                    self._fence, self._sure = "", self._sure and depth <= self._depth
                yield line
            else:
                yield self._text(line, depth)
        if self._fence:
            yield " " * self._depth + self._fence

    def _text(self, line: str, depth: int) -> str:
        found = _FENCE.fullmatch(line)
        if line.strip(" \t"):
            self._note_item(line, depth)
        if found and self._begins_code(found[1], found[2], depth):
            self._fence, self._depth, self._spans, self._last = found[1], depth, True, ""
            return line.replace("<", "")
        # What could be one mark of a block makes all that follow it doubtful.
        self._sure = self._sure and not found
        self._last = line.strip(" \t")
        self._spans = self._spans or not self._last
        return _TOKEN.sub(self._replaced, line)

    def _begins_code(self, mark: str, language: str, depth: int) -> bool:
        in_reach = depth < 4 or depth < self._indents[-1] + 4
        # It may be the head of a table, or the address of a link instead.
        alone = "|" not in language and not self._last.endswith("]:") and not (mark[0] == "`" and "`" in language)
        return self._sure and in_reach and alone

    def _note_item(self, line: str, depth: int) -> None:
        """Note how far the text of a list is indented; a block of code in it may be as well."""
        found = _ITEM.match(line)
        begins = len(self._indents) > 1 or not self._last or (found and found[1] in _INTERRUPTING)
        while depth < self._indents[-1]:
            self._indents.pop()
        if found and begins and depth < self._indents[-1] + 4:
            self._indents.append(found.end())

    def _replaced(self, found: re.Match[str]) -> str:
        if found["lone"] or "`" in (found["address"] or ""):
            # It may reach to a later line of the paragraph; until its end nothing is certain to be code.
            self._spans = False
        if found["ticks"] and not self._spans:
            return found[0].replace("<", "&lt;").replace("![", "[picture: ")
        if found["tag"]:
            return "&lt;"
        if found["opening"]:
            return "[picture: "
        return self._picture(found) if found["target"] else found[0]

    def _picture(self, found: re.Match[str]) -> str:
        alt = _TOKEN.sub(self._replaced, found["alt"])
        if _PLACEHOLDER.fullmatch(found["target"]):
            held = next((image for image in self._drawn if image.startswith("data:")), "")
            if held:
                self._drawn.remove(held)
            return f"![{alt}]({held})" if held else f"[picture: {alt}]"
        return f"{'![' if found['target'] in self._drawn else '[picture: '}{alt}]({found['target']})"


def _is_picture(image: str) -> bool:
    return image.startswith(("http://", "https://")) or bool(_DATA.fullmatch(image))
