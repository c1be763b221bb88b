"""Generated images -> a string of Markdown links to them, and their bytes on request."""

from __future__ import annotations

import base64
import binascii
import builtins
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import unquote, unquote_to_bytes

from aichatkit._dataclasses import NamedTuple
from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.errors import BadResponseError, ConfigurationError
from aichatkit.params import is_integer, parse_path, suggestion

if TYPE_CHECKING:
    from aichatkit.display import markup
else:
    markup = lazy_module("aichatkit.display.markup")

__all__ = [
    "ImageRequest",
    "ImageResponse",
    "ImageSize",
    "data_uri",
    "decode_data_uri",
    "image_type",
    "parse_request",
    "read_images",
    "split_options",
]

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
_PIXELS = re.compile(r"([1-9][0-9]{0,5})[xX\u00d7*]([1-9][0-9]{0,5})")
_RATIO = re.compile(r"[1-9][0-9]*(?:\.[0-9]+)?:[1-9][0-9]*(?:\.[0-9]+)?")
_RESOLUTION = re.compile(r"[1-9][0-9]?[kK]")
_SIZE_WORDS = ("auto",)
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
                "this image is only known by its URL, and a copy or an unpickled image has no client to download it "
                "with; download it from `urls` yourself, or call bytes or save before"
            )
        return self._fetch(image)

    def save(self, path: str | Path) -> list[Path]:
        """Write the images and return their paths; extensions match the actual formats, further images are numbered."""
        # Before anything is downloaded.
        first = Path(parse_path(path, "save: must be the path of a file"))
        saved = []
        for index in range(len(self.images)):
            content = self.bytes(index)
            target = first
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


class ImageSize(NamedTuple):
    """A size: `pixels` are width and height, `ratio` is "16:9", `resolution` is "2K"; empty for what is not set."""

    text: str
    pixels: tuple[int, int] | None = None
    ratio: str = ""
    resolution: str = ""


class ImageRequest(NamedTuple):
    """What `image` asks for in addition to its prompt; None or empty for what is left to the service."""

    size: ImageSize | None = None
    quality: str = ""
    n: int = 1

    def given(self) -> list[str]:
        """Return the names of the options that are set."""
        is_set = {"size": self.size is not None, "quality": bool(self.quality), "n": self.n > 1}
        return [name for name in is_set if is_set[name]]


def split_options(options: Mapping[str, Any]) -> tuple[ImageRequest, dict[str, Any]]:
    """Return what the options of `image` say about the images, and the other options."""
    own = {name: options[name] for name in ImageRequest._fields if name in options}
    return parse_request(**own), {name: value for name, value in options.items() if name not in own}


def parse_request(size: Any = None, quality: Any = None, n: Any = 1) -> ImageRequest:
    """Return a request for images; raise ConfigurationError if an option has no meaning at any service."""
    if not is_integer(n, minimum=1):
        raise ConfigurationError(f"n, the number of images, must be an integer of at least 1, got {n!r:.100}")
    if quality is not None and (not isinstance(quality, str) or not quality.strip()):
        raise ConfigurationError(f"quality must be a word such as 'low', 'medium' or 'high', got {quality!r:.100}")
    return ImageRequest(None if size is None else _parse_size(size), (quality or "").strip().lower(), n)


def read_images(stream: Any, request: ImageRequest) -> ImageResponse:
    """Return the images of an answer; raise BadResponseError if there are none, or fewer than requested."""
    with stream:
        pictures = [chunk for chunk in stream if isinstance(chunk, ImageResponse)]
        provider, text = stream.provider, stream.text
    if not pictures:
        raise BadResponseError(
            f"{provider}: the answer has only text and no image; choose a model that generates images, "
            "such as 'openai/gpt-image-2.5-flare'",
            provider=provider,
            partial=text,
        )
    response = pictures[0] if len(pictures) == 1 else pictures[0].joined(pictures[1:])
    count = len(response.images)
    if count < request.n:
        raise BadResponseError(
            f"{provider}: {count} of {request.n} images came back; they are in error.partial, which has save(path)",
            provider=provider,
            partial=response,
        )
    return response


def _parse_size(size: Any) -> ImageSize:
    """Return a size.

    >>> _parse_size((1024, 768)).text, _parse_size("16:9 2k")
    ('1024x768', ImageSize(text='16:9 2K', pixels=None, ratio='16:9', resolution='2K'))
    """
    if isinstance(size, (tuple, list)) and len(size) == 2 and all(is_integer(edge, minimum=1) for edge in size):
        return ImageSize(f"{size[0]}x{size[1]}", (size[0], size[1]))
    words = size.strip().split() if isinstance(size, str) else []
    pixels = _PIXELS.fullmatch("".join(words))
    if pixels:
        width, height = int(pixels[1]), int(pixels[2])
        return ImageSize(f"{width}x{height}", (width, height))
    if words and words[0].lower() == "auto" and len(words) == 1:
        return ImageSize("auto")
    ratios = [word for word in words if _RATIO.fullmatch(word)]
    resolutions = [word.upper() for word in words if _RESOLUTION.fullmatch(word)]
    if words and len(words) == len(ratios) + len(resolutions) and len(ratios) < 2 and len(resolutions) < 2:
        return ImageSize(" ".join([*ratios, *resolutions]), None, "".join(ratios), "".join(resolutions))
    raise ConfigurationError(
        "size must be width and height in pixels, such as '1024x1024' or (1024, 1024), an aspect ratio such as '16:9', "
        f"a resolution such as '2K', or 'auto', got {size!r:.100}{_size_hint(size)}"
    )


def _size_hint(size: Any) -> str:
    edge = str(size).strip()
    if re.fullmatch(r"[1-9][0-9]{2,4}", edge):
        return f"; did you mean '{edge}x{edge}'?"
    return suggestion(edge, _SIZE_WORDS) if isinstance(size, str) else ""


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
    raise BadResponseError("the data of the image is damaged", reason=reason)
