"""The decisions endpoints of the sandbox: they check what services check, and their numbers look sensible."""

from __future__ import annotations

import pytest
import requests

from aichatkit.sandbox import Sandbox

CHOICE = {"type": "choice", "instructions": "What?", "choices": [{"value": "bug"}, {"value": "billing"}]}
NAMED = {"type": "choice", "instructions": "What?", "criteria": {"bug": "", "billing": ""}}
OPENAI = {"model": "gpt-6-luna", "input": "A bug", "questions": [CHOICE]}
ONE = {"model": "nimble", "state": "A bug", "questions": {"x": NAMED}}
GOOGLE = {"model": "gemini-decision-1", "input": "A bug", "questions": {"x": NAMED}}
KEY = {"x-goog-api-key": "k"}


@pytest.fixture
def box():
    with Sandbox() as running:
        yield running


def post(box, path, body, headers=None):
    return requests.post(box.url + path, json=body, headers=headers, timeout=10)


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [("/v1/decisions", OPENAI, None), ("/v1/systemone", ONE, None), ("/v1/decisions", ONE, None)],
)
def test_the_option_in_the_input_is_the_likeliest_and_answers_are_the_same_each_time(box, path, body, headers):
    first, second = (post(box, path, body, headers).json() for _ in range(2))
    assert first == second
    answers = first["answers"]
    answer = answers[0] if isinstance(answers, list) else answers["x"]
    assert answer["choice"] == "bug"
    assert answer["confidence"] > 0.9


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/decisions", {**OPENAI, "model": ""}, "must provide a model"),
        ("/v1/decisions", {**OPENAI, "input": ""}, "Invalid 'input'"),
        ("/v1/decisions", {**OPENAI, "questions": []}, "1 to 400 items"),
        ("/v1/decisions", {**OPENAI, "questions": [CHOICE] * 401}, "1 to 400 items"),
        ("/v1/decisions", {**OPENAI, "questions": [{**CHOICE, "type": "box"}]}, "questions\\[0\\]"),
        ("/v1/decisions", {**OPENAI, "questions": [{**CHOICE, "instructions": ""}]}, "questions\\[0\\]"),
        ("/v1/decisions", {**OPENAI, "questions": [{**CHOICE, "choices": [{"value": "a"}]}]}, "2 to 255"),
        ("/v1/decisions", {**OPENAI, "questions": [{**CHOICE, "choices": [{"value": "a"}] * 2}]}, "2 to 255"),
        ("/v1/systemone", {**ONE, "state": ""}, "state is required"),
        ("/v1/systemone", {**ONE, "questions": {}}, "1 to 200 questions"),
        ("/v1/systemone", {**ONE, "questions": {"x": {**NAMED, "type": "predicate"}}}, "type and instructions"),
        ("/v1beta/decisions", {**GOOGLE, "questions": {"x?": NAMED}}, "characters that are not allowed"),
        ("/v1beta/decisions", {**GOOGLE, "questions": {"x": {**NAMED, "criteria": {"a": None}}}}, "must be strings"),
    ],
)
def test_a_wrong_request_is_refused(box, path, body, words):
    response = post(box, path, body, KEY if path.startswith("/v1beta") else None)
    assert response.status_code == 400
    assert __import__("re").search(words, response.text), response.text


def test_keys_are_checked():
    with Sandbox(api_keys=["right"]) as box:
        assert post(box, "/v1/decisions", OPENAI).status_code == 401
        assert post(box, "/v1beta/decisions", GOOGLE, {"x-goog-api-key": "wrong"}).status_code == 400
        assert post(box, "/v1/decisions", OPENAI, {"Authorization": "Bearer right"}).status_code == 200


def test_the_header_of_the_key_decides_between_services_at_one_path(box):
    assert isinstance(post(box, "/v1/decisions", GOOGLE, KEY).json()["answers"], dict)
    assert isinstance(post(box, "/v1/decisions", OPENAI).json()["answers"], list)
    assert post(box, "/v1beta/decisions", GOOGLE).status_code == 404


def test_some_services_wrap_the_answer(box):
    assert post(box, "/accounts/x/ai/run/clef", ONE).json()["result"]["answers"]["x"]["choice"] == "bug"


def test_a_smaller_limit_is_played(box):
    path = "/fault/question-limit,limit=1/v1/decisions"
    assert post(box, path, OPENAI).status_code == 200
    assert post(box, path, {**OPENAI, "questions": [CHOICE] * 2}).status_code == 400


@pytest.mark.parametrize("fault", ["odd-sum", "question-limit,limit=1"])
def test_a_fault_leaves_a_refusal_as_it_is(box, fault):
    assert post(box, f"/fault/{fault}/v1/decisions", {**OPENAI, "model": ""}).status_code == 400
