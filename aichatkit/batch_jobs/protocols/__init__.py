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
_LOCAL = "it runs models of your own, for which there is no cheaper queue"
#: Provider -> why its batch jobs are not supported.
_REASONS = {
    "bedrock": "its batch jobs read their rows from an S3 bucket and write their answers to one",
    "cohere": "the form of the results of its batch jobs is not documented",
    "dashscope": "how long its batch jobs and their files are kept is not documented",
    "fireworks": "its batch jobs belong to data sets of an account whose name has to be in each address",
    "llamacpp": _LOCAL,
    "lmstudio": _LOCAL,
    "ollama": _LOCAL,
    "ollama-v1": _LOCAL,
    "openrouter": "a job whose creation was not confirmed cannot be looked for, and might be paid twice",
    "perplexity": "the states in which its batch jobs end are not documented",
    "vllm": _LOCAL,
}


def find_protocol(provider_cls: type[Provider]) -> type[JobProtocol]:
    """Return the protocol of a provider's batch jobs.

    Raises:
        ConfigurationError: it has none that is supported; the message names the providers that have.
    """
    found = _PROTOCOLS.get(provider_cls.name)
    if found is None:
        name = provider_cls.name
        reason = _REASONS.get(name)
        problem = f"{name} has no batch jobs here" if reason is None else f"{name} is not supported: {reason}"
        raise ConfigurationError(
            f"batch: {problem}; leave batch= out, or use one of these providers: {', '.join(PROVIDERS)}",
            provider=name,
        )
    protocol: type[JobProtocol] = getattr(import_module(f"{__name__}.{found[0]}"), found[1])
    return protocol
