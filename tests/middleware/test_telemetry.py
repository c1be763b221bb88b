"""Telemetry: spans and metrics as OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from mcp_server import HTTPServer

from aichatkit import (
    AllProvidersFailedError,
    Client,
    ConfigurationError,
    QuotaExceededError,
    StreamInterruptedError,
    Telemetry,
    mcp,
)
from aichatkit.chunks import ToolCall
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage

trace = pytest.importorskip("opentelemetry.trace")
pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402 - only where it is installed
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

SECRET = "sk-test-secret-key"


class Collected:
    """What the SDK was told."""

    def __init__(self):
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(), MeterProvider([self._metrics])
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))

    @property
    def spans(self):
        return self._spans.get_finished_spans()

    @property
    def span(self):
        (span,) = self.spans
        return span

    def points(self, name):
        """Return the points of a metric, and its unit."""
        data = self._metrics.get_metrics_data()
        found = [
            (point, metric.unit)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]
        return [point for point, _ in found], {unit for _, unit in found}


@pytest.fixture
def collected():
    found = Collected()
    yield found
    found.tracers.shutdown()
    found.meters.shutdown()


@pytest.fixture
def make(sandbox, policy, collected):
    """Make clients of the sandbox that tell the SDK; they are closed at the end."""
    made = []

    def client(*, content=False, **options):
        told = Telemetry(content=content, tracer_provider=collected.tracers, meter_provider=collected.meters)
        options = {"model": "openai", "api_key": {"openai": SECRET}, "telemetry": told, **options}
        made.append(Client(base_url={"openai": f"{sandbox.url}/v1"}, retry=policy, **options))
        return made[-1]

    yield client
    for each in made:
        each.close()


def test_a_call_is_a_span_with_the_names_of_the_conventions(make, sandbox, collected):
    reply = make().ask("Hi", temperature=0.5, max_tokens=100, top_p=1, seed=7, stop="\n")
    span, port = collected.span, int(sandbox.url.rpartition(":")[2])
    assert (span.name, span.kind) == ("chat gpt-6-luna", trace.SpanKind.CLIENT)
    told = dict(span.attributes)
    assert 0 < told.pop("gen_ai.response.time_to_first_chunk") < 10
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-6-luna",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("\n",),
        "gen_ai.request.stream": True,
        "gen_ai.response.model": reply.model,
        "gen_ai.response.id": reply.id,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": reply.usage.input_tokens,
        "gen_ai.usage.output_tokens": reply.usage.output_tokens,
        "gen_ai.usage.cache_creation.input_tokens": reply.usage.cache_write_tokens,
        "gen_ai.usage.cache_read.input_tokens": reply.usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": reply.usage.reasoning_tokens,
        "server.address": "127.0.0.1",
        "server.port": port,
        "aichatkit.attempts": 1,
        "aichatkit.cost": reply.cost,
        "aichatkit.saved": reply.saved,
    }
    assert reply.id
    assert span.status.status_code is trace.StatusCode.UNSET


def test_a_span_is_the_child_of_the_caller_s_own(make, collected):
    tracer = collected.tracers.get_tracer("test")
    with tracer.start_as_current_span("outer") as outer:
        make().ask("Hi")
    inner = collected.spans[0]
    assert inner.parent.span_id == outer.get_span_context().span_id


def test_what_is_done_while_a_call_is_opened_is_below_its_span(make, collected):
    tracer, seen = collected.tracers.get_tracer("test"), []
    client = make(hooks={"request": lambda record: seen.append(trace.get_current_span())})
    with tracer.start_as_current_span("outer") as outer, client.stream("Hi") as stream:
        assert trace.get_current_span() is outer
        stream.read()
    assert seen[0].get_span_context() == collected.spans[0].get_span_context()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_mcp_server_gets_the_span_of_the_call_for_which_its_tool_runs(make, collected, mode):
    server = HTTPServer("modern" if mode == "auto" else "legacy")
    question = 'call add {"a": 1, "b": 2}'
    with mcp(server.url, mode=mode) as tools:
        client = make()
        client.ask(question, tools=[tools])
        # Where rounds run while a stream is read, the span is not the current one.
        client.stream(question, tools=[tools]).read()
        make(telemetry=None).ask(question, tools=[tools])
    server.close()
    spans = [span.get_span_context() for span in collected.spans]
    told = [params["_meta"].get("traceparent", "") for params in server.params_of("tools/call")]
    assert [text.split("-")[:3] for text in told] == [
        *(["00", f"{span.trace_id:032x}", f"{span.span_id:016x}"] for span in spans),
        [""],
    ]
    assert all(text.endswith(f"-{spans[0].trace_flags:02x}") for text in told[:2])


def test_without_a_span_context_an_mcp_server_gets_none(make):
    server = HTTPServer()
    with mcp(server.url) as tools:
        client = make(telemetry=Telemetry(tracer_provider=trace.NoOpTracerProvider()))
        client.ask('call add {"a": 1, "b": 2}', tools=[tools])
    server.close()
    assert "traceparent" not in server.params_of("tools/call")[0]["_meta"]


def test_a_span_lasts_until_its_stream_has_ended(make, collected):
    stream = make().stream("Hi")
    next(stream)
    assert collected.spans == ()
    stream.read()
    assert collected.span.attributes["gen_ai.response.finish_reasons"] == ("stop",)


def test_a_stream_that_is_left_ends_its_span_without_an_error(make, collected):
    with make().stream("Hi") as stream:
        next(stream)
    told = collected.span.attributes
    assert told["aichatkit.left"] is True
    assert "error.type" not in told
    assert collected.span.status.status_code is trace.StatusCode.UNSET


def test_a_failed_call_is_a_span_with_its_error(make, sandbox, collected):
    sandbox.script("quota")
    with pytest.raises(QuotaExceededError):
        make().ask("Hi")
    span = collected.span
    assert span.attributes["error.type"] == "QuotaExceededError"
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "QuotaExceededError")
    assert span.events == ()


def test_an_answer_that_breaks_off_is_an_error_as_well(make, sandbox, collected):
    sandbox.says("one two three four")
    sandbox.script("cut,after=2")
    with pytest.raises(StreamInterruptedError):
        make().ask("Hi")
    assert collected.span.attributes["error.type"] == "StreamInterruptedError"


def test_an_error_of_another_package_is_told_by_its_whole_name(make, collected, monkeypatch):
    client = make()

    def fail(*_):
        raise json.JSONDecodeError("x", "", 0)

    monkeypatch.setattr("aichatkit.call.fallback.open_answer", fail)
    with pytest.raises(json.JSONDecodeError):
        client.ask("Hi")
    assert collected.span.attributes["error.type"] == "json.decoder.JSONDecodeError"


def test_retries_are_one_span_that_counts_them(make, sandbox, collected):
    sandbox.script("overloaded")
    make().ask("Hi")
    assert collected.span.attributes["aichatkit.attempts"] == 2


def test_a_fallback_is_told_by_who_answered(make, sandbox, collected):
    sandbox.script("model-not-found")
    make(model=["openai/gpt-6-sol", "openai/gpt-6-luna"]).ask("Hi")
    assert (collected.span.name, collected.span.attributes["gen_ai.request.model"]) == (
        "chat gpt-6-luna",
        "gpt-6-luna",
    )


def test_where_all_have_failed_the_span_is_that_of_the_first(make, sandbox, collected):
    sandbox.script("model-not-found", "model-not-found")
    with pytest.raises(AllProvidersFailedError):
        make(model=["openai/gpt-6-sol", "openai/gpt-6-luna"]).ask("Hi")
    assert collected.span.name == "chat gpt-6-sol"


def test_duration_and_tokens_are_counted_with_the_recommended_buckets(make, sandbox, collected):
    reply = make().ask("Hi")
    (duration,), unit = collected.points("gen_ai.client.operation.duration")
    assert (unit, duration.count, duration.explicit_bounds[0], duration.explicit_bounds[-1]) == ({"s"}, 1, 0.01, 81.92)
    assert 0 < duration.sum < 10
    assert dict(duration.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-6-luna",
        "gen_ai.response.model": reply.model,
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.url.rpartition(":")[2]),
    }
    tokens, unit = collected.points("gen_ai.client.token.usage")
    assert unit == {"{token}"}
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in tokens} == {
        "input": reply.usage.input_tokens,
        "output": reply.usage.output_tokens,
    }
    assert tuple(tokens[0].explicit_bounds) == tuple(4**power for power in range(14))


def test_a_failed_call_has_a_duration_and_no_tokens(make, sandbox, collected):
    sandbox.script("quota")
    with pytest.raises(QuotaExceededError):
        make().ask("Hi")
    (duration,), _ = collected.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "QuotaExceededError"
    assert collected.points("gen_ai.client.token.usage") == ([], set())


def test_a_kept_answer_is_a_span_and_counts_nothing(make, collected):
    client = make(cache={})
    client.ask("Hi")
    client.ask("Hi")
    assert [span.attributes.get("aichatkit.cached") for span in collected.spans] == [None, True]
    assert [point.count for point in collected.points("gen_ai.client.operation.duration")[0]] == [1]
    assert {point.count for point in collected.points("gen_ai.client.token.usage")[0]} == {1}


def test_tokens_that_are_not_told_are_not_counted(make, sandbox, policy, collected):
    told = Telemetry(tracer_provider=collected.tracers, meter_provider=collected.meters)
    with Client(model="aichats", base_url=sandbox.url, retry=policy, telemetry=told) as client:
        client.ask("Hi")
    assert collected.points("gen_ai.client.token.usage") == ([], set())
    assert "gen_ai.usage.input_tokens" not in collected.span.attributes


def test_no_word_of_prompt_or_answer_is_told_by_default(make, sandbox, collected):
    sandbox.says("a-word-of-the-answer")
    client = make(system="a-word-of-the-system")
    client.ask("a-word-of-the-prompt")
    sandbox.script("bad-json")
    with pytest.raises(Exception, match="openai"):
        client.ask("a-word-of-the-prompt")
    assert "a-word-of" not in "".join(span.to_json() for span in collected.spans)


def test_content_is_told_on_request_and_keys_are_not(make, sandbox, collected):
    sandbox.says(f"Yes, {SECRET}.")
    make(content=True, system="Be brief.").ask(f"Is it {SECRET}?")
    told = collected.span.attributes
    assert json.loads(told["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be brief."}]
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Is it [key]?"}]}
    ]
    assert json.loads(told["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Yes, [key]."}], "finish_reason": "stop"}
    ]


def test_content_of_a_failed_call_has_its_message(make, sandbox, collected):
    sandbox.script("quota")
    with pytest.raises(QuotaExceededError) as caught:
        make(content=True).ask("Hi")
    assert collected.span.status.description == str(caught.value)
    assert "gen_ai.output.messages" not in collected.span.attributes


def test_content_of_an_answer_that_broke_off_is_what_came(make, sandbox, collected):
    sandbox.says("one two three four")
    sandbox.script("cut,after=2")
    with pytest.raises(StreamInterruptedError) as caught:
        make(content=True).ask("Hi")
    (message,) = json.loads(collected.span.attributes["gen_ai.output.messages"])
    assert (message["finish_reason"], message["parts"][0]["content"]) == ("error", caught.value.partial)


def test_files_and_tools_have_parts_of_their_own(make, collected):
    call = ToolCall("c1", "stock", {"article": "A-17"})
    picture = b"\x89PNG\r\n\x1a\n" + bytes(20)
    turns = [Message("user", "Hi"), ToolCallsMessage("assistant", "", (call,)), ToolResultMessage("tool", "4", call)]
    make(content=True).ask([*turns, Message("user", "So?")], files=[picture, "https://example.org/a.png?key=x"])
    told = json.loads(collected.span.attributes["gen_ai.input.messages"])
    assert [part for message in told[1:] for part in message["parts"]] == [
        {"type": "tool_call", "id": "c1", "name": "stock", "arguments": {"article": "A-17"}},
        {"type": "tool_call_response", "id": "c1", "response": "4"},
        {"type": "text", "content": "So?"},
        {"type": "file", "mime_type": "image/png", "modality": "image", "name": "", "bytes": 28},
        {"type": "uri", "mime_type": "image/png", "modality": "image", "uri": "https://example.org/a.png"},
    ]


def test_files_in_a_result_are_described(make, collected):
    call = ToolCall("c1", "shoot", {})
    parts = [{"type": "text", "text": "Here:"}, {"type": "file", "file": File("image", "image/png", "a.png", b"12")}]
    turns = [Message("user", "Hi"), ToolCallsMessage("assistant", "", (call,)), ToolResultMessage("tool", parts, call)]
    make(content=True).ask([*turns, Message("user", "So?")])
    told = json.loads(collected.span.attributes["gen_ai.input.messages"])
    assert told[2]["parts"][0]["response"] == [
        {"type": "text", "content": "Here:"},
        {"type": "file", "mime_type": "image/png", "modality": "image", "name": "a.png", "bytes": 2},
    ]


def test_a_schema_asks_for_json_and_several_stops_are_a_list(make, sandbox, collected):
    sandbox.says("[1]")
    make().ask("Hi", schema=list[int], stop=["a", "b"])
    told = collected.span.attributes
    assert (told["gen_ai.output.type"], told["gen_ai.request.stop_sequences"]) == ("json", ("a", "b"))


def test_a_drawing_is_generated_content(make, sandbox, collected):
    make().image("A cat", model="openai/gpt-image-2.5-flare")
    span = collected.span
    assert (span.name, span.attributes["gen_ai.output.type"]) == ("generate_content gpt-image-2.5-flare", "image")


def test_the_rows_of_a_map_are_below_the_caller_s_span(make, collected):
    tracer = collected.tracers.get_tracer("test")
    with tracer.start_as_current_span("run") as run:
        make().map(["a", "b", "c"], workers=3, progress=False)
    rows = [span for span in collected.spans if span.name != "run"]
    assert {span.parent.span_id for span in rows} == {run.get_span_context().span_id}
    assert len(rows) == 3


def test_spans_of_many_threads_are_not_mixed_up(make, collected):
    client, tracer = make(content=True), collected.tracers.get_tracer("test")

    def ask(number):
        with tracer.start_as_current_span(f"outer {number}"):
            return client.ask(f"Question {number}").id

    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(ask, range(24)))
    outer = {span.context.span_id: span.name for span in collected.spans if span.parent is None}
    inner = {outer[span.parent.span_id]: span for span in collected.spans if span.parent is not None}
    for number, name in enumerate(ids):
        told = inner[f"outer {number}"].attributes
        assert f'"Question {number}"' in told["gen_ai.input.messages"]
        assert told["gen_ai.response.id"] == name


@pytest.mark.parametrize(("name", "told"), [("gemini", "gcp.gemini"), ("mistral", "mistral_ai"), ("groq", "groq")])
def test_providers_have_the_names_of_the_conventions(sandbox, policy, collected, name, told):
    telemetry = Telemetry(tracer_provider=collected.tracers, meter_provider=collected.meters)
    with Client(model=name, api_key="sk-test", base_url=sandbox.url, retry=0, telemetry=telemetry) as client:
        sandbox.script("quota")
        with pytest.raises(QuotaExceededError):
            client.ask("Hi")
    assert collected.span.attributes["gen_ai.provider.name"] == told


@pytest.mark.parametrize(
    ("url", "port"), [("https://example.org/v1", 443), ("http://example.org/v1", 80), ("http://example.org:81", 81)]
)
def test_the_port_is_told_also_where_the_address_does_not(collected, monkeypatch, url, port):
    telemetry = Telemetry(tracer_provider=collected.tracers, meter_provider=collected.meters)
    monkeypatch.setattr("aichatkit.call.fallback.open_answer", lambda *_: 1 / 0)
    client = Client(model="openai", api_key="sk-test", base_url=url, telemetry=telemetry)
    with client, pytest.raises(ZeroDivisionError):
        client.ask("Hi")
    told = collected.span.attributes
    assert (told["server.address"], told["server.port"]) == ("example.org", port)


def test_true_uses_what_opentelemetry_was_set_up_with(client, sandbox):
    with Client(model="openai", api_key="sk-test", base_url=f"{sandbox.url}/v1", telemetry=True) as other:
        assert other.ask("Hi").text


@pytest.mark.parametrize("value", [None, False])
def test_it_is_off_unless_asked_for(value):
    assert list(Client(telemetry=value)._context.observers) == []


@pytest.mark.parametrize("value", ["yes", 1, {}])
def test_what_is_no_telemetry_is_refused(value):
    with pytest.raises(ConfigurationError, match="telemetry: must be True, False or a Telemetry"):
        Client(telemetry=value)


def test_without_opentelemetry_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'aichatkit\[otel\]'"):
        Client(telemetry=True)


def test_a_pickled_client_takes_its_telemetry_along():
    client = pickle.loads(pickle.dumps(Client(telemetry=Telemetry(content=True))))
    assert client._context.observers[0].content is True
