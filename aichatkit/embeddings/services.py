"""Provider -> its embeddings endpoint: the protocol, the limits of a request, and the names of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.catalog.models import Catalog
from aichatkit.errors import ConfigurationError
from aichatkit.params import suggestion
from aichatkit.providers.base import Provider

__all__ = ["KINDS", "EmbeddingModel", "EmbeddingService", "find_model", "find_service", "price_of", "providers_of"]

#: What a text is for: it is stored and searched, or it searches.
KINDS = ("document", "query")
_VOYAGE_WIDTHS = (256, 512, 1024, 2048)
_INPUT_TYPES = {"document": "search_document", "query": "search_query"}


class EmbeddingService(NamedTuple):
    """One embeddings endpoint.

    A request takes up to `max_texts` texts and `max_tokens` tokens. `dimensions`, `kind` and `truncate` are the fields
    for the options of those names; empty if the service has none. `kinds` are its words for `KINDS`, `truncations` its
    values for False and True. `encoding` is the form in which vectors are requested, empty if the service takes no such
    field, and `own_encoding` the one at the service's own URL, as other servers often ignore base64.
    """

    wire: str = "openai"
    default_model: str = ""
    max_texts: int = 96
    max_tokens: int = 100_000
    dimensions: str = "dimensions"
    kind: str = ""
    kinds: Mapping[str, str] = {}
    truncate: str = ""
    truncations: tuple[Any, Any] = (False, True)
    encoding: str = "float"
    own_encoding: str = ""


class EmbeddingModel(NamedTuple):
    """What is known about a model: its own width, the widths it can be shortened to, and its price.

    `widths` is None if any smaller width will do. `price` is in US dollars per million tokens.
    """

    width: int
    widths: tuple[int, ...] | None = ()
    price: float | None = None


_SERVICES: Mapping[str, EmbeddingService] = {
    # OpenAI takes 2,048 texts; an answer to as many holds 60 MB of digits.
    "openai": EmbeddingService(
        default_model="text-embedding-3-small", max_texts=512, max_tokens=300_000, own_encoding="base64"
    ),
    "azure": EmbeddingService(max_texts=512, max_tokens=300_000),
    "gemini": EmbeddingService(
        wire="gemini",
        default_model="gemini-embedding-001",
        max_texts=100,
        dimensions="outputDimensionality",
        kind="taskType",
        kinds={"document": "RETRIEVAL_DOCUMENT", "query": "RETRIEVAL_QUERY"},
    ),
    "cohere": EmbeddingService(
        wire="cohere",
        default_model="embed-v4.0",
        dimensions="output_dimension",
        kind="input_type",
        kinds=_INPUT_TYPES,
        truncate="truncate",
        truncations=("NONE", "END"),
    ),
    "mistral": EmbeddingService(
        default_model="mistral-embed", max_texts=512, max_tokens=16_384, dimensions="output_dimension"
    ),
    "ollama": EmbeddingService(
        wire="ollama", default_model="nomic-embed-text", max_texts=512, max_tokens=1_000_000, truncate="truncate"
    ),
    "voyage": EmbeddingService(
        default_model="voyage-4",
        max_texts=128,
        max_tokens=120_000,
        dimensions="output_dimension",
        kind="input_type",
        kinds={"document": "document", "query": "query"},
        truncate="truncation",
        encoding="",
        own_encoding="base64",
    ),
    "jina": EmbeddingService(
        default_model="jina-embeddings-v3",
        kind="task",
        kinds={"document": "retrieval.passage", "query": "retrieval.query"},
        truncate="truncate",
        encoding="",
    ),
    "openrouter": EmbeddingService(kind="input_type", kinds=_INPUT_TYPES),
    "offline": EmbeddingService(default_model="words"),
    **dict.fromkeys(
        ("together", "fireworks", "nebius", "deepinfra", "lmstudio", "vllm", "ollama-v1", "llamacpp"),
        EmbeddingService(),
    ),
}

_MODELS: Mapping[str, EmbeddingModel] = {
    "openai/text-embedding-3-small": EmbeddingModel(1536, None, 0.02),
    "openai/text-embedding-3-large": EmbeddingModel(3072, None, 0.13),
    "openai/text-embedding-ada-002": EmbeddingModel(1536, (), 0.10),
    "gemini/gemini-embedding-001": EmbeddingModel(3072, None, 0.15),
    "gemini/gemini-embedding-2": EmbeddingModel(3072, None, 0.20),
    "cohere/embed-v5.0-pro": EmbeddingModel(2048, None, 0.12),
    "cohere/embed-v5.0-fast": EmbeddingModel(2048, None, 0.08),
    "cohere/embed-v4.0": EmbeddingModel(1536, (256, 512, 1024, 1536), 0.12),
    "cohere/embed-english-v3.0": EmbeddingModel(1024, (), 0.10),
    "cohere/embed-multilingual-v3.0": EmbeddingModel(1024, (), 0.10),
    "mistral/mistral-embed": EmbeddingModel(1024, (), 0.10),
    "mistral/codestral-embed": EmbeddingModel(1536, None, 0.15),
    "voyage/voyage-4-large": EmbeddingModel(1024, _VOYAGE_WIDTHS, 0.12),
    "voyage/voyage-4": EmbeddingModel(1024, _VOYAGE_WIDTHS, 0.06),
    "voyage/voyage-4-lite": EmbeddingModel(1024, _VOYAGE_WIDTHS, 0.02),
    "voyage/voyage-code-4": EmbeddingModel(1024, _VOYAGE_WIDTHS, 0.12),
    "voyage/voyage-3.5": EmbeddingModel(1024, _VOYAGE_WIDTHS, 0.06),
    "voyage/voyage-3-large": EmbeddingModel(1024, _VOYAGE_WIDTHS, 0.18),
    "jina/jina-embeddings-v3": EmbeddingModel(1024, None),
    "jina/jina-embeddings-v4": EmbeddingModel(2048, None),
    "offline/words": EmbeddingModel(64, None, 0.0),
}


def find_service(provider_cls: type[Provider]) -> EmbeddingService:
    """Return the embeddings endpoint of a provider; raise ConfigurationError if it has none."""
    try:
        return _SERVICES[provider_cls.name]
    except KeyError:
        pass
    hint = suggestion(provider_cls.name, _SERVICES)
    raise ConfigurationError(
        f"embed: {provider_cls.name} has no embeddings here{hint}; {', '.join(sorted(_SERVICES))} have",
        provider=provider_cls.name,
    )


def find_model(provider: str, model: str) -> EmbeddingModel | None:
    """Return what is known about a model, None if nothing."""
    return _MODELS.get(f"{provider}/{model}")


def providers_of(model: str) -> list[str]:
    """Return the providers that are known to have a model of this name."""
    return [provider for provider, _, name in (known.partition("/") for known in _MODELS) if name == model]


def price_of(provider: Provider, model: str, catalog: Catalog) -> float | None:
    """Return the price of a model in US dollars per million tokens: the client's own, else the one known here."""
    if provider.is_free(model):
        return 0.0
    record = catalog.find(provider.priced_as or provider.name, model)
    if record is not None and "in" in record:
        return float(record["in"])
    known = find_model(provider.name, model)
    return None if known is None else known.price
