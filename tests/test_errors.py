"""The tree of errors, and what each of them carries."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest
import requests

import aichatkit as ai
from aichatkit import errors

#: Every class, its parents in the package, and what a user of `requests` or plain Python already catches.
TREE = [
    ("ChatError", (), Exception),
    ("ConfigurationError", ("ChatError",), ValueError),
    ("UnknownProviderError", ("ConfigurationError",), LookupError),
    ("UnknownModelError", ("ConfigurationError",), LookupError),
    ("MissingKeyError", ("ConfigurationError",), ValueError),
    ("TransportError", ("ChatError",), requests.RequestException),
    ("ConnectError", ("TransportError",), requests.ConnectionError),
    ("TimedOutError", ("TransportError",), requests.Timeout),
    ("DeadlineExceededError", ("ChatError",), requests.Timeout),
    ("APIError", ("ChatError",), Exception),
    ("AuthenticationError", ("APIError",), Exception),
    ("PermissionDeniedError", ("APIError",), Exception),
    ("BlockedError", ("APIError",), Exception),
    ("BadRequestError", ("APIError",), Exception),
    ("ContextTooLongError", ("BadRequestError",), Exception),
    ("ContentFilteredError", ("BadRequestError",), Exception),
    ("ModelNotFoundError", ("BadRequestError",), Exception),
    ("RateLimitError", ("APIError",), Exception),
    ("QuotaExceededError", ("APIError",), Exception),
    ("ServerError", ("APIError",), Exception),
    ("OverloadedError", ("ServerError",), Exception),
    ("BadResponseError", ("ChatError",), Exception),
    ("EmptyAnswerError", ("BadResponseError",), Exception),
    ("TokenNotFoundError", ("BadResponseError",), RuntimeError),
    ("StreamInterruptedError", ("ChatError",), Exception),
    ("StreamStalledError", ("StreamInterruptedError", "TimedOutError"), requests.Timeout),
    ("BudgetExceededError", ("ChatError",), Exception),
    ("SchemaError", ("ChatError",), Exception),
    ("ToolError", ("ChatError",), Exception),
    ("MCPError", ("ChatError",), Exception),
    ("JournalError", ("ChatError",), Exception),
    ("BatchPendingError", ("ChatError",), Exception),
    ("BatchExpiredError", ("ChatError",), Exception),
    ("BatchGoneError", ("ChatError",), Exception),
    ("AllProvidersFailedError", ("ChatError",), Exception),
]
CLASSES = [getattr(errors, name) for name, _, _ in TREE]
FIELDS = {
    "provider": "openai",
    "model": "gpt-6-sol",
    "status": 429,
    "code": "insufficient_quota",
    "retry_after": 7.5,
    "partial": "The capital",
    "request_id": "req_1",
    "action": "next",
    "maybe_processed": True,
    "reason": "ConnectionRefusedError: [Errno 111] Connection refused",
}


@pytest.mark.parametrize(("name", "parents", "outside"), TREE)
def test_each_error_stands_where_the_tree_shows_it(name, parents, outside):
    error = getattr(errors, name)
    assert tuple(base.__name__ for base in error.__bases__ if base.__module__ == errors.__name__) == parents
    assert issubclass(error, outside)


def test_the_tree_is_whole():
    assert {name for name, _, _ in TREE} == set(errors.__all__)


def test_the_tree_in_the_documentation_names_every_error():
    assert [name for name in errors.__all__ if name not in errors.__doc__] == []


def test_a_quota_is_no_rate_limit():
    assert not issubclass(errors.QuotaExceededError, errors.RateLimitError)
    assert not issubclass(errors.RateLimitError, errors.QuotaExceededError)


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_can_be_made_from_a_message_alone(error):
    made = error("The service is gone.")
    assert str(made) == made.message == "The service is gone."
    assert (made.provider, made.status, made.partial, made.attempts) == (None, None, "", [])
    assert (made.maybe_processed, made.reason) == (False, "")


@pytest.mark.parametrize("error", CLASSES)
def test_the_reason_is_not_part_of_the_message(error):
    made = error("Gone.", reason="OSError: refused")
    assert made.reason == "OSError: refused"
    assert (str(made), made.args) == ("Gone.", ("Gone.",))


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_pickles_with_all_its_fields(error):
    made = error("Gone.", **FIELDS)
    made.attempts = [ai.Attempt("openai", "gpt-6-sol", error=made, wait=2.0, elapsed=0.5)]
    made.gave_up = "tried 3 times"
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is error
    assert (str(again), again.gave_up, again.args) == ("Gone.", "tried 3 times", ("Gone.",))
    assert {name: getattr(again, name) for name in FIELDS} == FIELDS
    assert again.attempts[0].error is again
    assert (again.attempts[0].wait, again.attempts[0].elapsed) == (2.0, 0.5)


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_can_be_copied(error):
    made = error("Gone.", **FIELDS)
    for again in (copy.copy(made), copy.deepcopy(made)):
        assert {name: getattr(again, name) for name in FIELDS} == FIELDS
        assert str(again) == "Gone."


def test_a_timeout_keeps_its_phase_in_a_pickle():
    assert pickle.loads(pickle.dumps(errors.TimedOutError("Late.", phase="connect"))).phase == "connect"


def test_the_errors_of_all_providers_pickle_in_their_order():
    made = errors.AllProvidersFailedError("all", errors=[errors.QuotaExceededError("a"), errors.BlockedError("b")])
    again = pickle.loads(pickle.dumps(made))
    assert [(type(error).__name__, str(error)) for error in again.errors] == [
        ("QuotaExceededError", "a"),
        ("BlockedError", "b"),
    ]


def test_an_action_given_to_one_error_leaves_its_class_alone():
    errors.RateLimitError("x", action="next")
    assert errors.RateLimitError("y").action == "retry"


#: What the service does -> the error, and its status.
FAULTS = [
    ("unauthorized", errors.AuthenticationError, 401),
    ("challenge", errors.BlockedError, 403),
    ("bad-request", errors.BadRequestError, 400),
    ("context-too-long", errors.ContextTooLongError, 400),
    ("content-filter", errors.ContentFilteredError, 400),
    ("model-not-found", errors.ModelNotFoundError, 404),
    ("rate-limit", errors.RateLimitError, 429),
    ("quota", errors.QuotaExceededError, 429),
    ("server-error", errors.ServerError, 500),
    ("overloaded", errors.OverloadedError, 503),
    ("html", errors.BadResponseError, 200),
    ("empty", errors.EmptyAnswerError, 200),
    ("cut", errors.StreamInterruptedError, None),
    ("refuse", errors.ConnectError, None),
]


@pytest.mark.parametrize(("fault", "expected", "status"), FAULTS)
def test_what_a_service_does_becomes_its_error(client, sandbox, fault, expected, status):
    sandbox.script(fault)
    with pytest.raises(expected) as caught:
        client.ask("Hi", retry=0)
    error = caught.value
    assert type(error) is expected
    assert (error.status, error.provider, error.model) == (status, "openai", "gpt-6-luna")
    assert [attempt.error for attempt in error.attempts] == [error]


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS])
def test_no_error_holds_or_chains_a_request_or_a_response(client, sandbox, fault):
    sandbox.script(fault)
    with pytest.raises(ai.ChatError) as caught:
        client.ask("Hi", retry=0)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert [value for value in vars(caught.value).values() if type(value).__module__.startswith("requests")] == []


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS])
def test_no_error_shows_the_key(client, sandbox, fault):
    sandbox.script(fault)
    with pytest.raises(ai.ChatError) as caught:
        client.ask("Hi", retry=0)
    error = caught.value
    shown = [str(error), repr(error), str(vars(error)), *traceback.format_exception(type(error), error, None)]
    assert "sk-test" not in "".join(shown)
    assert b"sk-test" not in pickle.dumps(error)


def test_an_answer_that_breaks_off_keeps_its_text_on_the_error(client, sandbox):
    sandbox.says("one two three four five six")
    sandbox.script("cut,after=3")
    stream = client.stream("Hi")
    with pytest.raises(errors.StreamInterruptedError) as caught:
        stream.read()
    assert caught.value.partial == stream.text != ""
    assert "one two three four five six".startswith(stream.text)
    assert stream.reply is None


def test_the_one_error_comes_out_where_one_provider_was_tried(client, sandbox):
    sandbox.script("quota")
    with pytest.raises(errors.QuotaExceededError):
        client.ask("Hi", model=["openai"])


def test_where_more_were_tried_the_error_holds_them_in_order(client, sandbox):
    sandbox.script("quota", "challenge", "challenge")
    with pytest.raises(errors.AllProvidersFailedError) as caught:
        client.ask("Hi", model=["openai", "aichats", "aichatfree"])
    assert [(error.provider, type(error).__name__) for error in caught.value.errors] == [
        ("openai", "QuotaExceededError"),
        ("aichats", "BlockedError"),
        ("aichatfree", "BlockedError"),
    ]
    assert [attempt.provider for attempt in caught.value.attempts] == ["openai", "aichats", "aichatfree"]
    assert "QuotaExceededError" in str(caught.value)


def test_an_error_of_a_refused_prompt_stops_at_the_first_provider(client, sandbox):
    sandbox.script("content-filter")
    with pytest.raises(errors.ContentFilteredError):
        client.ask("Hi", model=["openai", "aichats"])
    assert len(sandbox.requests) == 1


def test_an_error_can_be_printed_whatever_it_quotes():
    error = errors.ChatError("The service said caf\udce9.", partial="Half: \ud83d")
    assert (str(error), error.message, error.partial) == (
        "The service said caf\ufffd.",
        "The service said caf\ufffd.",
        "Half: \ufffd",
    )
