from __future__ import annotations

import functools
from typing import ClassVar

import pytest
import requests
from answer_doubles import Scripted

from aichatkit.call.refusals import Change
from aichatkit.call.request import ProviderRequest, check_request, prepare, send_request
from aichatkit.chunks import Finish
from aichatkit.errors import BadResponseError, ChatError, ConfigurationError, ServerError
from aichatkit.messages import File, Message
from aichatkit.providers.base import Options, Tool
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.streams import Stream
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Deadline, Timeout
from aichatkit.transport.transport import Transport

MESSAGES = [Message("user", "Hi")]
#: Two events for the provider below, by their number.
BODY = [chunked_head("text/plain"), chunk(b"0"), chunk(b"1"), chunk(b"")]


class Plain(Scripted):
    """Takes no options, and asks for a token first."""

    def __init__(self, url: str, token: str = "") -> None:
        super().__init__("Hello", Finish("stop", last=True))
        self.api_endpoint = f"{url}/chat"
        self.token = token

    def prepare(self, http):
        return {"X-Token": self.token} if self.token else {}


class WithOptions(Plain):
    """Takes options."""

    params: ClassVar[dict[str, str]] = {"temperature": "generation.heat", "seed": "seed"}
    takes_tools = True
    takes_files = frozenset({"image"})
    max_file = 10

    def build_request(self, messages, model, *, options):
        body = {
            "model": model,
            "token": options.tokens.get("X-Token"),
            "said": [message.content for message in messages],
            "generation": {"heat": options.params.get("temperature")},
            "schema": options.schema,
        }
        return requests.Request("POST", self.api_endpoint, json=body)


@pytest.fixture
def http():
    held = Connections()
    yield Transport(held, provider="scripted", base_url="", timeout=Timeout(5, 5), deadline=Deadline())
    held.close()


def asked(provider, *, changes=(), **options) -> ProviderRequest:
    return ProviderRequest(provider, "model-1", MESSAGES, Options(**options), changes=changes)


def read(ask: ProviderRequest, http: Transport) -> str:
    return Stream(send_request(ask, http)).read().text


def test_an_answer_is_opened_up_to_its_first_text(http):
    with RawServer(BODY) as server:
        answer = send_request(asked(Plain(server.url)), http, clock=lambda: 1.0)
        assert answer.text == ""
        assert list(answer) == ["Hello"]
        assert (answer.reply.model, answer.reply.elapsed) == ("model-1", 0.0)


def test_tokens_become_headers_where_the_request_takes_no_options(http):
    with RawServer(BODY) as server:
        read(asked(Plain(server.url, "abc")), http)
        read(asked(Plain(server.url)), http)
        assert [request.headers.get("x-token") for request in server.requests] == ["abc", None]


def test_tokens_are_options_where_the_request_takes_them(http):
    with RawServer(BODY) as server:
        read(asked(WithOptions(server.url, "abc"), params={"temperature": 1}), http)
        sent = server.requests[0]
    assert (sent.json()["token"], sent.json()["generation"]) == ("abc", {"heat": 1})
    assert "x-token" not in sent.headers


HEAT = Change("temperature", "generation.heat", "leave_out")


def test_fields_are_left_out_wherever_they_stand(http):
    with RawServer(BODY) as server:
        read(asked(WithOptions(server.url), changes=[HEAT], params={"temperature": 1}), http)
        sent = server.requests[0].json()
    assert sent == {"model": "model-1", "token": None, "said": ["Hi"], "schema": None}


def test_leaving_a_field_out_of_a_body_that_is_no_object_does_nothing(http):
    class Listed(Plain):
        def build_request(self, messages, model):
            return requests.Request("POST", self.api_endpoint, json=["heat"])

    with RawServer(BODY) as server:
        read(asked(Listed(server.url), changes=[HEAT]), http)
        assert server.requests[0].json() == ["heat"]


def test_a_schema_the_service_does_not_know_is_asked_for_in_words(http):
    with RawServer(BODY) as server:
        read(asked(WithOptions(server.url), schema={"type": "string"}), http)
        sent = server.requests[0].json()
    assert sent["schema"] is None
    assert sent["said"][-1].startswith("Hi")
    assert '{"type": "string"}' in sent["said"][-1]


def test_a_schema_the_service_knows_is_handed_on(http):
    class Knows(WithOptions):
        takes_schema = True

    with RawServer(BODY) as server:
        read(asked(Knows(server.url), schema={"type": "string"}), http)
        assert server.requests[0].json()["schema"] == {"type": "string"}


@pytest.mark.parametrize(
    ("status", "kind"), [("500 No", ServerError), ("302 Found", BadResponseError), ("101 Switch", ChatError)]
)
def test_what_is_no_success_is_a_refusal(http, status, kind):
    with RawServer([response(b"no", status=status), "close"]) as server, pytest.raises(kind):
        read(asked(Plain(server.url)), http)


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "206 Partial"])
def test_every_success_is_read(http, status):
    with RawServer([BODY[0].replace(b"200 OK", status.encode()), *BODY[1:]]) as server:
        assert read(asked(Plain(server.url)), http) == "Hello"


