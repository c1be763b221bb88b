"""Requests to AWS are signed as AWS checks them, for the region of the host, with credentials that may change."""

from __future__ import annotations

import json
import pickle
import random
import sys
from email.utils import formatdate
from types import SimpleNamespace

import aws_double
import pytest
import requests

import aichatkit as ai
from aichatkit import Client
from aichatkit.auth.aws import AwsAuth, aws_auth
from aichatkit.errors import APIError, AuthenticationError, ConfigurationError, MissingKeyError
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response

pytest.importorskip("requests_aws4auth")

KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
#: 2015-08-30, 12:36:00 UTC: the moment of the official examples.
MOMENT = 1_440_938_160.0
PIECE = b'data: {"choices": [{"index": 0, "delta": {"content": "Yes."}}]}\n\n'
ANSWER = [chunked_head(), chunk(PIECE), chunk(b"data: [DONE]\n\n"), chunk(b"")]


def signer(**options):
    return AwsAuth(**{"region": "us-east-1", "credentials": KEYS, "clock": lambda: MOMENT, **options})


def prepared(method, url, body=None, **headers):
    return requests.Request(method, url, data=body, headers=headers).prepare()


@pytest.fixture(autouse=True)
def no_region(monkeypatch):
    """Nothing in the environment names a region."""
    monkeypatch.delenv("AWS_REGION")


@pytest.fixture
def profiles(monkeypatch, tmp_path):
    """Write the shared files: `profiles(config=..., credentials=...)`; botocore is not there unless it is wanted."""

    def write(*, config="", credentials="", botocore=False):
        for variable, text in (("AWS_CONFIG_FILE", config), ("AWS_SHARED_CREDENTIALS_FILE", credentials)):
            path = tmp_path / variable
            path.write_text(text, encoding="utf-8")
            monkeypatch.setenv(variable, str(path))
        if not botocore:
            monkeypatch.setitem(sys.modules, "botocore", None)

    return write


# Signatures.


@pytest.mark.parametrize(
    ("method", "query", "signature"),
    [
        ("GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ],
)
def test_the_official_examples_get_their_official_signatures(method, query, signature):
    request = signer(service="service")(prepared(method, f"https://example.amazonaws.com/{query}"))
    assert request.headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}"
    )
    assert request.headers["x-amz-date"] == "20150830T123600Z"


