"""Google's Vertex AI: Gemini at a project and a location, signed with Google's credentials.

Claude answers at an endpoint of its own; models of other publishers, named `publisher/model`, at the OpenAI-compatible
one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit.errors import ChatError, ConfigurationError, MissingKeyError
from aichatkit.messages import Message, ToolCallsMessage
from aichatkit.providers.base import NO_OPTIONS, Options, Provider
from aichatkit.providers.gemini import Gemini
from aichatkit.providers.openai_compatible import OpenAICompatible
from aichatkit.providers.vertex_places import EXPRESS, full_url, is_api_key

if TYPE_CHECKING:
    from aichatkit.providers import vertex_claude
else:
    vertex_claude = lazy_module("aichatkit.providers.vertex_claude")

_CLAUDE = re.compile(r"claude-|(?:publishers/)?anthropic/")


class OnVertex(Provider):
    """What all endpoints have: the address and the ways to sign in."""

    url = "https://aiplatform.googleapis.com"
    version = "/v1"
    models_path = ""
    api_key_env = "GOOGLE_VERTEX_API_KEY"
    base_url_env = "GOOGLE_VERTEX_BASE_URL"
    key_header = "Authorization"
    key_prefix = "Bearer "
    rank = 0

    @classmethod
    def find_base_url(cls) -> str | None:
        return cls.url_for(None)

    @classmethod
    def url_for(cls, auth: Any, url: str | None = None) -> str | None:
        return full_url(url or super().find_base_url() or "", cls.find_key() if auth is None else auth)

    @classmethod
    def missing_key(cls) -> MissingKeyError:
        return MissingKeyError(
            f"{cls.name}: no credentials; pass auth=aichatkit.google_auth(), session= with an AuthorizedSession of "
            f"google-auth, or api_key= with a function that returns an access token, or set {cls.api_key_env}",
            provider=cls.name,
        )

    def wants_key(self) -> bool:
        return self.url.partition("/v1/p")[0].endswith(".googleapis.com")

    def sign(self, key: str) -> tuple[str, str]:
        return ("x-goog-api-key", key) if is_api_key(key) else super().sign(key)

    def advice_for(self, error: ChatError) -> str:
        location = self.location()
        if error.status == 404 and location:
            return f"(the location is {location}; some models are only at others, the newest at 'global')"
        return super().advice_for(error)

    def location(self) -> str:
        """Return the location that the base URL names, "" if it names none."""
        return self.url.partition("/locations/")[2].partition("/")[0]

    def base_url(self) -> str:
        """Return the base URL with project and location."""
        return full_url("" if self.url == OnVertex.url else self.url)

    def project_url(self) -> str:
        """Return the base URL of a project; raise ConfigurationError in express mode, which has none."""
        base = self.base_url()
        if base.endswith(EXPRESS):
            raise ConfigurationError(
                f"{self.name}: an API key without a project is only for Google's own models; set GOOGLE_CLOUD_PROJECT",
                provider=self.name,
                action="next",
            )
        return base


class Vertex(OnVertex, Gemini):  # type: ignore[misc]
    """Chat with models on Google's Vertex AI: `auth=google_auth()`, or an AuthorizedSession as `session=`.

    The project is that of `google_auth` or GOOGLE_CLOUD_PROJECT, the location GOOGLE_CLOUD_LOCATION or "global".
    """

    name = "vertex"
    path = ""
    models = (  # type: ignore[assignment]
        "gemini-3.8-flash",
        "gemini-3.5-flash-lite",
        "gemini-3-pro-image",
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
        "claude-opus-5-5",
    )
    default_model = "gemini-3.8-flash"
    priced_as = "gemini"

    @classmethod
    def for_model(cls, model: str) -> type[Provider] | None:
        if _CLAUDE.match(model):
            return vertex_claude.VertexClaude
        return VertexPublishers if "/" in model and not model.startswith("publishers/") else None

    def _build_parts(self, message: Message, model: str) -> list[dict[str, Any]]:
        # Claude may have made the blocks, on Vertex AI as well.
        if isinstance(message, ToolCallsMessage) and any(
            block.get("type", "text") != "text" for block in message.blocks
        ):
            message = replace(message, blocks=())
        return super()._build_parts(message, model)

    def _model_url(self, model: str) -> str:
        resource = model if model.startswith("publishers/") else f"publishers/google/models/{model}"
        return f"{self.base_url().removesuffix(EXPRESS)}/{quote(resource)}"


class VertexPublishers(OnVertex, OpenAICompatible):
    """Models on Vertex AI that are named with their publisher, through the OpenAI-compatible endpoint."""

    name = "vertex"
    path = "/endpoints/openapi/chat/completions"
    default_model = "google/gemini-3.8-flash"
    takes_files = frozenset({"image", "pdf", "audio", "text"})

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        request = super().build_request(messages, model, options=options)
        request.url = self.project_url() + self.path
        return request
