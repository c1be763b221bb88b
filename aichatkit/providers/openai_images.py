"""Image generation with OpenAI's protocol, which has a separate endpoint, request and response format."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aichatkit.chunks import Bill, Finish, Picture, Usage
from aichatkit.errors import ConfigurationError
from aichatkit.images import data_uri
from aichatkit.messages import Message
from aichatkit.providers.base import Options
from aichatkit.providers.openai_usage import parse_usage
from aichatkit.providers.request_bodies import add_options

__all__ = ["PATH", "build_payload", "decode_picture", "parse_pictures", "picture_from_uri"]

PATH = "/images/generations"


def build_payload(messages: Sequence[Message], model: str, options: Options, *, provider: str) -> dict[str, Any]:
    """Return the request body for image generation; the last message is the prompt."""
    for name in options.params:
        if name != "user":
            raise ConfigurationError(f"{provider}/{model} draws and takes no {name!r}", provider=provider)
    return add_options({"model": model, "prompt": messages[-1].text}, {"user": "user"}, options)


def parse_pictures(record: Mapping[str, Any]) -> list[Any]:
    """Return the chunks of an image generation response."""
    pictures = [_parse_picture(entry) for entry in record["data"]]
    return [*pictures, *_parse_usage(record.get("usage")), Finish("stop", last=True)]


def picture_from_uri(uri: str) -> Picture:
    """Return a picture from its URL or data URI."""
    return Picture(data=uri) if uri.startswith("data:") else Picture(url=uri)


def decode_picture(data: str) -> Picture:
    """Return a picture from base64 data, its media type detected from the bytes."""
    return Picture(data=data_uri(base64.b64decode(data, validate=True)))


def _parse_picture(entry: Mapping[str, Any]) -> Picture:
    if entry.get("url"):
        return picture_from_uri(str(entry["url"]))
    return decode_picture(entry["b64_json"])


def _parse_usage(usage: Any) -> Iterator[Usage | Bill]:
    """Yield the usage; output without details is tokens of images."""
    output = None
    for chunk in parse_usage(usage):
        if isinstance(chunk, Usage):
            output = chunk.output_tokens
        elif chunk.image_output is not None:
            output = None
        yield chunk
    if output is not None and "output_tokens_details" not in usage:
        yield Bill(image_output=output)
