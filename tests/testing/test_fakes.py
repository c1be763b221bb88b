"""Fakes: the whole way of a call, with nothing behind it but a script."""

from __future__ import annotations

import socket
import time
import unittest
from dataclasses import dataclass

import pytest
import requests

import aichatkit as ai
from aichatkit import Client, RetryPolicy, testing
from aichatkit.api import default_client
from aichatkit.registry import GROUPS, registry
from aichatkit.testing import (
    BadRequest,
    Blocked,
    Cut,
    Empty,
    Failure,
    Fake,
    Fault,
    Filtered,
    NoModel,
    Overloaded,
    Quota,
    RateLimit,
    Raw,
    Says,
    Silence,
    Stall,
    TooLong,
    Unreachable,
    UseTool,
    WebPage,
    WrongKey,
)

#: Every protocol of the package, by a provider that speaks it.
PROTOCOLS = ["openai", "openai-responses", "anthropic", "gemini", "cohere", "ollama", "offline", "groq"]
SITES = [*GROUPS["free"], "aichatonline-classic"]


@dataclass
class Capital:
    """A city."""

    city: str
    people: int


def stock(article: str) -> int:
    """Count the pieces of an article."""
    return {"A-17": 4}.get(article, 0)


@pytest.fixture(autouse=True)
def no_socket(monkeypatch):
    """Let nothing be connected at all: a fake needs no server."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a fake opened a connection"))


# What it answers.


@pytest.mark.parametrize("model", [*PROTOCOLS, *SITES])
def test_it_answers_in_the_protocol_of_every_service(model):
    fake = Fake(["Paris.", "Madrid."])
    client = fake.client(model=model)
    assert [client.ask("Of France?").text, "".join(client.stream("Of Spain?"))] == ["Paris.", "Madrid."]
    assert [prompt.splitlines()[-1].strip() for prompt in fake.prompts] == ["Of France?", "Of Spain?"]
    fake.assert_done()


@pytest.mark.parametrize("model", PROTOCOLS)
def test_an_answer_comes_in_the_pieces_that_were_told(model):
    client = Fake([Says("Pa", "ris", ".", reasoning="Hm.")]).client(model=model)
    stream = client.stream("Of France?")
    assert (list(stream), stream.reply.complete) == (["Pa", "ris", "."], True)
    assert stream.reply.reasoning in ("Hm.", "")


def test_a_model_thinks_aloud_and_is_cut_short_where_the_script_says_so():
    reply = Fake([Says("Par", reasoning="Hm.", cut_short=True)]).client().ask("Of France?")
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("Par", "Hm.", "length")


@pytest.mark.parametrize("model", ["openai", "openai-responses", "anthropic", "gemini", "cohere", "ollama"])
def test_tools_are_called_and_their_results_sent_back(model):
    fake = Fake([[UseTool("stock", article="A-17"), UseTool("stock", article="B-1")], "Four and none."])
    assert fake.client(model=model).ask("How many?", tools=[stock]).text == "Four and none."
    assert len(fake.requests) == 2
    assert b"A-17" in fake.requests[1].body


@pytest.mark.parametrize(
    "data", [Capital("Paris", 2), {"city": "Paris", "people": 2}, '{"city": "Paris", "people": 2}']
)
def test_data_is_sent_as_json(data):
    assert Fake([data]).client().ask("Of France?", schema=Capital).data == Capital("Paris", 2)


def test_a_pydantic_model_is_sent_as_json():
    pydantic = pytest.importorskip("pydantic")
    kind = pydantic.create_model("Town", city=(str, ...))
    assert Fake([kind(city="Paris")]).client().ask("Of France?", schema=kind).data == kind(city="Paris")


@pytest.mark.parametrize("model", ["openai/gpt-image-2.5-flare", "aichats/dalle"])
def test_a_model_that_draws_draws_and_may_fail(model):
    fake = Fake(["a picture", Quota()])
    client = fake.client(model=model)
    assert client.image("A cat").bytes().startswith(b"\x89PNG")
    with pytest.raises(ai.QuotaExceededError):
        client.image("A dog")
    assert fake.prompts == ["A cat", "A dog"]


def test_one_answer_is_given_to_everything():
    client = Fake("Yes.").client()
    assert [client.ask(word).text for word in "abc"] == ["Yes."] * 3


def test_a_function_answers_by_the_prompt_with_any_step():
    fake = Fake(lambda prompt: Quota() if "money" in prompt else prompt[::-1])
    assert fake.client().ask("abc").text == "cba"
    with pytest.raises(ai.QuotaExceededError):
        fake.client().ask("money")


def test_a_dict_answers_by_the_longest_words_of_the_prompt():
    client = Fake({"France": "Paris", "New France": "Quebec"}).client()
    assert [client.ask(f"Capital of {name}?").text for name in ("France", "New France")] == ["Paris", "Quebec"]
    with pytest.raises(AssertionError, match=r"no answer for 'Spain\?'; it knows 'France', 'New France'"):
        client.ask("Spain?")


def test_the_models_of_a_service_are_listed():
    assert "gpt-6-sol" in Fake("x").client().models("openai")


# What goes wrong.


@pytest.mark.parametrize(
    ("step", "error", "status"),
    [
        (RateLimit(), ai.RateLimitError, 429),
        (Quota(), ai.QuotaExceededError, 429),
        (WrongKey(), ai.AuthenticationError, 401),
        (Blocked(), ai.BlockedError, 403),
        (BadRequest(), ai.BadRequestError, 400),
        (TooLong(), ai.ContextTooLongError, 400),
        (Filtered(), ai.ContentFilteredError, 400),
        (NoModel(), ai.ModelNotFoundError, 404),
        (Overloaded(), ai.OverloadedError, 503),
        (Failure(), ai.ServerError, 500),
        (Failure(502), ai.ServerError, 502),
        (WebPage(), ai.BadResponseError, 200),
        (Empty(), ai.EmptyAnswerError, 200),
        (Cut("Pa"), ai.StreamInterruptedError, None),
        (Stall("Pa"), ai.StreamStalledError, None),
        (Silence(), ai.TimedOutError, None),
        (Unreachable(), ai.ConnectError, None),
        (Fault("reset-head"), ai.ConnectError, None),
        (Fault("bad-status"), ai.BadResponseError, None),
        (Fault("many-headers"), ai.BadResponseError, None),
        (Fault("reset", text="Hello, this is long"), ai.StreamInterruptedError, None),
        (Fault("pings"), ai.DeadlineExceededError, None),
        (Fault("error-body-drip"), ai.ServerError, 500),
    ],
    ids=repr,
)
def test_each_step_is_the_error_of_its_name_and_takes_no_time(step, error, status):
    started = time.monotonic()
    client = Fake([step]).client(retry=0, timeout=ai.Timeout(total=600))
    with pytest.raises(error) as caught:
        client.ask("Of France?")
    assert type(caught.value) is error
    assert caught.value.status in (status, None)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("model", [*PROTOCOLS, "aichats", "aichatonline", "aichatfree", "aichatonline-classic"])
@pytest.mark.parametrize(("step", "error"), [(Cut, ai.StreamInterruptedError), (Stall, ai.StreamStalledError)])
def test_what_came_before_a_break_is_kept(model, step, error):
    with pytest.raises(error) as caught:
        Fake([step("Pa ris")]).client(model=model).ask("Of France?")
    assert caught.value.partial == "Pa ris"


def test_waits_are_listed_and_not_waited():
    fake = Fake([RateLimit(retry_after=50), Overloaded(), "Paris."])
    heard = []
    started = time.monotonic()
    reply = fake.client(hooks={"wait": heard.append}).ask("Of France?")
    assert (reply.text, fake.waits) == ("Paris.", [50.0, 0.0])
    assert [wait.seconds for wait in heard] == [50.0, 0.0]
    assert time.monotonic() - started < 5


def test_retries_may_be_chosen_for_a_call_and_still_take_no_time():
    fake = Fake([RateLimit(retry_after=30), RateLimit(retry_after=30)])
    with pytest.raises(ai.RateLimitError):
        fake.client().ask("Hi", retry=1)
    assert fake.waits == [30.0]


def test_a_sleep_of_ones_own_is_used():
    own = []
    fake = Fake([RateLimit(retry_after=3), "Yes."])
    fake.client(retry=RetryPolicy(sleep=own.append)).ask("Hi")
    assert (own, fake.waits) == ([3.0], [])


def test_a_list_of_models_is_a_fallback_and_comes_back_when_the_time_has_passed():
    fake = Fake([Quota(), "From the second.", "From the first."])
    client = fake.client(model=["openai", "anthropic"])
    assert client.ask("Hi").provider == "anthropic"
    fake._clock.skip(100_000)
    assert client.ask("Hi").provider == "openai"


def test_an_error_of_ones_own_is_raised_in_the_place_of_the_network():
    client = Fake([requests.ConnectionError("boom"), KeyboardInterrupt()]).client(retry=0)
    with pytest.raises(ai.ConnectError):
        client.ask("Hi")
    with pytest.raises(KeyboardInterrupt):
        client.ask("Hi")


def test_closing_the_client_ends_a_stream():
    client = Fake(["Tell me more."]).client()
    stream = client.stream("Hi")
    next(stream)
    client.close()
    with pytest.raises(ai.StreamInterruptedError):
        list(stream)


# What is asked.


def test_what_was_sent_can_be_looked_at():
    fake = Fake("Yes.")
    fake.client(system="Be brief.", temperature=0.5).ask("Is it?")
    asked = fake.requests[0]
    assert (asked.prompt, asked.url) == ("Is it?", "https://api.openai.com/v1/chat/completions")
    assert asked.json()["temperature"] == 0.5
    assert asked.json()["messages"][0] == {"role": "system", "content": "Be brief."}
    assert asked.headers["authorization"] == "Bearer fake-key"
    assert "fake-key" not in repr(asked)


def test_a_request_the_service_would_refuse_is_refused_and_uses_no_answer():
    fake = Fake(["Yes."])
    with pytest.raises(ai.BadRequestError):
        fake.client().ask("Hi", extra={"messages": []})
    with pytest.raises(AssertionError, match=r"1 of 1 answers of the fake were not asked for; the next is 'Yes.'"):
        fake.assert_done()


def test_an_answer_too_few_is_an_error_that_cannot_be_swallowed():
    fake = Fake(["Yes."])
    client = fake.client()
    client.ask("One")
    with pytest.raises(AssertionError, match=r"no answer left, its 1 are used up, and this was asked: 'Two'"):
        client.ask("Two")
    with pytest.raises(AssertionError, match="no answer left"):
        fake.assert_done()


def test_many_threads_share_a_fake():
    fake = Fake(lambda prompt: f"<{prompt}>")
    results = fake.client().map([f"row {number}" for number in range(200)], workers=16, progress=False)
    assert results.text == [f"<row {number}>" for number in range(200)]
    assert len(fake.requests) == 200


def test_threads_use_a_list_up_each_answer_once():
    fake = Fake([str(number) for number in range(100)])
    results = fake.client().map(["Hi"] * 100, workers=16, progress=False)
    assert sorted(results.text, key=int) == [str(number) for number in range(100)]
    fake.assert_done()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([None], "cannot answer with None"),
        ([object()], "cannot answer with <object"),
        ([ai.RateLimitError("slow")], "RateLimitError comes of a step"),
        ([Quota], r"write Quota\(\) with brackets"),
        ({"x": None}, "cannot answer with None"),
        (None, "cannot answer with None"),
    ],
    ids=["none", "object", "error", "class", "in a dict", "alone"],
)
def test_what_is_no_answer_is_refused_where_the_test_is_written(answers, told):
    with pytest.raises(ai.ConfigurationError, match=told):
        Fake(answers)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Fault("rate-limt"), "did you mean 'rate-limit'"),
        (lambda: Fault("rate-limit", retry_afer=2), "did you mean 'retry_after'"),
        (lambda: Says("a", 1), "chunks must be strings"),
    ],
)
def test_a_misspelt_step_tells_the_right_name(make, told):
    with pytest.raises(ai.ConfigurationError, match=told):
        make()


def test_a_function_may_not_answer_with_nothing():
    with pytest.raises(ai.ConfigurationError, match="cannot answer with None"):
        Fake(lambda prompt: None).client().ask("Hi")


def test_steps_show_what_they_are():
    shown = [Says("a", "b"), UseTool("stock", n=1), Raw(b"", status=204), Cut("x"), Fault("crlf"), Unreachable()]
    assert list(map(repr, shown)) == [
        "Says('a', 'b')",
        "UseTool('stock', **{'n': 1})",
        "Raw(status=204)",
        "Cut()",
        "Fault('crlf')",
        "Unreachable()",
    ]


def test_a_service_with_a_protocol_of_its_own_is_answered_in_bytes(monkeypatch):
    from aichatkit.providers.base import Provider

    class Own(Provider):
        """A protocol that nobody else speaks."""

        name = "own-protocol"
        url = "https://own.example"

        def build_request(self, messages, model):
            return requests.Request("POST", f"{self.url}/say", json={"say": messages[-1].content})

        def parse_event(self, event):
            return event.data

    monkeypatch.setitem(registry._registered, "own-protocol", Own)
    fake = Fake([Raw(b"data: Hel\n\n", b"data: lo\n\n"), Raw(b"no", status=429, headers={"Retry-After": "70"}), "Hi"])
    client = fake.client(model="own-protocol/any")
    assert (list(client.stream("Hi")), fake.requests[0].json()) == (["Hel", "lo"], {"say": "Hi"})
    with pytest.raises(ai.RateLimitError):
        client.ask("Hi")
    with pytest.raises(AssertionError, match=r"knows no protocol at https://own.example/say, .* not with 'Hi'"):
        client.ask("Hi", retry=0)
    with pytest.raises(AssertionError, match="knows no protocol"):
        fake.assert_done()


@pytest.mark.parametrize("answers", [[Raw(b"data: Hello\n\n")], Raw(b"data: Hello\n\n")], ids=["list", "alone"])
def test_a_service_of_ones_own_may_have_the_path_of_another(monkeypatch, answers):
    from aichatkit.providers.base import Provider

    class Own(Provider):
        """The path of Ollama, and nothing else of it."""

        name = "own-path"
        url = "https://own.example"

        def build_request(self, messages, model):
            return requests.Request("POST", f"{self.url}/api/chat", json={"say": messages[-1].content})

        def parse_event(self, event):
            return event.data

    monkeypatch.setitem(registry._registered, "own-path", Own)
    assert Fake(answers).client(model="own-path/any").ask("Hi").text == "Hello"


def test_bytes_may_answer_a_service_that_is_known():
    assert Fake([Raw(b'{"choices": [{"message": {"content": "Hi."}}]}')]).client().ask("Hi", retry=0).text == "Hi."


# In the place of the network.


def test_the_functions_of_the_package_ask_the_fake_without_a_key_or_a_model():
    with Fake(["Paris.", "Hello", "a.", "b."]).installed() as fake:
        assert str(ai.ask("Of France?")) == "Paris."
        assert "".join(ai.stream("Hi", model="anthropic/claude-x")) == "Hello"
        assert ai.map(["1", "2"], workers=1, progress=False).text == ["a.", "b."]
    assert fake.prompts == ["Of France?", "Hi", "1", "2"]


def test_clients_of_the_code_under_test_ask_it_also_those_made_before():
    before = Client(model="gemini")
    with Fake(["One.", "Two."]).installed():
        assert before.ask("Hi").text == "One."
        assert Client(model="mistral").chat().ask("Hi").text == "Two."


def test_a_session_of_ones_own_is_used_with_its_headers():
    session = requests.Session()
    session.headers["X-Team"] = "blue"
    with Fake(["One."]).installed() as fake:
        Client(model="openai", session=session).ask("Hi")
    assert fake.requests[0].headers["x-team"] == "blue"


def test_conversations_work():
    with Fake(["Nice name.", Cut("Re"), "Rex."]).installed() as fake:
        chat = ai.chat(system="Be brief.")
        chat.ask("My dog is Rex.")
        with pytest.raises(ai.StreamInterruptedError):
            chat.ask("His name?")
        assert chat.ask("His name?").text == "Rex."
    assert [turn["content"] for turn in fake.requests[-1].json()["messages"]] == [
        *("Be brief.", "My dog is Rex.", "Nice name.", "His name?")
    ]


def test_waits_of_any_client_take_no_time():
    started = time.monotonic()
    with Fake([RateLimit(retry_after=40), "Yes.", RateLimit(retry_after=9), "Yes."]).installed() as fake:
        Client(model="openai", timeout=ai.Timeout(total=1000)).ask("Hi")
        ai.ask("Hi", retry=1)
    assert fake.waits == [40.0, 9.0]
    assert time.monotonic() - started < 5


def test_pictures_are_fetched_from_the_fake_as_well():
    with Fake("drawn").installed():
        assert ai.image("A cat", model="aichats/dalle").bytes().startswith(b"\x89PNG")


def test_no_real_key_is_sent(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-real")
    with Fake("Yes.").installed() as fake:
        ai.ask("Hi", model="groq")
    assert fake.requests[0].headers["authorization"] == "Bearer fake-key"


def test_other_requests_of_the_process_are_left_alone():
    adapter = requests.Session().get_adapter("http://127.0.0.1:9/")
    with Fake([]).installed():
        assert type(requests.Session().get_adapter("http://127.0.0.1:9/")) is type(adapter)


def test_everything_is_as_before_at_its_end():
    before = requests.Session.get_adapter, RetryPolicy().now.__func__.__globals__["time"]
    shared = default_client()
    with Fake("Yes.").installed():
        inside = default_client()
        assert inside is not shared
    assert default_client() is shared
    assert (requests.Session.get_adapter, RetryPolicy().now.__func__.__globals__["time"]) == before
    with pytest.raises(ai.ConfigurationError, match="closed"):
        inside.ask("Hi")
    with pytest.raises(ai.MissingKeyError):
        Client(model="openai").ask("Hi")


def test_one_fake_may_stand_in_front_of_another():
    with Fake(["outer"]).installed():
        with Fake(["inner"]).installed():
            assert ai.ask("Hi").text == "inner"
        assert ai.ask("Hi").text == "outer"


def test_answers_that_are_left_are_told_at_the_end_but_not_over_another_failure():
    with pytest.raises(AssertionError, match="1 of 1 answers"), Fake(["Yes."]).installed():
        pass
    with pytest.raises(ZeroDivisionError), Fake(["Yes."]).installed():
        raise ZeroDivisionError


def test_removing_what_is_not_installed_is_fine():
    Fake("Yes.").remove()


def test_a_fake_client_takes_no_session_and_gives_a_way():
    with pytest.raises(ai.ConfigurationError, match="installed"):
        Fake("Yes.").client(session=requests.Session())


def test_a_key_that_is_given_is_sent():
    fake = Fake("Yes.")
    fake.client(api_key="sk-mine").ask("Hi")
    assert fake.requests[0].headers["authorization"] == "Bearer sk-mine"


def test_every_step_is_public():
    assert {name for name in testing.steps.__all__ if name[0].isupper()} < set(testing.__all__)


class FakeInUnittest(unittest.TestCase):
    """What a user of unittest writes."""

    def setUp(self):
        self.fake = Fake(["Paris."]).install()
        self.addCleanup(self.fake.remove)

    def test_it_answers_in_a_test_case(self):
        self.assertEqual(str(ai.ask("Of France?")), "Paris.")  # noqa: PT009 - that is how they write it
        self.fake.assert_done()