def test_the_double_knows_the_official_signature():
    known = aws_double.signature_of(
        KEYS[1],
        "GET",
        "/",
        "",
        {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"},
        ["host", "x-amz-date"],
        b"",
        date="20150830T123600Z",
        region="us-east-1",
        service="service",
    )
    assert known == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


@pytest.mark.parametrize("seed", range(60))
def test_random_requests_are_signed_as_botocore_signs_them(seed, monkeypatch):
    auth_module = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    rng = random.Random(seed)
    words = ["model", "us.anthropic.claude-v1:0", "a b", "ä", "x~y", "p%2Fq", "converse"]
    path = "/".join(rng.choice(words) for _ in range(rng.randrange(1, 5)))
    query = "&".join(f"{rng.choice('abc')}={rng.choice(['1', 'x y', 'ü', '', '2~'])}" for _ in range(rng.randrange(3)))
    body = rng.choice([None, b"{}", "grüße".encode(), bytes(rng.randrange(256) for _ in range(50))])
    token = rng.choice([None, "a-session/token=="])
    headers = rng.choice([{}, {"Content-Type": "application/json"}, {"X-Amz-Thing": "a  b"}])
    service = rng.choice(["bedrock", "bedrock-mantle"])
    url = f"https://host.example/{path}" + (f"?{query}" if query else "")
    request = prepared("POST", url, body, **headers)
    ours = signer(service=service, region="eu-west-1", credentials=(*KEYS, token))(request.copy())

    now = SimpleNamespace(strftime=lambda _: "20150830T123600Z", replace=lambda **_: now)
    monkeypatch.setattr(auth_module, "get_current_datetime", lambda: now, raising=False)
    theirs = AWSRequest("POST", request.url, dict(headers), body or b"")
    auth_module.SigV4Auth(Credentials(*KEYS, token), service, "eu-west-1").add_auth(theirs)
    assert ours.headers["Authorization"] == theirs.headers["Authorization"]
    assert ours.headers["x-amz-date"] == theirs.headers["X-Amz-Date"]


def test_what_proxies_change_is_not_signed():
    request = prepared(
        "POST", "https://h.example/", b"{}", **{"X-Amzn-Trace-Id": "1", "Accept": "a", "User-Agent": "b"}
    )
    signed = signer()(request).headers["Authorization"]
    assert "SignedHeaders=host;x-amz-date," in signed
    assert "x-amz-content-sha256" not in request.headers


class Double:
    """Bedrock on loopback: it checks each signature and answers as the sandbox would."""

    def __init__(self, *verdicts, token=None, headers=()):
        self.verdicts, self.token, self.headers = list(verdicts), token, headers
        self.problems, self.scopes = [], []
        self.server = RawServer(self.answer)

    def answer(self, request):
        problem, scope = aws_double.problem_of(request, token=self.token() if callable(self.token) else self.token)
        self.problems.append(problem)
        self.scopes.append(scope)
        if self.verdicts and (verdict := self.verdicts.pop(0)) is not None:
            return verdict
        if problem:
            return [response(b'{"message": "The security token is invalid"}', status="403 No", headers=self.headers)]
        return ANSWER


@pytest.fixture
def double():
    made = []

    def make(*args, **options):
        made.append(Double(*args, **options))
        made[-1].server.start()
        return made[-1]

    yield make
    for one in made:
        one.server.close()


def client_of(double, auth, **options):
    return Client(model="bedrock/openai.gpt-oss-20b", auth=auth, base_url=f"{double.server.url}/v1", **options)


def test_every_attempt_and_stream_is_signed_with_the_finished_body(double, policy):
    one = double([response(b"", status="503 No")])
    with client_of(
        one, aws_auth(region="eu-west-1", credentials=KEYS), retry=policy, headers={"X-Amz-Mine": "a  b"}
    ) as (client):
        assert len(client.ask("Grüße", temperature=0.5).attempts) == 2
        with client.stream("Hi") as stream:
            assert "".join(stream) == "Yes."
        client.map(["a", "b"], progress=False)
    assert one.problems == [""] * 5
    assert set(one.scopes) == {("eu-west-1", "bedrock")}


def test_wrong_credentials_are_one_request_and_an_error_that_shows_none(double, policy):
    one = double()
    client = client_of(one, aws_auth(region="eu-west-1", credentials=(KEYS[0], "a-wrong-secret")), retry=policy)
    with client, pytest.raises(APIError) as caught:
        client.ask("Hi")
    assert one.problems == ["wrong signature"]
    assert "a-wrong-secret" not in str(vars(caught.value))


@pytest.mark.parametrize(
    ("model", "path", "content"),
    [
        ("bedrock/openai.gpt-oss-20b", "/v1/chat/completions", PIECE + b"data: [DONE]\n\n"),
        ("bedrock/anthropic.claude-sonnet-5-5", "/anthropic/v1/messages", None),
        ("bedrock/openai.gpt-6.1-sol", "/openai/v1/responses", None),
    ],
)
def test_each_path_of_bedrock_is_signed_for_the_region_of_its_host(web, model, path, content):
    url = f"https://bedrock-mantle.eu-west-1.api.aws{path}"
    web.post(url, body=content or b'{"error": {"message": "no"}}', status=200 if content else 400)
    client = Client(model=model, auth=aws_auth(region="eu-west-1", credentials=KEYS), retry=0)
    with client:
        if content:
            assert client.ask("Hi").text == "Yes."
        else:
            with pytest.raises(APIError):
                client.ask("Hi")
    request = web.calls[0].request
    assert request.url == url
    arrived = SimpleNamespace(
        headers={**request.headers, "host": "bedrock-mantle.eu-west-1.api.aws"},
        method=request.method,
        target=path,
        body=request.body,
    )
    assert aws_double.problem_of(arrived) == ("", ("eu-west-1", "bedrock-mantle"))


def test_the_runtime_s_host_is_signed_as_bedrock():
    url = "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1/chat/completions"
    request = signer(region="eu-west-1")(prepared("POST", url, b"{}"))
    assert "/eu-west-1/bedrock/aws4_request" in request.headers["Authorization"]


def test_another_signer_with_a_region_chooses_the_host_as_well(web):
    aws4auth = pytest.importorskip("requests_aws4auth").AWS4Auth
    web.post("https://bedrock-mantle.eu-north-1.api.aws/v1/chat/completions", body=PIECE + b"data: [DONE]\n\n")
    auth = aws4auth(*KEYS, "eu-north-1", "bedrock-mantle")
    with Client(model="bedrock", auth=auth, retry=0) as client:
        assert client.ask("Hi").text == "Yes."


def test_the_host_and_the_signature_have_one_region():
    with pytest.raises(ConfigurationError, match=r"signs for us-east-1, and the host .* is in eu-west-1"):
        signer()(prepared("POST", "https://bedrock-runtime.eu-west-1.amazonaws.com/", b"{}"))


def test_a_body_in_pieces_cannot_be_signed():
    with pytest.raises(ConfigurationError, match="sent in pieces"):
        signer()(prepared("POST", "https://h.example/", iter([b"a"])))


# The clock.


def test_a_wrong_clock_is_corrected_once_and_reported(double):
    headers = [("Date", formatdate(MOMENT + 3600, usegmt=True))]
    one = double([response(b"", status="403 No", headers=headers)])
    auth = signer(region="eu-west-1")
    with client_of(one, auth, retry=0) as client:
        with pytest.warns(UserWarning, match="the clock of this machine is 3600 s behind"):
            assert client.ask("Hi").text == "Yes."
        client.ask("Hi")
    dates = [request.headers["x-amz-date"] for request in one.server.requests]
    assert dates == ["20150830T123600Z", "20150830T133600Z", "20150830T133600Z"]


@pytest.mark.parametrize("date", ["", "yesterday", formatdate(MOMENT + 100, usegmt=True)])
def test_a_clock_that_is_right_repeats_nothing(double, date):
    refusal = [response(b"", status="403 No", headers=[("Date", date)] if date else [])]
    one = double(refusal)
    with client_of(one, signer(), retry=0) as client, pytest.raises(APIError):
        client.ask("Hi")
    assert len(one.server.requests) == 1


def test_a_clock_that_stays_wrong_is_repeated_once(double):
    refusals = [
        [response(b"", status="403 No", headers=[("Date", formatdate(MOMENT - hours * 3600, usegmt=True))])]
        for hours in (1, 5, 9, 13)
    ]
    one = double(*refusals)
    client = client_of(one, signer(), retry=0)
    with client, pytest.warns(UserWarning, match="ahead"), pytest.raises(APIError):
        client.ask("Hi")
    assert len(one.server.requests) == 2


# Credentials.


def test_the_region_is_the_argument_or_of_the_environment_or_of_the_profile(monkeypatch, profiles):
    profiles(config="[default]\nregion = ap-south-1\n[profile x]\nregion = eu-north-1\n")
    assert aws_auth(credentials=KEYS).region == "ap-south-1"
    assert aws_auth(credentials=KEYS, profile="x").region == "eu-north-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert aws_auth(credentials=KEYS).region == "eu-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert aws_auth(credentials=KEYS).region == "eu-west-3"
    assert aws_auth(region="us-gov-west-1", credentials=KEYS).region == "us-gov-west-1"


def test_no_region_is_guessed():
    with pytest.raises(ConfigurationError, match="aws_auth: no region; pass region=, or set AWS_REGION"):
        aws_auth()


@pytest.mark.parametrize("region", ["evil.example/", "", 7])
def test_a_region_that_is_none_is_rejected(region):
    with pytest.raises(ConfigurationError, match="region must be the name of a region"):
        aws_auth(region=region)


@pytest.mark.parametrize("service", ["", "a b", None])
def test_a_service_is_a_name(service):
    with pytest.raises(ConfigurationError, match="service must be a name"):
        aws_auth(region="eu-west-1", service=service)


def test_the_environment_comes_before_the_files_and_a_profile_before_the_environment(monkeypatch, profiles):
    profiles(
        credentials="[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = s\naws_session_token = t\n",
        config="[profile x]\naws_access_key_id = AKIDX\naws_secret_access_key = s\n",
    )
    source = aws_auth(region="eu-west-1")._source
    assert source.find()[:3] == ("AKIDFILE", "s", "t")
    assert source.find() is source.find()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    assert aws_auth(region="eu-west-1")._source.find()[0] == "AKIDFILE"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert aws_auth(region="eu-west-1")._source.find()[:3] == ("AKIDENV", "s", None)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    assert aws_auth(region="eu-west-1")._source.find().token == "t"
    assert aws_auth(region="eu-west-1", profile="x")._source.find()[0] == "AKIDX"


@pytest.mark.parametrize("botocore", [True, False])
def test_missing_credentials_name_where_they_were_looked_for(profiles, double, botocore):
    if botocore:
        pytest.importorskip("botocore.session")
    others = (
        "botocore finds no others; sign" if botocore else r"botocore finds others \(pip install 'aichatkit\[aws\]'\)"
    )
    profiles(botocore=botocore)
    one = double()
    client = client_of(one, aws_auth(region="eu-west-1"), retry=0)
    with client, pytest.raises(MissingKeyError, match=r"AWS_SECRET_ACCESS_KEY and the profile 'default'"):
        client.ask("Hi")
    client = client_of(one, aws_auth(region="eu-west-1", profile=None if botocore else "x"), retry=0)
    with client, pytest.raises(MissingKeyError, match=others):
        client.ask("Hi")
    assert one.server.requests == []


@pytest.mark.parametrize("problem", ["UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError"])
def test_an_expired_sso_session_names_the_command_and_a_new_one_is_seen(profiles, double, monkeypatch, problem):
    botocore = pytest.importorskip("botocore.exceptions")
    session = pytest.importorskip("botocore.session")
    details = {"provider": "sso", "error_msg": "sk-secret", "profile_name": "x"}
    failures = [getattr(botocore, problem)(**details)]

    class Found:
        method = "sso"

        def get_frozen_credentials(self):
            if failures:
                raise failures.pop()
            return SimpleNamespace(access_key="AKIDNEW", secret_key="s", token="t")

    profiles(botocore=True)
    monkeypatch.setattr(session.Session, "get_credentials", lambda self: Found())
    monkeypatch.setattr(session.Session, "__init__", lambda self, profile=None: None)
    auth = aws_auth(region="eu-west-1", profile="corp")
    one = double()
    with client_of(one, auth, retry=0) as client:
        with pytest.raises(AuthenticationError, match=r"run 'aws sso login --profile corp'") as caught:
            client.ask("Hi")
        assert "sk-secret" not in str(vars(caught.value))
        assert auth.explain() == "eu-west-1, credentials of botocore (sso)"


def test_only_the_network_of_botocore_may_pass(profiles, monkeypatch):
    botocore = pytest.importorskip("botocore.exceptions")
    session = pytest.importorskip("botocore.session")
    failures = [
        botocore.ConnectTimeoutError(endpoint_url="http://x"),
        botocore.InvalidConfigError(error_msg="x"),
        botocore.ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRole"),
    ]
    profiles(botocore=True)

    def fail(self):
        raise failures.pop(0)

    monkeypatch.setattr(session.Session, "get_credentials", fail)
    actions = []
    for _ in range(3):
        with pytest.raises(AuthenticationError, match="botocore cannot find credentials") as caught:
            aws_auth(region="eu-west-1").explain()
        actions.append(caught.value.action)
    assert actions == ["retry", "next", "next"]


def test_another_exception_of_credentials_is_not_botocore_s():
    class Broken:
        def get_credentials(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        aws_auth(region="eu-west-1", credentials=Broken()).explain()


def test_an_unknown_profile_of_botocore_s_is_an_error_of_ours(profiles, double):
    pytest.importorskip("botocore")
    profiles(botocore=True)
    client = client_of(double(), aws_auth(region="eu-west-1", profile="nobody"), retry=0)
    with client, pytest.raises(AuthenticationError, match=r"there is no profile 'nobody' in ~/\.aws/config"):
        client.ask("Hi")


def test_botocore_finds_credentials_and_keeps_them_fresh(monkeypatch, double):
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    one = double()
    auth = aws_auth(region="eu-west-1")
    with client_of(one, auth, retry=0) as client:
        client.ask("Hi")
        client.ask("Hi")
    assert one.problems == ["", ""]
    assert auth.explain() == "eu-west-1, credentials of botocore (env)"


@pytest.mark.parametrize("kind", ["sso_session", "role_arn"])
def test_a_profile_that_needs_botocore_says_so(profiles, kind):
    profiles(config=f"[default]\n{kind} = x\n")
    with pytest.raises(ConfigurationError, match=f"signs in with {kind}, which needs botocore"):
        aws_auth(region="eu-west-1").explain()


def test_the_program_of_a_profile_is_run_without_a_shell(profiles, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys; print(json.dumps({'Version': 1, 'AccessKeyId': sys.argv[1], 'SecretAccessKey': 's', "
        "'SessionToken': 't', 'Expiration': '2099-01-01T00:00:00Z'}))"
    )
    profiles(config=f"[default]\ncredential_process = {sys.executable} {program} '$(id)'\n")
    found = aws_auth(region="eu-west-1")._source.find()
    assert found[:3] == ("$(id)", "s", "t")
    assert found.expires_at > 4_000_000_000
    assert repr(found) == "<Credentials from the profile 'default' (credential_process)>"


@pytest.mark.parametrize("printed", ["no json", "{}", '{"AccessKeyId": 1, "Expiration": 7}', "[]"])
def test_a_program_that_fails_is_an_error_without_its_output(profiles, tmp_path, printed):
    program = tmp_path / "program.py"
    program.write_text(f"print({printed!r})")
    profiles(config=f"[default]\ncredential_process = {sys.executable} {program}\n")
    with pytest.raises(AuthenticationError, match="credential_process of the profile 'default' failed") as caught:
        aws_auth(region="eu-west-1").explain()
    assert printed not in str(caught.value)


def test_credentials_are_found_again_before_they_expire(profiles, tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    count = tmp_path / "count"
    program.write_text(
        f"import json; open({str(count)!r}, 'a').write('1'); print(json.dumps({{'AccessKeyId': 'A', "
        "'SecretAccessKey': 's', 'Expiration': '2026-01-01T00:00:00+00:00'}))"
    )
    profiles(config=f"[default]\ncredential_process = {sys.executable} {program}\n")
    source = aws_auth(region="eu-west-1")._source
    now = SimpleNamespace(seconds=1_767_225_600.0 - 301)
    monkeypatch.setattr("aichatkit.auth.aws_credentials.time", SimpleNamespace(time=lambda: now.seconds))
    source.find(), source.find()
    assert count.read_text() == "1"
    now.seconds += 2
    source.find()
    assert count.read_text() == "11"


@pytest.mark.parametrize("text", ["no section", "[default\n", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named_and_not_quoted(monkeypatch, tmp_path, text):
    path = tmp_path / "config"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    with pytest.raises(ConfigurationError, match="config cannot be read") as caught:
        aws_auth()
    assert "no section" not in str(vars(caught.value))


def test_a_folder_in_the_place_of_a_file_is_no_profile(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path))
    with pytest.raises(ConfigurationError):
        aws_auth()


def frozen(*parts):
    names = ("access_key", "secret_key", "token")
    return SimpleNamespace(**dict(zip(names, (*parts, None))))


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param((*KEYS, "t"), id="tuple"),
        pytest.param(frozen(*KEYS, "t"), id="object"),
        pytest.param(SimpleNamespace(get_frozen_credentials=lambda: frozen(*KEYS, "t")), id="refreshable"),
        pytest.param(lambda: (*KEYS, "t"), id="function"),
        pytest.param(
            SimpleNamespace(get_credentials=lambda: SimpleNamespace(get_frozen_credentials=lambda: frozen(*KEYS, "t"))),
            id="session",
        ),
    ],
)
def test_credentials_may_be_passed_in_the_forms_of_botocore(double, credentials):
    one = double(token="t")
    auth = aws_auth(region="eu-west-1", credentials=credentials)
    with client_of(one, auth, retry=0) as client:
        client.ask("Hi")
        client.ask("Hi")
    assert one.problems == ["", ""]
    assert auth.explain() == "eu-west-1, credentials of credentials="


@pytest.mark.parametrize("credentials", [("a",), ("a", ""), ("a", 1), "AKID", 7, frozen("a", None)])
def test_what_cannot_be_credentials_is_rejected_at_once(credentials):
    with pytest.raises(ConfigurationError, match="credentials must be"):
        aws_auth(region="eu-west-1", credentials=credentials)


@pytest.mark.parametrize(
    ("error", "waits"), [(ZeroDivisionError("with a-secret"), 0), (ConnectionError("with a-secret"), 2)]
)
def test_a_function_that_fails_is_an_error_that_names_it(double, policy, slept, error, waits):
    def find():
        raise error

    client = client_of(double(), aws_auth(region="eu-west-1", credentials=find), retry=policy)
    with client, pytest.raises(AuthenticationError, match="aws_auth: credentials: find failed") as caught:
        client.ask("Hi")
    assert ("a-secret" in str(vars(caught.value)), len(slept)) == (False, waits)


def test_a_function_that_finds_nothing_is_a_missing_key(double):
    client = client_of(double(), aws_auth(region="eu-west-1", credentials=lambda: None), retry=0)
    with client, pytest.raises(MissingKeyError):
        client.ask("Hi")


def test_expired_credentials_are_found_again_once(double):
    tokens = ["old", "new"]
    one = double(token="new")
    auth = aws_auth(region="eu-west-1", credentials=lambda: (*KEYS, tokens.pop(0) if len(tokens) > 1 else tokens[0]))
    with client_of(one, auth, retry=0) as client:
        assert client.ask("Hi").text == "Yes."
        one.token = "newer"
        with pytest.raises(APIError):
            client.ask("Hi")
    assert one.problems == ["wrong token", "", "wrong token"]


# What stays secret.


def test_it_shows_and_pickles_no_secret(monkeypatch):
    auth = signer()
    auth(prepared("GET", "https://h.example/"))
    assert repr(auth) == "<AwsAuth region='us-east-1' service='bedrock'>"
    with Client(model="bedrock", auth=auth) as client, pytest.raises(ConfigurationError, match="cannot be pickled"):
        pickle.dumps(client)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    auth = aws_auth(region="eu-west-1")
    auth(prepared("GET", "https://h.example/"))
    with Client(model="bedrock", auth=auth) as client:
        data = pickle.dumps(client)
    assert KEYS[1].encode() not in data
    copy = pickle.loads(data)._context.signers["bedrock"].auth
    assert copy.explain() == auth.explain()


def test_it_is_public_and_without_the_extra_says_what_to_install(monkeypatch):
    assert ai.aws_auth is aws_auth
    monkeypatch.setitem(sys.modules, "requests_aws4auth", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'aichatkit\[aws\]'"):
        aws_auth(region="eu-west-1")


def test_a_missing_key_of_bedrock_names_the_other_way(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    for model in ("bedrock", "bedrock/anthropic.claude-sonnet-5-5", "bedrock/openai.gpt-6.1-sol"):
        with Client(model=model) as client, pytest.raises(MissingKeyError, match=r"auth=aichatkit\.aws_auth"):
            client.ask("Hi")


def test_the_bearer_token_of_the_environment_is_not_sent_with_a_signature(double, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-key")
    one = double()
    with client_of(one, aws_auth(region="eu-west-1", credentials=KEYS), retry=0) as client:
        client.ask("Hi")
    assert "bedrock-key" not in json.dumps(dict(one.server.requests[0].headers.items()))
