"""The parts that the OpenAI wires share: keys, errors and the model list."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aichatkit.sandbox.exchange import APIError, Request, Response, json_response
from aichatkit.sandbox.wires.base import Call, Route, Wire, sse_event
from aichatkit.sandbox.wires.fields import BadField
from aichatkit.sandbox.wires.model_rules import check_retired, find_record, sampling_of, unsupported_effort

MODELS = ("eliza", "eliza-mini", "gpt-6-luna", "gpt-6-sol")

#: Compatible services have different prefixes before the path.
ANY_BASE = r"(?:/[\w.-]+)*"
#: Base paths of OpenAI and of the services that are compatible: a version, with what some have before or behind it.
_BASE = (
    r"(?:/(?!v\d)[\w.-]+)*/(?:v1(?:/openai)?|v1beta/openai)|(?:/[\w.-]+)*/paas/v4"
    r"|/openai/deployments/[\w.-]+|/v1(?:beta1)?/projects/[\w.-]+/locations/[\w.-]+/endpoints/[\w.-]+"
)
_STRICT_HOSTS = ("127.0.0.1", "::1", "localhost", "api.openai.com")

_CODES = {
    "context-too-long": ("invalid_request_error", "context_length_exceeded"),
    "content-filter": ("invalid_request_error", "content_policy_violation"),
    "unauthorized": ("invalid_request_error", "invalid_api_key"),
    "forbidden": ("invalid_request_error", "unsupported_country_region_territory"),
    "model-not-found": ("invalid_request_error", "model_not_found"),
    "rate-limit": ("requests", "rate_limit_exceeded"),
    "quota": ("insufficient_quota", "insufficient_quota"),
    "server-error": ("server_error", None),
    "overloaded": ("service_unavailable_error", "server_is_overloaded"),
}


class OpenAIWire(Wire):
    """The base of the OpenAI wires, with their keys, errors and events."""

    def check_address(self, call: Call) -> None:
        """Reject a call below a base URL that a service would not know, such as one without its version."""
        base = re.sub(r"/(?:chat/completions|responses|models|images/(?:generations|edits))$", "", call.request.path)
        host = urlsplit(self.settings.url).hostname
        # Other hosts are played by a fake, and services have paths of their own.
        if host in _STRICT_HOSTS and not re.fullmatch(_BASE, base):
            raise APIError("not-found", f"Invalid URL ({call.request.method} {call.request.path})")

    def check_key(self, call: Call) -> None:
        """Reject a call without a valid API key."""
        headers = call.request.headers
        scheme, _, key = headers.get("authorization", f"Bearer {headers.get('api-key', '')}").partition(" ")
        accepted = self.settings.api_keys
        if accepted is not None and (scheme.lower() != "bearer" or key not in accepted):
            raise APIError("unauthorized", f"Incorrect API key provided: {key}." if key else "You provided no API key.")

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build an error object with type, parameter and code."""
        return json_response({"error": error_object(error)}, error.status, error.headers)

    def error_event(self, error: APIError) -> bytes:
        """Build an event with the error object."""
        return sse_event({"error": error_object(error)})

    def keep_alive(self) -> bytes:
        """Build a comment line, as gateways send while they wait."""
        return b": PROCESSING\n\n"


class OpenAIModels(OpenAIWire):
    """The model list; any model name is accepted."""

    name = "openai-models"
    routes = (Route("GET", f"{ANY_BASE}/models", "models", "models"),)

    def models(self, call: Call) -> Response:
        """List some models."""
        self.check_address(call)
        self.check_key(call)
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "sandbox"} for name in MODELS]
        return json_response({"object": "list", "data": entries})


def error_object(error: APIError) -> dict[str, Any]:
    """Build the error object, with the type and code for its reason."""
    error_type, code = _CODES.get(error.reason, ("invalid_request_error", error.code))
    return {"message": error.message, "type": error_type, "param": error.param, "code": code}


def check_model(record: Mapping[str, Any], *, effort: Any, effort_path: str, endpoint: str) -> None:
    """Reject a model that is retired or of another endpoint, and parameters that it refuses, as OpenAI words it."""
    known = find_record("openai", str(record["model"]))
    check_retired(known, "The model `{model}` does not exist or you do not have access to it.")
    if known.get("endpoint") == "responses" and endpoint == "chat":
        raise APIError(
            "model-not-found",
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
            "Did you mean to use v1/completions?",
        )
    if endpoint == "chat" and "effort" in known and record.get("max_tokens") is not None:
        raise APIError(
            "bad-request",
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            code="unsupported_parameter",
            param="max_tokens",
        )
    name = sampling_of(known, record, defaults=(1, 0))
    # A model that need not reason takes them while it does not.
    reasons = "none" not in known.get("effort", "").split() or effort not in (None, "none")
    if name is not None and reasons:
        raise APIError(
            "bad-request",
            f"Unsupported value: '{name}' does not support {json.dumps(record[name])} with this model. "
            "Only the default (1) value is supported.",
            code="unsupported_value",
            param=name,
        )
    efforts = unsupported_effort(known, effort)
    if efforts is not None:
        values = ", ".join(map(repr, efforts))
        raise APIError(
            "bad-request",
            f"Unsupported value: '{effort}' is not supported with the '{record['model']}' model. "
            f"Supported values are: {values}.",
            code="unsupported_value",
            param=effort_path,
        )


def refuse_field(bad: BadField) -> APIError:
    """Return the error for a field as OpenAI words it."""
    value, field = json.dumps(bad.value)[:60], bad.field
    if field.kind == "enum" and bad.is_out_of_bounds:
        values = ", ".join(map(repr, field.values))
        message = f"Invalid value: {bad.value[:60]!r}. Supported values are: {values}."
        return APIError("bad-request", message, code="invalid_value")
    if not bad.is_out_of_bounds:
        message = f"Invalid type for '{bad.path}': expected {bad.expected}, but got {value} instead."
        return APIError("bad-request", message, code="invalid_type")
    kind = "integer" if field.kind == "integer" else "decimal"
    is_below = field.low is not None and bad.value < field.low
    side, sign, bound = ("below minimum", ">=", field.low) if is_below else ("above maximum", "<=", field.high)
    message = f"Invalid '{bad.path}': {kind} {side} value. Expected a value {sign} {bound:g}, but got {value} instead."
    code = f"{kind}_{'below_min' if is_below else 'above_max'}_value"
    return APIError("bad-request", message, code=code)


def refuse_missing(place: str, name: str) -> APIError:
    """Return the error for a field that is missing as OpenAI words it."""
    path = f"{place}.{name}" if place else name
    return APIError(
        "bad-request", f"Missing required parameter: '{path}'.", code="missing_required_parameter", param=path
    )


def content_text(content: Any) -> str:
    """Return the text of a message content, a string or a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("text"))
    return content if isinstance(content, str) else ""


def trailing_tool_results(messages: list[Any], role: str = "tool") -> list[str]:
    """Return the tool results at the end of a conversation; a message with their files may follow them."""
    results: list[str] = []
    last = messages[-1] if messages else {}
    if last.get("role") == "user" and (last.get("images") or has_files(last.get("content"))):
        messages = messages[:-1]
    for message in reversed(messages):
        if message.get("role") != role:
            break
        results.insert(0, content_text(message.get("content")))
    return results


def has_files(content: Any) -> bool:
    """Return whether a message content has a part that is not text."""
    parts = content if isinstance(content, list) else ()
    return any(isinstance(part, dict) and part.get("type") not in ("text", "refusal") for part in parts)
