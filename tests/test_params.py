"""Misspelt options and parameters are refused, with the nearest name."""

from __future__ import annotations

import inspect
import numbers
import re
from decimal import Decimal
from fractions import Fraction

import pytest

import aichatkit as ai
from aichatkit import Client, ConfigurationError
from aichatkit.call import option_hints, other_words
from aichatkit.options import CALL_OPTIONS
from aichatkit.params import PARAMS, is_integer, is_number, parse_params, parse_value, reject_unsupported, suggestion
from aichatkit.testing import Fake


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("modle", "model"),
        ("timout", "timeout"),
        ("apikey", "api_key"),
        ("baseurl", "base_url"),
        ("proxy", "proxies"),
        ("temprature", "temperature"),
        ("max_token", "max_tokens"),
    ],
)
def test_client_tells_the_nearest_option_or_parameter(misspelt, meant):
    with pytest.raises(ConfigurationError, match=f"{misspelt!r}; did you mean {meant!r}"):
        Client(**{misspelt: 1})


@pytest.mark.parametrize("method", ["ask", "stream", "image"])
def test_calls_tell_the_nearest_parameter(client, sandbox, method):
    with pytest.raises(ConfigurationError, match="did you mean 'temperature'"):
        getattr(client, method)("Hi", temprature=0.1)
    assert sandbox.requests == []


def test_a_chat_refuses_a_misspelt_option_when_it_is_made(client):
    with pytest.raises(ConfigurationError, match="did you mean 'timeout'"):
        client.chat(timout=5)


def test_a_turn_of_a_chat_refuses_a_misspelt_option(client):
    with pytest.raises(ConfigurationError, match="did you mean 'temperature'"):
        client.chat().ask("Hi", temprature=0.1)


@pytest.mark.parametrize("function", ["ask", "stream", "image"])
def test_the_functions_of_the_package_refuse_as_the_client_does(function):
    with pytest.raises(ConfigurationError, match="did you mean 'timeout'"):
        getattr(ai, function)("Hi", model="offline", timout=5)


def test_an_option_that_does_not_exist_is_not_swallowed():
    with pytest.raises(ConfigurationError, match="unknown option or parameter 'colour'"):
        Client(colour=1)


@pytest.mark.parametrize("option", ["api_key", "base_url", "session", "verify", "hooks"])
def test_what_belongs_to_the_client_is_refused_in_a_call(client, option):
    with pytest.raises(ConfigurationError, match=f"unknown option or parameter '{option}'"):
        client.ask("Hi", **{option: None})


def test_an_unknown_hook_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match="no hook 'wiat'; did you mean 'wait'"):
        Client(hooks={"wiat": print})


def test_a_hook_that_cannot_be_called_is_refused():
    with pytest.raises(ConfigurationError, match="wait must be callable"):
        Client(hooks={"wait": "print"})


def test_hooks_that_are_no_dict_are_refused():
    with pytest.raises(ConfigurationError, match="must be a dict"):
        Client(hooks=print)


def test_only_parameters_that_were_given_are_sent(client, sandbox):
    client.ask("Hi", temperature=0, top_p=None)
    body = sandbox.requests[-1].json()
    assert body["temperature"] == 0
    assert not PARAMS & set(body) - {"temperature"}


def test_a_call_s_parameter_wins_over_the_client_s(sandbox):
    with Client(model="openai", api_key="k", base_url=f"{sandbox.url}/v1", temperature=0.2, seed=1) as client:
        client.ask("Hi", temperature=0.9)
    body = sandbox.requests[-1].json()
    assert (body["temperature"], body["seed"]) == (0.9, 1)


def test_a_parameter_the_provider_does_not_take_is_refused_before_anything_is_sent(client, sandbox):
    with pytest.raises(ConfigurationError, match="aichats does not take 'temperature'; it takes no parameters"):
        client.ask("Hi", model="aichats", temperature=1)
    assert sandbox.requests == []


def test_the_refusal_says_what_the_provider_takes():
    with pytest.raises(ConfigurationError, match="it takes seed, stop") as caught:
        reject_unsupported({"top_k": 1}, ["stop", "seed"], provider="example")
    assert (caught.value.provider, caught.value.action) == ("example", "next")


def test_what_the_provider_takes_passes():
    reject_unsupported({"stop": "x"}, ["stop"], provider="example")


def test_parameters_without_a_value_are_dropped():
    assert parse_params({"seed": 0, "stop": None}, options=()) == {"seed": 0}


def test_a_name_like_nothing_gets_no_suggestion():
    assert suggestion("zzz", PARAMS) == ""


def test_a_wrong_value_is_refused_before_anything_is_sent(client, sandbox):
    with pytest.raises(ConfigurationError, match="max_tokens must be an integer, got '5'"):
        client.ask("Hi", max_tokens="5")
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("given", "meant"), [("OpenAI/x", "openai"), (" openai/x", "openai"), ("Temperature", "temperature")]
)
def test_the_nearest_name_is_found_whatever_its_case(given, meant):
    assert suggestion(given.partition("/")[0], ["openai", "temperature"]) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize("value", [-1, 0.0, 1.5, True, False, "1", None, float("inf"), float("nan")])
