"""Generated images -> a string of Markdown links to them, and their bytes on request."""

from __future__ import annotations

import base64
import binascii
import builtins
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import unquote, unquote_to_bytes

from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.errors import BadResponseError, ConfigurationError

if TYPE_CHECKING:
    from aichatkit.display import markup
else:
    markup = lazy_module("aichatkit.display.markup")

__all__ = ["ImageResponse", "data_uri", "decode_data_uri", "image_type"]

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
#: Types that notebook front ends display natively.
_DISPLAYABLE = ("image/png", "image/jpeg", "image/gif")
#: The alphabet of URL-safe base64 -> the standard one.
_STANDARD_BASE64 = str.maketrans("-_", "+/")
_EXTENSION_ALIASES = {".jpg": (".jpeg",), ".tif": (".tiff",)}


class ImageResponse(str):
    """Generated images: a string of Markdown image links, with the images themselves in `images`.

    `images` holds URLs or data URIs, `urls` the URLs returned by the service, `alt` is the links' alternative text.
    The text has a short placeholder for an image without a URL, never its data.
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
        """Build the text from the images; `fetch` downloads a URL.

        `urls` belong to the images at the same positions; it may be shorter, and an empty string means no URL.
        """
        padded = [*urls, *[""] * len(images)]
        links = [url or ("" if image.startswith("data:") else image) for url, image in zip(padded, images)]
        self = super().__new__(cls, "\n".join(_markdown(link, alt, number) for number, link in enumerate(links, 1)))
        self.images = list(images)
        self.urls = [link for link in links if link]
        self._links = links
        self.alt = alt
        self._fetch = fetch
        return self

    _fetch: Callable[[str], builtins.bytes] | None
    #: The URL of each image; empty if there is only its data.
    _links: list[str]

    def bytes(self, index: int = 0) -> builtins.bytes:
        """Return the bytes of one image, downloading it if there is only a URL.

        Raises:
            ConfigurationError: there is only a URL and no client to download it with, as after unpickling.
        """
        image = self.images[index]
        if image.startswith("data:"):
            return decode_data_uri(image)
        if self._fetch is None:
            raise ConfigurationError(
                "this picture is only known by its URL and its client is gone; download it by yourself"
            )
        return self._fetch(image)

    def save(self, path: str | Path) -> list[Path]:
        """Write the images and return their paths; extensions match the actual formats, further images are numbered."""
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
        """Return one response with the images of this one and the others."""
        responses = [self, *others]
        images = [image for response in responses for image in response.images]
        links = [link for response in responses for link in response._links]
        fetch = next((response._fetch for response in responses if response._fetch is not None), None)
        return ImageResponse(images, alt=self.alt, urls=links, fetch=fetch)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.images, self.alt, self._links)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # Image data is saved in the notebook; otherwise the output links to the URL.
        head, _, body = self.images[0].partition(";base64,") if len(self.images) == 1 else ("", "", "")
        if head[len("data:") :] in _DISPLAYABLE:
            return {head[len("data:") :]: body}
        return {"text/html": markup.images_html(self.images, self.alt)}


def image_type(content: bytes) -> tuple[str, str]:
    """Return the media type and file extension of an image, detected from its first bytes.

    >>> image_type(b"GIF89a...")
    ('image/gif', '.gif')
    """
    for signature, media_type, extension in _SIGNATURES:
        if content.startswith(signature):
            return media_type, extension
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp", ".webp"
    if content[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif", ".avif"
    if content[:256].lstrip().startswith((b"<svg", b"<?xml")) and b"<svg" in content[:4096]:
        return "image/svg+xml", ".svg"
    raise BadResponseError("the data is not an image of a known type")


def data_uri(content: bytes) -> str:
    """Return an image as a data URI with its detected media type."""
    return f"data:{image_type(content)[0]};base64,{base64.b64encode(content).decode('ascii')}"


def _rebuild(images: list[str], alt: str, urls: list[str]) -> ImageResponse:
    return ImageResponse(images, alt=alt, urls=urls)


def _with_extension(path: Path, extension: str) -> Path:
    """Return the path with an image's extension; only an image extension is replaced, not any text after a dot."""
    suffix = path.suffix.lower()
    if suffix == extension or suffix in _EXTENSION_ALIASES.get(extension, ()):
        return path
    is_image = suffix in _EXTENSIONS or any(suffix in aliases for aliases in _EXTENSION_ALIASES.values())
    return path.with_suffix(extension) if is_image else path.with_name(path.name + extension)


def _markdown(link: str, alt: str, number: int) -> str:
    return f"![{_escape(alt)}]({link or f'image-{number}'})"


def _escape(alt: str) -> str:
    return " ".join(alt.replace("[", "(").replace("]", ")").split())[:200]


def decode_data_uri(uri: str) -> bytes:
    """Return the bytes of a data URI; raise BadResponseError if it is malformed."""
    head, _, body = uri.partition(",")
    try:
        if not head.lower().endswith(";base64"):
            return unquote_to_bytes(body)
        # Line breaks, percent-encoding, the URL-safe alphabet and missing padding are common and unambiguous.
        text = "".join(unquote(body).split()).rstrip("=").translate(_STANDARD_BASE64)
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        reason = reason_of(error)
    raise BadResponseError("the picture's data is damaged", reason=reason)
