"""Embeddings, in the protocols of OpenAI, Gemini, Cohere and Ollama: texts with common words get near vectors.

OpenAI's is also that of Voyage and Jina, which have fields, limits and errors of their own.
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit.sandbox.exchange import APIError, Request, Response, json_response
from aichatkit.sandbox.wires.base import Call, Route, parse_json
from aichatkit.sandbox.wires.cohere import Cohere
from aichatkit.sandbox.wires.gemini import Gemini
from aichatkit.sandbox.wires.ollama import Ollama
from aichatkit.sandbox.wires.openai import ANY_BASE, OpenAIWire

__all__ = ["CohereEmbeddings", "GeminiEmbeddings", "OllamaEmbeddings", "OpenAIEmbeddings"]

#: The width of a vector if the request does not name one.
_WIDTHS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "voyage-4": 1024,
    "voyage-4-large": 1024,
    "jina-embeddings-v3": 1024,
    "jina-embeddings-v4": 2048,
}
_WIDTH, _MAX_WIDTH = 64, 8192
_MAX_TOKENS, _MAX_INPUTS, _MAX_TOTAL = 8192, 2048, 300_000
#: Fields and their values at services that have OpenAI's protocol with differences; None if any value will do.
_OWN_FIELDS: Mapping[str, Mapping[str, Sequence[Any] | None]] = {
    "voyage-": {
        "model": None,
        "input": None,
        "input_type": ("query", "document", None),
        "truncation": (True, False),
        "output_dimension": (256, 512, 1024, 2048, None),
        "output_dtype": ("float",),
        "encoding_format": ("base64", None),
    },
    "jina-": {
        "model": None,
        "input": None,
        "task": ("retrieval.query", "retrieval.passage", "text-matching", "classification", "separation"),
        "dimensions": None,
        "late_chunking": (True, False),
        "embedding_type": ("float", "base64"),
        "truncate": (True, False),
        "normalized": (True, False),
    },
}
_OWN_INPUTS, _OWN_TOKENS = {"voyage-": 128, "jina-": 2048}, 32_000
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")


class OpenAIEmbeddings(OpenAIWire):
    """OpenAI's endpoint, with its limits; vectors as floats or as base64."""

    name = "openai-embeddings"
    routes = (Route("POST", f"{ANY_BASE}/embeddings", "embed", "embeddings"),)

    def embed(self, call: Call) -> Response:
        """Return a vector for each text, with its position."""
        self.check_key(call)
        record = parse_json(call.request)
        model = record.get("model")
        if not isinstance(model, str) or not model:
            raise APIError("bad-request", "you must provide a model parameter")
        texts = record.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            raise APIError("bad-request", "Invalid 'input': expected a string or an array of non-empty strings.")
        own = _own_fields_of(record)
        if own:
            _check_own_fields(record, own)
        else:
            _check_limits(texts)
        name = "output_dimension" if "output_dimension" in record else "dimensions"
        width = _parse_width(record, name, _WIDTHS.get(model, _WIDTH))
        as_text = "base64" in (record.get("encoding_format"), record.get("embedding_type"))
        vectors = [vector_of(text, width) for text in texts]
        data = [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_text else vector}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(map(_count, texts))
        usage = {"total_tokens": tokens} if own else {"prompt_tokens": tokens, "total_tokens": tokens}
        return json_response({"object": "list", "model": model, "data": data, "usage": usage})

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build an error in the form of the service that has the model."""
        if request is not None and _own_fields_of(_record_of(request)):
            return json_response({"detail": error.message}, error.status, error.headers)
        return super().error_response(error, request)


class GeminiEmbeddings(Gemini):
    """Gemini's endpoint for several contents, each of which gets one vector."""

    name = "gemini-embeddings"
    routes = (Route("POST", r"/v1(?:beta)?/models/[^/:]+:batchEmbedContents", "embed", "embeddings"),)

    def embed(self, call: Call) -> Response:
        """Return a vector for each content, in the order of the request."""
        self.check_key(call)
        entries = parse_json(call.request).get("requests")
        if not isinstance(entries, list) or not entries:
            raise APIError("bad-request", "* BatchEmbedContentsRequest.requests: at least one request is required")
        if len(entries) > 100:
            raise APIError(
                "bad-request", "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"
            )
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict) or not isinstance(entry.get("model"), str) or not entry["model"]:
                place = f"BatchEmbedContentsRequest.requests[{number}].model"
                raise APIError("bad-request", f"* {place}: model is required")
        if not all(isinstance(entry["content"]["parts"], list) for entry in entries):
            raise APIError("bad-request", "Invalid value at 'requests.content.parts' (must be an array of objects)")
        texts = ["".join(part["text"] for part in entry["content"]["parts"]) for entry in entries]
        widths = [_parse_width(entry, "outputDimensionality") for entry in entries]
        values = [{"values": vector_of(text, width)} for text, width in zip(texts, widths)]
        return json_response({"embeddings": values})


