"""Rows 113 to 123: keys, cookies, names and addresses that must not get out, and pictures that must not get in."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import logging
import pickle
import socket
import time

import pytest
from fault_checks import check_safe, fails
from fault_wires import ALL, KEY, OPENAI, STREAMING, named, row
from test_refusals import refused, says

from aichatkit import Client
from aichatkit.errors import (
    ChatError,
    ConfigurationError,
    StreamInterruptedError,
)
from aichatkit.sandbox.raw import RawServer, response
from aichatkit.transport import downloads


@row("113", *STREAMING)
def test_an_error_comes_out_of_a_pickle_as_it_went_in(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), "close"])
    with fails(StreamInterruptedError) as caught:
        fault.client.ask("Hi")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.partial) == (StreamInterruptedError, str(caught.value), "Hello")
    assert (again.provider, again.action) == (wire.provider, "stop")
    assert [type(attempt.error) for attempt in again.attempts] == [StreamInterruptedError]


@row("114")
@pytest.mark.parametrize("key", ["sk-secret\n", "sk secret", "sk-secrét", "sk-secret\x00", "", " sk-secret"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(wire, key):
    with pytest.raises(ConfigurationError, match="openai") as caught:
        Client(model="openai", api_key=key)
    check_safe(caught.value, secrets=(key.strip(),) if key.strip() else ())
    assert isinstance(caught.value, ValueError)
    assert "secr" not in str(caught.value)


@row("115", *ALL)
def test_a_netrc_changes_nothing(faults, monkeypatch, tmp_path, wire):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password from-netrc\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fault = faults(wire, wire.whole("Hello"))
    assert fault.client.ask("Hi").text == "Hello"
    sent = [request.headers.get("authorization") for request in fault.server.requests]
    expected = f"Bearer {KEY}" if wire.provider == "openai" else None
    assert set(sent) == {expected}


@row("116", *ALL)
def test_a_cookie_of_one_call_does_not_go_into_the_next(faults, wire):
    script = wire.whole("Hello")
    head, _, rest = script[0].partition(b"\r\n")
    fault = faults(wire, [head + b"\r\nSet-Cookie: conversation=mine\r\n" + rest, *script[1:]])
    for _ in range(2):
        assert fault.client.ask("Hi").text == "Hello"
    assert [request.headers.get("cookie") for request in fault.asked] == [None, None]
    assert len(fault.client.session.cookies) == 0


@row("117", *[wire for wire in ALL if wire.keyed])
def test_the_key_is_in_no_url_error_or_log(faults, caplog, wire):
    caplog.set_level(logging.DEBUG)
    fault = faults(wire, refused(500, says(f"trouble with {KEY}")), ["close"])
    with pytest.raises(ChatError) as caught:
        fault.client.ask("Hi")
    check_safe(caught.value)
    assert [request.target for request in fault.asked if KEY in request.target] == []
    assert caplog.records
    assert KEY not in caplog.text
    assert any(KEY in value for value in fault.asked[0].headers.values())


@row("117-everywhere", *[wire for wire in ALL if wire.keyed])
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(refused(400, says(f"bad {KEY}", code=KEY)), id="code"),
        pytest.param(refused(403, KEY.encode()), id="text"),
        pytest.param(refused(302, b"", ("Location", f"https://{KEY}.example/{KEY}")), id="redirect"),
        pytest.param(refused(500, f"<html><title>{KEY}</title>".encode(), ("Content-Type", "text/html")), id="title"),
        pytest.param(refused(401, says("no"), ("X-Request-Id", KEY)), id="request-id"),
        pytest.param([OPENAI.fixed(f"data: {KEY} {{\n\n".encode())], id="unreadable"),
        pytest.param([OPENAI.fixed(f'data: {{"error": "{KEY}"}}\n\n'.encode())], id="event"),
        pytest.param([f"HTTP/1.1 {KEY} {KEY}\r\n\r\n".encode(), "close"], id="status-line"),
    ],
)
def test_a_service_that_echoes_the_key_does_not_give_it_away(faults, wire, script):
    fault = faults(wire, script)
    with pytest.raises(ChatError) as caught:
        fault.client.ask("Hi")
    check_safe(caught.value)


@row("117-repr", OPENAI)
def test_no_repr_shows_the_key(faults, wire):
    fault = faults(wire, wire.whole("Hello"), retry=0)
    client = fault.client
    with client.stream("Hi") as stream:
        assert KEY not in repr(stream)
        reply = stream.read()
    for thing in (client, client._context, reply, client.session, stream.attempts):
        assert KEY not in repr(thing)
    assert KEY.encode() not in pickle.dumps(client)


@row("118", *ALL)
@pytest.mark.parametrize("model", ["x\r\nX-Evil: 1", "../../admin", "a b?c=d#e", "x\x00y", "é"])
def test_a_model_name_breaks_out_of_nothing(faults, wire, model):
    fault = faults(wire, wire.whole("Hello"))
    with contextlib.suppress(ConfigurationError):
        fault.client.ask("Hi", model=f"{wire.provider}/{model}")
    for request in fault.server.requests:
        assert "x-evil" not in request.headers
        assert ".." not in request.path
        assert "?c=d" not in request.target


PICTURE = b"\x89PNG\r\n\x1a\n" + b"0" * 64
IMAGE = [("Content-Type", "image/png")]
LOOPBACK = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "localhost", "127.0.0.1"]


def drawn(url: str) -> list[bytes]:
    body = f'{{"data": [{{"url": "{url}"}}]}}'.encode()
    return [response(body, headers=[("Content-Type", "application/json")])]


@pytest.fixture
def trap(monkeypatch, tls):
    """A second server on loopback that would answer with a picture, and names that lead to it."""
    look_up = socket.getaddrinfo

    def any_name(host, *args, **kwargs):
        # Undo the guard for numbers in other spellings: the system reads them as addresses.
        try:
            return look_up(host, *args, **kwargs)
        except OSError:
            return look_up(str(ipaddress.ip_address(socket.inet_aton(host))), *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", any_name)
    with RawServer([response(PICTURE, headers=IMAGE)], tls=tls) as server:
        yield server


@row("119", *named("aichats"))
@pytest.mark.parametrize("host", LOOPBACK)
def test_a_picture_on_this_machine_is_not_fetched(faults, trap, monkeypatch, authority, wire, host):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority[1]))
    port = trap.url.rpartition(":")[2]
    fault = faults(wire, drawn(f"https://{host}:{port}/secret.png"))
    with pytest.raises(ChatError) as caught:
        fault.client.image("a cat", model="aichats/dalle")
    check_safe(caught.value)
    assert trap.requests == []


@row("120", *named("aichats"))
def test_a_picture_that_leads_to_this_machine_by_a_redirect_is_not_fetched(faults, trap, wire):
    def script(request):
        if request.method == "GET":
            return [response(b"", status="302 Found", headers=[("Location", f"{trap.url}/secret.png")])]
        return drawn(f"{fault.server.url}/moved.png")

    fault = faults(wire, script)
    with pytest.raises(ChatError) as caught:
        fault.client.image("a cat", model="aichats/dalle")
    check_safe(caught.value)
    assert [request.path for request in fault.server.requests if request.method == "GET"] == ["/moved.png"]
    assert trap.requests == []


@row("121", *named("aichats"))
@pytest.mark.parametrize(
    "picture",
    [
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello"], id="page"),
        pytest.param([response(b"<html>hello</html>", headers=IMAGE)], id="page-as-picture"),
        pytest.param([response(b"", headers=IMAGE)], id="empty"),
        pytest.param([response(b"no", status="404 No")], id="missing"),
        pytest.param([response(PICTURE, headers=IMAGE)[:-20], "close"], id="cut"),
        pytest.param(["close"], id="closed"),
    ],
)
def test_what_is_no_picture_is_refused(faults, wire, picture):
    fault = faults(wire, lambda request: picture if request.method == "GET" else drawn(f"{fault.server.url}/a.png"))
    with pytest.raises(ChatError) as caught:
        fault.client.image("a cat", model="aichats/dalle")
    check_safe(caught.value)


@row("121-size", *named("aichats"))
def test_of_a_picture_without_end_only_so_much_is_read(faults, monkeypatch, wire):
    monkeypatch.setattr(downloads, "_MAX_BYTES", 1 << 20)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1073741824\r\n\r\n"

    def script(request):
        if request.method == "GET":
            return [head, PICTURE, itertools.repeat(b"0" * 65536)]
        return drawn(f"{fault.server.url}/a.png")

    fault = faults(wire, script)
    with pytest.raises(ChatError, match="larger than") as caught:
        fault.client.image("a cat", model="aichats/dalle")
    check_safe(caught.value)
    end = time.monotonic() + 5
    while not fault.server.left and time.monotonic() < end:
        time.sleep(0.001)
    assert len(fault.server.left) == 1


@row("121-whole", *named("aichats"))
def test_a_picture_of_the_providers_own_host_is_fetched(faults, wire):
    fault = faults(
        wire,
        lambda request: (
            [response(PICTURE, headers=IMAGE)] if request.method == "GET" else drawn(f"{fault.server.url}/a.png")
        ),
    )
    assert fault.client.image("a cat", model="aichats/dalle").bytes() == PICTURE


@row("122", *ALL)
def test_a_hook_that_raises_is_logged_and_the_call_goes_on(faults, caplog, wire):
    seen = []

    def hook(wait):
        seen.append(wait)
        raise LookupError("in the hook")

    fault = faults(wire, refused(503, b"busy"), wire.whole("Hello"), hooks={"wait": hook})
    assert fault.client.ask("Hi").text == "Hello"
    assert [(wait.provider, wait.attempt, wait.seconds) for wait in seen] == [(wire.provider, 1, 0.25)]
    assert "in the hook" in caplog.text


@row("123", *ALL)
def test_sleep_clock_and_random_numbers_are_those_of_the_policy(faults, wire):
    fault = faults(wire, refused(503, b"busy"), refused(503, b"busy"), wire.whole("Hello"))
    now = iter(range(0, 1000, 10))
    slept = []
    policy = fault.policy(sleep=slept.append, random=lambda: 0.75, clock=lambda: float(next(now)))
    reply = fault.client.ask("Hi", retry=policy)
    assert slept == [0.375, 0.75]
    assert reply.elapsed % 10 == 0
    assert reply.elapsed >= 10
