from __future__ import annotations

import itertools
import socket
import ssl

import pytest
import requests
import trustme

import aichatkit.transport.downloads
from aichatkit.errors import (
    BadResponseError,
    BlockedError,
    ChatError,
    ConfigurationError,
    ConnectError,
    StreamInterruptedError,
)
from aichatkit.sandbox.raw import RawServer, response
from aichatkit.transport.connections import Connections
from aichatkit.transport.downloads import download, is_public
from aichatkit.transport.timeouts import Deadline, Timeout

PICTURE = b"GIF89a" + b"0" * 50
IMAGE = [("Content-Type", "image/gif")]
LIMITS = Timeout(connect=5, read=5)


@pytest.fixture
def fetch():
    made = []

    def get(url: str, *, home: str = "https://home.example", by=None, **options) -> bytes:
        made.append(Connections(**options))
        return download(url, made[-1], base_url=home, timeout=LIMITS, deadline=Deadline(), proxies=by)

    yield get
    for held in made:
        held.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, str(path)


@pytest.fixture
def trap(authority):
    """A server on this machine with a certificate for every name, and a picture for whoever asks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = ("127.0.0.1", "localhost", "::1", "pictures.example", "2130706433", "0x7f000001")
    authority[0].issue_cert(*names).configure_cert(context)
    with RawServer([response(PICTURE, headers=IMAGE)], tls=context) as server:
        yield server


@pytest.fixture
def all_names_lead_here(monkeypatch):
    """Every name and number is looked up as this machine, as a hostile name server would have it."""
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *args, **kwargs: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))],
    )


def port_of(server: RawServer) -> str:
    return server.url.rpartition(":")[2]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "pictures.example",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "LOCALHOST.",
    ],
)
def test_no_spelling_of_this_machine_is_asked(fetch, trap, authority, all_names_lead_here, host):
    with pytest.raises(ChatError) as caught:
        fetch(f"https://{host}:{port_of(trap)}/x.gif", verify=authority[1])
    assert isinstance(caught.value, (BlockedError, ConnectError))
    assert trap.requests == []


def test_the_address_is_checked_once_the_connection_stands(fetch, trap, authority, all_names_lead_here):
    with pytest.raises(BlockedError, match="not public"):
        fetch(f"https://pictures.example:{port_of(trap)}/x.gif", verify=authority[1])
    assert trap.wait_closed()
    assert trap.requests == []


def test_no_tls_handshake_reaches_a_private_address(fetch, all_names_lead_here):
    received = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://pictures.example:{listener.getsockname()[1]}/x.gif"
        with pytest.raises(BlockedError, match="not public"):
            fetch(url)
        taken, _ = listener.accept()
        with taken:
            received.append(taken.recv(100))
    assert received == [b""]


@pytest.mark.parametrize("location", ["http://[/", "https://[::1", "//[", "https://h:port/x.gif", "http://[v1.x]/"])
def test_a_redirect_to_an_invalid_url_is_an_error(fetch, location):
    script = [response(b"", status="302 Found", headers=[("Location", location)])]
    with RawServer(script) as server, pytest.raises(ChatError) as caught:
        fetch(f"{server.url}/x.gif", home=server.url)
    assert isinstance(caught.value, (BadResponseError, BlockedError))
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/html", "video/mp4", "application/pdf"])
def test_other_content_types_are_rejected(fetch, kind):
    script = [response(PICTURE, headers=[("Content-Type", kind)])]
    with RawServer(script) as server, pytest.raises(BadResponseError, match=f"got {kind}"):
        fetch(f"{server.url}/x.gif", home=server.url)


@pytest.mark.parametrize(
    "url", ["http://pictures.example/x.gif", "ftp://pictures.example/x.gif", "file:///etc/passwd", "//x", "x.gif", ""]
)
def test_only_https_is_asked(fetch, url):
    with pytest.raises(BlockedError, match="https"):
        fetch(url)


def test_a_public_address_is_asked(fetch, trap, authority, all_names_lead_here, monkeypatch):
    monkeypatch.setattr(aichatkit.transport.downloads, "is_public", lambda address: address == "127.0.0.1")
    url = f"https://pictures.example:{port_of(trap)}/x.gif"
    assert fetch(url, verify=authority[1], headers={"X-Secret": "1"}) == PICTURE
    sent = trap.requests[0].headers
    # Nothing of the user goes along.
    assert {"x-secret", "cookie", "authorization"} & set(sent) == set()
    assert sent["accept-encoding"] == "identity"


def test_the_proxy_of_a_call_is_the_proxy_of_its_picture(fetch):
    with RawServer([response(PICTURE, headers=IMAGE)]) as proxy:
        url = "http://home.example/x.gif"
        assert fetch(url, home=url, by={"http": proxy.url}, proxies={"http": "http://127.0.0.1:1"}) == PICTURE
        assert proxy.requests[0].headers["host"] == "home.example"


def test_a_certificate_of_the_user_is_shown_to_nobody_else(fetch, trap, authority, all_names_lead_here, monkeypatch):
    monkeypatch.setattr(aichatkit.transport.downloads, "is_public", lambda address: True)
    session = requests.Session()
    session.cert, session.verify = "/nowhere/client.pem", authority[1]
    url = f"https://pictures.example:{port_of(trap)}/x.gif"
    assert fetch(url, session=session) == PICTURE
    with pytest.raises(ConfigurationError, match="certificate"):
        fetch(url, session=session, home=url)


@pytest.mark.parametrize("url", ["https://[::1/x.gif", "https://pictures.example:99999/x.gif", "https://a:b/x.gif"])
def test_an_address_that_cannot_be_read_is_our_error(fetch, url):
    with pytest.raises(BadResponseError, match="address cannot be read"):
        fetch(url)


def test_an_invalid_host_is_the_fault_of_the_answer(fetch):
    with pytest.raises(BadResponseError, match="the picture's URL is invalid") as caught:
        fetch("https://*.example.com/a.gif")
    assert caught.value.action == "next"


def test_the_providers_own_host_is_asked_wherever_it_is(fetch):
    with RawServer([response(PICTURE, headers=IMAGE)]) as server:
        assert fetch(f"{server.url}/x.gif", home=f"{server.url}/v1") == PICTURE


@pytest.mark.parametrize("other", ["port", "scheme", "name"])
def test_another_port_scheme_or_name_is_not_the_providers_own(fetch, other):
    with RawServer([response(PICTURE, headers=IMAGE)]) as server:
        home = {
            "port": "http://127.0.0.1:1",
            "scheme": server.url.replace("http:", "https:"),
            "name": server.url.replace("127.0.0.1", "localhost"),
        }[other]
        with pytest.raises(BlockedError):
            fetch(f"{server.url}/x.gif", home=home)
        assert server.connections == 0


def test_no_netrc_is_used(fetch, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pw\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with RawServer([response(PICTURE, headers=IMAGE)]) as server:
        fetch(f"{server.url}/x.gif", home=server.url)
        assert "authorization" not in server.requests[0].headers


def moved(location: str, status: str = "302 Found") -> list[bytes]:
    return [response(b"", status=status, headers=[("Location", location)])]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_followed_by_hand(fetch, status):
    with RawServer(moved("../y.gif", status), [response(PICTURE, headers=IMAGE)]) as server:
        assert fetch(f"{server.url}/a/x.gif", home=server.url) == PICTURE
        assert [request.path for request in server.requests] == ["/a/x.gif", "/y.gif"]


def test_each_hop_is_checked(fetch, trap, authority):
    with RawServer(moved(f"{trap.url}/x.gif")) as server:
        with pytest.raises(BlockedError):
            fetch(f"{server.url}/x.gif", home=server.url, verify=authority[1])
        assert trap.requests == []


def test_a_redirect_to_plain_http_is_not_followed(fetch, trap, authority, all_names_lead_here, monkeypatch):
    monkeypatch.setattr(aichatkit.transport.downloads, "is_public", lambda address: True)
    with RawServer(moved("http://pictures.example/x.gif")) as server, pytest.raises(BlockedError, match="https"):
        fetch(f"{server.url}/x.gif", home=server.url)


@pytest.mark.parametrize(("hops", "works"), [(3, True), (4, False)])
def test_redirects_are_counted(fetch, hops, works):
    with RawServer(*[moved("/next.gif")] * hops, [response(PICTURE, headers=IMAGE)]) as server:
        if works:
            assert fetch(f"{server.url}/x.gif", home=server.url) == PICTURE
        else:
            with pytest.raises(BadResponseError, match="more than 3 redirects"):
                fetch(f"{server.url}/x.gif", home=server.url)
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (response(PICTURE, headers=[("Content-Type", "text/html; charset=utf-8")]), "text/html"),
        (response(b"<html>", headers=IMAGE), "not an image"),
        (response(b"", headers=IMAGE), "not an image"),
        (response(b"gone", status="404 Not Found"), "status 404"),
        (response(b"", status="204 No Content"), "status 204"),
    ],
)
def test_what_is_no_picture_is_refused(fetch, answer, told):
    with RawServer([answer]) as server, pytest.raises(BadResponseError, match=told):
        fetch(f"{server.url}/x.gif", home=server.url)


@pytest.mark.parametrize("kind", ["image/gif", "IMAGE/GIF; x=y", "image/png", "application/octet-stream", ""])
def test_the_first_bytes_tell_a_picture(fetch, kind):
    with RawServer([response(PICTURE, headers=[("Content-Type", kind)] if kind else [])]) as server:
        assert fetch(f"{server.url}/x.gif", home=server.url) == PICTURE


def test_the_size_is_bounded_while_reading(fetch, monkeypatch):
    monkeypatch.setattr(aichatkit.transport.downloads, "_MAX_BYTES", 100)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\n\r\n"
    with RawServer([head, PICTURE, itertools.repeat(b"0" * 65536)]) as server:
        with pytest.raises(BadResponseError, match="larger than 100 bytes"):
            fetch(f"{server.url}/x.gif", home=server.url)
        assert server.wait_closed()
    assert server.left == [1]


def test_a_picture_that_was_cut_is_told(fetch):
    with RawServer([response(PICTURE, headers=IMAGE)[:-10], "close"]) as server, pytest.raises(StreamInterruptedError):
        fetch(f"{server.url}/x.gif", home=server.url)


def test_a_host_that_is_down_is_told(fetch):
    with RawServer() as server:
        url = server.url
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1"):
        fetch(f"{url}/x.gif", home=url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.215.14", False),
        ("::ffff:0:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("::93.184.215.14", False),
        ("64:ff9b:1::7f00:1", False),
        ("fec0::1", False),
        ("feff::1", False),
        ("5f00::1", False),
        ("100::1", False),
        ("4000::1", False),
        ("2001:db8::1", False),
        ("2001:10::1", False),
        ("3fff::1", False),
        ("192.0.0.8", False),
        ("192.0.0.170", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
        ("192.0.1.1", True),
        ("192.88.98.1", True),
        ("2a00:1450:4001::200e", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d70e", False),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
    ],
)
def test_an_address_is_public_or_not(address, public):
    assert is_public(address) is public


def test_an_exception_that_the_caller_handles_is_not_a_cause(fetch):
    with RawServer() as server:
        url = server.url
    try:
        raise requests.Timeout("theirs")
    except requests.Timeout:
        with pytest.raises(ConnectError, match="Connection refused"):
            fetch(f"{url}/a.gif", home=url)
