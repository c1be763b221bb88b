"""The package in a real browser: CPython in WebAssembly asks a loopback server through the browser's `fetch`."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import io
import json
import shutil
import subprocess
import threading
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import urllib3
from peer_servers import HOST, PROGRAMS, folder

from aichatkit.sandbox import Sandbox

pytestmark = pytest.mark.peers

SUPPORT = Path(__file__).parents[1] / "support"
PACKAGES = ("aichatkit", "certifi", "charset_normalizer", "idna", "requests", "tenacity", "urllib3")
TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
PATIENCE = 180.0


class Page:
    """The server of a page with Python in it; questions are passed on to a sandbox."""

    def __init__(self, pyodide, sandbox):
        self.sandbox = sandbox
        self.result = ""
        self.done, self.seen = threading.Event(), threading.Event()
        self.held_back = []
        self.files = {
            "/": SUPPORT / "browser.html",
            "/worker.mjs": SUPPORT / "browser_worker.mjs",
            "/script.py": SUPPORT / "browser_script.py",
            **{f"/pyodide/{file.name}": file for file in pyodide.iterdir()},
        }
        self.site = packed()

    def read(self, path):
        if path == "/site.zip":
            return self.site
        return self.files[path].read_bytes() if path in self.files else None


def packed():
    """Return a zip file of the packages without what was compiled for this machine."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in PACKAGES:
            root = Path(find_spec(name).origin).parent
            for file in root.rglob("*"):
                if file.suffix in (".py", ".json", ".pem", ".typed"):
                    archive.write(file, Path(name) / file.relative_to(root))
    return buffer.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    page: Page

    def log_message(self, *args):
        pass

    def answer(self, body, content_type="text/plain", status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.partition("?")[0]
        body = self.page.read(path)
        if body is None:
            self.answer(b"", status=404)
        else:
            self.answer(body, TYPES.get(Path(path).suffix, "text/html" if path == "/" else "text/plain"))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/done":
            self.page.result = body.decode()
            self.answer(b"")
            self.page.done.set()
        elif self.path == "/seen":
            self.answer(b"")
            self.page.seen.set()
        elif b'"limited"' in body:
            error = b'{"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}'
            self.answer(error, "application/json", 429, **{"Retry-After": 1})
        else:
            self.forward(body)

    def forward(self, body):
        """Pass a question on, and its answer back, piece by piece."""
        connection = http.client.HTTPConnection(HOST, self.page.sandbox.port, timeout=30)
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if self.headers[name]}
        connection.request("POST", self.path, body, headers)
        response = connection.getresponse()
        self.send_response(response.status)
        self.send_header("Content-Type", response.headers["Content-Type"])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pieces = 0
        for line in response:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
            pieces += b'"content"' in line
            if pieces == 2 and not line.strip() and b'"Hello"' in body and not self.page.held_back:
                # The first event with text is out.
                self.page.held_back.append(self.page.seen.wait(30))
            if pieces == 2 and b'"broken"' in body:
                self.close_connection = True
                break
        else:
            self.wfile.write(b"0\r\n\r\n")
        connection.close()


@contextlib.contextmanager
def serving(page):
    handler = type("PageHandler", (Handler,), {"page": page})
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://{HOST}:{server.server_port}/"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def browsing(url):
    """Open a page in Chromium without a window."""
    chromium = shutil.which("chromium")
    with folder() as home:
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", f"--user-data-dir={home}")
        process = subprocess.Popen([chromium, *options, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(urllib3, "BaseHTTPResponse"), reason="older urllib3 does not know browsers")
def test_a_page_asks_and_streams():
    pyodide = Path(PROGRAMS["AICHATKIT_PYODIDE"] or "nowhere")
    if not pyodide.is_file() or shutil.which("chromium") is None:
        pytest.skip("needs Chromium and the npm package pyodide")
    with Sandbox() as sandbox:
        page = Page(pyodide.parent, sandbox)
        with serving(page) as url, browsing(url):
            assert page.done.wait(PATIENCE), "the page did not finish"
    assert page.result.startswith("{"), page.result
    result = json.loads(page.result)
    assert result["platform"] == "emscripten"
    # The first piece was read before the second was sent.
    assert page.held_back == [True], result
    assert len(result["stream"]) > 1
    assert result["ask"]
    assert isinstance(result["chat"], list)
    assert result["chat"][1] == 2
    assert isinstance(result["schema"], int)
    assert result["tool"] == "The tool says: 8"
    assert result["image"] == b"\x89PNG".hex()
    assert result["vectors"] == 1536
    assert len(result["map"]) == 2
    assert len(result["resume"]) == 1
    assert result["limited"].startswith("RateLimitError: openai: rate limit reached (429 rate_limit_exceeded)")
    assert result["broken"].startswith("StreamInterruptedError: ")
    assert result["warnings"] == []
    assert result["elsewhere"].startswith("ConnectError: openai at 127.0.0.1: the browser did not get an answer")
    assert result["offline"].startswith("ConfigurationError: offline: its server cannot be started here")
    assert result["fake"] == "Hello!"
