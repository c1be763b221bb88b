"""`aichatkit models --details` and `--update`."""

from __future__ import annotations

import http.server
import io
import json
import threading
from datetime import date, timedelta

import pytest
import requests

from aichatkit.catalog.layers import shipped
from aichatkit.cli import main
from aichatkit.cli.catalog_file import catalog_option

NEWER = {
    "about": {"date": (shipped().as_of + timedelta(days=1)).isoformat()},
    "models": [{"id": "openai/brand-new", "in": 1.5, "out": 2, "retires": "2026-01-31", "successor": "newer"}],
}


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def published():
    """A web server on loopback; its `body` is what it publishes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        body, status, headers_sent = json.dumps(NEWER).encode(), 200, {}

        def do_GET(self):
            self.send_response(Handler.status)
            for name, value in {"Content-Length": str(len(Handler.body)), **Handler.headers_sent}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(Handler.body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        Handler.url = f"http://127.0.0.1:{server.server_port}/models.json"
        yield Handler
        server.shutdown()
        thread.join()


def rows(text):
    lines = [line.split("\t") for line in text.splitlines()]
    return {line[0]: dict(zip(lines[0], line)) for line in lines[1:]}


def test_details_show_prices_windows_and_retirement(capsys):
    assert main(["models", "--details"]) == 0
    found = rows(capsys.readouterr().out)
    luna = found["openai/gpt-6-luna"]
    assert (luna["input"], luna["output"], luna["window"], luna["max output"]) == ("0.1", "0.5", "922000", "128000")
    gone = found["openai/gpt-4.1-nano"]
    assert (gone["retires"], gone["use instead"]) == ("2026-10-23 (gone)", "gpt-6-luna")
    assert found["openai/gpt-4o"]["retires"] == "2027-01-14" or date.today() >= date(2027, 1, 14)
    assert found["deepseek/deepseek-r1"]["retires"] == "gone"
    assert found["aichats/gpt-4"]["input"] == ""


def test_an_update_is_kept_and_used_by_the_command_line(published, capsys, home):
    assert main(["models", "--update", published.url]) == 0
    done = capsys.readouterr()
    path = home / "aichatkit" / "catalog.json"
    assert done.out == f"{path}\n"
    assert f"in Python, set AICHATKIT_CATALOG={path}" in done.err
    assert catalog_option() == path
    assert main(["models", "--details"]) == 0
    assert rows(capsys.readouterr().out)["openai/brand-new"]["use instead"] == "newer"


def test_the_environment_may_name_the_address_and_the_file(published, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("AICHATKIT_CATALOG_URL", published.url)
    monkeypatch.setenv("AICHATKIT_CATALOG", str(tmp_path / "own.json"))
    (tmp_path / "own.json").write_text(json.dumps(NEWER), encoding="utf-8")
    assert main(["models", "--update"]) == 0
    assert json.loads((tmp_path / "own.json").read_text("utf-8")) == NEWER
    assert catalog_option() is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "not a catalog of models"),
        (b'{"about": {"date": "2020-01-01"}, "models": []}', "older than the package's own"),
        (b" " * 5_000_001, "more than 5,000,000 bytes"),
    ],
)
def test_what_is_not_a_newer_catalog_is_refused_and_nothing_is_kept(published, capsys, body, words):
    published.body = body
    assert main(["models", "--update", published.url]) == 2
    assert words in capsys.readouterr().err
    assert catalog_option() is None


def test_a_server_that_refuses_is_an_error(published, capsys):
    published.status = 404
    assert main(["models", "--update", published.url]) == 1
    assert capsys.readouterr().err.endswith("the download from 127.0.0.1 failed (status 404); check the URL\n")


@pytest.mark.parametrize("header", [("Content-Length", "999999"), ("Content-Encoding", "gzip")])
def test_a_download_that_breaks_off_is_an_error(published, capsys, header):
    published.headers_sent = dict([header])
    assert main(["models", "--update", published.url]) == 1
    assert "the download from 127.0.0.1 failed" in capsys.readouterr().err
    assert catalog_option() is None


def test_a_redirect_to_an_insecure_address_is_refused(published, monkeypatch, capsys):
    class Redirected(requests.Response):
        def __init__(self):
            super().__init__()
            self.status_code, self.url, self.raw = 200, "http://example.com/models.json", io.BytesIO(published.body)

    monkeypatch.setattr(requests.Session, "get", lambda *_, **__: Redirected())
    assert main(["models", "--update", "https://example.com/models.json"]) == 2
    assert "must start with https://" in capsys.readouterr().err
    assert catalog_option() is None


def test_a_download_older_than_an_upgraded_package_is_not_used(published, capsys, home):
    assert main(["models", "--update", published.url]) == 0
    older = {**NEWER, "about": {"date": (shipped().as_of - timedelta(days=1)).isoformat()}}
    (home / "aichatkit" / "catalog.json").write_text(json.dumps(older), encoding="utf-8")
    assert catalog_option() is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "pass the URL of a catalog, or set AICHATKIT_CATALOG_URL"),
        *(
            ([url], "https://")
            for url in ("http://example.com/x", "https//x", "https://[x", "https://", "ftp://localhost")
        ),
    ],
)
def test_an_update_needs_a_safe_address(capsys, arguments, words):
    assert main(["models", "--update", *arguments]) == 2
    assert words in capsys.readouterr().err
