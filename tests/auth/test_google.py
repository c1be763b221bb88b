"""Google's credentials sign the requests to Vertex AI, with one token for all threads."""

from __future__ import annotations

import datetime
import json
import pickle
import sys
import threading
import time

import pytest
import requests

import aichatkit as ai
from aichatkit import Client
from aichatkit.auth.google import GoogleAuth, google_auth
from aichatkit.errors import AuthenticationError, ConfigurationError, MissingKeyError
from aichatkit.sandbox.raw import RawServer, response

credentials_of_google = pytest.importorskip("google.auth.credentials")
exceptions = pytest.importorskip("google.auth.exceptions")
google_requests = pytest.importorskip("google.auth.transport.requests")

EVENT = {"candidates": [{"content": {"parts": [{"text": "Yes."}]}, "finishReason": "STOP"}]}
ANSWER = [response(b"data: " + json.dumps(EVENT).encode() + b"\n\n", headers=[("Content-Type", "text/event-stream")])]
REFUSED = [response(b'{"error": {"code": 401, "message": "expired", "status": "UNAUTHENTICATED"}}', status="401 No")]


class FakeCredentials(credentials_of_google.Credentials):
    """Credentials whose tokens are t1, t2, ..., each valid for an hour."""

    def __init__(self, *, pause=0.0, error=None, project_id=None):
        super().__init__()
        self.count, self.pause, self.error, self.project_id = 0, pause, error, project_id

    def refresh(self, request):
        time.sleep(self.pause)
        if self.error is not None:
            raise self.error
        self.count += 1
        self.token = f"ya29.token-{self.count}"
        self.expiry = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(hours=1)


class Service:
    """Vertex AI on loopback; it accepts the tokens that `accepts` does."""

    def __init__(self, accepts=lambda token: True):
        self.accepts = accepts
        self.server = RawServer(lambda request: ANSWER if self.accepts(self.token_of(request)) else REFUSED)

    @staticmethod
    def token_of(request):
        return request.headers.get("authorization", "").partition(" ")[2]

    @property
    def tokens(self):
        return [self.token_of(request) for request in self.server.requests]


@pytest.fixture
def service():
    made = []

    def make(*args):
        made.append(Service(*args))
        made[-1].server.start()
        return made[-1]

    yield make
    for one in made:
        one.server.close()


def client_of(service, auth=None, **options):
    options = {"retry": 0, **options} if auth is None else {"auth": auth, "retry": 0, **options}
    return Client(model="vertex/gemini-3.8-flash", base_url=service.server.url, **options)


def test_the_token_is_fetched_once_and_sent_with_every_request(service):
    one, credentials = service(), FakeCredentials()
    with client_of(one, google_auth(credentials=credentials)) as client:
        assert client.ask("Hi").text == "Yes."
        with client.stream("Hi") as stream:
            assert "".join(stream) == "Yes."
        client.map(["a", "b"], progress=False)
    assert (one.tokens, credentials.count) == (["ya29.token-1"] * 4, 1)


