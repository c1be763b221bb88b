"""Model output -> Markdown and HTML that is safe in a notebook: nothing in it runs, and no remote content is loaded.

Front ends sanitize Markdown themselves, but nbconvert does not, and none of them blocks remote images: by requesting
an image URL, a prompt injection can send the rest of the conversation to its author.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["NO_MATH", "collapsible", "collapsible_html", "escape", "images_html", "sanitize", "source_list"]

#: HTML attribute that disables formulas in its element (MathJax 2 and later).
NO_MATH = 'class="tex2jax_ignore mathjax_ignore"'

_LINE_END = re.compile(r"\r\n|\n|\r")
_FENCE = re.compile(r" *(`{3,}|~{3,})(.*)")
#: List markers that begin a list without an empty line before it.
_INTERRUPTING = ("-", "*", "+", "1.", "1)")
_ITEM = re.compile(r" *([-*+]|\d{1,9}[.)])( {1,4}|$)")
#: Outside code blocks: a formula between TeX's brackets, one that begins with a number, a price, an escaped character,
#: a code span (a table may cut one at a bar), an autolink, backticks without their counterpart on this line, a URL, an
#: image, a possible start of an image, a possible start of a tag.
_TOKEN = re.compile(
    r"\\\((?P<inline>[^`$]{1,1000}?)\\\)|\\\[(?P<display>[^`$]{1,1000}?)\\\](?![(\[])|\$\$"
    r"|\$(?=\.?\d)(?:[^$`\s]{0,200}[\w)}\]]|[^$`\\^]{0,200}[\\^][^$`]{0,200}(?<![\s\\]))\$(?!\d)|(?P<price>\$(?=\.?\d))"
    r"|\\[^<]|(?<!`)(?P<ticks>`+)(?!`)[^|]{0,2000}?(?<!`)(?P=ticks)(?!`)|<https?://[^\s<>`]*>|(?P<lone>`+)|(?P<address>\w{1,12}://[^\s<!]*)"
    r"|!\[(?P<alt>[^\[\]]*)\]\((?P<target>[^()\s]+)\)|(?P<opening>!\[)|(?P<tag>\\?<(?=[A-Za-z/!?]))"
)
#: The start of a formula that spans several lines.
_DISPLAY = re.compile(r"(?<!\\)(?:\\\\)*\\\[(?!.*\\\])")
_MAX_FORMULA_LINES = 50
_DATA = re.compile(r"data:image/[\w.+-]+(?:;[\w=-]+)*,[^\s()<>\[\]\"'\\`]+")
_PLACEHOLDER = re.compile(r"image-\d+")
_WEB = re.compile(r"https?://[^\s<>\\]+")
#: What has a meaning in Markdown, in a line of text.
_MARKUP = frozenset("[]`*_$!\\|~")


def sanitize(text: str, images: Sequence[str] = ()) -> str:
    r"""Return Markdown with HTML escaped and images turned into links, except `images`, which the service itself sent.

    Code is left unchanged if it is certain to be code; otherwise a `<` in it may appear as `&lt;`. Formulas in TeX's
    brackets get dollar signs, which front ends render, and the dollar sign of a price is escaped.

    >>> sanitize("**A** <b> and `<b>` ![x](http://example.org/x.png)")
    '**A** &lt;b> and `<b>` [picture: x](http://example.org/x.png)'
    """
    allowed = [image for image in images if _is_image(image)]
    lines = list(_Sanitizer(allowed).iter_lines(_LINE_END.split(text)))
    # A data URI has at most a placeholder in the text; those without one are appended.
    lines += [f"\n![]({image})" for image in allowed if image.startswith("data:")]
    return "\n".join(lines)


def escape(text: object) -> str:
    """Return plain text as HTML."""
    return html.escape(str(text))


def collapsible(text: str, title: str) -> str:
    """Return Markdown in a collapsed section with a title."""
    return f"<details><summary>{escape(title)}</summary>\n\n{sanitize(text)}\n\n</details>"


def collapsible_html(text: str, title: str) -> str:
    """Return plain text as HTML in a collapsed section with a title."""
    body = f'<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{escape(text)}</pre>'
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def images_html(images: Iterable[str], alt: str) -> str:
    """Return images as HTML; only http(s) URLs and image data URIs are included."""
    sources = filter(_is_image, images)
    return "\n".join(f'<img src="{escape(source)}" alt="{escape(alt)}" style="max-width: 100%">' for source in sources)


def source_list(sources: Iterable[tuple[str, str]]) -> str:
    """Return pages, each a URL and a title, as a numbered list of links in Markdown; only http(s) URLs are links.

    >>> source_list([("https://example.org/a", "Ebb & [flow]")])
    '1. [Ebb &amp; &#91;flow&#93;](<https://example.org/a>)'
    """
    lines = []
    for number, (url, title) in enumerate(sources, 1):
        words = " ".join((title or url).split())
        label = "".join(f"&#{ord(char)};" if char in _MARKUP else char for char in escape(words))
        lines.append(f"{number}. [{label}](<{url}>)" if _WEB.fullmatch(url) else f"{number}. {label}")
    return "\n".join(lines)


class _Sanitizer:
    """Sanitizes Markdown line by line: after the first ambiguous line nothing is treated as a code block."""

    def __init__(self, allowed: list[str]) -> None:
        self._allowed = allowed
        self._trust_fences = True
        self._trust_spans = True
        self._fence = ""
        self._fence_indent = 0
        self._previous_line = ""
        self._list_indents = [0]
        self._formula_end = -1

    def iter_lines(self, lines: Sequence[str]) -> Iterator[str]:
        """Yield the sanitized lines, and a closing fence if a code block is left open."""
        for number, line in enumerate(lines):
            indent = len(line) - len(line.lstrip(" "))
            if self._fence and line.strip(" \t") and indent < self._fence_indent:
                # The list item that contains the block may have ended, and the block with it.
                self._fence, self._trust_fences = "", False
            if self._fence:
                match = _FENCE.fullmatch(line)
                if match and match[1].startswith(self._fence) and not match[2].strip(" \t"):
                    # A fence that is indented further may be a line of the code.
                    self._fence, self._trust_fences = "", self._trust_fences and indent <= self._fence_indent
                yield line
            else:
                yield self._sanitize_line(self._with_dollars(line, lines, number), indent)
        if self._fence:
            yield " " * self._fence_indent + self._fence

    def _with_dollars(self, line: str, lines: Sequence[str], number: int) -> str:
        """Return a line with `$$` instead of the bracket that begins or ends a formula of several lines."""
        if number == self._formula_end:
            line = line.replace("\\]", "$$", 1)
        opening = _DISPLAY.search(line)
        if number < self._formula_end or opening is None:
            return line
        for end in range(number + 1, min(number + _MAX_FORMULA_LINES, len(lines))):
            if not lines[end].strip() or "`" in lines[end]:
                break
            if "\\]" in lines[end]:
                self._formula_end = end
                return f"{line[: opening.end() - 2]}$${line[opening.end() :]}"
        return line

    def _sanitize_line(self, line: str, indent: int) -> str:
        match = _FENCE.fullmatch(line)
        if line.strip(" \t"):
            self._track_list_item(line, indent)
        if match and self._opens_code_block(match[1], match[2], indent):
            self._fence, self._fence_indent, self._trust_spans, self._previous_line = match[1], indent, True, ""
            return line.replace("<", "")
        # A line that may or may not be a fence makes everything after it ambiguous.
        self._trust_fences = self._trust_fences and not match
        self._previous_line = line.strip(" \t")
        self._trust_spans = self._trust_spans or not self._previous_line
        return _TOKEN.sub(self._replace, line)

    def _opens_code_block(self, fence: str, info: str, indent: int) -> bool:
        in_range = indent < 4 or indent < self._list_indents[-1] + 4
        # It may be a table header or the URL of a link reference instead.
        unambiguous = (
            "|" not in info and not self._previous_line.endswith("]:") and not (fence[0] == "`" and "`" in info)
        )
        return self._trust_fences and in_range and unambiguous

    def _track_list_item(self, line: str, indent: int) -> None:
        """Track how far the text of a list item is indented: a code block inside it may be indented as far."""
        match = _ITEM.match(line)
        can_begin = len(self._list_indents) > 1 or not self._previous_line or (match and match[1] in _INTERRUPTING)
        while indent < self._list_indents[-1]:
            self._list_indents.pop()
        if match and can_begin and indent < self._list_indents[-1] + 4:
            self._list_indents.append(match.end())

    def _replace(self, match: re.Match[str]) -> str:
        if match["lone"] or "`" in (match["address"] or ""):
            # The span may end on a later line; until the end of the paragraph nothing is certain to be code.
            self._trust_spans = False
        if match["ticks"] and not self._trust_spans:
            return match[0].replace("<", "&lt;").replace("![", "[picture: ")
        if match["tag"]:
            return "&lt;"
        if match["price"]:
            return "\\$"
        if match["inline"] or match["display"]:
            formula = _TOKEN.sub(self._replace, match[0][2:-2])
            return f"${formula.strip()}$" if match["inline"] else f"$${formula}$$"
        if match["opening"]:
            return "[picture: "
        return self._replace_image(match) if match["target"] else match[0]

    def _replace_image(self, match: re.Match[str]) -> str:
        alt = _TOKEN.sub(self._replace, match["alt"])
        if _PLACEHOLDER.fullmatch(match["target"]):
            data_uri = next((image for image in self._allowed if image.startswith("data:")), "")
            if data_uri:
                self._allowed.remove(data_uri)
            return f"![{alt}]({data_uri})" if data_uri else f"[picture: {alt}]"
        return f"{'![' if match['target'] in self._allowed else '[picture: '}{alt}]({match['target']})"


def _is_image(image: str) -> bool:
    return image.startswith(("http://", "https://")) or bool(_DATA.fullmatch(image))
