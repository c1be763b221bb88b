"""Services that speak OpenAI's protocol without code of their own: one row of data each.

A row overrides attributes of `OpenAICompatible`; to add a service, add a row. The registry creates the class on first
use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aichatkit.classification.classify import Rule
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilteredError,
    ModelNotFoundError,
    QuotaExceededError,
    RateLimitError,
)

__all__ = ["SERVICES"]

_TEXT = frozenset({"text"})
_ALL_FILES = frozenset({"image", "pdf", "audio", "text"})
_SAMPLING = "frequency_penalty max_tokens presence_penalty seed stop temperature top_p"
_OPEN_MODELS = f"{_SAMPLING} logit_bias logprobs response_format top_k top_logprobs user min_p repetition_penalty"
# Local servers: used only if named; the key is optional, and loading a model may take minutes.
_LOCAL = {"needs_key": False, "read_timeout": 300.0, "direct": True, "free": True}


def _params(names: str, **renamed: str) -> Mapping[str, str]:
    return {**{name: name for name in names.split()}, **renamed}


SERVICES: Mapping[str, Mapping[str, Any]] = {
    "openrouter": {
        "url": "https://openrouter.ai/api/v1",
        "api_key_env": "OPENROUTER_API_KEY",
        "base_url_env": "OPENROUTER_BASE_URL",
        "rank": 5,
        "default_model": "openrouter/auto",
        "models": ("openrouter/auto", "openai/gpt-6-luna", "anthropic/claude-sonnet-5.5", "google/gemini-3.8-flash"),
        "headers": {"X-Title": "aichatkit"},
        "params": _params(f"{_OPEN_MODELS} parallel_tool_calls verbosity", reasoning_effort="reasoning.effort"),
        "takes_files": _ALL_FILES,
        "cache_style": "claude",
        "search_style": "openrouter",
        "image_style": "openrouter",
    },
    "mistral": {
        "url": "https://api.mistral.ai/v1",
        "api_key_env": "MISTRAL_API_KEY",
        "rank": 7,
        "default_model": "mistral-small-latest",
        "models": ("mistral-small-latest", "mistral-medium-latest", "mistral-large-latest", "codestral-latest"),
        # Unknown fields cause a 422; the last chunk has the usage anyway.
        "params": _params(
            "frequency_penalty max_tokens parallel_tool_calls presence_penalty reasoning_effort response_format stop"
            " temperature top_p",
            seed="random_seed",
        ),
        "stream_usage": False,
        "needs_cache_key": True,
        "call_ids": "[a-zA-Z0-9]{9}",
        # A message of the user after the result of a tool is rejected.
        "takes_result_files": None,
        "search_style": "mistral",
        "service_tools_route": "MistralConversations",
    },
    "groq": {
        "url": "https://api.groq.com/openai/v1",
        "api_key_env": "GROQ_API_KEY",
        "base_url_env": "GROQ_BASE_URL",
        "rank": 8,
        "default_model": "openai/gpt-oss-120b",
        "models": ("openai/gpt-oss-120b", "openai/gpt-oss-20b", "qwen/qwen3.8-27b"),
        "own_params": {"max_tokens": "max_completion_tokens"},
        "stream_usage": False,
        "streams_schema": False,
        "effort_style": "groq",
        "search_style": "groq",
    },
    "deepseek": {
        "url": "https://api.deepseek.com",
        "api_key_env": "DEEPSEEK_API_KEY",
        "rank": 9,
        "default_model": "deepseek-flash",
        "models": ("deepseek-flash", "deepseek-v4-pro"),
        # The newer name of max_tokens would be silently ignored.
        "params": _params(
            "frequency_penalty logprobs max_tokens presence_penalty reasoning_effort response_format stop temperature"
            " top_logprobs top_p"
        ),
        "effort_style": "switch",
        "takes_files": _TEXT,
        "takes_schema": False,
        "wants_reasoning": True,
    },
    "xai": {
        "url": "https://api.x.ai/v1",
        "api_key_env": "XAI_API_KEY",
        "rank": 10,
        "default_model": "grok-4.3",
        "models": ("grok-4.3", "grok-4.7", "grok-4.6", "grok-imagine-image-2.0"),
        "image_models": r"grok-.*image",
        "image_style": "xai",
        "cache_style": "xai",
        "region_urls": r"https://(us)-[a-z]+-[0-9]\.api\.x\.ai",
        "search_style": "xai",
        "service_tools_route": "XAIResponses",
    },
    "together": {
        "url": "https://api.together.xyz/v1",
        "api_key_env": "TOGETHER_API_KEY",
        "rank": 11,
        "default_model": "openai/gpt-oss-120b",
        "models": (
            "openai/gpt-oss-120b",
            "deepseek-ai/DeepSeek-V4.1-Flash",
            "meta-models/Muse-Glimmer-30B",
            "zai-org/GLM-5.3-Flash",
        ),
        "params": _params(_OPEN_MODELS, reasoning_effort="reasoning_effort"),
        "image_models": r"black-forest-labs/",
        "image_style": "together",
    },
    "huggingface": {
        "url": "https://router.huggingface.co/v1",
        "api_key_env": ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN"),
        "rank": 12,
        # Many people have the token only to download models.
        "chosen_by_key": False,
        "default_model": "openai/gpt-oss-120b",
        "models": ("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    },
    "fireworks": {
        "url": "https://api.fireworks.ai/inference/v1",
        "api_key_env": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
        "rank": 14,
        "default_model": "accounts/fireworks/models/deepseek-v4p1-flash",
        "models": (
            "accounts/fireworks/models/deepseek-v4p1-flash",
            "accounts/fireworks/models/glm-5p3-flash",
            "accounts/fireworks/models/kimi-k3",
        ),
        "params": _params(_OPEN_MODELS, reasoning_effort="reasoning_effort"),
    },
    "cerebras": {
        "url": "https://api.cerebras.ai/v1",
        "api_key_env": "CEREBRAS_API_KEY",
        "rank": 16,
        "default_model": "gpt-oss-120b",
        "models": ("gpt-oss-120b", "qwen-3.8-27b", "gemma-4-31b"),
        "params": _params(
            "logprobs parallel_tool_calls reasoning_effort response_format seed stop temperature top_logprobs top_p"
            " user",
            max_tokens="max_completion_tokens",
        ),
        "takes_files": _TEXT,
    },
    "dashscope": {
        "url": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "api_key_env": ("DASHSCOPE_API_KEY", "ALIBABA_API_KEY"),
        "base_url_env": "DASHSCOPE_BASE_URL",
        "rank": 18,
        "default_model": "qwen3.8-flash",
        "models": ("qwen3.8-flash", "qwen3.8-max", "qwen3.8-omni-flash", "qwen3.7-max"),
        "params": _params(
            f"{_SAMPLING} logprobs parallel_tool_calls response_format top_k top_logprobs",
            reasoning_effort="enable_thinking",
        ),
        "effort_style": "qwen",
        "takes_files": frozenset({"image", "audio", "text"}),
        "takes_schema": False,
    },
    "moonshot": {
        "url": "https://api.moonshot.ai/v1",
        "api_key_env": ("MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY"),
        "base_url_env": "MOONSHOT_BASE_URL",
        "rank": 20,
        "default_model": "kimi-k2.6",
        "models": ("kimi-k2.6", "kimi-k2.7-code", "kimi-k3", "kimi-k3.1-pro"),
        "params": _params(
            "frequency_penalty max_tokens presence_penalty reasoning_effort response_format stop temperature top_p"
        ),
        "effort_style": "switch",
        "wants_reasoning": True,
        "takes_schema": False,
    },
    "zai": {
        "url": "https://api.z.ai/api/paas/v4",
        "api_key_env": "ZAI_API_KEY",
        "base_url_env": "ZAI_BASE_URL",
        "rank": 21,
        "default_model": "glm-5.3-flash",
        "models": ("glm-5.3-flash", "glm-5.3", "glm-4.7", "glm-5v-turbo"),
        "params": _params("max_tokens reasoning_effort response_format stop temperature top_p", user="user_id"),
        "effort_style": "switch",
        "stream_usage": False,
        "takes_schema": False,
    },
    "minimax": {
        "url": "https://api.minimax.io/v1",
        "api_key_env": "MINIMAX_API_KEY",
        "base_url_env": "MINIMAX_BASE_URL",
        "rank": 22,
        "default_model": "MiniMax-M3",
        "models": ("MiniMax-M3",),
        "params": _params("max_tokens response_format temperature top_p"),
        "takes_files": _TEXT,
        "takes_schema": False,
        "rules": (
            Rule(None, r"unknown model", ModelNotFoundError),
            Rule(None, r"^2013$", BadRequestError),
            Rule(None, r"^(?:1002|1039)$", RateLimitError),
            Rule(None, r"^(?:1004|2049)$", AuthenticationError),
            Rule(None, r"^1008$", QuotaExceededError),
            Rule(None, r"^102[67]$", ContentFilteredError),
        ),
    },
    "deepinfra": {
        "url": "https://api.deepinfra.com/v1/openai",
        "api_key_env": "DEEPINFRA_API_KEY",
        "rank": 23,
        "default_model": "openai/gpt-oss-120b",
        "models": ("openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V4.1-Flash", "zai-org/GLM-5.2"),
        "params": _params(_OPEN_MODELS, reasoning_effort="reasoning_effort"),
    },
    "nvidia": {
        "url": "https://integrate.api.nvidia.com/v1",
        "api_key_env": ("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"),
        "base_url_env": "NVIDIA_BASE_URL",
        "rank": 24,
        "default_model": "openai/gpt-oss-120b",
        "models": ("openai/gpt-oss-120b",),
        "params": _params(f"{_SAMPLING} reasoning_effort response_format"),
        "takes_schema": False,
    },
    "nebius": {
        "url": "https://api.studio.nebius.com/v1",
        "api_key_env": "NEBIUS_API_KEY",
        "rank": 25,
        "default_model": "openai/gpt-oss-120b",
        "models": ("openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V4.1-Flash", "zai-org/GLM-5.3-Flash"),
        "params": _params(f"{_SAMPLING} logit_bias logprobs reasoning_effort response_format top_logprobs user top_k"),
    },
    "sambanova": {
        "url": "https://api.sambanova.ai/v1",
        "api_key_env": "SAMBANOVA_API_KEY",
        "rank": 26,
        "default_model": "gpt-oss-120b",
        "models": ("gpt-oss-120b", "DeepSeek-V3.2", "Meta-Llama-3.3-70B-Instruct"),
        "params": _params("max_tokens reasoning_effort response_format stop temperature top_k top_p"),
    },
    "vercel": {
        "url": "https://ai-gateway.vercel.sh/v1",
        "api_key_env": ("VERCEL_AI_GATEWAY_API_KEY", "AI_GATEWAY_API_KEY"),
        "rank": 27,
        "default_model": "openai/gpt-6-luna",
        "models": ("openai/gpt-6-luna", "anthropic/claude-sonnet-5.5", "google/gemini-3.8-flash"),
        "params": _params(
            f"{_SAMPLING} logit_bias logprobs parallel_tool_calls response_format top_logprobs user verbosity",
            reasoning_effort="reasoning.effort",
        ),
        "takes_files": frozenset({"image", "pdf", "text"}),
    },
    "meta": {
        "url": "https://api.meta.ai/v1",
        "api_key_env": ("META_API_KEY", "MODEL_API_KEY"),
        "rank": 28,
        "default_model": "muse-spark-1.3",
        "models": ("muse-spark-1.3", "muse-spark-1.2", "muse-wonder-1.0", "muse-image-1.0"),
        "image_models": r"muse-image",
        "takes_schema": False,
    },
    "lmstudio": {
        **_LOCAL,
        "url": "http://localhost:1234/v1",
        "api_key_env": "LM_STUDIO_API_KEY",
        "base_url_env": "LM_STUDIO_API_BASE",
        "not_running": "Start LM Studio's server: lms server start",
        "default_model": "local-model",
        "params": _params(_OPEN_MODELS),
    },
    "llamacpp": {
        **_LOCAL,
        "url": "http://localhost:8080/v1",
        "api_key_env": "LLAMACPP_API_KEY",
        "base_url_env": "LLAMACPP_API_BASE",
        "not_running": "Start the server: llama-server -m model.gguf --port 8080",
        # It announces keep-alive but closes the connection after a stream, often during the next request.
        "headers": {"Connection": "close"},
        "default_model": "default",
        "params": _params(_OPEN_MODELS),
        "takes_files": frozenset({"image", "audio", "text"}),
    },
    "vllm": {
        **_LOCAL,
        "url": "http://localhost:8000/v1",
        "api_key_env": "VLLM_API_KEY",
        "base_url_env": "VLLM_API_BASE",
        "not_running": "Start the server: vllm serve MODEL",
        "default_model": "default",
        "params": _params(f"{_OPEN_MODELS} parallel_tool_calls reasoning_effort"),
        "takes_files": frozenset({"image", "audio", "text"}),
    },
    "ollama-v1": {
        "search_style": "ollama",
        **_LOCAL,
        "url": "http://localhost:11434/v1",
        "api_key_env": "OLLAMA_API_KEY",
        "not_running": "Start the server: ollama serve",
        "default_model": "llama3.2",
        "params": _params(f"{_SAMPLING} reasoning_effort response_format"),
    },
}
