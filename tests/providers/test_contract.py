"""What every provider of the registry promises; what is special about one stands in its own file.

A provider costs no line here: its recording, and that of its handshake if it has one, are found by its name.
"""

from __future__ import annotations

import inspect
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from recorded import ANYWHERE, Handshake, cut, handshake, in_pieces, recording

from aichatkit import Client
from aichatkit.errors import BlockedError, ChatError, ConfigurationError, RateLimitError, ServerError
from aichatkit.messages import Message
from aichatkit.params import PARAMS
from aichatkit.providers.base import Options, Provider
from aichatkit.providers.services import SERVICES
from aichatkit.registry import GROUPS, registry

KEY = "sk-contract-0123456789"
PROMPT = "xyzzy plugh"
PAGE = b"<!doctype html><html><head><title>Welcome</title></head><body>Hello!</body></html>"
CHALLENGE = b"<html><head><title>Just a moment...</title></head><body id='cf-please-wait'></body></html>"

#: Answers in text without any form: there hardly anything is garbage.
PLAIN_TEXT = {"aichatfree"}
#: Services that usually answer with one document although they are able to stream.
WHOLE = {"chatgptt"}
#: The server is started by the provider, so there is no handshake to record and no address to move.
OWN_SERVER = {"offline"}

NAMES = list(registry)
KEYED = [name for name in NAMES if registry[name].key_variables()]
SHAKING = [name for name in NAMES if registry[name].prepare is not Provider.prepare and name not in OWN_SERVER]
ENDING = [name for name in NAMES if registry[name].requires_end]
STREAMING = [name for name in NAMES if registry[name].supports_stream and name not in WHOLE]

every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def ask(web, policy):
    """Ask a provider that is answered with `body`, and its handshake with what was recorded or with `page`."""

    def ask_it(name: str, body: Any, *, page: bytes | None = None, **answer: Any):
        if page is None:
            page = handshake(name) if name in SHAKING else b""
        web.get(ANYWHERE, body=page, content_type="application/octet-stream")
        web.post(ANYWHERE, body=body, **{"content_type": "application/octet-stream", **answer})
        with Client(api_key={name: KEY} if name in KEYED else None, retry=0) as client:
            return client.ask(PROMPT, model=f"{name}/{model_of(name)}")

    return ask_it


@every
def test_it_declares_a_name_an_address_and_a_model(name):
    kind = registry[name]
    assert kind.name == name
    assert name not in GROUPS
    assert urlsplit(kind.url).scheme in ("http", "https")
    assert not kind.url.endswith("/")
    assert not kind.models or kind.default_model in kind.models
    assert inspect.getdoc(kind)


@every
def test_its_module_is_named_after_it_unless_it_is_a_row_of_services(name):
    module = "services" if name in SERVICES else name.replace("-", "_")
    assert registry[name].__module__ == f"aichatkit.providers.{module}"


@every
def test_it_has_no_constructor_of_its_own(name):
    assert registry[name].__init__ is Provider.__init__


@every
def test_its_parameters_go_by_the_names_of_the_package(name):
    assert set(registry[name].params) <= PARAMS


@every
def test_its_recordings_are_there(name):
    assert recording(name)
    if name in SHAKING:
        assert handshake(name)


