"""Provider and model -> their decisions endpoint: the protocol, the path, and the limits of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aichatkit._dataclasses import NamedTuple
from aichatkit.call.targets import Target
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Provider, is_local

__all__ = ["DecisionService", "find_service", "max_logprobs", "no_service_error", "with_default_model"]

#: Names of decision models, wherever they are served.
_DECIDERS = r"(?i)(?:.*[/._~-])?(?:clef|decider|decisions?|jev|nimble|rune|tev)\d*(?:[.:_-].*)?"


class DecisionService(NamedTuple):
    """One decisions endpoint.

    `wire` is "openai", "systemone" or "google", `path` follows the base URL without its version. `models` is a regular
    expression for the models that decide; the others of the provider are chat models. `questions`, `options` and
    `levels` are the most that a request takes.
    """

    wire: str = "systemone"
    path: str = "/v1/systemone"
    models: str = _DECIDERS
    default_model: str = ""
    questions: int = 128
    options: int = 255
    levels: int = 10
    #: Fields of every request, and whether the request names the model.
    fields: Mapping[str, str] = {}
    names_model: bool = True
    #: What comes before the name of a model in the path, unless the name has it.
    prefix: str = ""


_SERVICES: Mapping[str, DecisionService] = {
    "openai": DecisionService("openai", "/v1/decisions", r"gpt-6-luna", "gpt-6-luna", questions=400),
    "azure": DecisionService("openai", "/openai/v1/decisions", r".*gpt-6-luna.*", questions=400),
    "gemini": DecisionService(
        "google", "/v1beta/decisions", r"gemini-decision-.*", "gemini-decision-1", questions=1000, levels=255
    ),
    "openrouter": DecisionService(
        path="/alpha/decisions",
        models=r".*(?:decision|decider).*",
        default_model="openai/gpt-6-luna-decisions",
        questions=200,
    ),
    "fireworks": DecisionService(default_model="rune", options=208),
    "perplexity": DecisionService(path="/v1/decisions", default_model="pplx-decider-latest"),
    "typesafe": DecisionService(models="", default_model="jev-latest"),
    "parallel": DecisionService(
        path="/v1/decisions",
        models="",
        default_model="decision",
        questions=100,
        fields={"mode": "fast"},
        names_model=False,
    ),
    "nace": DecisionService(models="", default_model="drex-latest"),
    "eu-jev": DecisionService(models="", default_model="eu-jeff-latest"),
    "empiriolabs": DecisionService(path="/v1/decisions", models="", default_model="aplomb-1"),
    "azure-ai": DecisionService(
        path="/providers/microsoft/v1/systemone", models="", default_model="Microsoft-Decision-1"
    ),
    "cloudflare": DecisionService(path="/ai/run/{model}", models="", default_model="clef", prefix="@cf/cloudflare/"),
    "databricks": DecisionService(path="/serving-endpoints/{model}/invocations", models=""),
    "systemone": DecisionService(models=""),
    **dict.fromkeys(("ollama", "lmstudio", "llamacpp", "vllm"), DecisionService()),
    "offline": DecisionService("openai", "/v1/decisions", models="", questions=400),
}

#: The function of a Databricks workspace that decides, as its model.
_AI_DECIDE = "ai_decide"
_AI_FUNCTION = DecisionService(path="/api/2.0/ai-functions/ai-decide", names_model=False)

#: The most `top_logprobs` that a service takes, where its chat models report them.
_LOGPROBS: Mapping[str, int] = {
    "openai": 20,
    "azure": 20,
    "deepinfra": 20,
    "fireworks": 5,
    "nebius": 20,
    "together": 20,
    **dict.fromkeys(("llamacpp", "lmstudio", "ollama", "ollama-v1", "vllm"), 20),
}


def find_service(target: Target, *, emulate: bool | None) -> DecisionService | None:
    """Return the endpoint that answers a target's questions, None if a chat model has to.

    By default the name of the model decides, as most services have both; with `emulate=False` it is the endpoint.
    """
    service = _SERVICES.get(target.provider.name)
    if service is None or emulate is True:
        return None
    if target.provider.name == "databricks" and target.model == _AI_DECIDE:
        return _AI_FUNCTION
    is_decider = not service.models or re.fullmatch(service.models, target.model) is not None
    return service if is_decider or emulate is False else None


def with_default_model(target: Target, *, emulate: bool | None) -> Target:
    """Return the target with the usual decision model of its provider, if no model was named."""
    service = _SERVICES.get(target.provider.name)
    if not target.is_default or service is None or not service.default_model or emulate is True:
        return target
    return target._replace(model=service.default_model)


def no_service_error(provider: str) -> ConfigurationError:
    """Return the error for a provider without decision models."""
    names = ", ".join(sorted(name for name in _SERVICES if name != "systemone"))
    return ConfigurationError(
        f"decide: {provider} has no decision models; {names} have, and any other server with a /v1/systemone endpoint "
        "is 'systemone/MODEL' with base_url=; without emulate=False, chat models answer",
        provider=provider,
        action="next",
    )


def max_logprobs(provider: Provider, record: Mapping[str, object] | None) -> int:
    """Return how many token probabilities a chat model reports, 0 if it does not or is not known to.

    A model that reasons reports those of its thoughts.
    """
    count = _LOGPROBS.get(provider.name, 0)
    if record is None:
        return count if provider.direct and is_local(provider.url) else 0
    return 0 if "effort" in record or record.get("no_sampling") or "reasoning" in str(record.get("caps")) else count