class CohereEmbeddings(Cohere):
    """Cohere's endpoint, which requires the purpose of the texts."""

    name = "cohere-embeddings"
    routes = (Route("POST", "/v2/embed", "embed", "embeddings"),)

    def embed(self, call: Call) -> Response:
        """Return the vectors in the order of the texts."""
        self.check_key(call)
        record = parse_json(call.request)
        if not isinstance(record.get("model"), str) or not record["model"]:
            raise APIError("bad-request", "invalid request: model is required")
        if record.get("input_type") not in _INPUT_TYPES:
            raise APIError("bad-request", "invalid request: valid input_type must be provided with the provided model")
        texts = record.get("texts")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise APIError("bad-request", "invalid request: at least one text is required")
        if len(texts) > 96:
            raise APIError(
                "bad-request", "invalid request: total number of texts must be at most 96 - received " + str(len(texts))
            )
        width = _parse_width(record, "output_dimension")
        tokens = sum(map(_count, texts))
        return json_response(
            {
                "id": self.digest(*texts)[:32],
                "embeddings": {"float": [vector_of(text, width) for text in texts]},
                "texts": texts,
                "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
            }
        )


class OllamaEmbeddings(Ollama):
    """Ollama's own endpoint."""

    name = "ollama-embeddings"
    routes = (Route("POST", "/api/embed", "embed", "embeddings"),)

    def embed(self, call: Call) -> Response:
        """Return the vectors in the order of the texts."""
        record = parse_json(call.request, any_content_type=True)
        if not isinstance(record.get("model"), str) or not record["model"]:
            raise APIError("bad-request", "model is required")
        texts = record.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise APIError("bad-request", "invalid input type")
        if not record.get("truncate", True) and any(_count(text) > _MAX_TOKENS for text in texts):
            raise APIError("bad-request", "the input length exceeds the context length")
        width = _parse_width(record, "dimensions")
        return json_response(
            {
                "model": record["model"],
                "embeddings": [vector_of(text, width) for text in texts],
                "total_duration": 1,
                "load_duration": 1,
                "prompt_eval_count": sum(map(_count, texts)),
            }
        )


def vector_of(text: str, width: int) -> list[float]:
    """Return a vector of length 1: the sum of a direction for each word, so that common words make texts near.

    >>> vector_of("red fox", 4) == vector_of("Red fox!", 4)
    True
    """
    total = [0.0] * width
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split() or [text]
    for word, count in Counter(words).items():
        for index, number in enumerate(_direction(word, width)):
            total[index] += count * number
    length = math.sqrt(sum(number * number for number in total)) or 1.0
    return [number / length for number in total]


def _record_of(request: Request) -> Any:
    try:
        return request.json()
    except ValueError:
        return None


def _own_fields_of(record: Any) -> str:
    """Return the start of the model's name if its service has fields of its own, else an empty string."""
    model = record.get("model") if isinstance(record, dict) else None
    return next((start for start in _OWN_FIELDS if isinstance(model, str) and model.startswith(start)), "")


def _check_own_fields(record: Mapping[str, Any], start: str) -> None:
    """Raise the error of Voyage or Jina for a field or a value it does not take, and for too many or too long texts."""
    fields, texts = _OWN_FIELDS[start], record["input"]
    texts = [texts] if isinstance(texts, str) else texts
    for name, value in record.items():
        values = fields.get(name, ())
        if values is not None and value not in values:
            raise APIError("bad-request", f"Value '{value}' supplied for argument '{name}' is not valid.")
    if len(texts) > _OWN_INPUTS[start]:
        raise APIError("bad-request", f"The batch size limit is {_OWN_INPUTS[start]}. Your batch size is {len(texts)}.")
    may_cut = record.get("truncation", True) if start == "voyage-" else record.get("truncate", False)
    longest = max(map(_count, texts))
    if longest > _OWN_TOKENS and not may_cut:
        raise APIError(
            "bad-request",
            f"An input has {longest} tokens, which is more than the context length of {_OWN_TOKENS} tokens.",
        )


def _parse_width(record: Any, name: str, default: int = _WIDTH) -> int:
    """Return the width that a request names, else the default."""
    width = record.get(name) or default
    if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= _MAX_WIDTH:
        raise APIError("bad-request", f"Invalid value for '{name}' = {width}.", param=name)
    return width


def _count(text: str) -> int:
    """Return the tokens of a text: one for four bytes."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / 4)


def _direction(word: str, width: int) -> Sequence[float]:
    content = hashlib.shake_128(word.encode("utf-8", "surrogatepass")).digest(2 * width)
    return [number / 32768 for number in struct.unpack(f"<{width}h", content)]


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def _check_limits(texts: Sequence[Any]) -> None:
    counts = [_count(text) for text in texts]
    if len(texts) > _MAX_INPUTS:
        raise APIError(
            "bad-request", f"Invalid 'input': array too long. Expected an array with maximum length {_MAX_INPUTS}."
        )
    if max(counts) > _MAX_TOKENS:
        raise APIError(
            "context-too-long",
            f"This model's maximum context length is {_MAX_TOKENS} tokens, however you requested {max(counts)} tokens.",
        )
    if sum(counts) > _MAX_TOTAL:
        raise APIError(
            "bad-request",
            f"Requested {sum(counts)} tokens, max {_MAX_TOTAL} tokens per request",
            code="max_tokens_per_request",
        )
