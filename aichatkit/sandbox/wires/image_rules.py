"""What the services take for images, and how they refuse the rest: sizes, qualities, ratios and uploaded files."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit.sandbox.exchange import APIError
from aichatkit.sandbox.multipart import Part
from aichatkit.sandbox.pictures import png

__all__ = [
    "accept_snake_case",
    "add_gemini_usage",
    "check_fields_of",
    "check_files",
    "data_uri",
    "gemini_images",
    "image_usage",
    "parse_pixels",
    "ratio_pixels",
    "wants_images",
]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_STANDARD = ("1024x1024", "1024x1536", "1536x1024", "auto")
#: Start of the name of a model -> its sizes (none if any), qualities and the most images of a request.
_MODELS: Mapping[str, tuple[Sequence[str], Sequence[str], int]] = {
    "dall-e-2": (("256x256", "512x512", "1024x1024"), ("standard",), 10),
    "dall-e-3": (("1024x1024", "1024x1792", "1792x1024"), ("standard", "hd"), 1),
    "gpt-image-1": (_STANDARD, ("low", "medium", "high", "auto"), 10),
    "chatgpt-image": (_STANDARD, ("low", "medium", "high", "auto"), 10),
    "gpt-image-2.": ((), ("low", "medium", "high", "xhigh", "max", "auto"), 10),
    "gpt-image-2": ((), ("low", "medium", "high", "auto"), 10),
}
_FIELDS = _words(
    """
    model prompt n size quality user background moderation output_format output_compression complexity
    safety_identifier input_fidelity stream partial_images style response_format image image[] mask
    """
)
_XAI_FIELDS = _words("model prompt n aspect_ratio resolution quality user response_format image images")
_XAI_RATIOS = _words("1:1 3:4 4:3 9:16 16:9 2:3 3:2 9:19.5 19.5:9 9:20 20:9 1:2 2:1 auto")
_GEMINI_RATIOS = _words("1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9 1:4 4:1 1:8 8:1")
#: Tokens of one image by its quality.
_TOKENS = {"low": 272, "medium": 1056, "high": 4160}
_GEMINI_TOKENS = 1290
_SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF"}
_MAX_FILES = 16


def check_fields_of(record: Mapping[str, Any]) -> None:
    """Reject fields that the model does not have, or not with these values."""
    model = str(record.get("model", ""))
    if model.startswith("grok"):
        _refuse_unknown(record, _XAI_FIELDS)
        _check_choice(record, "aspect_ratio", _XAI_RATIOS)
        _check_choice(record, "resolution", ("1k", "2k"))
        return
    rules = next((rules for start, rules in _MODELS.items() if model.startswith(start)), None)
    if rules is None:
        return
    sizes, qualities, most = rules
    older = () if model.startswith("dall-e") else ("response_format", "style")
    _refuse_unknown(record, [name for name in _FIELDS if name not in older])
    _check_choice(record, "quality", qualities)
    if sizes:
        _check_choice(record, "size", sizes)
    elif record.get("size") not in (None, "auto"):
        _check_pixels(str(record["size"]))
    if int(record.get("n") or 1) > most:
        message = (
            f"Invalid 'n': integer above maximum value. Expected a value <= {most}, but got {record['n']} instead."
        )
        raise APIError("bad-request", message, code="integer_above_max_value", param="n")


def check_files(parts: Sequence[Part]) -> list[bytes]:
    """Return the images of a form; reject a form without any, and files that are no images."""
    files = [part for part in parts if part.filename is not None and part.name in ("image", "image[]")]
    if not files:
        raise APIError("bad-request", "Missing required parameter: 'image'.", param="image")
    if len(files) > 1 and any(file.name == "image" for file in files):
        message = "Duplicate parameter: 'image'. You provided multiple values for this parameter."
        raise APIError("bad-request", f"{message} Use the array syntax instead, e.g. 'image[]=<value>'.", param="image")
    if len(files) > _MAX_FILES:
        raise APIError("bad-request", f"Invalid 'image': array too long. Expected at most {_MAX_FILES}.", param="image")
    for file in files:
        signature = _SIGNATURES.get(file.media_type)
        if signature is None:
            kinds = ", ".join(map(repr, _SIGNATURES))
            message = (
                f"Invalid file 'image': unsupported mimetype ({file.media_type!r}). Supported formats are {kinds}."
            )
            raise APIError("bad-request", message, param="image")
        if not file.data.startswith(signature):
            raise APIError("bad-request", "Invalid image file or mode for image 1, please check your image file.")
    return [file.data for file in files]


def image_usage(record: Mapping[str, Any], prompt_tokens: int, inputs: int, count: int) -> dict[str, Any]:
    """Return the tokens of generated images, as GPT image models report them."""
    text, images = prompt_tokens, inputs * 323
    output = count * _TOKENS.get(str(record.get("quality")), _TOKENS["medium"])
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        "output_tokens": output,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
        "total_tokens": text + images + output,
    }


def parse_pixels(size: Any) -> tuple[int, int] | None:
    """Return width and height, None if the size does not name them.

    >>> parse_pixels("1024x768"), parse_pixels("auto")
    ((1024, 768), None)
    """
    match = re.fullmatch(r"(\d+)x(\d+)", str(size))
    return (int(match[1]), int(match[2])) if match else None


def ratio_pixels(ratio: Any, resolution: Any = None) -> tuple[int, int] | None:
    """Return the pixels of an aspect ratio, None if there is neither a ratio nor a resolution.

    >>> ratio_pixels("3:2"), ratio_pixels("1:1", "2K"), ratio_pixels(None)
    ((1254, 836), (2048, 2048), None)
    """
    if not ratio and not resolution:
        return None
    width, height = map(float, str(ratio or "1:1").split(":"))
    edge = 1024 * int(str(resolution or "1K")[:-1])
    share = (width / height) ** 0.5
    return round(edge * share), round(edge / share)


def wants_images(modalities: Any) -> bool:
    """Return whether an answer is to have images, by the modalities of the request."""
    return any(str(name).lower() == "image" for name in modalities or ())


def gemini_images(record: Mapping[str, Any], model: str, prompt: str) -> list[dict[str, Any]]:
    """Return the parts with images of an answer; reject a configuration that the model does not take."""
    config = record.get("generationConfig") or {}
    layout = config.get("imageConfig") or {}
    if not wants_images(config.get("responseModalities")):
        if layout:
            raise APIError("bad-request", "Image config is only supported with the response modality IMAGE.")
        return []
    if re.search(r"-image|nano-banana", model) is None:
        message = "Model does not support the requested response modalities: image,text"
        raise APIError("bad-request", message)
    if (config.get("candidateCount") or 1) > 1:
        raise APIError("bad-request", "Multiple candidates is not enabled for this model")
    ratio, resolution = layout.get("aspectRatio"), layout.get("imageSize")
    if ratio is not None and ratio not in _GEMINI_RATIOS:
        raise APIError("bad-request", f"aspect_ratio must be one of {', '.join(_GEMINI_RATIOS)}")
    sizes = ("1K",) if re.match(r"gemini-[12]\b", model) else ("1K", "2K", "4K")
    if resolution is not None and resolution not in sizes:
        raise APIError("bad-request", f"image_size must be one of {', '.join(sizes)}")
    inputs = [
        part["inlineData"]["data"]
        for content in record["contents"]
        for part in content["parts"]
        if "inlineData" in part
    ]
    name = hashlib.sha256("".join([prompt, *inputs]).encode("utf-8", "replace")).hexdigest()
    data = base64.b64encode(png(name, ratio_pixels(ratio, resolution) or 16)).decode()
    return [{"inlineData": {"mimeType": "image/png", "data": data}}]


def accept_snake_case(record: Mapping[str, Any]) -> None:
    """Rename the media type of inline data, which Google's services take under both names."""
    for content in record["contents"]:
        for part in content["parts"]:
            inline = part.get("inlineData") if isinstance(part, dict) else None
            if isinstance(inline, dict) and "mime_type" in inline:
                inline["mimeType"] = inline.pop("mime_type")


