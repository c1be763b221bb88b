"""How each service takes batch jobs: one class per protocol, found by the name of the provider."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from aichatkit.batch_jobs.protocols.base import JobProtocol
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Provider

__all__ = ["CHAT", "EMBEDDINGS", "PROVIDERS", "find_protocol", "protocols_of"]

#: What the rows of a job are for.
CHAT, EMBEDDINGS = "chat", "embeddings"
#: Provider -> the module of its protocols, and the class of that for chats and of that for embeddings, if it has one.
_PROTOCOLS: Mapping[str, tuple[str, str, str]] = {
    "openai": ("openai_files", "OpenAIJobs", "OpenAIEmbeddingJobs"),
    "openai-responses": ("openai_files", "OpenAIJobs", ""),
    "azure": ("openai_files", "AzureJobs", "AzureEmbeddingJobs"),
    "anthropic": ("messages", "AnthropicJobs", ""),
    "gemini": ("operations", "GeminiJobs", "GeminiEmbeddingJobs"),
    "mistral": ("openai_files", "MistralJobs", "MistralEmbeddingJobs"),
    "groq": ("openai_files", "GroqJobs", ""),
    "xai": ("counters", "XAIJobs", ""),
    "together": ("openai_files", "TogetherJobs", ""),
}
PROVIDERS = tuple(_PROTOCOLS)
_LOCAL = "it runs models of your own, for which there is no cheaper queue"
#: Provider -> why its batch jobs are not supported.
_REASONS = {
    "bedrock": "its batch jobs read their rows from an S3 bucket and write their answers to one",
    "cohere": "the results are Avro files whose records are not documented, and neither is the price",
    "dashscope": "how long its batch jobs and their files are kept is not documented",
    "fireworks": "the form of the results is not documented, and each address needs the name of an account",
    "llamacpp": _LOCAL,
    "lmstudio": _LOCAL,
    "ollama": _LOCAL,
    "ollama-v1": _LOCAL,
    "openrouter": "the states of its jobs are not documented, and one whose creation was not confirmed cannot be found",
    "perplexity": "the states in which its batch jobs end are not documented",
    "vllm": _LOCAL,
}


def find_protocol(provider_cls: type[Provider], endpoint: str = CHAT) -> type[JobProtocol]:
    """Return the protocol of a provider's batch jobs, for chats or for embeddings.

    Raises:
        ConfigurationError: it has none that is supported; the message names the providers that have.
    """
    name = provider_cls.name
    found = _load(name, endpoint)
    if found is not None:
        return found
    having = [other for other in PROVIDERS if endpoint in _classes(other)]
    what = "batch jobs" if endpoint == CHAT else f"batch jobs for {endpoint}"
    reason = _REASONS.get(name)
    if name in _PROTOCOLS:
        problem = f"{name} has no {what}, or none that is documented"
    else:
        problem = f"{name} has no {what} here" if reason is None else f"{name} is not supported: {reason}"
    raise ConfigurationError(
        f"batch: {problem}; leave batch= out, or use one of these providers: {', '.join(having)}", provider=name
    )


def protocols_of(provider_cls: type[Provider]) -> list[type[JobProtocol]]:
    """Return every protocol of a provider's batch jobs."""
    found = [_load(provider_cls.name, endpoint) for endpoint in (CHAT, EMBEDDINGS)]
    return [protocol for protocol in found if protocol is not None]


def _classes(provider: str) -> Mapping[str, str]:
    _, *names = _PROTOCOLS.get(provider, ("", "", ""))
    return {endpoint: name for endpoint, name in zip((CHAT, EMBEDDINGS), names) if name}


def _load(provider: str, endpoint: str) -> type[JobProtocol] | None:
    name = _classes(provider).get(endpoint)
    if name is None:
        return None
    protocol: type[JobProtocol] = getattr(import_module(f"{__name__}.{_PROTOCOLS[provider][0]}"), name)
    return protocol
