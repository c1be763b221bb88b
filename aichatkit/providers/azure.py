"""OpenAI's models on Azure: the model is the name of a deployment, and each resource has an address of its own.

Two forms of address are in use: the newer `/openai/v1`, and one for each deployment with a dated `api-version`, which
is chosen by OPENAI_API_VERSION.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote

import requests

from aichatkit.messages import Message
from aichatkit.providers.base import Options
from aichatkit.providers.openai_compatible import OpenAICompatible

_NO_OPTIONS = Options()
_DATED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-preview)?")
_JSON_WEB_TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+\.")


class Azure(OpenAICompatible):
    """Chat with a deployment on Azure; AZURE_OPENAI_ENDPOINT or `base_url` tells the address of the resource.

    The key goes into the header `api-key`; a token of Entra, also from AZURE_OPENAI_AD_TOKEN, is sent as Bearer.
    """

    name = "azure"
    # A name that can never belong to anybody: there is no address before the user has told one.
    url = "https://resource.invalid"
    version = "/openai/v1"
    path = "/openai/v1/chat/completions"
    models_path = "/openai/v1/models"
    not_running = "Set AZURE_OPENAI_ENDPOINT, or pass base_url=, with the address of your resource"
    priced_as = "openai"
    default_model = "gpt-4o-mini"
    # Deployments have the names their owner gave them.
    models = ()
    api_key_env = ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY", "AZURE_OPENAI_AD_TOKEN")
    base_url_env = "AZURE_OPENAI_ENDPOINT"
    settings_env: ClassVar[Mapping[str, str]] = {"api-version": "OPENAI_API_VERSION"}
    key_header = "api-key"
    key_prefix = ""
    rank = 6
    roles: ClassVar[Mapping[str, str]] = {}
    params: ClassVar[Mapping[str, str]] = {**OpenAICompatible.params, "max_tokens": "max_completion_tokens"}
    takes_files = frozenset({"image", "pdf", "audio", "text"})

    def wants_key(self) -> bool:
        return True

    def sign(self, key: str) -> tuple[str, str]:
        return ("Authorization", f"Bearer {key}") if _JSON_WEB_TOKEN.match(key) else super().sign(key)

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = _NO_OPTIONS
    ) -> requests.Request:
        request = super().build_request(messages, model, options=options)
        dated = options.tokens.get("api-version", "")
        if _DATED.fullmatch(dated):
            deployment = f"{self.url}/openai/deployments/{quote(model, safe='')}"
            request.url = f"{deployment}/chat/completions?api-version={dated}"
        request.headers = {name: value for name, value in request.headers.items() if name != "api-version"}
        return request
