"""Names that other SDKs use -> the option, or the provider, that is meant here; one table for every interface."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["COUNTS", "FIELDS", "option_for", "provider_for", "snake_case"]

#: Our option -> its names elsewhere, in snake case.
_OPTIONS = {
    "prompt": "messages input inputs contents content message question query user_prompt user_message",
    "model": "model_name model_id engine deployment deployment_id models fallbacks fallback fallback_models provider "
    "custom_llm_provider llm",
    "system": "instructions instruction system_prompt system_message system_instruction developer preamble",
    "files": "images image image_url image_urls attachments attachment file documents document audio pdf media",
    "schema": "response_model response_schema output_schema json_schema output_type output_model text_format "
    "result_type response_mime_type structured_output",
    "tools": "functions function_declarations",
    "search": "web_search web_search_options search_parameters grounding google_search enable_search search_options",
    "max_rounds": "max_turns max_steps max_iterations max_tool_rounds max_tool_calls",
    "approve": "approval require_approval on_tool_call",
    "timeout": "request_timeout timeout_ms read_timeout connect_timeout",
    "retry": "max_retries num_retries retries max_attempts retry_count retry_policy",
    "headers": "extra_headers default_headers http_headers",
    "proxies": "proxy_url http_proxy https_proxy",
    "extra": "extra_body extra_params additional_params provider_options model_kwargs",
    "raw": "return_raw include_raw raw_response",
    "strict": "drop_params",
    "max_tokens": "max_completion_tokens max_output_tokens max_new_tokens num_predict max_length max_gen_len",
    "temperature": "temp",
    "top_p": "nucleus_sampling p",
    "top_k": "k",
    "stop": "stop_sequences stop_words stop_strings",
    "seed": "random_seed",
    "repetition_penalty": "repeat_penalty",
    "reasoning_effort": "effort thinking_level thinking_effort",
    "parallel_tool_calls": "parallel_function_calling",
    "user": "user_id end_user",
    "history": "chat_history message_history past_messages",
    "trim": "max_history history_limit context_limit",
    "workers": "max_workers concurrency max_concurrency n_jobs num_workers threads num_threads",
    "progress": "progress_bar show_progress tqdm",
    "resume": "checkpoint journal",
    "on_error": "return_exceptions raise_on_error raise_exceptions",
    "dimensions": "dimension output_dimension output_dimensionality embedding_dimensions",
    "size": "aspect_ratio image_size resolution",
    "quality": "image_quality",
    "kind": "input_type task_type embedding_type",
    "normalize": "normalize_embeddings normalized",
    "api_key": "key token openai_api_key anthropic_api_key google_api_key api_token auth_token access_token "
    "azure_ad_token azure_ad_token_provider token_provider api_key_provider",
    "auth": "authentication credentials aws_profile vertex_credentials http_auth",
    "base_url": "api_base endpoint url host azure_endpoint openai_api_base",
    "session": "http_client transport requests_session",
    "verify": "ssl_verify verify_ssl ca_bundle",
    "cert": "client_cert client_certificate ssl_certificate",
    "rate": "rate_limit rpm requests_per_minute rate_limiter",
    "budget": "max_budget max_cost",
    "cache": "caching use_cache cache_dir",
    "hooks": "callbacks callback event_hooks",
    "log": "log_file logger",
}
#: How many answers to give: a call gives one.
COUNTS = frozenset(
    {
        *("n", "candidate_count", "num_completions", "num_generations", "num_return_sequences"),
        *("num_images", "number_of_images", "num_outputs"),
    }
)
#: Fields of services, which `extra` adds to the body unchanged.
_FIELDS = """
    best_of function_call store metadata service_tier modalities prediction safety_settings suffix
    echo safety_identifier prompt_cache_key generation_config thinking thinking_budget thinking_config reasoning
    truncation stream_options include previous_response_id cache_control
    cached_content num_ctx keep_alive guided_json chat_template_kwargs safe_prompt plugins transforms mirostat
    typical_p top_a logits_processor
"""
FIELDS = frozenset(_FIELDS.split())
_OURS = {word: option for option, words in _OPTIONS.items() for word in words.split()}

#: Our provider -> what its service, its company and its models are called elsewhere.
_PROVIDERS = {
    "openai": "chatgpt gpt dall-e dalle codex text-completion-openai",
    "anthropic": "claude sonnet opus haiku",
    "gemini": "google googleai google-genai google-ai-studio aistudio bard palm",
    "vertex": "vertexai vertex-ai google-vertex",
    "xai": "grok x-ai",
    "bedrock": "aws amazon nova amazon-bedrock aws-bedrock",
    "azure": "microsoft azure-openai azure-ai",
    "dashscope": "alibaba qwen",
    "zai": "zhipu glm z-ai",
    "perplexity": "pplx sonar",
    "moonshot": "kimi moonshotai",
    "cohere": "command cohere-chat",
    "mistral": "mistralai mistral-ai mixtral codestral ministral",
    "deepseek": "deepseek-ai",
    "huggingface": "hf hugging-face",
    "together": "together-ai togetherai",
    "fireworks": "fireworks-ai",
    "nvidia": "nvidia-nim nim",
    "ollama": "llama gemma phi codellama ollama-chat local localhost",
    "lmstudio": "lm-studio",
    "llamacpp": "llama-cpp llama.cpp",
    "vllm": "hosted-vllm",
    "openrouter/meta-llama": "meta-llama",
    "typesafe": "jev",
    "nace": "drex nace-ai",
    "eu-jev": "eu-jev eujev",
    "empiriolabs": "empirio empirio-labs",
    "parallel": "parallel-ai",
    "systemone": "bespoke laya strands strands-decider system-one",
}
_NAMES = {word: provider for provider, words in _PROVIDERS.items() for word in words.split()}
#: "llama3.1", "qwen2.5:7b": as Ollama names models, which other services write with a hyphen.
_LOCAL_MODEL = re.compile(r"(?:llama|qwen|gemma|phi|codellama)\d[\w.]*(?::[\w.-]+)?")


def option_for(name: str) -> str:
    """Return the option that is called `name` elsewhere, in snake or camel case, or an empty string.

    >>> option_for("num_retries"), option_for("maxOutputTokens"), option_for("colour")
    ('retry', 'max_tokens', '')
    """
    return _OURS.get(snake_case(name), "")


def snake_case(name: str) -> str:
    """Return a name as options are written here.

    >>> snake_case("baseURL"), snake_case("tool-choice")
    ('base_url', 'tool_choice')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_")


def provider_for(name: Any, *, is_provider: bool = False) -> str:
    """Return the provider, or "provider/model", that is called `name` elsewhere, or an empty string.

    With `is_provider`, the name is followed by a slash, so it is not that of a model.

    >>> provider_for("Google"), provider_for("claude-9"), provider_for("llama3.1"), provider_for("qqq")
    ('gemini', 'anthropic/claude-9', 'ollama/llama3.1', '')
    """
    name = str(name)
    word = name.strip().lower().replace("_", "-")
    if word in _NAMES:
        return _NAMES[word]
    if _LOCAL_MODEL.fullmatch(word):
        return "ollama" if is_provider else f"ollama/{name.strip()}"
    family = re.split(r"[-.: \d]", word)[0]
    if family not in _NAMES:
        return ""
    return _NAMES[family] if is_provider else f"{_NAMES[family]}/{name}"
