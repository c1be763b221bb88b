from __future__ import annotations

import pytest
import requests
from requests.cookies import RequestsCookieJar

from aichatkit.transport import prepared as preparing
from aichatkit.transport.prepared import prepare


def session(**settings):
    made = requests.Session()
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def request(**parts):
    made = requests.Request("post", "http://Service.example/a b?c=é", headers={"accept": "x"}, **parts)
    made.auth = parts.get("auth") or (lambda prepared: prepared)
    made.cookies = parts.get("cookies") or RequestsCookieJar()
    made.hooks = {"response": [print]}
    return made


def cookies():
    jar = RequestsCookieJar()
    jar.set("a", "b")
    return jar


def facts(prepared):
    sent = prepared.method, prepared.url, dict(prepared.headers), prepared.body, prepared.hooks
    return (*sent, prepared._cookies, prepared._body_position)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"json": {"a": "é"}},
        {"data": b"bytes"},
        {"data": {"form": "1"}},
        {"cookies": cookies()},
        {"auth": requests.auth.HTTPBasicAuth("u", "p")},
        {"params": {"q": "1"}},
        {"files": {"f": ("name", b"x")}},
    ],
    ids=lambda parts: ",".join(parts) or "plain",
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"headers": {"Accept": "y", "X-None": None}},
        {"params": {"p": "1"}},
        {"auth": ("u", "p")},
        {"cookies": cookies()},
    ],
    ids=lambda settings: ",".join(settings) or "plain",
)
def test_a_request_is_prepared_as_its_session_would_have_done_it(settings, parts, monkeypatch):
    monkeypatch.setattr("requests.models.encode_multipart_formdata", lambda fields: (b"form", "multipart/form-data"))
    expected = facts(session(**settings).prepare_request(request(**parts)))
    heads = {}
    for _ in range(2):
        assert facts(prepare(session(**settings), request(**parts), heads)) == expected


def test_headers_are_copied_however_requests_keeps_them(monkeypatch):
    monkeypatch.setattr(preparing, "OrderedDict", None)
    own, heads = requests.Session(), {}
    first, second = (prepare(own, request(data=b"x"), heads) for _ in range(2))
    first.headers["X"] = "only here"
    assert "X" not in second.headers
    assert dict(second.headers) == dict(own.prepare_request(request(data=b"x")).headers)


def test_a_header_that_could_hide_another_is_refused():
    made = request()
    made.headers["X"] = "a\r\nB: c"
    with pytest.raises(requests.exceptions.InvalidHeader):
        prepare(requests.Session(), made, {})


def test_addresses_are_kept_within_bounds(monkeypatch):
    monkeypatch.setattr(preparing, "_prepared_urls", {})
    for number in range(250):
        made = request()
        made.url = f"http://service.example/{number}"
        assert prepare(requests.Session(), made, {}).url == made.url
    assert len(preparing._prepared_urls) <= 100


def test_a_header_that_is_no_text_is_refused():
    made = request()
    made.headers["X"] = ["a"]
    with pytest.raises(requests.exceptions.InvalidHeader):
        prepare(requests.Session(), made, {})


def test_the_same_headers_are_checked_once_and_each_request_has_its_own(monkeypatch):
    checked = []
    usual = requests.PreparedRequest.prepare_headers
    monkeypatch.setattr(
        requests.PreparedRequest, "prepare_headers", lambda self, given: checked.append(given) or usual(self, given)
    )
    own, heads = requests.Session(), {}
    first, second = (prepare(own, request(data=b"x"), heads) for _ in range(2))
    first.headers["X"] = "only here"
    assert "X" not in second.headers
    own.headers["User-Agent"] = "other"
    assert prepare(own, request(data=b"x"), heads).headers["User-Agent"] == "other"
    assert len(checked) == 2
