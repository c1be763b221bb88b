"""Services that only decide: they answer closed questions, for `decide`, and do not chat.

They can be named wherever a provider is, and are not listed among those that chat.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import requests

from aichatkit.errors import ConfigurationError, UnknownModelError
from aichatkit.messages import Message
from aichatkit.providers.base import WEB_IMAGES, Provider

__all__ = ["DECIDERS"]

_YOUR_ADDRESS = "https://address.invalid"


class Decider(Provider):
    """A service that answers closed questions only."""

    takes_files = frozenset({"image"})
    takes_images = WEB_IMAGES

    def build_request(self, messages: Sequence[Message], model: str, *, options: object = None) -> requests.Request:
        raise ConfigurationError(
            f"{self.name} answers closed questions only: decide(text, questions, model='{self.name}/{model}')",
            provider=self.name,
            action="next",
        )

    @classmethod
    def missing_model(cls) -> UnknownModelError:
        return UnknownModelError(f"{cls.name}: name the model, as '{cls.name}/MODEL'", provider=cls.name)


class TypeSafe(Decider):
    """TypeSafe's Jev."""

    name = "typesafe"
    url = "https://api.typesafe.ai/v1"
    api_key_env = "TYPESAFE_API_KEY"
    takes_files = frozenset()
    default_model = "jev-latest"
    models = ("jev-latest", "jev-1.14.0")


class Parallel(Decider):
    """Parallel, which has one model and names none."""

    name = "parallel"
    url = "https://api.parallel.ai"
    api_key_env = "PARALLEL_API_KEY"
    key_header = "x-api-key"
    key_prefix = ""
    default_model = "decision"
    models = ("decision",)


class Nace(Decider):
    """Nace's Drex."""

    name = "nace"
    url = "https://console.nace.ai"
    api_key_env = "NACE_API_KEY"
    base_url_env = "NACE_BASE_URL"
    takes_files = frozenset()
    default_model = "drex-latest"
    models = ("drex-latest", "drex-v2.0", "drex-v1.5", "drex-v1.0")


class EUJev(Decider):
    """EU Jev, in Europe."""

    name = "eu-jev"
    url = "https://eu-jev.com"
    api_key_env = "EU_JEV_API_KEY"
    base_url_env = "EU_JEV_API_BASE"
    takes_files = frozenset()
    default_model = "eu-jeff-latest"
    models = ("eu-jeff-latest", "eu-jeff-1.0.0")


class EmpirioLabs(Decider):
    """EmpirioLabs' Aplomb."""

    name = "empiriolabs"
    url = "https://api.empiriolabs.ai"
    api_key_env = "EMPIRIOLABS_API_KEY"
    base_url_env = "EMPIRIOLABS_API_BASE"
    default_model = "aplomb-1"
    models = ("aplomb-1",)


class AzureAI(Decider):
    """Microsoft's decision model on Azure AI; `base_url` or AZURE_AI_API_BASE is the address of the resource."""

    name = "azure-ai"
    url = _YOUR_ADDRESS
    api_key_env = "AZURE_AI_API_KEY"
    base_url_env = "AZURE_AI_API_BASE"
    default_model = "Microsoft-Decision-1"
    models = ("Microsoft-Decision-1",)
    not_running = "Set AZURE_AI_API_BASE, or pass base_url=, with the address of your resource"

    def wants_key(self) -> bool:
        return True


class Cloudflare(Decider):
    """Cloudflare Workers AI, for the account in CLOUDFLARE_ACCOUNT_ID."""

    name = "cloudflare"
    url = _YOUR_ADDRESS
    api_key_env = ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY")
    base_url_env = "CLOUDFLARE_BASE_URL"
    default_model = "clef"
    models = ("clef", "clef-flash", "clef-omni")
    not_running = "Set CLOUDFLARE_ACCOUNT_ID, or pass base_url="

    @classmethod
    def find_base_url(cls) -> str | None:
        account = os.environ.get("CLOUDFLARE_ACCOUNT_ID")
        own = super().find_base_url()
        return own or (f"https://api.cloudflare.com/client/v4/accounts/{account}" if account else None)

    def wants_key(self) -> bool:
        return True


class Databricks(Decider):
    """A serving endpoint of a Databricks workspace: the model is its name, or "ai_decide" for the AI function."""

    name = "databricks"
    url = _YOUR_ADDRESS
    api_key_env = "DATABRICKS_TOKEN"
    base_url_env = "DATABRICKS_HOST"
    not_running = "Set DATABRICKS_HOST, or pass base_url=, with the address of your workspace"

    def wants_key(self) -> bool:
        return True


class SystemOneServer(Decider):
    """Any other server with a `/v1/systemone` endpoint, at `base_url` or SYSTEMONE_BASE_URL."""

    name = "systemone"
    url = _YOUR_ADDRESS
    api_key_env = "SYSTEMONE_API_KEY"
    base_url_env = "SYSTEMONE_BASE_URL"
    needs_key = False
    not_running = "Set SYSTEMONE_BASE_URL, or pass base_url=, with the address of the server"


DECIDERS: Mapping[str, type[Provider]] = {
    cls.name: cls
    for cls in (TypeSafe, Parallel, Nace, EUJev, EmpirioLabs, AzureAI, Cloudflare, Databricks, SystemOneServer)
}
