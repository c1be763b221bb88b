"""OpenAI's chat completions and, with `base_url`, any compatible server."""

from __future__ import annotations

from typing import ClassVar

from aichatkit.providers.base import WEB_IMAGES
from aichatkit.providers.openai_compatible import OpenAICompatible


class OpenAI(OpenAICompatible):
    """Chat with OpenAI's models or, with `base_url`, a compatible server."""

    name = "openai"
    url = "https://api.openai.com/v1"
    default_model = "gpt-4o-mini"
    models = (
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4.1",
        "gpt-4.1-mini",
        "gpt-4.1-nano",
        "gpt-4-turbo",
        "gpt-4",
        "gpt-3.5-turbo",
        "o1",
        "o3",
        "o3-mini",
        "o4-mini",
        "gpt-5",
        "gpt-5-mini",
        "gpt-5-nano",
        "gpt-image-1",
        "dall-e-3",
    )
    api_key_env = "OPENAI_API_KEY"
    base_url_env = "OPENAI_BASE_URL"
    rank = 1
    own_params: ClassVar = {"max_tokens": "max_completion_tokens"}
    settings_env: ClassVar = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    roles: ClassVar = {}
    takes_files = frozenset({"image", "pdf", "audio", "text"})
    takes_images = WEB_IMAGES
    image_models = r"dall-e|gpt-image|chatgpt-image"