def test_what_is_no_integer_of_at_least_the_minimum_is_seen(value):
    assert not is_integer(value, minimum=0)
    assert is_integer(0, minimum=0)


@pytest.mark.parametrize("value", [-1, -0.5, True, False, "1", None, 1j, float("-inf"), float("nan")])
def test_what_is_no_number_of_at_least_the_minimum_is_seen(value):
    assert not is_number(value)
    assert not is_number(value, above=0)


@pytest.mark.parametrize("value", [0, 0.0, -0.0])
def test_the_minimum_is_allowed_and_the_bound_above_is_not(value):
    assert is_number(value, minimum=0)
    assert not is_number(value, above=0)
    assert is_number(value, above=-1)


@pytest.mark.parametrize("value", [1, 0.5, 10**400, float("inf")])
def test_a_number_may_be_as_large_as_it_likes(value):
    assert is_number(value)
    assert is_number(value, above=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("temperature", "hot", "temperature must be a number, got 'hot'"),
        ("temperature", "0.2", "temperature must be a number, got '0.2'"),
        ("temperature", True, "temperature must be a number, got True"),
        ("temperature", float("nan"), "temperature must be a number, got nan"),
        ("temperature", float("inf"), "temperature must be a number, got inf"),
        ("temperature", -0.1, "temperature must be between 0 and 2, got -0.1"),
        ("temperature", Decimal("0.5"), "temperature must be a number, got Decimal('0.5')"),
        ("temperature", 9, "temperature must be between 0 and 2, got 9"),
        ("presence_penalty", 3, "presence_penalty must be between -2 and 2, got 3"),
        ("top_p", 7, "top_p must be between 0 and 1, got 7"),
        ("min_p", -1, "min_p must be between 0 and 1, got -1"),
        ("presence_penalty", [], "presence_penalty must be a number, got []"),
        ("frequency_penalty", "x", "frequency_penalty must be a number, got 'x'"),
        ("repetition_penalty", -1, "repetition_penalty must be at least 0, got -1"),
        ("max_tokens", -1, "max_tokens must be at least 1, got -1"),
        ("max_tokens", 0, "max_tokens must be at least 1, got 0"),
        ("max_tokens", 10.0, "max_tokens must be an integer, got 10.0"),
        ("max_tokens", True, "max_tokens must be an integer, got True"),
        ("seed", "x", "seed must be an integer, got 'x'"),
        ("top_k", 2.5, "top_k must be an integer, got 2.5"),
        ("top_logprobs", -1, "top_logprobs must be at least 0, got -1"),
        ("stop", 5, "stop must be a string or a list of strings, got 5"),
        ("stop", ["a", 1], "stop must be a string or a list of strings, got ['a', 1]"),
        ("logprobs", "yes", "logprobs must be True or False, got 'yes'"),
        ("parallel_tool_calls", 1, "parallel_tool_calls must be True or False, got 1"),
        ("logit_bias", [1], "logit_bias must be a dict, got [1]"),
        (
            "response_format",
            "json",
            "response_format must be a dict, got 'json'; for a class or a JSON schema, use",
        ),
        ("user", 7, "user must be a string, got 7"),
        ("verbosity", "loud", "verbosity must be low, medium or high, got 'loud'"),
        (
            "reasoning_effort",
            1024,
            "must be one of none, minimal, low, medium, high, xhigh, max, got 1024",
        ),
        ("reasoning_effort", "hihg", "did you mean 'high'?"),
        ("reasoning_effort", "High", "did you mean 'high'?"),
        ("reasoning_effort", "off", "did you mean 'none'?"),
        ("reasoning_effort", "maximum", "did you mean 'max'?"),
        ("reasoning_effort", ["low"], "got ['low']"),
    ],
)
def test_a_value_that_no_service_takes_is_refused_before_anything_is_sent(client, sandbox, name, value, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        client.ask("Hi", **{name: value})
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Client(**{name: value})
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("temperature", 0, 0),
        ("temperature", Fraction(1, 4), 0.25),
        ("seed", -1, -1),
        ("top_k", -1, -1),
        ("stop", "END", "END"),
        ("stop", ("a", "b"), ["a", "b"]),
        ("stop", [], []),
        ("logprobs", False, False),
        ("logprobs", 3, 3),
        ("parallel_tool_calls", False, False),
        ("logit_bias", {"1": 2}, {"1": 2}),
        ("user", "me", "me"),
        ("verbosity", "low", "low"),
        ("reasoning_effort", "xhigh", "xhigh"),
        ("max_tokens", 1, 1),
    ],
)
def test_a_value_that_some_service_takes_is_accepted(name, value, parsed):
    assert parse_params({name: value}, options=()) == {name: parsed}


def test_numbers_of_other_packages_are_sent_as_plain_ones():
    @numbers.Integral.register
    class Count:
        def __int__(self):
            return 7

    assert parse_value("seed", Count()) == 7


def test_every_parameter_has_a_check_of_its_value():
    for name in PARAMS:
        with pytest.raises(ConfigurationError, match=f"{name} must be"):
            parse_value(name, object())


