"""Calls -> OpenTelemetry: a span and two metrics for each, by the semantic conventions for generative AI."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aichatkit._version import __version__
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.hooks import Hook, redact_url
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage

if TYPE_CHECKING:
    from aichatkit.call.attempt import Call
    from aichatkit.middleware.observe import Observation

__all__ = ["Telemetry"]

_NAME = "aichatkit"
#: The boundaries that the conventions recommend.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))
#: Providers whose names are others there.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "openai-responses": "openai",
    "xai": "x_ai",
}
_DECIMALS = ("frequency_penalty", "presence_penalty", "temperature", "top_k", "top_p")
_WHOLES = ("max_tokens", "seed")
_INSTRUCTIONS = ("system", "developer")


class Telemetry:
    """Spans and metrics for `Client(telemetry=...)`; it takes the extra `otel`.

    Without providers of your own those count that OpenTelemetry was set up with, also when that happens later.
    With `content=True` the spans hold prompts and answers, keys hidden; by default they hold none.
    A pickled one uses what is set up where it arrives.
    """

    on_chunk: Hook | None = None

    def __init__(self, *, content: bool = False, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise ConfigurationError("telemetry: needs OpenTelemetry; pip install 'aichatkit[otel]'") from error
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
        """Return the telemetry for what a user may pass: True, False, None or a Telemetry."""
        if value is None or value is False:
            return None
        if value is True:
            return cls()
        if isinstance(value, cls):
            return value
        raise ConfigurationError(f"telemetry: must be True, False or a Telemetry, not {value!r}")

    def begin(self, course: Observation) -> Any:
        """Start the span below the caller's own; while the call is opened it is the current one."""
        span = self._tracer.start_span(
            _span_name(course),
            kind=self._trace.SpanKind.CLIENT,
            attributes={**_place(course), **_asked(course.call)},
        )
        course.opening.enter_context(
            self._trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)
        )
        return span

    def end(self, course: Observation, begun: Any) -> None:
        """End the span with what came of the call, and count."""
        place, failed = _place(course), _failed(course.error)
        begun.update_name(_span_name(course))
        begun.set_attributes({**place, **_answered(course), **failed})
        if self.content:
            begun.set_attributes(_content(course))
        if course.error is not None:
            # Its message may quote what was asked or answered.
            told = str(course.error) if self.content else failed["error.type"]
            begun.set_status(self._trace.StatusCode.ERROR, told)
        begun.end()
        reply = course.reply
        if reply is not None and reply.cached:
            # Nobody was asked, and nothing was used.
            return
        if reply is not None:
            place = {**place, "gen_ai.response.model": reply.model}
            for kind, count in (("input", reply.usage.input_tokens), ("output", reply.usage.output_tokens)):
                if count is not None:
                    self._tokens.record(count, {**place, "gen_ai.token.type": kind})
        self._seconds.record(course.elapsed, {**place, **failed})

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.content,)


def _made(content: bool) -> Telemetry:
    return Telemetry(content=content)


def _operation(course: Observation) -> str:
    return "generate_content" if _draws(course.call) else "chat"


def _draws(call: Call) -> bool:
    target = call.targets[0]
    return target.provider.draws(target.model)


def _span_name(course: Observation) -> str:
    return f"{_operation(course)} {course.model}"


def _place(course: Observation) -> dict[str, Any]:
    """Return who is asked, for spans and metrics alike."""
    address = urlsplit(course.address)
    return {
        "gen_ai.operation.name": _operation(course),
        "gen_ai.provider.name": _PROVIDERS.get(course.provider, course.provider),
        "gen_ai.request.model": course.model,
        "server.address": address.hostname or "",
        "server.port": address.port or (80 if address.scheme == "http" else 443),
    }


def _asked(call: Call) -> dict[str, Any]:
    params: Mapping[str, Any] = call.options.params
    told: dict[str, Any] = {}
    for kind, names in ((float, _DECIMALS), (int, _WHOLES)):
        given = [name for name in names if isinstance(params.get(name), (int, float))]
        told.update({f"gen_ai.request.{name}": kind(params[name]) for name in given})
    stop = params.get("stop")
    if stop:
        told["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(map(str, stop))
    if call.options.schema is not None:
        told["gen_ai.output.type"] = "json"
    elif _draws(call):
        told["gen_ai.output.type"] = "image"
    told["gen_ai.request.stream"] = call.targets[0].provider.supports_stream
    return told


def _answered(course: Observation) -> dict[str, Any]:
    reply = course.reply
    told: dict[str, Any] = {
        "gen_ai.response.time_to_first_chunk": course.first,
        "aichatkit.attempts": len(course.attempts),
    }
    if reply is not None:
        usage = reply.usage
        told.update(
            {
                "gen_ai.response.model": reply.model,
                "gen_ai.response.id": reply.id or None,
                "gen_ai.response.finish_reasons": [reply.finish_reason] if reply.finish_reason else None,
                "gen_ai.usage.input_tokens": usage.input_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
                "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
                "aichatkit.cost": reply.cost,
                "aichatkit.cached": reply.cached or None,
            }
        )
    elif course.error is None:
        told["aichatkit.left"] = True
    return {name: value for name, value in told.items() if value is not None}


def _failed(error: BaseException | None) -> dict[str, str]:
    if error is None:
        return {}
    kind = type(error)
    known = isinstance(error, ChatError) or kind.__module__ == "builtins"
    return {"error.type": kind.__name__ if known else f"{kind.__module__}.{kind.__qualname__}"}


def _content(course: Observation) -> dict[str, str]:
    """Return what was asked and answered, in the form of the conventions, as JSON text."""
    messages = course.call.messages
    instructions = [part for message in messages if message.role in _INSTRUCTIONS for part in _parts(message)]
    told: dict[str, Sequence[Any]] = {
        "gen_ai.system_instructions": instructions,
        "gen_ai.input.messages": [
            {"role": message.role, "parts": _parts(message)}
            for message in messages
            if message.role not in _INSTRUCTIONS
        ],
    }
    if course.text or course.reply is not None:
        parts = [{"type": "text", "content": course.text}]
        reason = course.reply.finish_reason if course.reply is not None else "error"
        told["gen_ai.output.messages"] = [{"role": "assistant", "parts": parts, "finish_reason": reason}]
    return {
        name: course.hidden(json.dumps(value, ensure_ascii=False, default=str)) for name, value in told.items() if value
    }


def _parts(message: Message) -> list[dict[str, Any]]:
    if isinstance(message, ToolResultMessage):
        return [{"type": "tool_call_response", "id": message.call.id, "response": message.content}]
    content = message.content
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    told = [_part(part) for part in parts if part.get("text") != ""]
    for call in message.calls if isinstance(message, ToolCallsMessage) else ():
        told.append({"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments})
    return told


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    file = part.get("file")
    if not isinstance(file, File):
        return {"type": "text", "content": str(part.get("text", ""))}
    told = {"mime_type": file.media_type, "modality": file.kind}
    if file.url:
        return {"type": "uri", **told, "uri": redact_url(file.url)}
    return {"type": "file", **told, "name": file.name, "bytes": len(file.data)}
