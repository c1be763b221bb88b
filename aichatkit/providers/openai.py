"""OpenAI's chat completions and, with `base_url`, any compatible server."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from aichatkit._lazy import lazy_module
from aichatkit.providers.base import WEB_IMAGES
from aichatkit.providers.openai_compatible import OpenAICompatible

if TYPE_CHECKING:
    from aichatkit.providers import routes
    from aichatkit.providers.base import Provider
else:
    # Few models need another endpoint.
    routes = lazy_module("aichatkit.providers.routes")


class OpenAI(OpenAICompatible):
    """Chat with OpenAI's models or, with `base_url`, a compatible server."""

    name = "openai"
    url = "https://api.openai.com/v1"
    default_model = "gpt-6-luna"
    models = (
        "gpt-6-luna",
        "gpt-6-sol",
        "gpt-6.1-terra",
        "gpt-6.1-sol",
        "gpt-6-astra",
        "gpt-5.4-mini",
        "gpt-image-2.5-flare",
        "gpt-image-2.5-sunburst",
    )
    api_key_env = "OPENAI_API_KEY"
    base_url_env = "OPENAI_BASE_URL"
    rank = 1
    own_params: ClassVar = {"max_tokens": "max_completion_tokens"}
    settings_env: ClassVar = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    roles: ClassVar = {}
    takes_files = frozenset({"image", "pdf", "audio", "text"})
    takes_images = WEB_IMAGES
    writes_cache = True
    cache_style = "openai"
    region_urls = r"https://(eu|us)\.api\.openai\.com"
    search_style = "openai-chat"
    service_tools_route = "OpenAIModelsOnResponses"
    image_models = r"dall-e|gpt-image|chatgpt-image"
    image_style = "openai"

    @classmethod
    def for_endpoint(cls, endpoint: str) -> type[Provider] | None:
        return routes.OpenAIModelsOnResponses if endpoint == "responses" else None

    @classmethod
    def for_service_tools(cls, model: str) -> type[Provider] | None:
        # These search for every answer, and only in chat completions.
        return None if "-search" in model else super().for_service_tools(model)