def add_gemini_usage(usage: dict[str, Any], images: Sequence[Any]) -> None:
    """Add the tokens of images to the usage of an answer."""
    if images:
        tokens = _GEMINI_TOKENS * len(images)
        usage["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": tokens}]
        usage["candidatesTokenCount"] += tokens
        usage["totalTokenCount"] += tokens


def data_uri(content: bytes) -> str:
    """Return a PNG as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _refuse_unknown(record: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in record:
        if name not in known:
            raise APIError("bad-request", f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)


def _check_choice(record: Mapping[str, Any], name: str, choices: Sequence[str]) -> None:
    value = record.get(name)
    if value is not None and value not in choices:
        values = ", ".join(map(repr, choices))
        message = f"Invalid value: {value!r}. Supported values are: {values}."
        raise APIError("bad-request", message, code="invalid_value", param=name)


def _check_pixels(size: str) -> None:
    pixels = parse_pixels(size)
    if pixels is None:
        problem = "Expected WIDTHxHEIGHT or 'auto'."
    elif any(edge % 16 or not edge for edge in pixels):
        problem = "Width and height must both be divisible by 16."
    elif max(pixels) > 3 * min(pixels):
        problem = "The aspect ratio must be between 1:3 and 3:1."
    elif max(pixels) > 3840:
        problem = "The longest edge has at most 3840 pixels."
    else:
        return
    raise APIError("bad-request", f"Invalid size '{size}'. {problem}", code="invalid_value", param="size")
