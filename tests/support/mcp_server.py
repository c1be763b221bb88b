"""An MCP server of our own for tests: both eras of the protocol, over HTTP, HTTP+SSE and standard input and output."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOOLS = [
    {
        "name": "add",
        "description": "Add two numbers.",
        "inputSchema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["a", "b"],
        },
        "annotations": {"readOnlyHint": True},
    },
    {"name": "files.read", "title": "Read a file", "inputSchema": {"type": "object"}},
    {"name": "fail", "description": "Fail.", "inputSchema": {}},
]
#: What a tool asks the user for, with the fault "form".
FORM = {
    "message": "Who?",
    "requestedSchema": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 30}},
    },
}
MODERN = "2026-07-28"
LEGACY = "2025-11-25"


def answer(message, result):
    return {"jsonrpc": "2.0", "id": message.get("id"), "result": result}


def error(message, code, text, data=None):
    fields = {"code": code, "message": text, **({} if data is None else {"data": data})}
    return {"jsonrpc": "2.0", "id": message.get("id"), "error": fields}


def text_result(text, **fields):
    return {"content": [{"type": "text", "text": text}], **fields}


def respond(message, era):
    """Return the answer to a message, None for a notification."""
    method, params = message.get("method"), message.get("params") or {}
    if "id" not in message or method is None:
        return None
    meta = params.get("_meta", {})
    is_modern = "io.modelcontextprotocol/protocolVersion" in meta
    if era == "legacy" and (is_modern or method == "server/discover"):
        return error(message, -32601, "Method not found")
    if era == "modern" and not is_modern:
        return error(message, -32022, "Unsupported protocol version", {"supported": [MODERN]})
    if method == "server/discover":
        info = {"io.modelcontextprotocol/serverInfo": {"name": "test", "version": "1"}}
        return answer(message, {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "_meta": info})
    if method == "initialize":
        server = {"serverInfo": {"name": "test", "version": "1"}, "capabilities": {"tools": {}}}
        return answer(message, {"protocolVersion": LEGACY, "instructions": "Add.", **server})
    if method == "tools/list":
        return answer(message, {"tools": TOOLS})
    if method == "tools/call":
        return answer(message, call(params["name"], params.get("arguments", {})))
    return error(message, -32601, "Method not found")


def call(name, arguments):
    if name == "add":
        return text_result(str(arguments["a"] + arguments["b"]), structuredContent={"sum": 0})
    if name == "files.read":
        return text_result("contents")
    return text_result("it broke", isError=True)


class HTTPServer(ThreadingHTTPServer):
    """The server over HTTP; `on` replaces the response to a method."""

    daemon_threads = True

    def __init__(self, era="modern", style="json", session=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.era, self.style, self.has_session = era, style, session
        #: (HTTP method, headers, message) of each request.
        self.received = []
        self.bodies = []
        self.sessions = set()
        self.old_streams = {}
        self._replacements = {}
        self.url = f"http://127.0.0.1:{self.server_port}/mcp"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def on(self, method, *responses):
        """Let the next requests of a method be answered by these functions of (handler, message), one each."""
        self._replacements.setdefault(method, []).extend(responses)

    def replacement(self, method):
        responses = self._replacements.get(method)
        return responses.pop(0) if responses else None

    def methods(self):
        return [message.get("method") for _, _, message in self.received if message]

    def headers_of(self, method):
        return [headers for _, headers, message in self.received if message and message.get("method") == method]

    def params_of(self, method):
        return [message["params"] for _, _, message in self.received if message and message.get("method") == method]

    def handle_error(self, request, client_address):
        pass

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = json.loads(body)
        self.server.bodies.append(body)
        self.server.received.append(("POST", self.headers, message))
        replacement = self.server.replacement(message.get("method"))
        if replacement is not None:
            replacement(self, message)
            return
        if self.path.startswith("/messages"):
            reply = respond(message, "legacy")
            if reply:
                self.server.old_streams[self.path].put(reply)
            self.send_body(202, b"")
            return
        if self.server.era == "old":
            self.send_body(404, b"not found", "text/plain")
            return
        self.send_reply(message)

    def do_GET(self):
        self.server.received.append(("GET", self.headers, None))
        replacement = self.server.replacement("GET")
        if replacement is not None:
            replacement(self, None)
        elif self.server.era == "old":
            self.old_stream()
        else:
            self.send_body(405, b"")

    def do_DELETE(self):
        self.server.received.append(("DELETE", self.headers, None))
        self.server.sessions.discard(self.headers["Mcp-Session-Id"])
        self.send_body(200, b"")

    def send_reply(self, message, headers=()):
        server = self.server
        is_legacy = "io.modelcontextprotocol/protocolVersion" not in (message.get("params") or {}).get("_meta", {})
        wants_session = server.has_session and server.era != "modern" and is_legacy
        is_first = message.get("method") == "initialize"
        if wants_session and not is_first and self.headers["Mcp-Session-Id"] not in server.sessions:
            self.send_json(error(message, -32001, "Session not found"), 404)
            return
        reply = respond(message, server.era)
        extra = {}
        if message.get("method") == "initialize" and server.has_session and reply and "result" in reply:
            extra["Mcp-Session-Id"] = f"session-{len(server.received)}"
            server.sessions.add(extra["Mcp-Session-Id"])
        if reply is None:
            self.send_body(202, b"")
        elif "error" in reply:
            self.send_json(reply, 404 if reply["error"]["code"] == -32601 else 400)
        elif server.style == "sse":
            self.send_events([reply], extra)
        else:
            self.send_json(reply, 200, extra)

    def send_json(self, value, status=200, headers=()):
        self.send_body(status, json.dumps(value).encode(), "application/json", headers)

    def send_body(self, status, body, content_type="text/plain", headers=()):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def start_events(self, headers=()):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()

    def send_events(self, messages, headers=(), fields=""):
        self.start_events(headers)
        for message in messages:
            self.event(json.dumps(message), fields)
        self.close_connection = True

    def event(self, data, fields=""):
        self.wfile.write(f"{fields}data: {data}\n\n".encode())
        self.wfile.flush()

    def old_stream(self):
        path = f"/messages?id={len(self.server.old_streams)}"
        outbox = self.server.old_streams[path] = queue.Queue()
        self.start_events()
        self.event(path, "event: endpoint\n")
        with contextlib.suppress(OSError):
            while True:
                message = outbox.get()
                if message is None:
                    break
                self.event(json.dumps(message))
        self.close_connection = True

    def log_message(self, *args):
        pass


def serve_stdio(era, faults):
    """Answer on standard output what comes on standard input."""
    if "noise" in faults:
        write_line("Listening on stdio")
    if "stderr" in faults:
        sys.stderr.write("x" * 300_000 + "\nlast words\n")
        sys.stderr.flush()
    if "dead" in faults:
        sys.stderr.write("no such database\n")
        sys.exit(3)
    waiting = []
    for line in sys.stdin:
        message = json.loads(line)
        method = message.get("method")
        if message.get("id") == "form":
            write_line(
                json.dumps(answer(waiting.pop(), text_result(json.dumps(message.get("result", message.get("error"))))))
            )
            continue
        if method == "server/discover" and "silent" in faults:
            continue
        if method == "server/discover" and "strict" in faults:
            sys.exit("expected initialize")
        name = (message.get("params") or {}).get("name")
        if name == "fail" and "crash" in faults:
            os._exit(7)
        if name == "fail" and "hang" in faults:
            write_line(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}))
            continue
        if name == "fail" and "form" in faults:
            waiting.append(message)
            write_line(json.dumps({"jsonrpc": "2.0", "id": "form", "method": "elicitation/create", "params": FORM}))
            continue
        if name == "fail" and "ask" in faults:
            ask_client()
        reply = respond(message, era)
        if reply is not None:
            write_line(json.dumps(reply))
    if "stubborn" in faults:
        time.sleep(60)


def write_line(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def ask_client():
    """Send a ping and a request that the client does not offer, and read both answers."""
    write_line(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "asking"}}))
    write_line(json.dumps({"jsonrpc": "2.0", "id": "s9", "method": None}))
    for number, method in enumerate(("ping", "sampling/createMessage")):
        write_line(json.dumps({"jsonrpc": "2.0", "id": f"s{number}", "method": method}))
    replies = [json.loads(sys.stdin.readline()) for _ in range(2)]
    sys.stderr.write(json.dumps(replies))
    sys.stderr.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", default="modern")
    parser.add_argument("faults", nargs="*")
    options = parser.parse_args()
    serve_stdio(options.era, options.faults)
