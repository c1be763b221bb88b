"""Size, quality and number of pictures -> fields of the request body, in the form that each service has for them.

What a service or a model lacks is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import gcd
from typing import Any, Callable

from aichatkit._dataclasses import NamedTuple
from aichatkit.errors import ConfigurationError
from aichatkit.images import ImageRequest, ImageSize
from aichatkit.messages import File, Message, iter_files
from aichatkit.providers.base import Options, Provider
from aichatkit.providers.request_bodies import file_uri

__all__ = ["check_image", "image_fields", "input_fields", "takes_form"]

_GEMINI_MODELS = re.compile(r"-image|nano-banana")
#: Gemini's first model for images, which has one resolution and no extreme ratios.
_EARLY_GEMINI = re.compile(r"gemini-[12](?![0-9])")
#: Models that generate images, of services whose own list has none.
_EXAMPLES = {
    "gemini": "gemini-nano-banana-2.1, gemini-3-pro-image",
    "openai": "deployments with names such as gpt-image-2",
    "together": "those of black-forest-labs",
}
_RATIOS = "1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9"
_WIDE_RATIOS = f"{_RATIOS} 1:4 4:1 1:8 8:1"
_XAI_RATIOS = "1:1 3:4 4:3 9:16 16:9 2:3 3:2 9:19.5 19.5:9 9:20 20:9 1:2 2:1"
#: The types of pictures that OpenAI edits.
_EDITABLE = frozenset(("image/jpeg", "image/png", "image/webp"))


class Limits(NamedTuple):
    """What a model takes: words, each separated by a blank, "" for whatever the service takes.

    `step` is for models that take any size: both edges are multiples of it, up to `longest`.
    """

    sizes: str = ""
    quality: str = ""
    most: int = 10
    files: int = 16
    step: int = 0
    longest: int = 3840


class Style(NamedTuple):
    """How services take it: what they are called, the options they have, and what builds the fields."""

    services: str
    options: str
    build: Callable[[ImageRequest], dict[str, Any]]
    limits: Callable[[str], Limits]
    has_pixels: bool = False


def check_image(provider: Provider, model: str, messages: Sequence[Message], options: Options) -> None:
    """Raise if the service or its model cannot generate what is requested, or edit these pictures; nothing is sent."""
    request = options.image or ImageRequest()
    files = list(iter_files(messages))
    problem = _problem(provider, model, request, files)
    if problem:
        raise ConfigurationError(f"{provider.name}: {problem}", provider=provider.name, model=model, action="next")


def image_fields(provider: Provider, request: ImageRequest) -> dict[str, Any]:
    """Return the fields for size, quality and number, by their dotted paths; empty for what is left to the service."""
    style = STYLES.get(provider.image_style)
    return {} if style is None else style.build(request)


def takes_form(provider: Provider) -> bool:
    """Return whether pictures to edit are sent as a form; if not, their URLs are fields of the body."""
    return provider.image_style == "openai"


def input_fields(provider: Provider, files: Sequence[File]) -> dict[str, Any]:
    """Return the fields with the pictures to edit, for a service that takes them by URL or data URI."""
    uris = [file_uri(file, provider=provider.name) for file in files]
    if provider.image_style == "together":
        return {"image_url": uris[0]}
    entries = [{"url": uri, "type": "image_url"} for uri in uris]
    return {"image": entries[0]} if len(entries) == 1 else {"images": entries}


def _problem(provider: Provider, model: str, request: ImageRequest, files: Sequence[File]) -> str:
    style = STYLES.get(provider.image_style)
    given = [*request.given(), *(["files"] if files and provider.draws(model) else [])]
    if not given:
        return ""
    for name in given:
        if style is None or name not in style.options.split():
            return _missing(name, request)
    assert style is not None
    if not _draws(provider, model):
        able = ", ".join(name for name in provider.models if provider.draws(name)) or _EXAMPLES[provider.image_style]
        return f"{model} generates no images, so {given[0]}= is not possible; models that do: {able}"
    limits = style.limits(model)
    for name, problem in (
        ("size", _size_problem(model, request.size, style, limits)),
        ("quality", _quality_problem(model, request.quality, limits)),
        ("n", f"{model} gives at most {limits.most} in one request, got {request.n}" * (request.n > limits.most)),
        ("files", _files_problem(model, files, limits) if "files" in given else ""),
    ):
        if problem:
            return f"{name}: {problem}"
    return ""


def _missing(name: str, request: ImageRequest) -> str:
    able = ", ".join(sorted(style.services for style in STYLES.values() if name in style.options.split()))
    if name == "n":
        return (
            f"n={request.n} is not possible, there is one picture for each request; call image(...) several times, or "
            f"ask a service that takes it: {able}"
        )
    what = "files= to edit are" if name == "files" else f"{name}= is"
    hint = "" if name == "files" else "; a field of the service goes in as it is, extra={...}"
    return f"{what} not possible there; services that take it: {able}{hint}"


def _draws(provider: Provider, model: str) -> bool:
    if provider.image_style == "gemini":
        return _GEMINI_MODELS.search(model) is not None
    # A gateway has models of many services.
    return provider.image_style == "openrouter" or provider.draws(model)


def _size_problem(model: str, size: ImageSize | None, style: Style, limits: Limits) -> str:
    if size is None or size.text == "auto":
        return ""
    if style.has_pixels:
        return _pixels_problem(model, size, limits)
    ratios, _, resolutions = limits.sizes.partition("|")
    takes = f"{model} takes an aspect ratio ({', '.join(ratios.split())})"
    takes += f" and a resolution ({', '.join(resolutions.split())})" if resolutions else ""
    if size.pixels is not None:
        width, height = size.pixels
        divisor = gcd(width, height)
        ratio = f"{width // divisor}:{height // divisor}"
        hint = f"; {size.text} is {ratio}, so write size={ratio!r}" if ratio in ratios.split() else ""
        return f"{takes}, not pixels{hint}"
    if size.ratio and size.ratio not in ratios.split():
        return f"{takes}, got {size.text!r}"
    if size.resolution and size.resolution not in resolutions.split():
        return f"{takes}, got {size.text!r}"
    return ""


def _pixels_problem(model: str, size: ImageSize, limits: Limits) -> str:
    if size.pixels is None:
        return f"{model} takes width and height in pixels, such as '1024x1024', got {size.text!r}"
    if limits.sizes and size.text not in limits.sizes.split():
        return f"{model} takes {', '.join(limits.sizes.split())}, got {size.text!r}"
    width, height = size.pixels
    if limits.step and (width % limits.step or height % limits.step):
        near = "x".join(str(max(limits.step, round(edge / limits.step) * limits.step)) for edge in size.pixels)
        return (
            f"with {model}, width and height are multiples of {limits.step}, got {size.text!r}; the nearest: {near!r}"
        )
    if limits.step and max(width, height) > 3 * min(width, height):
        return f"with {model}, the aspect ratio is between 1:3 and 3:1, got {size.text!r}"
    if limits.step and max(width, height) > limits.longest:
        return f"with {model}, an edge has at most {limits.longest} pixels, got {size.text!r}"
    return ""


def _quality_problem(model: str, quality: str, limits: Limits) -> str:
    if not quality or not limits.quality or quality in limits.quality.split():
        return ""
    return f"{model} takes {', '.join(limits.quality.split())}, got {quality!r}"


def _files_problem(model: str, files: Sequence[File], limits: Limits) -> str:
    for file in files:
        name = file.name or "a file"
        if file.kind != "image" or not (file.media_type in _EDITABLE or file.media_type.endswith("*")):
            return f"{model} edits PNG, JPEG and WebP images, and {name} is {file.media_type}"
    if not limits.files:
        return f"{model} edits no images"
    if len(files) > limits.files:
        return f"{model} takes at most {limits.files} of them, got {len(files)}"
    return ""


#: OpenAI's models by the start of their names, the first that matches; later ones take what the service takes.
_OPENAI_MODELS: Mapping[str, Limits] = {
    r"dall-e-2": Limits("256x256 512x512 1024x1024", "standard", files=1),
    r"dall-e-3": Limits("1024x1024 1792x1024 1024x1792", "standard hd", most=1, files=0),
    r"gpt-image-1|chatgpt-image": Limits("1024x1024 1536x1024 1024x1536", "low medium high auto"),
    r"gpt-image-2(?!\.)": Limits("", "low medium high auto", step=16),
    r"gpt-image-2\.5": Limits("", "low medium high xhigh max auto", step=16),
}


def _openai_limits(model: str) -> Limits:
    return next((limits for start, limits in _OPENAI_MODELS.items() if re.match(start, model)), Limits())


def _gemini_limits(model: str) -> Limits:
    return Limits(_RATIOS if _EARLY_GEMINI.match(model) else f"{_WIDE_RATIOS}|1K 2K 4K")


def _build_openai(request: ImageRequest) -> dict[str, Any]:
    text = "" if request.size is None else request.size.text
    return _given(size=text, quality=request.quality, n=_several(request))


def _build_xai(request: ImageRequest) -> dict[str, Any]:
    size = request.size or ImageSize("")
    fields = _given(aspect_ratio=size.ratio, resolution=size.resolution.lower(), quality=request.quality)
    return {**fields, **_given(n=_several(request))}


def _build_together(request: ImageRequest) -> dict[str, Any]:
    width, height = (request.size.pixels if request.size else None) or (0, 0)
    return _given(width=width, height=height, n=_several(request))


def _build_gemini(request: ImageRequest) -> dict[str, Any]:
    size = request.size or ImageSize("")
    place = "generationConfig.imageConfig"
    fields = {f"{place}.aspectRatio": size.ratio, f"{place}.imageSize": size.resolution}
    return {path: value for path, value in fields.items() if value}


def _build_openrouter(request: ImageRequest) -> dict[str, Any]:
    size = request.size or ImageSize("")
    fields = {"image_config.aspect_ratio": size.ratio, "image_config.image_size": size.resolution}
    return {"modalities": ["image", "text"], **{path: value for path, value in fields.items() if value}}


def _several(request: ImageRequest) -> int:
    return request.n if request.n > 1 else 0


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


STYLES: Mapping[str, Style] = {
    "openai": Style("openai", "size quality n files", _build_openai, _openai_limits, has_pixels=True),
    "xai": Style(
        "xai", "size quality n files", _build_xai, lambda model: Limits(f"{_XAI_RATIOS}|1K 2K", "low medium high")
    ),
    "together": Style("together", "size n files", _build_together, lambda model: Limits(files=1), has_pixels=True),
    "gemini": Style("gemini, vertex", "size files", _build_gemini, _gemini_limits),
    "openrouter": Style(
        "openrouter", "size files", _build_openrouter, lambda model: Limits(f"{_WIDE_RATIOS}|1K 2K 4K")
    ),
}