@pytest.mark.parametrize("option", sorted(option_hints._CLIENT))
@pytest.mark.parametrize("method", ["ask", "stream", "chat", "map"])
def test_an_option_of_the_client_is_named_as_such(option, method):
    arguments = {"chat": []}.get(method, ["Hi"])
    client = Fake("Yes.").client()
    if option == "budget" and method == "map":
        assert client.map(["Hi"], budget=5, progress=False)[0].text == "Yes."
        return
    with pytest.raises(ConfigurationError) as caught:
        getattr(client, method)(*arguments, **{option: "x"})
    assert str(caught.value) == (
        f"unknown option or parameter {option!r}; it belongs to the client: Client({option}=...)"
    )


def test_the_hints_know_the_options_as_they_are():
    made = set(inspect.signature(Client).parameters) - {"params"}
    per_call = {*CALL_OPTIONS, *inspect.signature(Client.map).parameters}
    assert made - per_call | {"budget"} == option_hints._CLIENT
    assert set(CALL_OPTIONS) - made == option_hints._CALL
    assert set(inspect.signature(Client.map).parameters) >= option_hints._MAP
    assert set(inspect.signature(Client.embed).parameters) >= option_hints._EMBED
    assert set(inspect.signature(Client.decide).parameters) >= option_hints._DECIDE
    known = {*PARAMS, *CALL_OPTIONS, *made, *option_hints._MAP, *option_hints._CHAT, *option_hints._EMBED}
    assert known & {*other_words._OURS, *other_words.FIELDS, *other_words.COUNTS} == set()
    assert set(other_words._OPTIONS) - known == {"prompt", "quality", "size"}
    assert set(other_words._OURS) & other_words.FIELDS == set()
    assert len(other_words._OURS) == sum(len(words.split()) for words in other_words._OPTIONS.values())


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("max_retries", "retry="),
        ("images", "files="),
        ("attachments", "files="),
        ("instructions", "system="),
        ("response_model", "schema="),
        ("max_workers", "did you mean workers=? It belongs to map(...)"),
        ("n", "use map([prompt] * 3)"),
        ("service_tier", "extra={'service_tier': ...}"),
        ("stream", "stream(...)"),
        ("messages", "ask(messages)"),
        ("max_completion_tokens", "did you mean max_tokens=?"),
        ("stop_sequences", "did you mean stop=?"),
        ("api_base", "Client(base_url=...)"),
        ("models", "model=[...]"),
        ("workers", "it belongs to map(...)"),
        ("trim", "client.chat(trim=...)"),
    ],
)
def test_the_words_of_other_libraries_are_translated(option, told):
    client = Fake("Yes.").client()
    for call in (client.ask, client.stream):
        with pytest.raises(ConfigurationError) as caught:
            call("x", **{option: 3})
        assert told in str(caught.value)
    with pytest.raises(ConfigurationError, match="unknown option or parameter 'tools'; it belongs to a call"):
        Client(tools=[len])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda c: Client("openai/gpt-6-luna", "key"),
            "Client: takes the model first, and other options by name, such as api_key=",
        ),
        (
            lambda c: ai.chat("hi"),
            "chat: takes options by name only, such as model= and system=; pass the prompt to ask()",
        ),
        (lambda c: c.chat("hi"), "chat: takes options by name only"),
        (lambda c: ai.ask(model="offline"), "ask: takes a prompt first, a text or a list of messages"),
        (lambda c: ai.image(), "image: takes a prompt first"),
        (lambda c: c.map(["a"], "Say {text}", "openai"), "map: takes prompts, a template, and options by name"),
        (lambda c: ai.Chat(c, "openai"), "Chat: takes a client first, and options by name, such as model='openai'"),
        (lambda c: ai.Chat("openai"), "Chat: takes a Client first; pass the model by name, model='openai'"),
        (lambda c: ai.stream(), "stream: takes a prompt first"),
        (lambda c: c.ask(), "ask: takes a prompt first"),
        (lambda c: c.chat().ask(), "ask: takes a prompt first"),
        (lambda c: c.chat().show(), "show: takes a prompt first"),
        (lambda c: c.ask("hi", "openai"), "ask: takes one prompt, and options by name, such as model='openai'"),
        (lambda c: ai.ask("hi", "openai"), "ask: takes one prompt, and options by name, such as model='openai'"),
        (
            lambda c: c.ask("hi", messages=[]),
            "unknown option or parameter 'messages'; messages are passed as the prompt",
        ),
    ],
)
def test_what_is_passed_without_its_name_is_told(client, sandbox, call, told):
    with pytest.raises(ConfigurationError) as caught:
        call(client)
    assert str(caught.value).startswith(told)
    assert sandbox.requests == []


def test_a_prompt_may_be_passed_by_its_name(sandbox, client):
    sandbox.says("Yes.")
    assert client.ask(prompt="Hi").text == client.chat().ask(prompt="Hi").text == "Yes."


def test_a_name_that_is_no_parameter_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'temperature'"):
        parse_params({"temprature": 1}, options=())