def test_an_interrupt_before_the_first_text_frees_the_connection(http):
    class Stopped(Plain):
        def parse_event(self, event):
            raise KeyboardInterrupt

    with RawServer([*BODY[:2], "wait-close"]) as server:
        with pytest.raises(KeyboardInterrupt):
            send_request(asked(Stopped(server.url)), http)
        assert server.wait_closed()


# Handshakes.


@pytest.mark.parametrize("wrong", [ValueError, KeyError, TypeError, AttributeError, IndexError])
def test_a_handshake_that_cannot_be_read_names_the_provider(http, wrong):
    class Odd(Plain):
        def prepare(self, http):
            raise wrong("inside")

    with pytest.raises(BadResponseError, match="scripted: the handshake cannot be read"):
        prepare(Odd("http://x"), http)


def test_our_own_error_of_a_handshake_stays_as_it_is(http):
    error = ServerError("down")

    class Down(Plain):
        def prepare(self, http):
            raise error

    with pytest.raises(ServerError) as caught:
        prepare(Down("http://x"), http)
    assert caught.value is error


def test_a_request_that_cannot_be_built_names_the_provider(http):
    class Odd(Plain):
        def build_request(self, messages, model):
            raise KeyError("content")

    with pytest.raises(BadResponseError, match="scripted: the prompt cannot be read"):
        read(asked(Odd("http://x")), http)


# What is refused before anything is sent.


TOOL = Tool("look", "", {})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"params": {"temperature": 1}}, "temperature"),
        ({"tools": [TOOL]}, "tools"),
        ({"extra": {"a": 1}}, "extra"),
    ],
)
def test_what_a_provider_does_not_take_is_refused(options, told):
    with pytest.raises(ConfigurationError, match=told) as caught:
        check_request(asked(Plain("http://x"), **options))
    assert "scripted" in str(caught.value)
    assert caught.value.provider == "scripted"


def test_what_a_provider_takes_passes():
    check_request(asked(WithOptions("http://x"), params={"temperature": 1}, tools=[TOOL], extra={"a": 1}))


def with_file(provider, **file) -> ProviderRequest:
    given = {"kind": "image", "data": b"12345", "media_type": "image/png", "name": "a.png", **file}
    return ProviderRequest(provider, "model-1", [Message("user", [{"type": "file", "file": File(**given)}])], Options())


@pytest.mark.parametrize(
    ("provider", "file", "told"),
    [
        (Plain, {}, "text only"),
        (WithOptions, {"kind": "audio"}, "it takes image"),
        (WithOptions, {"data": b"0" * 11}, "at most 10 bytes, and a.png has 11"),
        (WithOptions, {"data": b"0" * 11, "name": ""}, "the image has 11"),
    ],
)
def test_a_file_a_provider_does_not_take_is_refused(provider, file, told):
    with pytest.raises(ConfigurationError, match=told) as caught:
        check_request(with_file(provider("http://x"), **file))
    assert caught.value.action == "next"


def test_a_file_a_provider_takes_passes():
    check_request(with_file(WithOptions("http://x"), data=b"0" * 10))


@pytest.mark.parametrize(
    "options",
    [
        {"logit_bias": {"1": {2}}},
        {"extra": {"a": object()}},
        {"extra": {"a": float("nan")}},
        {"extra": {"at": b"bytes"}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"default": {1}}}}]},
    ],
)
def test_what_cannot_be_told_in_json_is_refused_before_anything_is_sent(client, sandbox, slept, options):
    with pytest.raises(ConfigurationError, match=r"openai: the request is not JSON serializable"):
        client.ask("Hi", **options)
    assert (sandbox.requests, slept) == ([], [])


def takes(self, messages, model, *, options):
    return requests.Request("POST", self.url, json=dict(options.params))


def takes_none(self, messages, model):
    options = {}
    return requests.Request("POST", self.url, json=options)


@pytest.mark.parametrize(
    ("build", "taken"),
    [
        (takes, True),
        (takes_none, False),
        (lambda self, messages, model, **options: None, True),
        (functools.wraps(takes)(lambda *args, **kwargs: takes(*args, **kwargs)), True),
        (functools.wraps(takes_none)(lambda *args, options=None: takes_none(*args)), False),
        (functools.partial(takes_none, None), False),
    ],
)
def test_extra_fields_need_a_build_request_that_takes_options_however_it_is_written(build, taken):
    provider = type("Own", (Plain,), {"build_request": build})("http://127.0.0.1:9")
    ask = ProviderRequest(provider, "m", MESSAGES, Options(extra={"field": 1}))
    if taken:
        check_request(ask)
    else:
        with pytest.raises(ConfigurationError, match="does not take extra fields"):
            check_request(ask)


def test_a_provider_that_edits_its_messages_changes_no_other_try():
    class Edits(Scripted):
        takes_files = frozenset()

        def build_request(self, messages, model):
            messages.insert(0, Message("system", "Be brief."))
            return super().build_request(messages, model)

    class Refuses:
        def send(self, request):
            raise ServerError("no")

    messages = [Message("user", "Hi")]
    request = ProviderRequest(Edits(), "m", messages, Options())
    for _ in range(2):
        with pytest.raises(ServerError):
            send_request(request, Refuses())
    assert messages == [Message("user", "Hi")]
