"""OpenAI's models on Azure: the model is a deployment name, and each resource has its own endpoint.

There are two URL schemes: the newer `/openai/v1` and, if OPENAI_API_VERSION is a date, one URL per deployment with that
`api-version`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote

import requests

from aichatkit.classification.classify import Rule
from aichatkit.errors import AuthenticationError, ChatError, PermissionDeniedError, UnknownModelError
from aichatkit.messages import Message
from aichatkit.providers.base import NO_OPTIONS, WEB_IMAGES, Options
from aichatkit.providers.openai_compatible import OpenAICompatible

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-preview)?")
_API_KEY = re.compile(r"[0-9a-fA-F]{32}|[0-9a-zA-Z]{84}")
#: Of Azure OpenAI, and of Foundry projects.
_SCOPES = ("https://cognitiveservices.azure.com/.default", "https://ai.azure.com/.default")
_NO_ROLE = (
    "the identity lacks a role",
    "on the resource it needs 'Cognitive Services OpenAI User', or the like for Foundry, which takes minutes to apply",
)
_JSON_WEB_TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+\.")


class Azure(OpenAICompatible):
    """Chat with a deployment on Azure; set AZURE_OPENAI_ENDPOINT or `base_url` to the resource's endpoint.

    An API key is sent in the `api-key` header, an Entra token (also from AZURE_OPENAI_AD_TOKEN) as a Bearer token.
    """

    name = "azure"
    # A reserved name that never resolves: the user has to set the endpoint.
    url = "https://resource.invalid"
    version = "/openai/v1"
    path = "/openai/v1/chat/completions"
    models_path = "/openai/v1/models"
    not_running = "Set AZURE_OPENAI_ENDPOINT, or pass base_url=, with the address of your resource"
    # Deployment names are chosen by their owner, so there is no default.
    default_model = ""
    models = ()
    api_key_env = ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY", "AZURE_OPENAI_AD_TOKEN")
    base_url_env = "AZURE_OPENAI_ENDPOINT"
    settings_env: ClassVar[Mapping[str, str]] = {"api-version": "OPENAI_API_VERSION"}
    key_header = "api-key"
    key_prefix = ""
    writes_cache = True
    rank = 6
    roles: ClassVar[Mapping[str, str]] = {}
    params: ClassVar[Mapping[str, str]] = {**OpenAICompatible.params, "max_tokens": "max_completion_tokens"}
    takes_files = frozenset({"image", "pdf", "audio", "text"})
    takes_images = WEB_IMAGES
    # By the name of the deployment, which often is that of its model.
    image_models = r"dall-e|gpt-image"
    image_style = "openai"
    rules = (
        Rule(401, r"permissiondenied|lacks the required data action", PermissionDeniedError, says=_NO_ROLE),
        *OpenAICompatible.rules,
    )

    @classmethod
    def missing_model(cls) -> UnknownModelError:
        return UnknownModelError(
            f"{cls.name} needs the name of your deployment: model='{cls.name}/DEPLOYMENT' "
            f"(on the command line: -m {cls.name}/DEPLOYMENT)",
            provider=cls.name,
        )

    def wants_key(self) -> bool:
        return True

    def sign(self, key: str) -> tuple[str, str]:
        return ("Authorization", f"Bearer {key}") if _JSON_WEB_TOKEN.match(key) else super().sign(key)

    def sign_token(self, key: str) -> tuple[str, str]:
        return super().sign(key) if _API_KEY.fullmatch(key) else ("Authorization", f"Bearer {key}")

    def advice_for(self, error: ChatError) -> str:
        if isinstance(error, AuthenticationError) and "audience" in error.message.lower():
            return (
                f"(a token is for one kind of resource: its scope must be {_SCOPES[0]} or, for Foundry, {_SCOPES[1]})"
            )
        return super().advice_for(error)

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        request = super().build_request(messages, model, options=options)
        api_version = options.tokens.get("api-version", "")
        if _DATE.fullmatch(api_version):
            deployment = f"{self.url}/openai/deployments/{quote(model, safe='')}"
            endpoint = str(request.url)[len(self.url + self.version) :]
            request.url = f"{deployment}{endpoint}?api-version={api_version}"
        request.headers = {name: value for name, value in request.headers.items() if name != "api-version"}
        return request
