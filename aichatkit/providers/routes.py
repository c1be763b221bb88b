"""Other endpoints of a service, for models that answer only there: same name, key and prices, another protocol."""

from __future__ import annotations

from typing import Any, ClassVar

from aichatkit.errors import MissingKeyError
from aichatkit.providers.anthropic import Anthropic
from aichatkit.providers.base import Provider
from aichatkit.providers.bedrock import RULES, Bedrock
from aichatkit.providers.mistral_conversations import MistralConversations
from aichatkit.providers.openai_responses import OpenAIResponses

__all__ = ["BedrockMessages", "BedrockResponses", "OpenAIModelsOnResponses", "XAIResponses", "find_route"]


def find_route(name: str) -> type[Provider]:
    """Return the class of an endpoint by its name."""
    return _ROUTES[name]


class OpenAIModelsOnResponses(OpenAIResponses):
    """OpenAI's models that answer only through the Responses API."""

    name = "openai"
    priced_as = ""


class _OnBedrock(Provider):
    """What the other endpoints have from Bedrock: the region of the URL, and how to sign in."""

    @classmethod
    def find_base_url(cls) -> str | None:
        return _move(cls, Bedrock.find_base_url())

    @classmethod
    def url_for(cls, auth: Any, url: str | None = None) -> str | None:
        return url or _move(cls, Bedrock.url_for(auth))

    @classmethod
    def missing_key(cls) -> MissingKeyError:
        return Bedrock.missing_key()

    def wants_key(self) -> bool:
        return True


class BedrockResponses(_OnBedrock, OpenAIResponses):
    """Models on Bedrock that answer only through the Responses API."""

    name = "bedrock"
    priced_as = ""
    rules = (*RULES, *OpenAIResponses.rules)
    # Whether it takes OpenAI's fields for the cache, and files in results, is not known.
    cache_style = ""
    takes_result_files = frozenset()
    url = "https://bedrock-mantle.us-east-1.api.aws/openai/v1"
    path = "/responses"
    api_key_env = Bedrock.api_key_env
    base_url_env = ""
    settings_env: ClassVar[dict[str, str]] = {}
    search_style = ""


class BedrockMessages(_OnBedrock, Anthropic):
    """Claude on Bedrock, which answers only through Anthropic's Messages API."""

    name = "bedrock"
    url = "https://bedrock-mantle.us-east-1.api.aws/anthropic"
    path = "/v1/messages"
    api_key_env = Bedrock.api_key_env  # type: ignore[assignment]
    base_url_env = ""
    key_header = "Authorization"
    key_prefix = "Bearer "
    search_style = ""
    rules = (*RULES, *Anthropic.rules)


class XAIResponses(OpenAIResponses):
    """xAI's models with the tools that the service runs, which only its Responses API has."""

    name = "xai"
    priced_as = ""
    url = "https://api.x.ai/v1"
    path = "/responses"
    api_key_env = "XAI_API_KEY"
    base_url_env = ""
    settings_env: ClassVar[dict[str, str]] = {}
    writes_cache = False
    region_urls = r"https://(us)-[a-z]+-[0-9]\.api\.x\.ai"
    search_style = "xai"
    effort_style = ""
    takes_files = frozenset({"image", "text"})
    takes_result_files = frozenset()


_ROUTES: dict[str, type[Provider]] = {
    "MistralConversations": MistralConversations,
    "OpenAIModelsOnResponses": OpenAIModelsOnResponses,
    "XAIResponses": XAIResponses,
}


def _move(provider_cls: type[Provider], region_url: str | None) -> str | None:
    """Return the URL of an endpoint in the region of another one."""
    return provider_cls.url.replace(Bedrock.url[: -len("/v1")], region_url[: -len("/v1")]) if region_url else None