@every
def test_a_request_is_built_without_network_for_its_own_host_and_carries_the_prompt(name, monkeypatch):
    provider = registry[name]()
    tokens = provider.prepare(Handshake(name))

    def refuse(*args, **kwargs):
        raise AssertionError("build_request reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    sent = build(provider, [Message("user", "xyzzy-plugh")], tokens).prepare()
    assert sent.method == "POST"
    assert urlsplit(sent.url).hostname == urlsplit(provider.url).hostname
    assert "xyzzy-plugh" in text_of(sent)


@every
def test_a_request_carries_every_turn(name):
    provider = registry[name]()
    turns = [Message("system", "one-sys"), Message("user", "two-usr"), Message("assistant", "three-ast")]
    turns.append(Message("user", [{"type": "text", "text": "four-usr"}, {"type": "text", "text": "five-usr"}]))
    sent = text_of(build(provider, turns, provider.prepare(Handshake(name))).prepare())
    assert all(part in sent for part in ("one-sys", "two-usr", "three-ast", "four-usr", "five-usr"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN_SERVER])
def test_base_url_moves_its_address_and_the_headers_that_name_it(name):
    provider = registry[name]("https://gateway.example/base/")
    assert provider.url == "https://gateway.example/base"
    request = build(provider, [Message("user", PROMPT)], provider.prepare(Handshake(name)))
    assert request.url.startswith("https://gateway.example/base/")
    shown = {header: value for header, value in (request.headers or {}).items() if "://" in value}
    assert all(value.startswith("https://gateway.example/base") for value in shown.values()), shown
    assert registry[name].url == registry[name]().url != provider.url


@pytest.mark.parametrize("name", KEYED)
def test_the_key_goes_into_a_header_and_nowhere_else(name, ask, web):
    ask(name, recording(name))
    for sent in (call.request for call in web.calls):
        assert KEY in " ".join(sent.headers.values())
        assert KEY not in sent.url
        assert KEY not in text_of(sent)


@every
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_its_recording_gives_the_same_text_however_it_is_cut(name, size):
    whole = text_by_hooks(name, [recording(name)])
    assert whole.strip()
    assert "\ufffd" not in whole
    assert text_by_hooks(name, cut(recording(name), size)) == whole


@every
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_client_reads_the_same_text_from_its_recording(name, size, ask):
    reply = ask(name, in_pieces(recording(name), size))
    assert reply.text == text_by_hooks(name, [recording(name)])
    assert reply.provider == name


@every
def test_an_answer_is_called_complete_only_where_an_end_marker_tells(name, ask):
    assert ask(name, recording(name)).complete is (True if name in ENDING else None)


@pytest.mark.parametrize("name", STREAMING)
def test_its_first_text_is_out_before_the_answer_is_in(name):
    body, given = recording(name), []

    def blocks():
        for block in cut(body, 1):
            given.append(block)
            yield block

    provider = registry[name]()
    texts = (text for event in provider.iter_events(blocks()) for text in texts_in(provider.parse_event(event)))
    assert next(text for text in texts if text)
    assert len(given) < len(body) / 2


@every
def test_reading_leaves_nothing_on_the_provider(name):
    provider = registry[name]()
    before = dict(vars(provider))
    for event in provider.iter_events([recording(name)]):
        provider.parse_event(event)
    assert vars(provider) == before


@pytest.mark.parametrize("name", ENDING)
def test_an_answer_that_stops_half_way_is_an_error(name, ask):
    body = recording(name)
    with pytest.raises(ChatError) as caught:
        ask(name, body[: len(body) // 2])
    assert caught.value.provider == name
    assert text_by_hooks(name, [body]).startswith(caught.value.partial)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PLAIN_TEXT])
@pytest.mark.parametrize("garbage", [b"\0\xff\xfe?!", b"{", b"{}", b"[1]", b"null", b'"text"', b"data:{]\n\n"])
def test_garbage_in_a_reply_is_an_error_that_names_it(name, garbage, ask):
    with pytest.raises(ChatError) as caught:
        ask(name, garbage)
    assert_named(caught.value, name)


@every
@pytest.mark.parametrize("body", [b"", b"\n\n", PAGE], ids=["nothing", "blanks", "a page"])
def test_an_answer_without_text_is_an_error_that_names_it(name, body, ask):
    with pytest.raises(ChatError) as caught:
        ask(name, body)
    assert_named(caught.value, name)


@every
def test_a_challenge_page_is_a_block(name, ask):
    with pytest.raises(BlockedError) as caught:
        ask(name, CHALLENGE, content_type="text/html")
    assert_named(caught.value, name)


@every
@pytest.mark.parametrize(
    ("status", "kind"), [(429, RateLimitError), (500, ServerError), (503, ServerError)], ids=["429", "500", "503"]
)
def test_a_refusal_that_passes_is_told_by_its_status(name, status, kind, ask):
    with pytest.raises(kind) as caught:
        ask(name, b"", status=status)
    assert caught.value.status == status
    assert_named(caught.value, name)


@pytest.mark.parametrize("name", SHAKING)
@pytest.mark.parametrize("garbage", [b"", b"\0\xff\xfe?!", b"{", b"{}", b"[1]", b"null", b"<![x[y", PAGE, CHALLENGE])
def test_garbage_in_a_handshake_is_an_error_that_names_it(name, garbage, ask, web):
    with pytest.raises(ChatError) as caught:
        ask(name, recording(name), page=garbage)
    assert_named(caught.value, name)
    assert {call.request.method for call in web.calls} == {"GET"}


def build(provider: Provider, messages: list[Message], tokens: Any) -> requests.Request:
    """Build a request as the client does, for a provider that sees options and for one that does not."""
    model = model_of(provider.name)
    if "options" in inspect.signature(provider.build_request).parameters:
        return provider.build_request(messages, model, options=Options(tokens=tokens))  # type: ignore[call-arg]
    request = provider.build_request(messages, model)
    request.headers = {**request.headers, **tokens}
    return request


def model_of(name: str) -> str:
    return registry[name].default_model or "some-model"


def text_of(sent: requests.PreparedRequest) -> str:
    return sent.body.decode() if isinstance(sent.body, bytes) else sent.body


def text_by_hooks(name: str, blocks: Any) -> str:
    provider = registry[name]()
    events = provider.iter_events(blocks, max_line=provider.max_line)
    return "".join(text for event in events for text in texts_in(provider.parse_event(event)))


def texts_in(chunk: Any) -> list[str]:
    if isinstance(chunk, str):
        return [chunk]
    return [text for part in chunk for text in texts_in(part)] if type(chunk) in (list, tuple) else []


def assert_named(error: ChatError, name: str) -> None:
    assert error.provider == name
    assert name in str(error)
    assert not isinstance(error, ConfigurationError)
