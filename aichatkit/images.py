"""Pictures in an answer: a piece of text that names them, and the bytes behind it."""

from __future__ import annotations

import base64
import binascii
import builtins
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import unquote_to_bytes

from aichatkit._lazy import lazy_module
from aichatkit.errors import BadResponseError, ConfigurationError

if TYPE_CHECKING:
    from aichatkit.display import markup
else:
    markup = lazy_module("aichatkit.display.markup")

__all__ = ["ImageResponse", "data_uri", "decode_uri", "image_type"]

#: First bytes -> media type and file extension.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png", ".png"),
    (b"\xff\xd8\xff", "image/jpeg", ".jpg"),
    (b"GIF87a", "image/gif", ".gif"),
    (b"GIF89a", "image/gif", ".gif"),
    (b"BM", "image/bmp", ".bmp"),
    (b"II*\x00", "image/tiff", ".tif"),
    (b"MM\x00*", "image/tiff", ".tif"),
    (b"\x00\x00\x01\x00", "image/x-icon", ".ico"),
)
_EXTENSIONS = {extension for _, _, extension in _SIGNATURES} | {".webp", ".avif", ".svg"}
#: What front ends show as it is.
_SHOWN = ("image/png", "image/jpeg", "image/gif")
_SPELLINGS = {".jpg": (".jpeg",), ".tif": (".tiff",)}


class ImageResponse(str):
    """Pictures a model made: Markdown that names them, with the pictures themselves in `images`.

    `images` holds URLs or data URIs, `urls` the URLs the service gave.
    Where only data is held the text has a short placeholder, never the data.
    """

    images: list[str]
    urls: list[str]
    alt: str

    def __new__(
        cls,
        images: Sequence[str],
        *,
        alt: str = "",
        urls: Sequence[str] = (),
        fetch: Callable[[str], bytes] | None = None,
    ) -> ImageResponse:
        """Make the text from the pictures; `fetch` gets the bytes behind a URL.

        `urls` goes with the first pictures; an empty one is for a picture that has none.
        """
        given = [*urls, *[""] * len(images)]
        names = [url or ("" if image.startswith("data:") else image) for url, image in zip(given, images)]
        self = super().__new__(cls, "\n".join(_markdown(name, alt, number) for number, name in enumerate(names, 1)))
        self.images = list(images)
        self.urls = [name for name in names if name]
        self._names = names
        self.alt = alt
        self._fetch = fetch
        return self

    _fetch: Callable[[str], builtins.bytes] | None
    #: The URL of each picture, empty where only its data is held.
    _names: list[str]

    def bytes(self, index: int = 0) -> builtins.bytes:
        """Return the bytes of one picture, downloading it where only its URL is held."""
        image = self.images[index]
        if image.startswith("data:"):
            return decode_uri(image)
        if self._fetch is None:
            raise ConfigurationError(
                "this picture is only known by its URL and its client is gone; download it by yourself"
            )
        return self._fetch(image)

    def save(self, path: str | Path) -> list[Path]:
        """Write the pictures and return the paths; the extension is that of what came, more pictures are numbered."""
        saved = []
        for index in range(len(self.images)):
            content = self.bytes(index)
            target = Path(path)
            if index:
                target = target.with_name(f"{target.stem}-{index + 1}{target.suffix}")
            target = _with_extension(target, image_type(content)[1])
            target.write_bytes(content)
            saved.append(target)
        return saved

    def joined(self, others: Sequence[ImageResponse]) -> ImageResponse:
        """Return all pictures as one response."""
        every = [self, *others]
        images = [image for response in every for image in response.images]
        names = [name for response in every for name in response._names]
        fetch = next((response._fetch for response in every if response._fetch is not None), None)
        return ImageResponse(images, alt=self.alt, urls=names, fetch=fetch)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.images, self.alt, self._names)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # A picture that is held is kept with the notebook; else there is its address.
        head, _, body = self.images[0].partition(";base64,") if len(self.images) == 1 else ("", "", "")
        if head[len("data:") :] in _SHOWN:
            return {head[len("data:") :]: body}
        return {"text/html": markup.images_html(self.images, self.alt)}


def image_type(content: bytes) -> tuple[str, str]:
    """Return media type and extension of a picture by its first bytes.

    >>> image_type(b"GIF89a...")
    ('image/gif', '.gif')
    """
    for signature, kind, extension in _SIGNATURES:
        if content.startswith(signature):
            return kind, extension
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp", ".webp"
    if content[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif", ".avif"
    if content[:256].lstrip().startswith((b"<svg", b"<?xml")) and b"<svg" in content[:4096]:
        return "image/svg+xml", ".svg"
    raise BadResponseError("what came is not a picture of a known kind")


def data_uri(content: bytes) -> str:
    """Return the picture as a data URI with its real type."""
    return f"data:{image_type(content)[0]};base64,{base64.b64encode(content).decode('ascii')}"


def _rebuild(images: list[str], alt: str, urls: list[str]) -> ImageResponse:
    return ImageResponse(images, alt=alt, urls=urls)


def _with_extension(path: Path, extension: str) -> Path:
    """Give a path the extension of what came; the end of a name with dots in it is no extension."""
    given = path.suffix.lower()
    if given == extension or given in _SPELLINGS.get(extension, ()):
        return path
    known = given in _EXTENSIONS or any(given in spellings for spellings in _SPELLINGS.values())
    return path.with_suffix(extension) if known else path.with_name(path.name + extension)


def _markdown(name: str, alt: str, number: int) -> str:
    return f"![{_escape(alt)}]({name or f'image-{number}'})"


def _escape(alt: str) -> str:
    return " ".join(alt.replace("[", "(").replace("]", ")").split())[:200]


def decode_uri(uri: str) -> bytes:
    """Return the bytes of a data URI; raise BadResponseError where it is damaged."""
    head, _, body = uri.partition(",")
    try:
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        pass
    raise BadResponseError("the picture's data is damaged")
