"""Pictures from the services of OpenAI's protocol: their own address, request and answer."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit.chunks import Finish, Picture, Usage
from aichatkit.errors import ConfigurationError
from aichatkit.images import data_uri
from aichatkit.messages import Message
from aichatkit.providers.base import Options
from aichatkit.providers.request_bodies import add_options

__all__ = ["PATH", "build_payload", "decoded", "parse_pictures", "picture"]

PATH = "/images/generations"


def build_payload(messages: Sequence[Message], model: str, options: Options, *, provider: str) -> dict[str, Any]:
    """Return the body of a request for a picture: the last message is what to draw."""
    for name in options.params:
        if name != "user":
            raise ConfigurationError(f"{provider}/{model} draws and takes no {name!r}", provider=provider)
    return add_options({"model": model, "prompt": messages[-1].text}, {"user": "user"}, options)


def parse_pictures(record: Mapping[str, Any]) -> list[Any]:
    """Return the chunks of an answer that is a list of pictures."""
    pictures = [_parse_picture(entry) for entry in record["data"]]
    usage = record.get("usage") or {}
    told = Usage(usage.get("input_tokens"), usage.get("output_tokens"), usage.get("total_tokens"))
    return [*pictures, told, Finish("stop", last=True)]


def picture(uri: str) -> Picture:
    """Return a picture by its address or its data URI."""
    return Picture(data=uri) if uri.startswith("data:") else Picture(url=uri)


def decoded(data: str) -> Picture:
    """Return a picture from its base64 data, with the type that its bytes show."""
    return Picture(data=data_uri(base64.b64decode(data, validate=True)))


def _parse_picture(entry: Mapping[str, Any]) -> Picture:
    if entry.get("url"):
        return picture(str(entry["url"]))
    return decoded(entry["b64_json"])
