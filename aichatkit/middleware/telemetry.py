"""Observation -> OpenTelemetry: a span and two metrics, by the semantic conventions for generative AI."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aichatkit._reasons import reason_of
from aichatkit._version import __version__
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.hooks import Hook, redact_url
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage

if TYPE_CHECKING:
    from aichatkit.call.call import Call
    from aichatkit.middleware.observe import Observation

__all__ = ["Telemetry"]

_NAME = "aichatkit"
#: Bucket boundaries that the conventions recommend.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))
#: Providers that the conventions call by another name.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "openai-responses": "openai",
    "xai": "x_ai",
}
_FLOATS = ("frequency_penalty", "presence_penalty", "temperature", "top_k", "top_p")
_INTEGERS = ("max_tokens", "seed")
_INSTRUCTIONS = ("system", "developer")


class Telemetry:
    """Spans and metrics for `Client(telemetry=...)`; needs the extra `otel`.

    Without `tracer_provider` and `meter_provider` the global ones of OpenTelemetry are used, even if they are set up
    later. With `content=True` the spans contain prompts and answers, with keys hidden; by default they do not.
    A pickled Telemetry uses the global providers of the process that loads it.
    """

    on_chunk: Hook | None = None

    def __init__(self, *, content: bool = False, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise ConfigurationError(
                "telemetry: needs OpenTelemetry; pip install 'aichatkit[otel]'", reason=reason_of(error)
            ) from error
        for provider, name in ((tracer_provider, "tracer"), (meter_provider, "meter")):
            if provider is not None and not hasattr(provider, f"get_{name}"):
                raise ConfigurationError(
                    f"telemetry: {name}_provider must be one of OpenTelemetry, not {type(provider).__name__}"
                )
        self.content = content
        self._trace = trace
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )

    @classmethod
    def of(cls, value: Any) -> Telemetry | None:
        """Return the telemetry for a value that a user may pass: True, False, None or a Telemetry."""
        if value is None or value is False:
            return None
        if value is True:
            return cls()
        if isinstance(value, cls):
            return value
        raise ConfigurationError(f"telemetry: must be True, False or a Telemetry, not {value!r}")

    def begin(self, observation: Observation) -> Any:
        """Start a span as a child of the caller's; it is the current span while the call is opened."""
        span = self._tracer.start_span(
            _span_name(observation),
            kind=self._trace.SpanKind.CLIENT,
            attributes={**_source(observation), **_request(observation.call)},
        )
        observation.opening.enter_context(
            self._trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)
        )
        context = span.get_span_context()
        if context.is_valid:
            observation.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return span

    def end(self, observation: Observation, token: Any) -> None:
        """End the span with the outcome of the call, and record the metrics."""
        span, source, failure = token, _source(observation), _failure(observation.error)
        span.update_name(_span_name(observation))
        span.set_attributes({**source, **_response(observation), **failure})
        if self.content:
            span.set_attributes(_content(observation))
        if observation.error is not None:
            # Its message may quote the prompt or the answer.
            description = str(observation.error) if self.content else failure["error.type"]
            span.set_status(self._trace.StatusCode.ERROR, description)
        span.end()
        reply = observation.reply
        if reply is not None and reply.cached:
            # Nothing was sent, and no tokens were used.
            return
        if reply is not None:
            source = {**source, "gen_ai.response.model": reply.model}
            for token_type, count in (("input", reply.usage.input_tokens), ("output", reply.usage.output_tokens)):
                if count is not None:
                    self._tokens.record(count, {**source, "gen_ai.token.type": token_type})
        self._seconds.record(observation.elapsed, {**source, **failure})

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.content,)


def _restore(content: bool) -> Telemetry:
    return Telemetry(content=content)


def _operation(observation: Observation) -> str:
    return "generate_content" if _draws(observation.call) else "chat"


def _draws(call: Call) -> bool:
    target = call.targets[0]
    return target.provider.draws(target.model)


def _span_name(observation: Observation) -> str:
    return f"{_operation(observation)} {observation.model}"