def test_many_threads_fetch_one_token(service):
    one, credentials = service(), FakeCredentials(pause=0.02)
    with client_of(one, google_auth(credentials=credentials)) as client:
        threads = [threading.Thread(target=client.ask, args=("Hi",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert (len(one.tokens), credentials.count) == (8, 1)


def test_a_refused_token_is_renewed_once(service):
    one, credentials = service(lambda token: token != "ya29.token-1"), FakeCredentials()
    with client_of(one, google_auth(credentials=credentials)) as client:
        assert client.ask("Hi").text == "Yes."
        assert client.ask("Hi").text == "Yes."
    assert one.tokens == ["ya29.token-1", "ya29.token-2", "ya29.token-2"]
    refusing = service(lambda token: False)
    with client_of(refusing, google_auth(credentials=credentials)) as client, pytest.raises(AuthenticationError):
        client.ask("Hi")
    assert len(refusing.tokens) == 2


def test_a_token_that_another_thread_has_renewed_is_taken():
    auth = google_auth(credentials=FakeCredentials())
    request = requests.Request("GET", "https://x.example").prepare()
    auth(request)
    other = threading.Thread(target=lambda: (auth(request.copy()), auth.renew(401, {})))
    other.start()
    other.join(10)
    assert auth.renew(401, {})
    assert auth._given.count == 2
    assert not auth.renew(403, {})


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (exceptions.RefreshError("ya29.secret", retryable=True), 2),
        (exceptions.TransportError("ya29.secret"), 2),
        (exceptions.RefreshError("ya29.secret"), 0),
    ],
)
def test_a_token_that_cannot_be_fetched_is_an_error_without_it(service, policy, slept, error, waits):
    one = service()
    client = client_of(one, google_auth(credentials=FakeCredentials(error=error)), retry=policy)
    with client, pytest.raises(AuthenticationError, match="vertex: auth: GoogleAuth failed") as caught:
        client.ask("Hi")
    assert ("ya29.secret" in str(vars(caught.value)), len(slept), one.tokens) == (False, waits, [])


def test_a_renewal_that_fails_is_an_error_as_well(service):
    credentials = FakeCredentials()
    one = service(lambda token: setattr(credentials, "error", exceptions.RefreshError("no")) or False)
    client = client_of(one, google_auth(credentials=credentials))
    with client, pytest.raises(AuthenticationError, match="GoogleAuth failed"):
        client.ask("Hi")


def test_the_default_credentials_are_found_at_the_first_call(service, monkeypatch, tmp_path):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    asked = []
    credentials = FakeCredentials()

    def default(scopes):
        asked.append(scopes)
        return credentials, "found-project"

    monkeypatch.setattr("google.auth.default", default)
    auth = google_auth(location="eu")
    assert asked == []
    one = service()
    with client_of(one, auth) as client:
        client.ask("Hi")
        client.ask("Hi")
    assert asked == [("https://www.googleapis.com/auth/cloud-platform",)]
    assert "/v1/projects/found-project/locations/eu/" in one.server.requests[0].target
    assert auth.explain() == __name__


def test_missing_credentials_say_what_to_do(service, monkeypatch):
    def default(scopes):
        raise exceptions.DefaultCredentialsError("nothing")

    monkeypatch.setattr("google.auth.default", default)
    with client_of(service(), google_auth()) as client, pytest.raises(MissingKeyError, match="gcloud auth application"):
        client.ask("Hi")


def test_the_project_may_be_that_of_a_service_account(service, monkeypatch):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    one = service()
    with client_of(one, google_auth(credentials=FakeCredentials(project_id="of-the-account"))) as client:
        client.ask("Hi")
    session = google_requests.AuthorizedSession(FakeCredentials(project_id="of-the-session"))
    with client_of(one, session=session) as client:
        client.ask("Hi")
    assert ["of-the-account" in one.server.requests[0].target, "of-the-session" in one.server.requests[1].target] == [
        True,
        True,
    ]


def test_an_authorized_session_signs_by_itself(service):
    one = service(lambda token: token != "ya29.token-1")
    session = google_requests.AuthorizedSession(FakeCredentials())
    with client_of(one, session=session) as client:
        assert client.ask("Hi").text == "Yes."
        with client.stream("Hi") as stream:
            assert "".join(stream) == "Yes."
    # It has renewed its token itself, and nothing was sent once more.
    assert one.tokens == ["ya29.token-1", "ya29.token-2", "ya29.token-2"]


def test_a_key_beside_an_authorized_session_is_refused():
    session = google_requests.AuthorizedSession(FakeCredentials())
    with pytest.raises(ConfigurationError, match="api_key for vertex: session= signs each request"):
        Client(model="vertex", api_key="unused-key", session=session)
    with pytest.raises(ConfigurationError, match="api_key for vertex: auth= signs each request"):
        Client(model="vertex", api_key="unused-key", auth=google_auth(credentials=FakeCredentials()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"credentials": "path.json"}, "must be those of google-auth, not an object of type str"),
        ({"scopes": "one"}, "scopes must be a list"),
        ({"scopes": [1]}, "scopes must be a list"),
    ],
)
def test_what_cannot_sign_is_rejected_at_once(options, message):
    with pytest.raises(ConfigurationError, match=message):
        google_auth(**options)


def test_it_is_public_and_without_the_extra_says_what_to_install(monkeypatch):
    assert ai.google_auth is google_auth
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'aichatkit\[google\]'"):
        google_auth()


def test_it_shows_and_pickles_no_token():
    auth = google_auth(project="mine", credentials=FakeCredentials())
    auth(requests.Request("GET", "https://x.example").prepare())
    assert repr(auth) == "<GoogleAuth project='mine' location=None>"
    with Client(model="vertex", auth=auth) as client, pytest.raises(ConfigurationError, match="cannot be pickled"):
        pickle.dumps(client)
    copy = pickle.loads(pickle.dumps(google_auth(project="mine", location="eu")))
    assert isinstance(copy, GoogleAuth)
    assert (copy.project, copy.location) == ("mine", "eu")


def test_a_file_of_credentials_that_is_not_there_is_named(monkeypatch, tmp_path):
    missing = tmp_path / "missing.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(missing))
    with pytest.raises(MissingKeyError, match=r"GOOGLE_APPLICATION_CREDENTIALS names .*missing\.json, which does not"):
        google_auth().explain()
    missing.write_text('{"type": "nothing"', encoding="utf-8")
    with pytest.raises(MissingKeyError, match=r"missing\.json, which is not a file of credentials"):
        google_auth().explain()
