"""A minimal HTTP client on a bare socket: tests see the bytes on the wire, not what a library makes of them."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from aichatkit.sandbox.wires.aichatfree import sign

CHAT = {"model": "eliza", "messages": [{"role": "user", "content": "I am sad"}]}


@dataclass
class Received:
    """All bytes of one response, and how the connection ended: "closed" or "reset"."""

    raw: bytes
    end: str

    @property
    def status(self):
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self):
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def rest(self):
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def chunks(self):
        """The chunks of the body; the last one is empty if the body is complete."""
        found, rest = [], self.rest
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            found.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        return found

    @property
    def body(self):
        return b"".join(self.chunks) if "transfer-encoding" in self.headers else self.rest

    def json(self):
        return json.loads(self.body)


def dial(server):
    sock = socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def request_bytes(path, record=None, *, method="POST", headers=(), body=None, kind="application/json", keep=False):
    data = json.dumps(record).encode() if body is None else body
    lines = [f"{method} {path} HTTP/1.1", "Host: sandbox", f"Content-Length: {len(data) if method == 'POST' else 0}"]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [] if keep else ["Connection: close"]
    lines += [f"{name}: {value}" for name, value in dict(headers).items()]
    return "\r\n".join([*lines, "", ""]).encode() + (data if method == "POST" else b"")


def read_all(sock):
    raw = b""
    try:
        while data := sock.recv(65536):
            raw += data
    except ConnectionResetError:
        return Received(raw, "reset")
    return Received(raw, "closed")


def talk(server, path, record=None, **settings):
    with dial(server) as sock:
        sock.sendall(request_bytes(path, record, **settings))
        return read_all(sock)


def events(body):
    """Return the JSON of the events of a body without the end marker."""
    lines = [line for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]


def text_of(body):
    """Return the text of a stream of chat completion chunks."""
    choices = [choice for event in events(body) for choice in event["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


AJAX = "/wp-admin/admin-ajax.php"
FREE = {"messages": [{"role": "user", "parts": [{"text": "I am sad"}]}], "time": 1700000000000, "pass": None}


def aichats(content="I am sad", kind="chat"):
    return {"type": kind, "messagesHistory": [{"from": "you", "content": content}]}


def signed(secret="", **changes):
    record = {**FREE, **changes}
    text = "".join(part["text"] for part in record["messages"][-1]["parts"])
    return {**record, "sign": sign(record["time"], text, secret)}


def token(box):
    return talk(box, "/api/v1/user/getUniqueId?canvas=-abcdefghij", method="GET").json()["data"]


def visit(box, path="/"):
    """Return the tokens and cookie a browser would have after loading the page."""
    page = talk(box, path, method="GET")
    quote = '"' if 'data-nonce="' in page.body.decode() else "'"
    element = page.body.decode().partition("wpaicg-chat-shortcode")[2]
    found = {
        name: element.partition(f"{name}={quote}")[2].partition(quote)[0] for name in ("data-nonce", "data-post-id")
    }
    return found, {"Cookie": page.headers["set-cookie"].partition(";")[0]}


def form(tokens, **changes):
    fields = {
        "_wpnonce": tokens["data-nonce"],
        "post_id": tokens["data-post-id"],
        "action": "wpaicg_chat_shortcode_message",
        "message": "I am sad",
        "wpaicg_chat_history": "[]",
        **changes,
    }
    return {"body": urlencode(fields).encode(), "kind": "application/x-www-form-urlencoded"}
