"""What the OpenAI wires share: the key, the refusals, the model list and pictures."""

from __future__ import annotations

import base64
import json
from typing import Any

from aichatkit.sandbox.exchange import Answer, Request, Trouble, json_answer
from aichatkit.sandbox.pictures import png
from aichatkit.sandbox.wires.base import Call, Route, Wire, need, read_json

MODELS = ("eliza", "eliza-mini", "gpt-4o", "gpt-4o-mini")

#: Compatible services have all kinds of paths before the one that counts.
ANY_BASE = r"(?:/[\w.-]+)*"

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
    """Keys, refusals and events, as all wires of the family have them."""

    def parse_key(self, call: Call) -> None:
        """Refuse a call without a key that is good."""
        headers = call.request.headers
        scheme, _, key = headers.get("authorization", f"Bearer {headers.get('api-key', '')}").partition(" ")
        accepted = self.settings.api_keys
        if accepted is not None and (scheme.lower() != "bearer" or key not in accepted):
            raise Trouble("unauthorized", f"Incorrect API key provided: {key}." if key else "You provided no API key.")

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make an error object with type, parameter and code."""
        return json_answer({"error": error_object(trouble)}, trouble.status, trouble.headers)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make an event with the error object."""
        return event({"error": error_object(trouble)})

    def comment(self) -> bytes:
        """Make a comment line, as gateways do while they wait."""
        return b": PROCESSING\n\n"


class OpenAIModels(OpenAIWire):
    """The model list and pictures; any model name is taken."""

    name = "openai-models"
    routes = (
        Route("GET", f"{ANY_BASE}/models", "models", "models"),
        Route("POST", f"{ANY_BASE}/images/generations", "pictures"),
    )

    def models(self, call: Call) -> Answer:
        """List some models."""
        self.parse_key(call)
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "sandbox"} for name in MODELS]
        return json_answer({"object": "list", "data": entries})

    def pictures(self, call: Call) -> Answer:
        """Draw: as data, or for the older models as addresses."""
        self.parse_key(call)
        record = read_json(call.request)
        need(record, [("prompt", str)])
        call.read([record["prompt"]])
        older = str(record.get("model", "")).startswith("dall-e")
        by_address = record.get("response_format", "url" if older else "b64_json") == "url"
        names = [f"{self.token(record['prompt'], number)[:12]}.png" for number in range(int(record.get("n") or 1))]
        draw = self._address if by_address else self._data
        return json_answer({"created": 0, "data": [draw(call, name) for name in names]})

    def _address(self, call: Call, name: str) -> dict[str, str]:
        return {"url": f"{self.settings.url}{call.request.prefix}/img/{name}"}

    def _data(self, call: Call, name: str) -> dict[str, str]:
        return {"b64_json": base64.b64encode(png(name)).decode()}


def error_object(trouble: Trouble) -> dict[str, Any]:
    """Make the error object, with the type and code that the kind of trouble has."""
    kind, code = _CODES.get(trouble.kind, ("invalid_request_error", None))
    return {"message": trouble.message, "type": kind, "param": None, "code": code}


def event(record: Any, name: str = "") -> bytes:
    """Make one event, with a name if the wire gives them names."""
    title = f"event: {name}\n" if name else ""
    return f"{title}data: {json.dumps(record)}\n\n".encode()


def content_text(content: Any) -> str:
    """Read the text out of a content that is a string or a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("text"))
    return content if isinstance(content, str) else ""


def results_at_end(messages: list[Any], role: str = "tool") -> list[str]:
    """Read what tools have returned after the last other message."""
    found: list[str] = []
    for message in reversed(messages):
        if message.get("role") != role:
            break
        found.insert(0, content_text(message.get("content")))
    return found
