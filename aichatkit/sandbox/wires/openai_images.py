"""Images on OpenAI's wire: generated from a prompt, or from other images that a form or the body holds."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit.sandbox.exchange import APIError, Response, fragments, json_response
from aichatkit.sandbox.multipart import is_form, parse_parts
from aichatkit.sandbox.pictures import png
from aichatkit.sandbox.wires.base import Call, Route, parse_json, require_fields
from aichatkit.sandbox.wires.fields import check_fields, parse_fields
from aichatkit.sandbox.wires.image_rules import (
    check_fields_of,
    check_files,
    image_usage,
    parse_pixels,
    ratio_pixels,
)
from aichatkit.sandbox.wires.openai import ANY_BASE, OpenAIWire, refuse_field

_FIELDS = parse_fields(
    """
    integer n:1..10 width:64.. height:64..
    string model size quality response_format aspect_ratio resolution image_url
    object image
    objects images
    """
)


class OpenAIImages(OpenAIWire):
    """Image generation and editing; unknown models take any field."""

    name = "openai-images"
    routes = (
        Route("POST", f"{ANY_BASE}/images/generations", "generate"),
        Route("POST", f"{ANY_BASE}/images/edits", "edit"),
    )

    def generate(self, call: Call) -> Response:
        """Generate images, returned as data, or as URLs by the older models."""
        self.check_address(call)
        self.check_key(call)
        record = parse_json(call.request)
        url = record.get("image_url")
        return self._answer(call, record, [url.encode()] if isinstance(url, str) else [])

    def edit(self, call: Call) -> Response:
        """Generate images from others: in a form, or, for the models of xAI, in the body."""
        self.check_address(call)
        self.check_key(call)
        if not is_form(call.request):
            record = parse_json(call.request)
            return self._answer(call, record, _linked(record))
        parts = parse_parts(call.request)
        record = {part.name: part.data.decode() for part in parts if part.filename is None}
        if str(record.get("model", "")).startswith("grok"):
            raise APIError("wrong-type", "Expected request with `Content-Type: application/json`")
        if "n" in record and record["n"].isdigit():
            record["n"] = int(record["n"])
        return self._answer(call, record, check_files(parts))

    def _answer(self, call: Call, record: dict[str, Any], inputs: Sequence[bytes]) -> Response:
        require_fields(record, [("prompt", str)])
        check_fields(record, _FIELDS, refuse_field)
        check_fields_of(record)
        call.report_turns([record["prompt"]])
        model = str(record.get("model", ""))
        as_url = record.get("response_format", "url" if model.startswith("dall-e") else "b64_json") == "url"
        seen = [hashlib.sha256(content).hexdigest() for content in inputs]
        names = [self.digest(record["prompt"], *seen, number)[:12] for number in range(record.get("n") or 1)]
        size = _pixels(record)
        data = [
            {"url": f"{self.settings.url}{call.request.prefix}/img/{name}.png"}
            if as_url
            else {"b64_json": base64.b64encode(png(f"{name}.png", size or 16)).decode()}
            for name in names
        ]
        usage = image_usage(record, len(fragments(record["prompt"])), len(inputs), len(data))
        return json_response({"created": 0, "data": data, **({"usage": usage} if "gpt-image" in model else {})})


def _linked(record: Mapping[str, Any]) -> list[bytes]:
    """Return the URLs of the images in a body."""
    images = record.get("images") or ([record["image"]] if record.get("image") else [])
    urls = [image.get("url") for image in images]
    if not str(record.get("model", "")).startswith("grok"):
        raise APIError(
            "wrong-type", "Unsupported content type: 'application/json'. Use 'multipart/form-data'.", status=400
        )
    if not urls or not all(isinstance(url, str) and url.startswith(("data:image/", "https://")) for url in urls):
        raise APIError("bad-request", "An image to edit needs a url, which is an https URL or a data URI.")
    return [url.encode() for url in urls]


def _pixels(record: Mapping[str, Any]) -> tuple[int, int] | None:
    if record.get("width") and record.get("height"):
        return record["width"], record["height"]
    ratio = record.get("aspect_ratio")
    return parse_pixels(record.get("size")) or ratio_pixels(
        None if ratio == "auto" else ratio, record.get("resolution")
    )
