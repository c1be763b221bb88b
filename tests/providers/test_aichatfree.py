"""AIChatFree: a signed history there, plain text back."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest
from sandbox_talk import talk

from aichatkit import Client
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    ChatError,
    ConfigurationError,
    ContentFilteredError,
    EmptyAnswerError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.messages import parse_messages
from aichatkit.providers import aichatfree
from aichatkit.providers.aichatfree import AIChatFree, generate_signature
from aichatkit.registry import registry
from aichatkit.sandbox import RawServer, Sandbox
from aichatkit.sandbox.raw import chunk, chunked_head

HOME = "https://aichatfree.info"
ENDPOINT = f"{HOME}/api/generate"
QUOTA = (
    b'{"error": {"code": "GoogleGenerativeAIFetchError", "message": "[429 Too Many Requests] Quota exceeded for x"}}'
)


@pytest.fixture
def now(monkeypatch):
    monkeypatch.setattr(aichatfree.time, "time", lambda: 1700000000.0009)


def sent(prompt="Hi", kind=AIChatFree):
    return kind().build_request(parse_messages(prompt), "gemini-1.5-pro")


def body_of(request):
    return json.loads(request.data)


def test_it_is_known_not_to_answer_today():
    assert (AIChatFree.working, AIChatFree.default_model) == (False, "gemini-1.5-pro")


@pytest.mark.parametrize(
    ("text", "secret", "sign"),
    [
        ("Hello, world!", "", "2c1f696d6980967fcd84ce4bf8b28251e8316e279dfde81375c3eb37d6952c25"),
        ("Hello, world!", "s3cret", "578704ef2b95cbde2e3adb94da566a9905b20cc1d40a913c90bdc94d82151c87"),
        (
            "Où est l'été? 🌞\nsecond line",
            "",
            "c0e907b9ec9baa3e94d36d837d4743ec133745c2cafb05dd8e0e834479b1833e",
        ),
    ],
)
def test_a_signature_is_that_of_the_sites_own_page(text, secret, sign):
    assert generate_signature(1700000000000, text, secret) == sign
    assert AIChatFree.generate_signature(time=1700000000000, text=text, secret=secret) == sign


def test_the_headers_are_those_of_a_browsers_fetch():
    request = sent()
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert request.headers == {
        "Accept": "*/*",
        "Accept-Language": "en-US,en;q=0.5",
        "Content-Type": "text/plain;charset=UTF-8",
        "Origin": HOME,
        "Referer": f"{HOME}/",
        "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:122.0) Gecko/20100101 Firefox/122.0",
    }


def test_the_body_is_a_signed_history(now):
    assert list(body_of(sent("Hello, world!")).items()) == [
        ("messages", [{"role": "user", "parts": [{"text": "Hello, world!"}]}]),
        ("time", 1700000000000),
        ("pass", None),
        ("sign", "2c1f696d6980967fcd84ce4bf8b28251e8316e279dfde81375c3eb37d6952c25"),
    ]


def test_the_signature_is_that_of_the_last_turn_in_utf_8(now):
    body = body_of(sent(["Hi", {"from": "bot", "content": "Hello!"}, "Où est l'été? 🌞\nsecond line"]))
    assert body["sign"] == "c0e907b9ec9baa3e94d36d837d4743ec133745c2cafb05dd8e0e834479b1833e"


def test_the_assistants_turns_are_the_models_and_neighbours_of_one_role_become_one_turn(now):
    body = body_of(
        sent(
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello!"},
                {"role": "assistant", "content": "You?"},
                {"role": "user", "content": [{"type": "text", "text": "Fine."}, {"type": "text", "text": "Bye"}]},
                {"role": "system", "content": "Stop."},
            ]
        )
    )
    assert [(turn["role"], turn["parts"]) for turn in body["messages"]] == [
        ("user", [{"text": "Be brief.\n\nHi"}]),
        ("model", [{"text": "Hello!\n\nYou?"}]),
        ("user", [{"text": "Fine.\nBye\n\nStop."}]),
    ]
    signed = "1700000000000:Fine.\nBye\n\nStop.:"
    assert body["sign"] == hashlib.sha256(signed.encode()).hexdigest()


def test_a_history_that_ends_with_the_assistant_is_refused_before_anything_is_sent(online, web):
    with pytest.raises(ConfigurationError, match="last message"):
        online.ask(["Hi", {"role": "assistant", "content": "Hello!"}], model="aichatfree")
    assert not web.calls


def test_a_site_with_secret_and_password_of_its_own_is_a_subclass(policy, monkeypatch):
    class Ours(AIChatFree):
        """Our own GeminiProChat."""

        name = "ours"
        secret = "s3cret"
        site_password = "letmein"

    monkeypatch.setattr(registry, "_registered", {**registry._registered, "ours": Ours})
    with Sandbox(secret="s3cret", password="letmein") as sandbox:
        sandbox.says("Hello!")
        with Client(base_url={"ours": sandbox.url, "aichatfree": sandbox.url}, retry=policy) as client:
            assert client.ask("Hi", model="ours").text == "Hello!"
            with pytest.raises(AuthenticationError, match="password"):
                client.ask("Hi", model="aichatfree")


def test_the_server_checks_and_accepts_a_whole_conversation(client, sandbox):
    sandbox.says("Été — how are you? 🌞")
    turns = [{"role": "system", "content": "Be brief."}, "Où?", {"role": "assistant", "content": "Là."}, "Été 🌞\n?"]
    assert client.ask(turns, model="aichatfree").text == "Été — how are you? 🌞"
    assert sandbox.requests[-1].path == "/api/generate"


def test_a_refusal_of_the_history_is_a_bad_request(asks):
    with pytest.raises(BadRequestError):
        asks("aichatfree", b'{"error": {"message": "Invalid message history: ..."}}', status=400)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (" été 🌞!\r\n\n".encode(), " été 🌞!\r\n\n"),
        (b"data: {}\n", "data: {}\n"),
        (b"\xef\xbb\xbfa", "a"),
        (b'{"error', '{"error'),
        (b'{"error" is a key', '{"error" is a key'),
        (b'{"error": 1, "b": 2}', '{"error": 1, "b": 2}'),
        (b'{"error": "no object"}', '{"error": "no object"}'),
        (b'{"errand": {}}', '{"errand": {}}'),
    ],
)
def test_the_body_is_the_answer(asks, body, text):
    reply = asks("aichatfree", body, content_type="text/plain; charset=utf-8")
    assert (reply.text, reply.complete) == (text, None)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_character_cut_by_a_border_is_kept(client, sandbox, size):
    sandbox.says("été 🌞!")
    sandbox.script(f"split,size={size}")
    assert client.ask("Hi", model="aichatfree").text == "été 🌞!"


def test_a_piece_is_handed_out_before_the_next_is_sent(policy):
    seen = threading.Event()
    sun = "🌞".encode()
    script = [chunked_head("text/plain"), chunk(b"Hello " + sun[:2]), seen, chunk(sun[2:] + b"!"), chunk(b"")]
    with (
        RawServer(script) as server,
        Client(model="aichatfree", base_url=server.url, retry=policy, timeout=5) as client,
    ):
        stream = iter(client.stream("Hi"))
        assert next(stream) == "Hello "
        seen.set()
        assert list(stream) == ["🌞!"]


def test_a_quota_of_the_model_behind_it_is_a_rate_limit_and_tried_again(client, sandbox, slept):
    sandbox.says("Hello!")
    sandbox.script("quota", None)
    reply = client.ask("Hi", model="aichatfree")
    assert (reply.text, len(slept)) == ("Hello!", 1)
    assert type(reply.attempts[0].error) is RateLimitError
    assert reply.attempts[0].error.status == 500


@pytest.mark.parametrize("status", [200, 429, 500])
@pytest.mark.parametrize("body", [QUOTA, b"Quota exceeded", b"[429 Too Many Requests] Quota exceeded for quota metric"])
def test_quota_exceeded_is_a_rate_limit_whatever_the_status(asks, status, body):
    with pytest.raises(RateLimitError) as caught:
        asks("aichatfree", body, status=status, content_type="text/plain; charset=utf-8")
    assert (caught.value.provider, caught.value.partial) == ("aichatfree", "")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b'{"error": {"code": "TypeError", "message": "fetch failed"}}', ServerError),
        (500, b'{"error": {"code": "TypeError"}}', ServerError),
        (429, b"", RateLimitError),
        (402, b"", QuotaExceededError),
        (401, b'{"error": {"message": "Invalid signature."}}', AuthenticationError),
        (403, b"<title>Attention Required! | Cloudflare</title>", BlockedError),
        (200, b"<title>Just a moment...</title>", BlockedError),
        (200, b"<!doctype html><title>Welcome</title>", BadResponseError),
        (200, b"", EmptyAnswerError),
        (200, b" \n", EmptyAnswerError),
        (200, b'{"error": {"code": "TypeError", "message": "fetch failed"}}', ServerError),
        (200, b' {\n"error" : {"message": "fetch failed"}}\n', ServerError),
    ],
)
def test_a_failure_is_a_typed_error_and_never_an_answer(asks, status, body, kind):
    with pytest.raises(kind) as caught:
        asks("aichatfree", body, status=status, content_type="text/plain; charset=utf-8")
    assert (caught.value.provider, caught.value.status, caught.value.partial) == ("aichatfree", status, "")


def test_what_came_before_a_cut_is_kept(client, sandbox):
    sandbox.says("One two three four five.")
    sandbox.script("cut")
    with pytest.raises(StreamInterruptedError) as caught:
        client.ask("Hi", model="aichatfree")
    assert caught.value.partial == "One two"


def test_an_honest_answer_about_quotas_comes_whole(asks):
    text = "Quota exceeded means that an allowance is used up."
    assert asks("aichatfree", text.encode()).text == text


SITE_KEY = "[GoogleGenerativeAI Error]: Error fetching: [400 Bad Request] %s"


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (500, SITE_KEY % "API key not valid. Please pass a valid API key.", PermissionDeniedError),
        (500, SITE_KEY % "API key expired. Please renew the API key.", PermissionDeniedError),
        (
            500,
            "[GoogleGenerativeAI Error]: [403 Forbidden] Your API key was reported as leaked.",
            PermissionDeniedError,
        ),
        (500, "Candidate was blocked due to SAFETY", ContentFilteredError),
        (500, "[GoogleGenerativeAI Error]: [503 Service Unavailable] The model is overloaded.", OverloadedError),
        (200, "The model is overloaded. Please try again later.", OverloadedError),
        (500, "[GoogleGenerativeAI Error]: [429 Too Many Requests] Resource exhausted", RateLimitError),
        (401, "Invalid password", AuthenticationError),
        (401, "Invalid signature", AuthenticationError),
        (400, "Invalid signature", AuthenticationError),
        (401, "No", AuthenticationError),
    ],
)
def test_the_words_of_the_model_behind_the_site_decide(asks, status, words, kind):
    body = json.dumps({"error": {"code": f"{status} Error", "message": words}}).encode()
    with pytest.raises(ChatError) as caught:
        asks("aichatfree", body, status=status)
    error = caught.value
    assert type(error) is kind
    told = str(error).replace(words.rstrip("."), "")
    assert "API key" not in told
    if kind is AuthenticationError:
        assert "site_password" in told
        assert "secret" in told
    if kind is PermissionDeniedError:
        assert error.action == "next"


# What a site adds to an answer when it fails after its head.


@pytest.mark.parametrize("ending", ["", "cut", "reset"])
@pytest.mark.parametrize("after", [1, 2])
def test_an_answer_that_ends_in_the_words_of_a_failure_is_cut_off(client, sandbox, after, ending):
    sandbox.says("One two three four five.")
    sandbox.script(f"failure-words,after={after},ending={ending}")
    with pytest.raises(StreamInterruptedError) as caught:
        client.ask("Hi", model="aichatfree")
    assert caught.value.partial == ["One", "One two"][after - 1]
    assert ending or "trust_tail" in str(caught.value)
    assert len(sandbox.requests) == 1


def test_the_words_of_a_failure_alone_are_an_error_that_moves_on(client, sandbox, slept):
    sandbox.script("failure-words,after=0")
    with pytest.raises(ServerError, match="filter stopped the prompt") as caught:
        client.ask("Hi", model="aichatfree")
    assert (caught.value.action, caught.value.partial, slept) == ("next", "", [])
    assert len(sandbox.requests) == 1


def test_the_words_of_a_failure_are_found_however_they_are_cut():
    for size in range(1, 30):
        body = "Été. Internal server error".encode()
        blocks = [body[start : start + size] for start in range(0, len(body), size)]
        found = list(AIChatFree.iter_events(blocks))
        assert "".join(event.data for event in found if event.type == "message") == "Été. "
        assert (found[-1].type, found[-1].data) == ("cut", "Internal server error")


@pytest.mark.parametrize("text", ["Status 500 means Internal Server Error", "An internal server error"])
def test_the_words_with_other_capitals_are_those_of_the_model(asks, text):
    assert asks("aichatfree", text.encode()).text == text


def test_the_words_alone_are_a_failure_whatever_their_capitals(asks):
    with pytest.raises(ServerError, match="answer is only 'Internal Server Error'"):
        asks("aichatfree", b"Internal Server Error")


def test_the_name_of_a_javascript_error_is_not_shown(asks):
    body = b'{"error": {"code": "Error", "message": "User location is not supported for the API use."}}'
    with pytest.raises(BlockedError) as caught:
        asks("aichatfree", body, status=500)
    assert (caught.value.code, "(500)" in str(caught.value)) == (None, True)


def test_a_model_that_the_site_lost_is_not_the_users_to_change(asks):
    with pytest.raises(ModelNotFoundError, match="only the site can fix it") as caught:
        asks("aichatfree", b'{"error": {"message": "[404 Not Found] models/m is not found"}}', status=500)
    assert "did you mean" not in str(caught.value)
    assert "pass model=" not in str(caught.value)


def test_the_words_in_the_middle_of_an_answer_are_text(asks):
    text = "Internal server error means that the site has failed. Internal server errors pass."
    assert asks("aichatfree", text.encode()).text == text


def test_a_site_whose_words_are_to_be_trusted_is_a_subclass(asks, monkeypatch):
    monkeypatch.setattr(AIChatFree, "trust_tail", True)
    assert asks("aichatfree", b"It says: Internal server error").text == "It says: Internal server error"
    assert asks("aichatfree", b"Internal server error").text == "Internal server error"


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("location", BlockedError, "region is not served"),
        ("key", PermissionDeniedError, "the site's own key"),
        ("model", ModelNotFoundError, "models/m is not found"),
        ("overloaded", OverloadedError, "overloaded"),
        ("network", ServerError, "fetch failed"),
    ],
)
def test_a_failure_of_the_models_service_is_read_by_its_words(client, sandbox, kind, error, words):
    sandbox.script(f"gemini-error,kind={kind}")
    with pytest.raises(error, match=words) as caught:
        client.ask("Hi", model="aichatfree", retry=0)
    assert type(caught.value) is error


def test_the_sandbox_checks_a_password():
    with Sandbox(password="open") as box:
        codes = [talk(box, "/api/auth", {"pass": word}).json()["code"] for word in ("open", "shut")]
    assert codes == [0, -1]
