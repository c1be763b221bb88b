"""Services that only embed: they turn texts into vectors, for `embed`, and do not chat.

They can be named wherever a provider is, and are not listed among those that chat.
"""

from __future__ import annotations

from collections.abc import Mapping

from aichatkit.providers.base import Provider

__all__ = ["EMBEDDERS"]


class Embedder(Provider):
    """A service that has embeddings only."""

    path = "/embeddings"
    no_chat = "embed(texts, model='{}')"


class Voyage(Embedder):
    """Voyage AI."""

    name = "voyage"
    url = "https://api.voyageai.com/v1"
    api_key_env = "VOYAGE_API_KEY"
    default_model = "voyage-4"
    models = ("voyage-4", "voyage-4-large", "voyage-4-lite", "voyage-code-4")


class Jina(Embedder):
    """Jina AI."""

    name = "jina"
    url = "https://api.jina.ai/v1"
    api_key_env = "JINA_API_KEY"
    default_model = "jina-embeddings-v3"
    models = ("jina-embeddings-v3", "jina-embeddings-v4")


EMBEDDERS: Mapping[str, type[Provider]] = {cls.name: cls for cls in (Voyage, Jina)}
