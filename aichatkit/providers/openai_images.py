"""Image generation with OpenAI's protocol, which has a separate endpoint, request and response format."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from aichatkit.chunks import Bill, Finish, Picture, Usage
from aichatkit.errors import ConfigurationError
from aichatkit.images import data_uri
from aichatkit.messages import File, Message
from aichatkit.providers.base import Options, Provider
from aichatkit.providers.image_fields import image_fields, input_fields, takes_form
from aichatkit.providers.openai_usage import parse_usage
from aichatkit.providers.request_bodies import add_options, file_bytes, iter_parts, stream_headers

__all__ = ["build_request", "decode_picture", "parse_pictures", "picture_from_uri"]

_PATH, _EDIT_PATH = "/images/generations", "/images/edits"
_CHAT_PATH = "/chat/completions"


def build_request(provider: Provider, messages: Sequence[Message], model: str, options: Options) -> requests.Request:
    """Return the request to generate images, or to edit those of the last message, which is the prompt."""
    for name in options.params:
        if name != "user":
            raise ConfigurationError(f"{provider.name}/{model} draws and takes no {name!r}", provider=provider.name)
    fields = {} if options.image is None else image_fields(provider, options.image)
    parts = list(iter_parts(messages[-1].content, provider=provider.name))
    prompt = "\n\n".join(part for part in parts if isinstance(part, str))
    payload: dict[str, Any] = {"model": model, "prompt": prompt, **fields}
    files, path, form = [part for part in parts if isinstance(part, File)], _PATH, []
    if files and takes_form(provider):
        path, name = _EDIT_PATH, "image" if len(files) == 1 else "image[]"
        for number, file in enumerate(files, 1):
            filename = file.name or f"image-{number}.{file.media_type.partition('/')[2]}"
            form.append((name, (filename, file_bytes(file, provider=provider.name), file.media_type)))
    elif files:
        payload.update(input_fields(provider, files))
        path = _EDIT_PATH if provider.image_style == "xai" else _PATH
    body = add_options(payload, {"user": "user"}, options)
    headers = stream_headers(provider, options)
    # Some services have their version in the path.
    base = provider.url + provider.path[: -len(_CHAT_PATH)]
    return requests.Request("POST", base + path, json=body, files=form, headers=headers)


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