def _source(observation: Observation) -> dict[str, Any]:
    """Return the attributes that spans and metrics share: operation, provider, model and server."""
    address = urlsplit(observation.address)
    return {
        "gen_ai.operation.name": _operation(observation),
        "gen_ai.provider.name": _PROVIDERS.get(observation.provider, observation.provider),
        "gen_ai.request.model": observation.model,
        "server.address": address.hostname or "",
        "server.port": address.port or (80 if address.scheme == "http" else 443),
    }


def _request(call: Call) -> dict[str, Any]:
    params: Mapping[str, Any] = call.options.params
    attributes: dict[str, Any] = {}
    for number_type, names in ((float, _FLOATS), (int, _INTEGERS)):
        numeric = [name for name in names if isinstance(params.get(name), (int, float))]
        attributes.update({f"gen_ai.request.{name}": number_type(params[name]) for name in numeric})
    stop = params.get("stop")
    if stop:
        attributes["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(map(str, stop))
    if call.options.schema is not None:
        attributes["gen_ai.output.type"] = "json"
    elif _draws(call):
        attributes["gen_ai.output.type"] = "image"
    attributes["gen_ai.request.stream"] = call.targets[0].provider.supports_stream
    return attributes


def _response(observation: Observation) -> dict[str, Any]:
    reply = observation.reply
    attributes: dict[str, Any] = {
        "gen_ai.response.time_to_first_chunk": observation.first_text,
        "aichatkit.attempts": len(observation.attempts),
    }
    if reply is not None:
        usage = reply.usage
        attributes.update(
            {
                "gen_ai.response.model": reply.model,
                "gen_ai.response.id": reply.id or None,
                "gen_ai.response.finish_reasons": [reply.finish_reason] if reply.finish_reason else None,
                "gen_ai.usage.input_tokens": usage.input_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
                "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
                "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
                "aichatkit.cost": reply.cost,
                "aichatkit.saved": reply.saved,
                "aichatkit.searches": usage.searches,
                "aichatkit.cached": reply.cached or None,
            }
        )
    elif observation.error is None:
        attributes["aichatkit.left"] = True
    return {name: value for name, value in attributes.items() if value is not None}


def _failure(error: BaseException | None) -> dict[str, str]:
    if error is None:
        return {}
    error_type = type(error)
    is_short = isinstance(error, ChatError) or error_type.__module__ == "builtins"
    name = error_type.__name__ if is_short else f"{error_type.__module__}.{error_type.__qualname__}"
    return {"error.type": name}


def _content(observation: Observation) -> dict[str, str]:
    """Return the messages and the answer in the form of the conventions, as JSON text."""
    messages = observation.call.messages
    instructions = [part for message in messages if message.role in _INSTRUCTIONS for part in _parts(message)]
    contents: dict[str, Sequence[Any]] = {
        "gen_ai.system_instructions": instructions,
        "gen_ai.input.messages": [
            {"role": message.role, "parts": _parts(message)}
            for message in messages
            if message.role not in _INSTRUCTIONS
        ],
    }
    if observation.text or observation.reply is not None:
        parts = [{"type": "text", "content": observation.text}]
        reason = observation.reply.finish_reason if observation.reply is not None else "error"
        contents["gen_ai.output.messages"] = [{"role": "assistant", "parts": parts, "finish_reason": reason}]
    return {
        name: observation.hide_keys(json.dumps(value, ensure_ascii=False, default=str))
        for name, value in contents.items()
        if value
    }


def _parts(message: Message) -> list[dict[str, Any]]:
    if isinstance(message, ToolResultMessage):
        response = message.content
        if not isinstance(response, str):
            response = [_part(part) for part in response]
        return [{"type": "tool_call_response", "id": message.call.id, "response": response}]
    content = message.content
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    described = [_part(part) for part in parts if part.get("text") != ""]
    for call in message.calls if isinstance(message, ToolCallsMessage) else ():
        described.append({"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments})
    return described


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    file = part.get("file")
    if not isinstance(file, File):
        return {"type": "text", "content": str(part.get("text", ""))}
    described = {"mime_type": file.media_type, "modality": file.kind}
    if file.url:
        return {"type": "uri", **described, "uri": redact_url(file.url)}
    return {"type": "file", **described, "name": file.name, "bytes": len(file.data)}
