"""A server on loopback that wants NTLM, before another one or as a proxy: `ntlm_server.py PORT URL`.

It runs on the Python that pyspnego is installed for.

NTLM signs in a connection: each has its own state, and requests on it after that need nothing more.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
import spnego
import spnego.exceptions

USER = "PEERS:reader:open sesame"


class Handler(BaseHTTPRequestHandler):
    """One connection: three messages of NTLM, and then requests for the service behind."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    upstream = ""

    def setup(self):
        super().setup()
        self.ntlm = None
        self.user = ""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        as_proxy = not self.path.startswith("/")
        if not self.signed_in("Proxy-" if as_proxy else "", 407 if as_proxy else 401):
            return
        if self.path.startswith("/moved/"):
            self.send_response(307)
            self.send_header("Location", "/v1/chat/completions")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.pass_on(self.path if as_proxy else self.upstream + self.path, body)

    def do_CONNECT(self):
        # Before version 3.12, Python sends CONNECT as HTTP/1.0.
        self.close_connection = self.headers.get("Proxy-Connection", "").lower() != "keep-alive"
        if not self.signed_in("Proxy-", 407):
            return
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as other:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: other, other: self.connection}
            while ready := select.select(list(ends), [], [], 20)[0]:
                data = ready[0].recv(65536)
                if not data:
                    break
                ends[ready[0]].sendall(data)
        self.close_connection = True

    def signed_in(self, prefix, status):
        """Take the next message of NTLM; return whether the connection belongs to the user, else answer it."""
        scheme, _, token = self.headers.get(f"{prefix}Authorization", "").partition(" ")
        answer = b""
        try:
            if scheme == "NTLM" and token:
                self.ntlm = self.ntlm or spnego.server(protocol="ntlm")
                answer = self.ntlm.step(base64.b64decode(token)) or b""
                if self.ntlm.complete:
                    self.user, self.ntlm = self.ntlm.client_principal, None
        except (ValueError, spnego.exceptions.SpnegoError):
            self.ntlm = None
        if self.user:
            return True
        page = b"<html><head><title>Sign in</title></head><body>Sign in.</body></html>"
        challenge = "NTLM " + base64.b64encode(answer).decode() if answer else "NTLM"
        self.send_response(status)
        self.send_header("Proxy-Authenticate" if prefix else "WWW-Authenticate", challenge)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        return False

    def pass_on(self, url, body):
        headers = {"Content-Type": "application/json", "X-Remote-User": self.user}
        with requests.post(url, data=body, headers=headers, stream=True, timeout=20) as found:
            self.send_response(found.status_code)
            for name in ("Content-Type", "Retry-After"):
                if name in found.headers:
                    self.send_header(name, found.headers[name])
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in found.raw.stream(65536, decode_content=True):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        sys.stderr.write(f"{self.client_address[1]} {self.user} {self.path} {args[-2]}\n")
        sys.stderr.flush()


def main(port, upstream):
    Handler.upstream = upstream
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NTLM_USER_FILE"] = os.path.join(folder, "users")
        with open(os.environ["NTLM_USER_FILE"], "w", encoding="utf-8") as file:
            file.write(USER + "\n")
        ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
