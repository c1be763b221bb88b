"""Models on AWS Bedrock, through its OpenAI-compatible endpoint, with a Bedrock API key or with signed requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.classification.classify import Rule
from aichatkit.errors import (
    AuthenticationError,
    ConfigurationError,
    MissingKeyError,
    ModelNotFoundError,
    QuotaExceededError,
)
from aichatkit.providers.openai_compatible import OpenAICompatible

if TYPE_CHECKING:
    from aichatkit.auth import aws_files
    from aichatkit.providers import routes
    from aichatkit.providers.base import Provider
else:
    aws_files = lazy_module("aichatkit.auth.aws_files")
    # Few models need another endpoint.
    routes = lazy_module("aichatkit.providers.routes")


_SIGN_IN_AGAIN = ("the credentials or their signature were refused", "sign in again, or check the credentials of AWS")
_NAMES = (
    "model{model} is not served like this",
    "on bedrock-mantle names have no prefix such as 'us.' and no version such as '-v1:0', on bedrock-runtime both",
)
#: What AWS says in words alone; the name of its exception is in a header.
RULES = (
    Rule(403, r"security token|signature|bearer token|\bkey\b.*\bexpired", AuthenticationError, says=_SIGN_IN_AGAIN),
    Rule(
        None,
        r"supported on this route|on-demand throughput|model identifier is invalid",
        ModelNotFoundError,
        says=_NAMES,
    ),
    Rule(429, r"tokens per day", QuotaExceededError),
)


class Bedrock(OpenAICompatible):
    """Chat with models on Bedrock, with an API key or `auth=aws_auth()`.

    The region is that of `aws_auth`, AWS_REGION, AWS_DEFAULT_REGION or that of the AWS profile; none is guessed.
    """

    name = "bedrock"
    url = "https://bedrock-mantle.us-east-1.api.aws/v1"
    default_model = "openai.gpt-oss-20b"
    models = ("openai.gpt-oss-20b", "openai.gpt-oss-120b", "qwen.qwen3-32b", "qwen.qwen3-next-80b-a3b-instruct")
    api_key_env = "AWS_BEARER_TOKEN_BEDROCK"
    writes_cache = True
    rank = 13
    rules = (*RULES, *OpenAICompatible.rules)

    @classmethod
    def find_base_url(cls) -> str | None:
        region = aws_files.find_region()
        if not region:
            raise ConfigurationError(
                f"{cls.name}: no region; set {' or '.join(aws_files.REGION_VARIABLES)} to the one to send prompts to",
                provider=cls.name,
                action="next",
            )
        return cls.url.replace("us-east-1", region)

    @classmethod
    def url_for(cls, auth: Any, url: str | None = None) -> str | None:
        region = getattr(auth, "region", None) if url is None else None
        if not region:
            return url
        return cls.url.replace("us-east-1", aws_files.parse_region(region, source="region"))

    @classmethod
    def missing_key(cls) -> MissingKeyError:
        error = super().missing_key()
        return MissingKeyError(f"{error}; with AWS credentials, pass auth=aichatkit.aws_auth()", provider=cls.name)

    @classmethod
    def for_endpoint(cls, endpoint: str) -> type[Provider] | None:
        return {"messages": routes.BedrockMessages, "responses": routes.BedrockResponses}.get(endpoint)

    def wants_key(self) -> bool:
        return super().wants_key() or self.url.endswith(".api.aws/v1")
