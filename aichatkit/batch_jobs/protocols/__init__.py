"""How each service takes batch jobs: one class per protocol, found by the name of the provider."""

from __future__ import annotations

from importlib import import_module

from aichatkit.batch_jobs.protocols.base import JobProtocol
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Provider

__all__ = ["PROVIDERS", "find_protocol"]

#: Provider -> the module and class of its protocol.
_PROTOCOLS = {
    "openai": ("openai_files", "OpenAIJobs"),
    "openai-responses": ("openai_files", "OpenAIJobs"),
    "azure": ("openai_files", "AzureJobs"),
    "anthropic": ("messages", "AnthropicJobs"),
    "gemini": ("operations", "GeminiJobs"),
    "mistral": ("openai_files", "MistralJobs"),
    "groq": ("openai_files", "GroqJobs"),
    "xai": ("counters", "XAIJobs"),
    "together": ("openai_files", "TogetherJobs"),
}
PROVIDERS = tuple(_PROTOCOLS)


def find_protocol(provider_cls: type[Provider]) -> type[JobProtocol]:
    """Return the protocol of a provider's batch jobs.

    Raises:
        ConfigurationError: it has none that is supported; the message names the providers that have.
    """
    found = _PROTOCOLS.get(provider_cls.name)
    if found is None:
        raise ConfigurationError(
            f"batch: {provider_cls.name} has no batch jobs here; leave batch= out, or use one of these providers: "
            f"{', '.join(PROVIDERS)}",
            provider=provider_cls.name,
        )
    protocol: type[JobProtocol] = getattr(import_module(f"{__name__}.{found[0]}"), found[1])
    return protocol
