"""Texts -> request and answer -> vectors, in the four protocols for embeddings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import requests

from aichatkit._dataclasses import NamedTuple
from aichatkit.chunks import dict_or_empty, parse_count
from aichatkit.embeddings.services import EmbeddingService
from aichatkit.providers.base import Provider

__all__ = ["WIRES", "EmbeddingOptions", "Parsed", "build_request"]

_DATE = re.compile(r"20\d\d-\d\d-\d\d.*")
#: Gemini's later models take no purpose.
_TAKES_TASK = re.compile(r"gemini-embedding-001|text-embedding-")


class EmbeddingOptions(NamedTuple):
    """The options of `embed` that a request carries."""

    dimensions: int | None = None
    kind: str | None = None
    truncate: bool = False
    extra: Mapping[str, Any] = {}


class Parsed(NamedTuple):
    """An answer: for each vector its position or None, and its numbers as a list or as base64; and the tokens used."""

    vectors: Sequence[tuple[Any, Any]]
    tokens: int | None


class Wire(Protocol):
    """One protocol: the URL and body of a request, and what is in the answer."""

    def url(self, base: str, provider: Provider, model: str, tokens: Mapping[str, str]) -> str: ...
    def body(self, texts: Sequence[str], model: str, fields: Mapping[str, Any]) -> Any: ...
    def parse(self, record: Any) -> Parsed: ...


class _OpenAIWire:
    """OpenAI's protocol, which most services speak."""

    def url(self, base: str, provider: Provider, model: str, tokens: Mapping[str, str]) -> str:
        version = tokens.get("api-version", "")
        if _DATE.fullmatch(version):
            return f"{base}/openai/deployments/{quote(model, safe='')}/embeddings?api-version={version}"
        return f"{base}{provider.version if provider.path.startswith(provider.version) else ''}/embeddings"

    def body(self, texts: Sequence[str], model: str, fields: Mapping[str, Any]) -> Any:
        return {"model": model, "input": list(texts), **fields}

    def parse(self, record: Any) -> Parsed:
        usage = dict_or_empty(record.get("usage"))
        tokens = parse_count(usage.get("prompt_tokens"))
        tokens = parse_count(usage.get("total_tokens")) if tokens is None else tokens
        return Parsed([(entry.get("index"), entry["embedding"]) for entry in record["data"]], tokens)


class _GeminiWire:
    """Gemini's `batchEmbedContents`: one content for each text, as texts in one content share one vector."""

    def url(self, base: str, provider: Provider, model: str, tokens: Mapping[str, str]) -> str:
        return f"{base}{provider.version}/models/{quote(model)}:batchEmbedContents"

    def body(self, texts: Sequence[str], model: str, fields: Mapping[str, Any]) -> Any:
        if not _TAKES_TASK.match(model):
            fields = {name: value for name, value in fields.items() if name != "taskType"}
        return {
            "requests": [
                {"model": f"models/{model}", "content": {"parts": [{"text": text}]}, **fields} for text in texts
            ]
        }

    def parse(self, record: Any) -> Parsed:
        tokens = parse_count(dict_or_empty(record.get("usageMetadata")).get("promptTokenCount"))
        return Parsed([(None, entry["values"]) for entry in record["embeddings"]], tokens)


class _CohereWire:
    """Cohere's protocol, version 2, which requires the purpose of the texts."""

    def url(self, base: str, provider: Provider, model: str, tokens: Mapping[str, str]) -> str:
        return f"{base}/v2/embed"

    def body(self, texts: Sequence[str], model: str, fields: Mapping[str, Any]) -> Any:
        required = {"input_type": "search_document", "embedding_types": ["float"]}
        return {"model": model, "texts": list(texts), **required, **fields}

    def parse(self, record: Any) -> Parsed:
        billed = dict_or_empty(dict_or_empty(record.get("meta")).get("billed_units"))
        return Parsed(
            [(None, vector) for vector in record["embeddings"]["float"]], parse_count(billed.get("input_tokens"))
        )


class _OllamaWire:
    """Ollama's own protocol."""

    def url(self, base: str, provider: Provider, model: str, tokens: Mapping[str, str]) -> str:
        return f"{base}/api/embed"

    def body(self, texts: Sequence[str], model: str, fields: Mapping[str, Any]) -> Any:
        return {"model": model, "input": list(texts), **fields}

    def parse(self, record: Any) -> Parsed:
        return Parsed([(None, vector) for vector in record["embeddings"]], parse_count(record.get("prompt_eval_count")))


WIRES: Mapping[str, Wire] = {
    "openai": _OpenAIWire(),
    "gemini": _GeminiWire(),
    "cohere": _CohereWire(),
    "ollama": _OllamaWire(),
}


def build_request(
    provider: Provider,
    service: EmbeddingService,
    model: str,
    texts: Sequence[str],
    options: EmbeddingOptions,
    tokens: Mapping[str, str],
) -> requests.Request:
    """Return the request for the vectors of some texts; `tokens` is what the provider's `prepare` returned."""
    fields: dict[str, Any] = {}
    if options.dimensions is not None:
        fields[service.dimensions] = options.dimensions
    if options.kind is not None and service.kind:
        fields[service.kind] = service.kinds[options.kind]
    if service.truncate:
        fields[service.truncate] = service.truncations[options.truncate]
    is_own = bool(service.own_encoding) and provider.url == type(provider).url
    encoding = service.own_encoding if is_own else service.encoding
    if encoding and service.wire == "openai":
        fields["encoding_format"] = encoding
    wire = WIRES[service.wire]
    body = {**wire.body(texts, model, fields), **options.extra}
    url = wire.url(tokens.get("url", provider.url), provider, model, tokens)
    return requests.Request("POST", url, json=body, headers=dict(provider.headers))
