"""Models on AWS Bedrock, through its OpenAI-compatible endpoint and a Bedrock API key; requests are not signed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from aichatkit._lazy import lazy_module
from aichatkit.errors import ConfigurationError
from aichatkit.providers.openai_compatible import OpenAICompatible

if TYPE_CHECKING:
    from aichatkit.providers import routes
    from aichatkit.providers.base import Provider
else:
    # Few models need another endpoint.
    routes = lazy_module("aichatkit.providers.routes")

_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


class Bedrock(OpenAICompatible):
    """Chat with models on Bedrock; the region is AWS_REGION, AWS_DEFAULT_REGION or us-east-1."""

    name = "bedrock"
    url = "https://bedrock-mantle.us-east-1.api.aws/v1"
    default_model = "openai.gpt-oss-20b"
    models = ("openai.gpt-oss-20b", "openai.gpt-oss-120b", "qwen.qwen3-32b", "qwen.qwen3-next-80b-a3b-instruct")
    api_key_env = "AWS_BEARER_TOKEN_BEDROCK"
    writes_cache = True
    rank = 13

    @classmethod
    def find_base_url(cls) -> str | None:
        region = next((os.environ[name] for name in _REGIONS if os.environ.get(name)), "")
        if region and not re.fullmatch(r"[a-z]{2}(?:-[a-z]+)+-[0-9]+", region):
            raise ConfigurationError(
                f"{cls.name}: {' or '.join(_REGIONS)} must hold the name of a region, not {region!r}",
                provider=cls.name,
            )
        return cls.url.replace("us-east-1", region) if region else None

    @classmethod
    def for_endpoint(cls, endpoint: str) -> type[Provider] | None:
        return {"messages": routes.BedrockMessages, "responses": routes.BedrockResponses}.get(endpoint)

    def wants_key(self) -> bool:
        return super().wants_key() or self.url.endswith(".api.aws/v1")
