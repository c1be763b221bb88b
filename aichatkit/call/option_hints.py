"""Name of an option that a call does not take -> where it belongs, or what it is called here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["hint_for", "operand_hint"]

_CLIENT = frozenset(
    {
        *(
            "api_key",
            "base_url",
            "budget",
            "cache",
            "catalog",
            "hooks",
            "log",
            "prices",
            "rate",
            "session",
            "telemetry",
        ),
        "verify",
    }
)
_CALL = frozenset({"approve", "extra", "files", "max_rounds", "raw", "schema", "strict", "tools"})
_CHAT = frozenset({"history", "trim"})
_MAP = frozenset(
    {"as_completed", "executor", "max_tokens_total", "on_error", "progress", "resume", "template", "workers"}
)
#: Hint -> the names that other libraries use for the same thing.
_ELSEWHERE = {
    "did you mean retry=?": "max_retries num_retries retries max_attempts retry_count",
    "did you mean files=[...]?": (
        "images image image_url image_urls attachments attachment file documents document audio pdf media"
    ),
    "did you mean system=, the system prompt?": (
        "instructions instruction system_prompt system_message system_instruction developer preamble"
    ),
    "did you mean schema=, for structured output?": (
        "response_model response_schema output_schema json_schema output_type output_model text_format result_type "
        "response_mime_type"
    ),
    "did you mean workers= of map?": ("max_workers concurrency max_concurrency n_jobs num_workers threads"),
    "did you mean 'max_tokens'?": (
        "max_completion_tokens max_output_tokens max_new_tokens maxOutputTokens num_predict max_length"
    ),
    "did you mean 'stop'?": "stop_sequences stop_words stopSequences",
    "did you mean 'reasoning_effort'?": "effort thinking_level thinking_effort",
    "did you mean 'tools'?": "functions",
    "did you mean 'timeout'?": "request_timeout timeout_ms read_timeout",
    "did you mean 'headers'?": "extra_headers default_headers",
    "did you mean 'extra'?": "extra_body",
    "did you mean model=[...], a list of models?": "models fallbacks fallback",
    "did you mean model='provider/model'?": "provider custom_llm_provider",
    "did you mean stream(...) instead of ask(...)?": "stream streaming",
    "messages are passed as the prompt, ask(messages)": "messages",
    "the prompt comes first, ask(prompt)": "question query",
    "did you mean Client(api_key=...)?": "key token openai_api_key anthropic_api_key api_token",
    "did you mean Client(base_url=...)?": "api_base endpoint url host azure_endpoint",
    "did you mean Client(session=...)?": "http_client client transport",
}
#: Fields of services, which `extra` copies into the body unchanged.
_FIELDS = (
    "n best_of tool_choice function_call store metadata service_tier modalities prediction safety_settings suffix echo "
    "safety_identifier prompt_cache_key generation_config thinking thinking_budget thinking_config reasoning "
    "truncation web_search_options search_parameters stream_options include previous_response_id cache_control "
    "cached_content num_ctx keep_alive guided_json chat_template_kwargs safe_prompt random_seed plugins transforms "
    "mirostat typical_p top_a logits_processor"
)
_HINTS = {name: hint for hint, names in _ELSEWHERE.items() for name in names.split()}


def hint_for(name: str) -> str:
    """Return "; ..." with what to write instead of a name, or an empty string.

    >>> hint_for("max_retries"), hint_for("workers")
    ('; did you mean retry=?', '; it belongs to map(...)')
    """
    if name in _HINTS:
        return f"; {_HINTS[name]}"
    if name in _FIELDS.split():
        return f"; fields of a service go in as they are: extra={{{name!r}: ...}}"
    if name in _CLIENT:
        return f"; it belongs to the client: Client({name}=...)"
    if name in _CALL:
        return "; it belongs to a call: ask, stream, chat or map"
    if name in _CHAT:
        return f"; it belongs to a conversation: client.chat({name}=...)"
    return "; it belongs to map(...)" if name in _MAP else ""


def operand_hint(name: str, operands: Sequence[Any]) -> str:
    """Return the hint for a call with too many positional arguments, or none.

    >>> operand_hint("Client", ["openai"])
    "takes options by name only; the model is model='openai'"
    """
    if not operands:
        return "takes a prompt first, a text or a list of messages, as in ask('Hi') and ask(messages)"
    if name == "Client":
        return f"takes options by name only; the model is model={operands[0]!r:.60}"
    if name == "chat":
        return (
            "takes options by name only, such as model= and system=; pass the prompt to ask(), as in chat().ask('Hi')"
        )
    return f"takes one prompt, and options by name, such as model={operands[1]!r:.60}"
