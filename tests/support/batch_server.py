"""A service in a separate process, and the batch runs that tests kill while it answers."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aichatkit import Client

_STREAMED = """data: {"choices": [{"index": 0, "delta": {"content": %s}, "finish_reason": "stop"}]}

data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}

data: [DONE]

"""

_WHOLE = """{"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-6-luna", "choices": [{"index": 0,
"message": {"role": "assistant", "content": %s}, "finish_reason": "stop"}],
"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}"""


class Handler(BaseHTTPRequestHandler):
    """Answer each prompt with itself, and log it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = asked["messages"][-1]["content"]
        with self.server.lock:
            self.server.log.write(prompt + "\n")
            self.server.log.flush()
        time.sleep(self.server.delay)
        form, kind = (_STREAMED, b"text/event-stream") if asked.get("stream") else (_WHOLE, b"application/json")
        body = (form % json.dumps(f"answer to {prompt}")).encode()
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body
        )

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, address):
        """Ignore errors: clients are killed on purpose."""


def serve(log, delay="0"):
    """Serve until killed on a free port, which is printed; each answer takes `delay` seconds."""
    server = Server(("127.0.0.1", 0), Handler)
    server.delay = float(delay)
    server.lock = threading.Lock()
    server.log = open(log, "a", encoding="utf-8")  # noqa: SIM115 - it is open as long as the process lives
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


def run(url, journal, rows, out):
    """Run `map` over all rows and save the results."""
    with Client(model="openai", base_url=url) as client:
        client.map([f"row {number}" for number in range(int(rows))], resume=journal, workers=8).save(out)


if __name__ == "__main__":
    os.environ["OPENAI_API_KEY"] = "sk-test"
    {"serve": serve, "run": run}[sys.argv[1]](*sys.argv[2:])
