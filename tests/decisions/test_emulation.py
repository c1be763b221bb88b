"""Chat models in place of decision models: by the logprobs of letters, or by structured output."""

from __future__ import annotations

import json
import math
from typing import Annotated, Literal

import pytest
import responses

from aichatkit import BadResponseError, Client, ConfigurationError, SchemaError
from aichatkit.decisions.emulation import LETTERS, letter_record, schema_of_questions
from aichatkit.decisions.questions import Question, parse_questions

QUESTIONS = {
    "refund?": bool,
    "topic": {"bug": "Something is broken.", "billing": None},
    "anger": ["calm", "annoyed", "furious"],
}
URL = "http://localhost:8080/v1/chat/completions"


def completion(token, alternatives, **fields):
    """Return a chat completion of one token with its logprobs."""
    entry = {
        "token": token,
        "logprob": -0.1,
        "top_logprobs": [{"token": text, "logprob": math.log(p)} for text, p in alternatives.items()],
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": token}, "finish_reason": "length"}
    usage = {"prompt_tokens": 50, "completion_tokens": 1, "total_tokens": 51}
    return {"model": "m", "choices": [{**choice, "logprobs": {"content": [entry]}}], "usage": usage, **fields}


def text_completion(data):
    choice = {"index": 0, "message": {"role": "assistant", "content": json.dumps(data)}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110}
    return {"model": "m", "choices": [choice], "usage": usage}


@pytest.fixture
def server():
    """Answers in order; what was sent is in `server.calls`."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def client():
    with Client("llamacpp/some-model", retry=0) as made:
        yield made


def sent(server):
    return [json.loads(call.request.body) for call in server.calls]


def test_letters_have_the_probabilities_of_their_tokens(server, client):
    server.post(URL, json=completion("A", {"A": 0.6, " A": 0.2, "B": 0.1, "The": 0.1}))
    server.post(URL, json=completion("B", {"B": 0.9, "A": 0.1}))
    server.post(URL, json=completion("C", {"C": 0.5, "B": 0.25, "A": 0.25}))
    with pytest.warns(UserWarning, match="llamacpp/some-model is a chat model, so decide asks it with a request for"):
        d = client.decide("Money back!", QUESTIONS)
    assert {each.source for each in d.values()} == {"logprobs"}
    assert d["refund?"].probability == pytest.approx(8 / 9)
    assert d["refund?"].unassigned == pytest.approx(0.1)
    assert d["topic"].value == "billing"
    assert d["topic"].probabilities == pytest.approx({"bug": 0.1, "billing": 0.9})
    assert d["anger"].score == pytest.approx(1.25)
    assert (d["anger"].label, d["anger"].confidence) == ("furious", None)
    assert (d.usage.input_tokens, d.usage.output_tokens, d.cost) == (150, 3, 0.0)
    assert d.to_dict()["refund?"]["unassigned"] == pytest.approx(0.1)


def test_what_a_chat_model_gets_for_a_letter(server, client):
    server.post(URL, json=completion("A", {"A": 0.5, "B": 0.5}))
    client.decide("Money back!", {"topic": QUESTIONS["topic"]}, emulate=True, extra={"cache_prompt": True})
    (body,) = sent(server)
    assert (body["max_tokens"], body["temperature"], body["logprobs"], body["top_logprobs"]) == (1, 0, True, 20)
    assert body["cache_prompt"] is True
    assert "response_format" not in body
    assert body["messages"] == [
        {
            "role": "user",
            "content": "<input>\nMoney back!\n</input>\n\nAnswer this question about the above.\n\n"
            "topic: which of these applies?\nA. bug: Something is broken.\nB. billing\n\n"
            "Answer with the letter of the option and nothing else.",
        }
    ]


def test_the_question_goes_after_a_conversation(server, client):
    server.post(URL, json=completion("A", {"A": 0.5, "B": 0.5}))
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    client.decide(messages, {"rude?": bool}, emulate=True)
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    client.decide(parts, {"rude?": bool}, emulate=True)
    first, second = sent(server)
    assert [message["role"] for message in first["messages"]] == ["user", "assistant", "user"]
    assert [part["type"] for part in second["messages"][0]["content"]] == ["text", "text"]


def test_a_letter_that_is_not_reported_leaves_no_probability(server, client):
    server.post(URL, json=completion("A", {"A": 0.9, "The": 0.1}))
    decision = client.decide("x", bool, "Is it?", emulate=True)
    assert (decision.value, decision.probability, decision.source) == (True, None, "logprobs")
    assert decision.unassigned is None


def test_a_chosen_letter_gives_a_score_without_probabilities(server, client):
    server.post(URL, json=completion("B", {"B": 0.9}))
    d = client.decide("x", {"anger": QUESTIONS["anger"]}, emulate=True)
    assert (d["anger"].value, d["anger"].label, d["anger"].probability) == (1.0, "annoyed", None)


@pytest.mark.parametrize(
    "answer",
    [completion("<think>", {"A": 0.5, "B": 0.5}), completion("", {"A": 0.5, "B": 0.5}), text_completion("A")],
)
def test_a_first_token_that_is_no_letter_leads_to_structured_output(server, client, answer):
    server.post(URL, json=answer)
    server.post(URL, json=text_completion({"refund": True, "topic": "billing", "anger": "calm"}))
    d = client.decide("Money back!", QUESTIONS, emulate=True)
    assert len(server.calls) == 2
    assert {each.source for each in d.values()} == {"schema"}
    assert (d["refund?"].value, d["topic"].value, d["anger"].value, d["anger"].label) == (True, "billing", 0.0, "calm")
    assert [each.probability for each in d.values()] == [None, None, None]
    assert d.usage.output_tokens >= 20


def test_what_has_been_answered_by_letters_stays(server, client):
    server.post(URL, json=completion("A", {"A": 0.5, "B": 0.5}))
    server.post(URL, json=completion("Well", {"A": 0.5, "B": 0.5}))
    server.post(URL, json=text_completion({"topic": "billing", "anger": "calm"}))
    d = client.decide("Money back!", QUESTIONS, emulate=True)
    assert [each.source for each in d.values()] == ["logprobs", "schema", "schema"]


@pytest.mark.parametrize(
    ("questions", "options"),
    [({"a?": bool}, {"threshold": 0.8}), ({"a?": Annotated[float, (0, 1)]}, {})],
)
def test_a_missing_probability_that_is_needed_is_an_error(server, client, questions, options):
    server.post(URL, json=completion("A", {"A": 0.9}))
    with pytest.raises(BadResponseError, match="did not return the probabilities of the options"):
        client.decide("x", questions, emulate=True, **options)
    other = Client("openai/gpt-6-sol", api_key="k")
    with pytest.raises(ConfigurationError, match=r"gpt-6-sol has no probabilities, and .* 'openai/gpt-6-luna'"):
        other.decide("x", questions, **options)


def test_logprobs_in_a_stream_are_those_of_its_first_text(server, client):
    record = completion("A", {"A": 0.75, "B": 0.25})
    (choice,) = record["choices"]
    head = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    text = {"index": 0, "delta": {"content": "A"}, "logprobs": choice["logprobs"], "finish_reason": None}
    end = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}
    lines = [f"data: {json.dumps({'model': 'm', 'choices': [each]})}\n\n" for each in (head, text, end)]
    server.post(URL, body="".join([*lines, "data: [DONE]\n\n"]), content_type="text/event-stream")
    assert client.decide("x", bool, "Is it?", emulate=True).probability == pytest.approx(0.75)


def test_broken_logprobs_are_an_error(server, client):
    broken = completion("A", {"A": 0.5, "B": 0.5})
    del broken["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["logprob"]
    server.post(URL, json=broken)
    with pytest.raises(BadResponseError, match="the logprobs cannot be read"):
        client.decide("x", {"a?": bool}, emulate=True)


@pytest.mark.parametrize("logprob", [True, False, "-0.5", 0.7, float("nan"), float("inf"), None])
def test_what_is_no_logarithm_of_a_probability_counts_for_none(server, client, logprob):
    broken = completion("A", {"A": 0.5, "B": 0.5})
    broken["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1]["logprob"] = logprob
    server.post(URL, body=json.dumps(broken))
    with pytest.raises(BadResponseError, match="the logprobs cannot be read"):
        client.decide("x", {"a?": bool}, emulate=True)


def test_ollama_reports_logprobs_in_its_own_form(server):
    entry = {
        "token": "B",
        "logprob": -0.1,
        "top_logprobs": [{"token": "A", "logprob": -2}, {"token": "B", "logprob": 0}],
    }
    record = {"model": "llama3.2", "message": {"role": "assistant", "content": "B"}, "done": True, "logprobs": [entry]}
    server.post("http://localhost:11434/api/chat", json={**record, "done_reason": "length"})
    with Client("ollama/llama3.2") as client:
        decision = client.decide("x", bool, "Is it?", emulate=True)
    assert decision.value is False
    assert decision.probability == pytest.approx(math.exp(-2) / (1 + math.exp(-2)))
    (body,) = sent(server)
    assert (body["logprobs"], body["options"]["num_predict"]) == (True, 1)


@pytest.mark.parametrize(
    "raw",
    [[], [None], [{"choices": []}], [{"choices": [None]}], [{"logprobs": []}], [{"choices": [{"logprobs": None}]}]],
)
def test_records_without_logprobs_are_not_read(raw):
    from aichatkit import Reply

    (question,) = parse_questions({"a?": bool}).atoms
    assert letter_record(Reply("A", "x", "y", raw=raw), question) is None


def test_the_columns_of_older_completions_are_letters_as_well():
    from aichatkit import Reply

    (question,) = parse_questions({"a?": bool}).atoms
    columns = {"tokens": [" B"], "token_logprobs": [-0.5], "top_logprobs": [{" B": -0.5, "A": -1.5}]}
    record = letter_record(Reply("B", "x", "y", raw=[{"choices": [{"logprobs": columns}]}]), question)
    assert record["choice"] == "false"
    assert record["probabilities"]["true"] == pytest.approx(math.exp(-1.5) / (math.exp(-0.5) + math.exp(-1.5)))


CLAUDE = "https://api.anthropic.com/v1/messages"


def test_a_model_that_reasons_answers_in_one_object(sandbox, policy):
    sandbox.says(json.dumps({"refund": False, "topic": "bug", "anger": "furious"}))
    client = Client("openai/gpt-6-sol", api_key="k", base_url=f"{sandbox.url}/v1", retry=policy)
    with pytest.warns(UserWarning, match="asks it with structured output, which has no probabilities"):
        d = client.decide("x", QUESTIONS)
    client.decide("y", QUESTIONS)  # warns once
    assert {each.source for each in d.values()} == {"schema"}
    assert (d["refund?"].value, d["anger"].label, d["anger"].score) == (False, "furious", 2.0)
    assert (d["topic"].probability, d["topic"].probabilities, d["topic"].confidence) == (None, None, None)
    assert d.cost > 0
    body = sandbox.requests[0].json()
    assert body["messages"][0]["content"].endswith(
        "Answer these questions about the above, each with one of its options.\n\n"
        "- refund: refund?\n"
        "- topic: topic: which of these applies? (bug: Something is broken.; billing)\n"
        "- anger: anger: which of these levels applies? (calm; annoyed; furious)"
    )
    assert body["response_format"]["json_schema"]["schema"]["properties"] == {
        "refund": {"type": "boolean"},
        "topic": {"type": "string", "enum": ["bug", "billing"]},
        "anger": {"type": "string", "enum": ["calm", "annoyed", "furious"]},
    }
    assert "logprobs" not in body
    assert "max_completion_tokens" not in body


def test_several_labels_are_flags_in_structured_output(sandbox, policy):
    sandbox.says(json.dumps({"tags_spam": True, "tags_offers": False}))
    client = Client("openai/gpt-6-sol", api_key="k", base_url=f"{sandbox.url}/v1", retry=policy)
    d = client.decide("x", {"tags": list[Literal["spam", "offers"]]}, emulate=True)
    assert (d["tags"].value, d["tags"].probabilities) == (["spam"], None)


def test_emulate_true_asks_the_chat_model_although_it_decides(sandbox, policy):
    sandbox.says('{"a": true}')
    client = Client("openai", api_key="k", base_url=f"{sandbox.url}/v1", retry=policy, reasoning_effort="low")
    assert client.decide("x", {"a?": bool}, emulate=True)["a?"].source == "schema"
    (request,) = sandbox.requests
    assert request.path == "/v1/chat/completions"
    assert request.json()["reasoning_effort"] == "low"


def test_an_answer_that_does_not_fit_moves_on(sandbox, policy):
    sandbox.says("Sure!")
    client = Client(api_key={"openai": "k"}, base_url={"openai": f"{sandbox.url}/v1"}, retry=policy)
    with pytest.raises(SchemaError):
        client.decide("x", {"a?": bool}, model="openai/gpt-6-sol", emulate=True)
    with pytest.warns(UserWarning, match="is a chat model"):
        d = client.decide("x", {"a?": bool}, model=["openai/gpt-6-sol", "offline"])
    assert d.provider == "offline"


def test_many_options_are_too_many_for_letters(server, client):
    labels = [f"label {number}" for number in range(30)]
    server.post(URL, json=text_completion({"x": "label 7"}))
    d = client.decide("x", {"x": dict.fromkeys(labels)}, emulate=True)
    assert (d["x"].value, d["x"].source, len(server.calls)) == ("label 7", "schema", 1)
    assert len(LETTERS) == 26


def test_a_service_takes_as_many_letters_as_it_reports(sandbox, policy):
    sandbox.says(['{"x": "5"}', "E"])
    prices = {"fireworks/m": (1, 1)}
    client = Client("fireworks/m", api_key="k", base_url=f"{sandbox.url}/v1", retry=policy, prices=prices)
    assert client.decide("x", {"x": range(6)}, emulate=True)["x"].value == 5
    letter = client.decide("x", {"x": range(5)}, emulate=True)["x"]
    assert (letter.value, letter.source, len(letter.probabilities)) == (4, "logprobs", 5)
    assert [request.json().get("top_logprobs") for request in sandbox.requests] == [None, 5]


def test_names_become_keys_that_every_service_takes():
    questions = parse_questions({"?": (bool, "So?"), "a b": (bool, "So?"), "a_b": (bool, "So?")}).atoms
    assert schema_of_questions(questions)["required"] == ["question_1", "a_b", "a_b_3"]
    taken = [Question(name, "predicate", "?") for name in ("a_3_3", "a_3", "a 3")]
    assert schema_of_questions(taken)["required"] == ["a_3_3", "a_3", "a_3_3_3"]


def test_a_cached_answer_of_a_chat_model_does_not_serve_a_threshold(server):
    server.post(URL, json=completion("A", {"A": 0.9}))
    with Client("llamacpp/m", retry=0, cache={}) as client:
        questions = {"a?": bool}
        assert client.decide("x", questions, emulate=True)["a?"].probability is None
        assert client.decide("x", questions, emulate=True).cached
        with pytest.raises(BadResponseError):
            client.decide("x", questions, emulate=True, threshold=0.9)
