"""`Client.decide`: questions go out in every protocol, and come back as checked, typed answers."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
import textwrap
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import responses

import aichatkit as ai
from aichatkit import (
    AllProvidersFailedError,
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BudgetExceededError,
    Client,
    ConfigurationError,
    ContentFilteredError,
    Decisions,
    MissingKeyError,
    ModelNotFoundError,
    RateLimitError,
    SchemaError,
    ServerError,
)
from aichatkit.decisions import overloads, services
from aichatkit.providers.deciders import DECIDERS
from aichatkit.registry import registry

QUESTIONS = {
    "refund?": bool,
    "topic": Literal["bug", "billing"],
    "anger": ["calm", "annoyed", "furious"],
}
TEXT = "I am furious about this billing, I want a refund"
#: Service -> the path of its base URL, the model, and the path of its decisions.
SERVICES = {
    "openai": ("/v1", "gpt-6-luna", "/v1/decisions"),
    "azure": ("", "my-gpt-6-luna", "/openai/v1/decisions"),
    "gemini": ("", "gemini-decision-1", "/v1beta/decisions"),
    "openrouter": ("/v1", "openai/gpt-6-luna-decisions", "/alpha/decisions"),
    "ollama": ("", "nimble", "/v1/systemone"),
    "typesafe": ("/v1", "jev-latest", "/v1/systemone"),
    "fireworks": ("/inference/v1", "rune", "/inference/v1/systemone"),
    "perplexity": ("", "pplx-decider-latest", "/v1/decisions"),
    "vllm": ("/v1", "Tev1", "/v1/systemone"),
    "lmstudio": ("/v1", "clef-flash", "/v1/systemone"),
    "llamacpp": ("/v1", "nimble", "/v1/systemone"),
    "azure-ai": ("", "Microsoft-Decision-1", "/providers/microsoft/v1/systemone"),
    "cloudflare": ("/client/v4/accounts/x", "clef", "/client/v4/accounts/x/ai/run/@cf/cloudflare/clef"),
    "databricks": ("", "mine", "/serving-endpoints/mine/invocations"),
    "parallel": ("", "decision", "/v1/decisions"),
    "nace": ("", "drex-latest", "/v1/systemone"),
    "eu-jev": ("", "eu-jeff-latest", "/v1/systemone"),
    "empiriolabs": ("", "aplomb-1", "/v1/decisions"),
    "systemone": ("", "any", "/v1/systemone"),
}
OPENAI_FORM = ("openai", "azure")


@pytest.fixture
def every(sandbox, policy):
    """A client of every service that decides."""
    urls = {name: sandbox.url + base for name, (base, _, _) in SERVICES.items()}
    with Client(api_key=dict.fromkeys(SERVICES, "sk-test"), base_url=urls, retry=policy) as client:
        yield client


def faulty(sandbox, policy, fault, name="openai", **options):
    base, model, _ = SERVICES[name]
    url = f"{sandbox.url}/fault/{fault}{base}"
    return Client(f"{name}/{model}", api_key="sk-test", base_url=url, retry=policy, **options)


def bodies(sandbox):
    return [request.json() for request in sandbox.requests]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_answers_every_kind_of_question(every, sandbox, name):
    _, model, path = SERVICES[name]
    d = every.decide(TEXT, QUESTIONS, model=f"{name}/{model}")
    assert isinstance(d, Decisions)
    assert d["refund?"].value is True
    assert d["topic"].value == "billing"
    assert d["anger"].label == "furious"
    assert d["anger"].value == d["anger"].score > 1.5
    assert sum(d["topic"].probabilities.values()) == pytest.approx(1)
    assert d["topic"].probability == d["topic"].probabilities["billing"] > 0.5
    assert set(d["refund?"].probabilities) == {True, False}
    assert {each.source for each in d.values()} == {"decision"}
    assert d.usage.input_tokens > 0
    assert d.provider == name
    (request,) = sandbox.requests
    assert request.path == path


def test_every_service_has_a_provider_and_is_tried():
    assert sorted(set(services._SERVICES) - {"offline"}) == sorted(SERVICES)
    assert sorted(set(services._LOGPROBS) - set(registry)) == []
    assert all(name in registry for name in services._SERVICES)


def test_what_openai_gets(every, sandbox):
    every.decide("Hi", {**QUESTIONS, "wish": {"refund": "Money back.", "advice": None}}, model="openai", extra={"x": 1})
    (request,) = sandbox.requests
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.json() == {
        "model": "gpt-6-luna",
        "input": "Hi",
        "questions": [
            {"type": "predicate", "name": "refund?", "instructions": "refund?"},
            {
                "type": "choice",
                "name": "topic",
                "instructions": "topic: which of these applies?",
                "choices": [{"value": "bug"}, {"value": "billing"}],
            },
            {
                "type": "score",
                "name": "anger",
                "instructions": "anger: which of these levels applies?",
                "levels": [{"label": "calm"}, {"label": "annoyed"}, {"label": "furious"}],
            },
            {
                "type": "choice",
                "name": "wish",
                "instructions": "wish: which of these applies?",
                "choices": [{"value": "refund", "description": "Money back."}, {"value": "advice"}],
            },
        ],
        "x": 1,
    }


def test_the_organization_and_the_version_of_azure(every, sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    every.decide("Hi", QUESTIONS, model="openai")
    every.decide("Hi", QUESTIONS, model="azure/gpt-6-luna")
    openai, azure = sandbox.requests
    assert openai.headers["openai-organization"] == "org-1"
    assert azure.headers["api-key"] == "sk-test"
    assert azure.target == "/openai/v1/decisions"
    assert "api-version" not in azure.headers


def test_what_a_system_one_server_gets(every, sandbox):
    every.decide("Hi", {**QUESTIONS, "wish": {"refund": "Money back.", "advice": None}}, model="ollama/nimble")
    assert bodies(sandbox) == [
        {
            "model": "nimble",
            "state": "Hi",
            "questions": {
                "refund?": {"type": "noul", "instructions": "refund?"},
                "topic": {
                    "type": "choice",
                    "instructions": "topic: which of these applies?",
                    "criteria": {"bug": None, "billing": None},
                },
                "anger": {
                    "type": "score",
                    "instructions": "anger: which of these levels applies?",
                    "criteria": ["calm", "annoyed", "furious"],
                },
                "wish": {
                    "type": "choice",
                    "instructions": "wish: which of these applies?",
                    "criteria": {"refund": "Money back.", "advice": None},
                },
            },
        }
    ]


def test_what_google_gets_has_plain_names_and_no_null(every, sandbox):
    every.decide("Hi", QUESTIONS, model="gemini/gemini-decision-1")
    (request,) = sandbox.requests
    assert request.headers["x-goog-api-key"] == "sk-test"
    assert request.json() == {
        "model": "gemini-decision-1",
        "input": "Hi",
        "questions": {
            "q0": {"type": "noul", "instructions": "refund?"},
            "q1": {
                "type": "choice",
                "instructions": "topic: which of these applies?",
                "criteria": {"bug": "", "billing": ""},
            },
            "q2": {
                "type": "score",
                "instructions": "anger: which of these levels applies?",
                "criteria": ["calm", "annoyed", "furious"],
            },
        },
    }


def test_a_model_of_cloudflare_may_have_its_whole_name(every, sandbox):
    for model in ("clef", "@cf/cloudflare/clef"):
        assert every.decide("Hi", QUESTIONS, model=f"cloudflare/{model}").cost > 0
    one, two = sandbox.requests
    assert one.path == two.path == "/client/v4/accounts/x/ai/run/@cf/cloudflare/clef"
    assert one.json() == two.json()
    assert one.json()["model"] == "clef"


def test_cached_tokens_of_fireworks_are_cheaper():
    answer = {"answers": {"a?": {"noul": 0.9}}, "usage": {"input_tokens": 1000, "cached_input_tokens": 600}}
    with responses.RequestsMock() as mock, Client("fireworks/rune", api_key="k", retry=0) as client:
        mock.post("https://api.fireworks.ai/inference/v1/systemone", json=answer)
        d = client.decide(TEXT, {"a?": bool})
    assert d.usage.cached_tokens == 600
    assert d.cost == pytest.approx((400 * 0.042 + 600 * 0.0084) / 1e6)


def test_what_parallel_gets_names_no_model_and_has_its_own_header(every, sandbox):
    every.decide("Hi", QUESTIONS, model="parallel")
    (request,) = sandbox.requests
    assert request.headers["x-api-key"] == "sk-test"
    assert "model" not in request.json()
    assert request.json()["mode"] == "fast"


CONVERSATION = [
    {"role": "user", "content": "Where is it?"},
    {"role": "assistant", "content": "On its way."},
    {"role": "user", "content": [{"type": "text", "text": "Still?"}]},
]
PICTURE = b"\x89PNG\r\n\x1a\n0000"
DATA = "iVBORw0KGgowMDAw"


def test_conversations_pictures_and_a_system_prompt_are_sent_to_openai(every, sandbox):
    every.decide(CONVERSATION, QUESTIONS, model="openai", system="A shop.", files=[PICTURE])
    (body,) = bodies(sandbox)
    assert [(item["role"], [part["type"] for part in item["content"]]) for item in body["input"]] == [
        ("system", ["input_text"]),
        ("user", ["input_text"]),
        ("assistant", ["output_text"]),
        ("user", ["input_text", "input_image"]),
    ]
    assert body["input"][-1]["content"][-1]["image_url"] == f"data:image/png;base64,{DATA}"


def test_conversations_and_pictures_are_sent_to_the_others(every, sandbox):
    every.decide(CONVERSATION, QUESTIONS, model="ollama/nimble", files=[PICTURE])
    every.decide(CONVERSATION, QUESTIONS, model="gemini/gemini-decision-1", files=[PICTURE])
    every.decide("Hi", QUESTIONS, model="gemini/gemini-decision-1", files=["https://example.org/a.png"])
    one, google, linked = bodies(sandbox)
    assert one["state"][1] == {"role": "assistant", "content": "On its way."}
    assert one["state"][2]["content"] == "Still?"
    assert one["images"] == [f"data:image/png;base64,{DATA}"]
    assert google["input"] == [
        {"type": "text", "text": "user: Where is it?"},
        {"type": "text", "text": "assistant: On its way."},
        {"type": "text", "text": "user: Still?"},
        {"type": "image", "data": DATA, "mime_type": "image/png"},
    ]
    assert linked["input"] == [{"type": "text", "text": "Hi"}, {"type": "image", "uri": "https://example.org/a.png"}]


def test_text_files_are_a_part_of_the_text(every, sandbox):
    every.decide("Hi", QUESTIONS, model="ollama/nimble", files=[b"Some text"])
    every.decide("Hi", QUESTIONS, model="openai", files=[b"Some text"])
    assert bodies(sandbox)[0]["state"] == "Hi\nSome text"
    assert [part["text"] for part in bodies(sandbox)[1]["input"][0]["content"]] == ["Hi", "Some text"]
    with pytest.raises(ConfigurationError, match="typesafe does not take image files"):
        every.decide("Hi", QUESTIONS, model="typesafe", files=[PICTURE])


def test_the_prompt_and_the_sampling_of_the_client_are_those_of_its_chats(sandbox, policy):
    client = Client(
        "openai", api_key="k", base_url=f"{sandbox.url}/v1", system="Be brief.", temperature=1, retry=policy
    )
    client.decide("Hi", QUESTIONS)
    (body,) = bodies(sandbox)
    assert body["input"] == "Hi"
    assert "temperature" not in body


def test_values_have_the_types_that_were_passed(every):
    d = every.decide(
        "bug and spam",
        {
            "tags": list[Literal["spam", "offers"]],
            "table": dict[Literal["spam", "offers"], bool],
            "stars": range(1, 6),
            "mean": Annotated[float, (1, 5)],
            "chance of spam?": Annotated[float, (0, 100)],
            "spam?": Annotated[float, (0, 1)],
        },
        model="openai",
    )
    assert d["tags"].value == ["spam"]
    assert d["tags"].probability is None
    assert d["tags"].probabilities["spam"] > 0.5 > d["tags"].probabilities["offers"]
    assert d["table"].value == {"spam": True, "offers": False}
    assert d["stars"].value in range(1, 6)
    assert d["stars"].value == d["stars"].label
    assert 1 <= d["mean"].value <= 5
    assert d["mean"].value == d["mean"].score
    assert d["chance of spam?"].value == pytest.approx(100 * d["chance of spam?"].probability)
    assert d["spam?"].value == d["spam?"].probability > 0.5


def test_a_threshold_applies_to_flags_and_labels(every):
    probability = every.decide(TEXT, QUESTIONS, model="openai")["refund?"].probability
    low = every.decide(TEXT, {"refund?": bool}, model="openai", threshold=probability)
    high = every.decide(TEXT, {"refund?": bool}, model="openai", threshold=probability + 1e-6)
    assert (low["refund"].value, high["refund"].value) == (True, False)
    tags = {"tags": list[Literal["refund", "praise"]]}
    assert every.decide(TEXT, tags, model="openai", threshold=0.99)["tags"].value == []


@dataclass
class Ticket:
    refund: bool
    topic: Literal["bug", "billing"]


def test_a_class_is_filled(every):
    assert every.decide(TEXT, Ticket, model="openai").data == Ticket(True, "billing")


def test_a_class_that_does_not_take_the_values_is_an_error(every):
    @dataclass
    class Picky:
        refund: Annotated[bool, "Does the writer ask for a refund?"]

        def __post_init__(self):
            raise ValueError("not today")

    decisions = every.decide(TEXT, Picky, model="openai")
    with pytest.raises(SchemaError, match="openai: the answers do not fit the class: ValueError: not today") as caught:
        _ = decisions.data
    assert json.loads(caught.value.partial)["refund"]["value"] is True
    assert decisions["refund"].value is True


def test_a_pydantic_model_is_filled_by_the_names_it_takes(every):
    pydantic = pytest.importorskip("pydantic")
    choices = pydantic.AliasChoices(pydantic.AliasPath("a", "b"), "theTopic")

    class Mail(pydantic.BaseModel):
        refund: bool = pydantic.Field(alias="wantsRefund", description="Does the writer ask for a refund?")
        topic: Literal["bug", "billing"] = pydantic.Field(validation_alias=choices)

    decisions = every.decide(TEXT, Mail, model="openai")
    assert list(decisions) == ["refund", "topic"]
    assert (decisions.data.refund, decisions.data.topic) == (True, "billing")


def test_a_single_question_gives_one_decision(every):
    decision = every.decide(TEXT, bool, "Does the writer ask for a refund?", model="openai")
    assert decision.value is True
    assert decision.usage.input_tokens > 0
    assert decision.cost > 0


def test_the_function_of_the_package_uses_the_default_client():
    assert ai.decide("x", {"a?": bool}, model="offline").provider == "offline"


def test_a_decision_is_neither_true_nor_false(every):
    d = every.decide(TEXT, QUESTIONS, model="openai")
    with pytest.raises(TypeError, match="take its value"):
        bool(d["refund?"])


def test_a_mark_at_the_end_of_a_name_may_be_left_out(every):
    d = every.decide(TEXT, QUESTIONS, model="openai")
    assert d["refund"] is d["refund?"]
    assert list(d) == ["refund?", "topic", "anger"]
    assert len(d) == 3
    with pytest.raises(KeyError, match="other"):
        d["other"]


def test_what_decisions_look_like(every):
    d = every.decide(TEXT, QUESTIONS, model="openai")
    assert repr(d).startswith("<Decisions refund?=True, topic='billing', anger=1.")
    assert repr(d).endswith("from openai/gpt-6-luna>")
    assert repr(d["refund?"]).startswith("<Decision 'refund?': True, probability 0.")
    assert "<td>refund?</td><td>True</td>" in d._repr_html_()
    assert d["refund?"]._repr_html_().count("<tr>") == 2
    record = json.loads(json.dumps(d.to_dict()))
    assert record["topic"]["value"] == "billing"
    assert list(record["refund?"]) == ["value", "probability", "probabilities", "source"]


def test_decisions_can_be_pickled_and_compared(every):
    d = every.decide(TEXT, {**QUESTIONS, "tags": list[Literal["a", "b"]]}, model="openai")
    copy = pickle.loads(pickle.dumps(d))
    assert copy == d
    assert copy["topic"] == d["topic"] != d["anger"]
    assert d["topic"] != "billing"
    assert copy.data == d.data


def test_the_cost_is_that_of_the_catalog(every):
    for model, price in [
        ("openai", 0.1),
        ("gemini/gemini-decision-1", 0.1),
        ("typesafe", 0.042),
        ("fireworks/rune", 0.042),
        ("cloudflare/clef-flash", 0.09),
        ("nace", 0.06),
        ("eu-jev", 0.0415),
        ("empiriolabs", 0.02),
        ("ollama/nimble", 0.0),
    ]:
        d = every.decide(TEXT, QUESTIONS, model=model)
        assert d.cost == pytest.approx(d.usage.input_tokens * price / 1e6), model
    assert every.decide(TEXT, QUESTIONS, model="parallel").cost == 0.001
    assert every.decide(TEXT, QUESTIONS, model="databricks/mine").cost is None


def test_a_cost_in_the_answer_counts(sandbox, policy):
    assert faulty(sandbox, policy, "billed-cost", "openrouter").decide(TEXT, QUESTIONS).cost == 0.25


@pytest.mark.parametrize("cost", ["1e999", "true", "-1", '"0.1"', "1" + "0" * 400])
def test_a_cost_that_is_no_amount_is_not_known(cost):
    answers = '"a?": {"type": "noul", "noul": 0.9}'
    with responses.RequestsMock() as mock, Client(api_key={"openrouter": "k"}) as client:
        body = f'{{"answers": {{{answers}}}, "usage": {{"input_tokens": 1{"0" * 400}, "cost": {cost}}}}}'
        mock.post("https://openrouter.ai/api/alpha/decisions", body=body)
        decisions = client.decide(TEXT, {"a?": bool}, model="openrouter/some-decisions")
    assert (decisions.cost, decisions.usage.input_tokens) == (None, None)


def test_a_number_of_any_size_is_checked():
    body = f'{{"answers": [{{"type": "predicate", "probability": 1{"0" * 400}}}]}}'
    with responses.RequestsMock() as mock, Client("openai", api_key="k", retry=0) as client:
        mock.post("https://api.openai.com/v1/decisions", body=body)
        with pytest.raises(BadResponseError, match="has the probability 10000"):
            client.decide(TEXT, {"a?": bool})


def test_a_budget_ends_the_calls(sandbox, policy):
    client = Client("openai", api_key="k", base_url=f"{sandbox.url}/v1", budget=2e-5, retry=policy)
    client.decide(TEXT, QUESTIONS)
    with pytest.raises(BudgetExceededError):
        client.decide(TEXT, QUESTIONS)
    # No output is expected, which would take the whole budget.
    assert len(sandbox.requests) == 1


def test_a_cache_answers_equal_questions_only(sandbox, policy):
    client = Client("openai", api_key="k", base_url=f"{sandbox.url}/v1", cache={}, temperature=1, retry=policy)
    first = client.decide(TEXT, QUESTIONS)
    second = client.decide(TEXT, QUESTIONS, threshold=0.99)
    assert len(sandbox.requests) == 1
    assert (first.cached, second.cached, second.cost) == (False, True, 0.0)
    assert (first["refund?"].value, second["refund?"].value) == (True, False)
    client.decide(TEXT, {"refund?": (bool, "Is it so?")})
    client.ask(TEXT, model="openai/gpt-6-luna")
    assert len(sandbox.requests) == 3


def test_hooks_and_the_log_see_the_call(sandbox, policy, tmp_path):
    seen = []
    hooks = {"request": seen.append, "reply": seen.append}
    client = Client("openai", api_key="k", base_url=f"{sandbox.url}/v1", hooks=hooks, retry=policy)
    client.decide(TEXT, {"refund?": bool})
    request, reply = seen
    assert request.url.endswith("/v1/decisions")
    assert list(json.loads(reply.reply.text)) == ["refund?"]
    assert request.params == {}


def test_a_rate_limit_counts_each_request(sandbox, slept, policy):
    clock = iter(range(1000))
    client = Client("openai", api_key="k", base_url=f"{sandbox.url}/v1", rate="1000/min", retry=policy)
    assert next(clock) == 0
    client.decide(TEXT, {f"q{n}?": bool for n in range(401)})
    assert len(sandbox.requests) == 2


def test_too_many_questions_are_split(every, sandbox):
    questions = {f"q{number}?": bool for number in range(900)}
    d = every.decide(TEXT, questions, model="openai")
    assert [len(body["questions"]) for body in bodies(sandbox)] == [400, 400, 100]
    assert {body["input"] for body in bodies(sandbox)} == {TEXT}
    assert list(d) == list(questions)
    single = every.decide(TEXT, {"q0?": bool}, model="openai")
    assert d["q0?"].probability == single["q0?"].probability
    assert d.usage.input_tokens > 800
    assert d.cost == pytest.approx(d.usage.input_tokens * 0.1 / 1e6)
    assert len(d.attempts) == 1


def test_a_part_that_succeeded_is_not_sent_again(every, sandbox):
    sandbox.script("server-error,on=decisions", "rate-limit,on=decisions,retry-after=1")
    questions = {f"q{number}?": bool for number in range(401)}
    d = every.decide(TEXT, questions, model="openai")
    assert len(d) == 401
    assert [len(body["questions"]) for body in bodies(sandbox)] == [400, 400, 400, 1]


def test_the_answers_so_far_are_in_the_error(sandbox, policy):
    client = faulty(sandbox, policy, "rate-limit,on=decisions,times=1000")
    questions = {f"q{number}?": bool for number in range(401)}
    with pytest.raises(RateLimitError) as caught:
        client.decide(TEXT, questions)
    assert caught.value.partial == ""

    def fail_second(request):
        asked = json.loads(request.body)["questions"]
        if len(asked) < 400:
            return 429, {}, json.dumps({"error": {"code": "insufficient_quota", "message": "Quota exceeded."}})
        answers = [{"type": "predicate", "name": each["name"], "probability": 0.5} for each in asked]
        return 200, {}, json.dumps({"answers": answers})

    with responses.RequestsMock() as mock, Client("openai", api_key="k", retry=0) as client:
        mock.add_callback("POST", "https://api.openai.com/v1/decisions", fail_second)
        with pytest.raises(ai.QuotaExceededError) as caught:
            client.decide(TEXT, questions)
    assert len(json.loads(caught.value.partial)) == 400
    assert json.loads(caught.value.partial)["q0?"]["probabilities"] == {"true": 0.5, "false": 0.5}


@pytest.mark.parametrize(
    ("questions", "model", "words"),
    [
        ({"x": range(0, 11)}, "openai", "'x' has 11 levels, and openai takes 10; gemini takes 255"),
        ({"x": dict.fromkeys(map(str, range(209)))}, "fireworks/rune", "has 209 options, and fireworks takes 208"),
    ],
)
def test_limits_of_a_service_are_errors_before_anything_is_sent(every, sandbox, questions, model, words):
    with pytest.raises(ConfigurationError, match=words):
        every.decide(TEXT, questions, model=model)
    assert sandbox.requests == []
    assert every.decide(TEXT, {"x": range(0, 11)}, model="gemini/gemini-decision-1")["x"].value in range(11)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 0}, "threshold: must be a number between 0 and 1, not 0"),
        ({"threshold": 1}, "threshold: must be"),
        ({"threshold": "0.5"}, "threshold: must be"),
        ({"emulate": "yes"}, "emulate: must be True, False or None"),
        ({"emulate": 0}, "emulate: must be True, False or None, not 0"),
        ({"schema": int}, "schema"),
        ({"min_confidence": 1}, "unknown option"),
        ({"extra": {"x": float("nan")}}, "the request is not JSON serializable"),
        ({"extra": {"x": {1}}}, "the request is not JSON serializable"),
        ({"files": [b"%PDF-1.7"]}, "takes text and images here, not pdf files"),
    ],
)
def test_options_are_checked_before_anything_is_sent(every, sandbox, options, words):
    with pytest.raises(ConfigurationError, match=words):
        every.decide(TEXT, QUESTIONS, model="openai", **options)
    assert sandbox.requests == []


def test_tool_calls_in_the_input_are_an_error(every, sandbox):
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]
    for model in ("openai", "gemini/gemini-decision-1", "typesafe"):
        with pytest.raises(ConfigurationError, match="takes no tool calls here"):
            every.decide(messages, QUESTIONS, model=model)
    assert sandbox.requests == []


def test_a_service_without_decisions_is_told_who_has_them(every, sandbox):
    with pytest.raises(ConfigurationError, match=r"groq has no decision models; azure, .*openai.* have"):
        Client("groq", api_key="k").decide(TEXT, QUESTIONS, emulate=False)
    with pytest.raises(MissingKeyError):
        Client("typesafe").decide(TEXT, QUESTIONS)


def test_the_function_of_a_databricks_workspace_decides(every, sandbox):
    d = every.decide(TEXT, QUESTIONS, model="databricks/ai_decide")
    assert (d["refund?"].value, d["topic"].value, d["anger"].label) == (True, "billing", "furious")
    (request,) = sandbox.requests
    assert request.path == "/api/2.0/ai-functions/ai-decide"
    assert "model" not in request.json()


@pytest.mark.parametrize("name", ["bespoke", "laya", "strands_decider"])
def test_a_server_without_a_name_here_leads_to_the_general_one(name):
    with pytest.raises(ConfigurationError, match=f"no provider '{name}'; did you mean 'systemone'"):
        Client(f"{name}/x").decide(TEXT, QUESTIONS)


def test_emulate_false_asks_the_endpoint_whatever_the_model_is_called(every, sandbox):
    every.decide(TEXT, QUESTIONS, model="ollama/my-own", emulate=False)
    assert sandbox.requests[0].path == "/v1/systemone"


@pytest.mark.parametrize("name", sorted(DECIDERS))
def test_a_service_that_only_decides_does_not_chat(every, sandbox, name):
    with pytest.raises(ConfigurationError, match=rf"{name} answers closed questions only: decide\("):
        every.ask("Hi", model=f"{name}/x")
    assert sandbox.requests == []
    assert name in every.providers
    assert name not in list(every.providers)


def test_services_with_your_own_address_say_where_it_goes(monkeypatch):
    for name in ("azure-ai", "cloudflare", "databricks"):
        with pytest.raises(MissingKeyError):
            Client(f"{name}/x").decide("Hi", QUESTIONS)
    with pytest.raises(ai.UnknownModelError, match="name the model, as 'databricks/MODEL'"):
        Client("databricks").decide("Hi", QUESTIONS)
    cloudflare = registry["cloudflare"]
    assert cloudflare.find_base_url() is None
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "abc")
    assert cloudflare.find_base_url() == "https://api.cloudflare.com/client/v4/accounts/abc"
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", "https://gateway.example")
    assert cloudflare.find_base_url() == "https://gateway.example"


@pytest.mark.parametrize("name", ["openai", "typesafe", "gemini"])
@pytest.mark.parametrize("fault", ["rounded-probabilities", "legend-list", "answers-shuffled"])
def test_harmless_differences_are_accepted(sandbox, policy, name, fault):
    if (name, fault) == ("openai", "answers-shuffled"):
        with pytest.raises(BadResponseError, match="an answer to 'anger' where 'refund\\?' was expected"):
            faulty(sandbox, policy, fault, name).decide(TEXT, QUESTIONS)
        return
    d = faulty(sandbox, policy, fault, name).decide(TEXT, QUESTIONS)
    assert (d["refund?"].value, d["topic"].value, d["anger"].label) == (True, "billing", "furious")


@pytest.mark.parametrize("name", ["openai", "typesafe", "gemini"])
@pytest.mark.parametrize(
    "fault",
    [
        "odd-sum",
        "odd-sum,factor=0.9",
        "odd-probability",
        "odd-probability,value=nan",
        "odd-probability,value=7",
        "odd-probability,value=-0.1",
        "unknown-answer",
        "answer-type",
        "other-option",
        "odd-score",
        "odd-score,value=-1",
        "odd-confidence",
    ],
)
def test_numbers_that_cannot_be_are_errors(sandbox, policy, name, fault):
    with pytest.raises(BadResponseError, match=name):
        faulty(sandbox, policy, fault, name).decide(TEXT, QUESTIONS)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"answers": 5}', b"{}", b"[" * 100_000])
def test_a_body_that_is_no_answer_is_an_error(body):
    with responses.RequestsMock() as mock, Client("openai", api_key="k", retry=0) as client:
        mock.post("https://api.openai.com/v1/decisions", body=body, content_type="application/json")
        with pytest.raises(BadResponseError):
            client.decide(TEXT, QUESTIONS)


def test_an_answer_that_is_too_large_is_an_error(every, monkeypatch):
    monkeypatch.setattr("aichatkit.decisions.request._MAX_BYTES", 10)
    with pytest.raises(BadResponseError, match="the answers are larger than 10 bytes"):
        every.decide(TEXT, QUESTIONS, model="openai")


def test_an_answer_may_leave_its_name_out():
    answers = [{"type": "predicate", "name": None, "probability": 0.75}, {"type": "predicate", "probability": 0.25}]
    with responses.RequestsMock() as mock, Client("openai", api_key="k", retry=0) as client:
        mock.post("https://api.openai.com/v1/decisions", json={"answers": answers, "usage": None})
        d = client.decide(TEXT, {"a?": bool, "b?": bool})
    assert [each.probability for each in d.values()] == [0.75, 0.25]
    assert (d.cost, d.usage.input_tokens, d.model) == (None, None, "gpt-6-luna")


def test_two_probabilities_for_one_option_are_an_error():
    answer = {
        "type": "choice",
        "name": "x",
        "choice": "a",
        "probabilities": [{"value": "a", "probability": 0.5}, {"value": "a", "probability": 0.5}],
    }
    with responses.RequestsMock() as mock, Client("openai", api_key="k", retry=0) as client:
        mock.post("https://api.openai.com/v1/decisions", json={"answers": [answer]})
        with pytest.raises(BadResponseError, match="probabilities of other options"):
            client.decide(TEXT, {"x": Literal["a", "b"]})


def test_a_missing_answer_is_an_error_at_openai_and_a_refusal_elsewhere(sandbox, policy):
    with pytest.raises(BadResponseError, match="2 answers to 3 questions"):
        faulty(sandbox, policy, "answer-missing").decide(TEXT, QUESTIONS)
    d = faulty(sandbox, policy, "answer-missing", "typesafe").decide(TEXT, QUESTIONS)
    assert d.refused == ["anger"]


@pytest.mark.parametrize("name", ["openai", "typesafe", "gemini"])
def test_a_refused_question_raises_when_it_is_read(sandbox, policy, name):
    d = faulty(sandbox, policy, "refuse-question", name).decide(TEXT, QUESTIONS)
    assert d["refund?"].refused
    with pytest.raises(ContentFilteredError, match="refused the question 'refund\\?'"):
        d["refund?"].value  # noqa: B018
    with pytest.raises(ContentFilteredError):
        d.data  # noqa: B018
    assert d["topic"].value == "billing"
    assert repr(d["refund?"]) == f"<Decision 'refund?': refused by {name}/{d.model}>"
    assert "refund?=refused" in repr(d)
    assert "<td>refused</td>" in d._repr_html_()
    assert d.to_dict()["refund?"] == {"value": None, "refused": True, "source": "decision"}
    assert pickle.loads(pickle.dumps(d)) == d


def test_one_refused_label_refuses_them_all(sandbox, policy):
    d = faulty(sandbox, policy, "refuse-question,number=1").decide(TEXT, {"tags": list[Literal["a", "b"]]})
    assert d["tags"].refused


def test_an_answer_of_the_type_refusal_is_one(sandbox, policy):
    assert len(faulty(sandbox, policy, "refusal-answer", "parallel").decide(TEXT, QUESTIONS).refused) == 3


def test_a_blocked_input_is_an_error(sandbox, policy):
    with pytest.raises(ContentFilteredError, match="gemini: the input was blocked: safety"):
        faulty(sandbox, policy, "input-blocked", "gemini").decide(TEXT, QUESTIONS)


def test_what_a_gateway_leaves_out_is_none(sandbox, policy):
    d = faulty(sandbox, policy, "only-values", "openrouter").decide(TEXT, QUESTIONS)
    assert (d["topic"].value, d["topic"].probability, d["topic"].probabilities) == ("billing", None, None)
    assert (d["topic"].confidence, d["anger"].label) == (None, "furious")
    assert repr(d["topic"]) == "<Decision 'topic': 'billing', from decision>"


def test_confidence_is_that_of_the_service(every):
    assert every.decide(TEXT, QUESTIONS, model="openai")["refund?"].confidence is None
    assert every.decide(TEXT, QUESTIONS, model="gemini/gemini-decision-1")["refund?"].confidence > 0.5


@pytest.mark.parametrize(
    ("fault", "error", "count"),
    [
        ("unauthorized", AuthenticationError, 1),
        ("rate-limit", RateLimitError, 3),
        ("server-error", ServerError, 3),
        ("bad-request", BadRequestError, 1),
    ],
)
def test_errors_and_retries_are_those_of_every_call(sandbox, policy, fault, error, count):
    with pytest.raises(error):
        faulty(sandbox, policy, f"{fault},on=decisions").decide(TEXT, QUESTIONS)
    assert len(sandbox.requests) == count


def test_an_error_in_a_successful_response_is_one(sandbox, policy):
    with responses.RequestsMock() as mock, Client("openai", api_key="k", retry=0) as client:
        mock.post("https://api.openai.com/v1/decisions", json={"error": {"code": "insufficient_quota", "message": "x"}})
        with pytest.raises(ai.QuotaExceededError):
            client.decide(TEXT, QUESTIONS)


def test_an_older_server_without_the_endpoint_is_an_error_with_advice():
    with responses.RequestsMock() as mock, Client("ollama/nimble", retry=0) as client:
        mock.post("http://localhost:11434/v1/systemone", body="404 page not found", status=404)
        with pytest.raises(ai.ChatError, match="with emulate=True, a chat model answers instead"):
            client.decide(TEXT, QUESTIONS)


def test_the_data_of_a_row_is_sent_as_json(every, sandbox):
    every.decide({"subject": "Login", "text": "Blank page"}, QUESTIONS, model="openai")
    every.decide({"role": "user", "content": "Blank page"}, QUESTIONS, model="openai")
    every.decide({"from": "you", "content": "Blank page"}, QUESTIONS, model="openai")
    assert [body["input"] for body in bodies(sandbox)] == [
        '{"subject": "Login", "text": "Blank page"}',
        "Blank page",
        "Blank page",
    ]


@pytest.mark.parametrize(
    "row",
    [{"from": "kim@example.org", "content": "Blank page"}, {"role": "nurse", "note": "Hm"}, {"content": "x"}],
)
def test_a_row_may_have_the_columns_of_a_message(every, sandbox, row):
    every.decide(row, QUESTIONS, model="openai")
    assert json.loads(bodies(sandbox)[0]["input"]) == row


def test_a_reply_with_decisions_is_plain_data(every):
    (row,) = every.map([TEXT], decide=QUESTIONS, model="openai", progress=False)
    assert row.reply.to_dict()["data"]["topic"]["value"] == "billing"
    assert row.reply.to_dict()["data"] == row.data.to_dict()


def test_a_model_that_does_not_decide_is_an_error_with_advice(sandbox, policy):
    client = faulty(sandbox, policy, "no-decisions", "ollama")
    with pytest.raises(ModelNotFoundError, match="with emulate=True, a chat model answers instead"):
        client.decide(TEXT, QUESTIONS)
    with pytest.raises(ModelNotFoundError) as caught:
        client.decide(TEXT, QUESTIONS, emulate=False)
    assert "emulate" not in str(caught.value)


def test_a_bad_request_that_names_decisions_has_advice_and_another_has_none():
    with responses.RequestsMock() as mock, Client("fireworks/rune", api_key="k", retry=0) as client:
        for text in ("this model does not support decisions", "a question is too long"):
            mock.post("https://api.fireworks.ai/inference/v1/systemone", status=400, json={"error": {"message": text}})
        errors = []
        for _ in range(2):
            with pytest.raises(BadRequestError) as caught:
                client.decide(TEXT, QUESTIONS)
            errors.append("with emulate=True, a chat model answers instead" in str(caught.value))
    assert errors == [True, False]


def test_ctrl_c_in_a_wait_is_passed_on(sandbox):
    def interrupt(seconds):
        raise KeyboardInterrupt

    client = faulty(sandbox, ai.RetryPolicy(sleep=interrupt), "server-error,on=decisions")
    with pytest.raises(KeyboardInterrupt):
        client.decide(TEXT, QUESTIONS)


def test_the_next_service_answers_if_one_fails(every, sandbox):
    sandbox.script("quota,on=decisions")
    d = every.decide(TEXT, QUESTIONS, model=["openai/gpt-6-luna", "typesafe/jev-latest"])
    assert (d.provider, d.model) == ("typesafe", "jev-latest")
    assert [type(attempt.error).__name__ for attempt in d.attempts] == ["QuotaExceededError", "NoneType"]
    with pytest.raises(AllProvidersFailedError, match="'x' has 20 levels"):
        every.decide(TEXT, {"x": range(20)}, model=["fireworks/rune", "typesafe/jev-latest"])


def test_a_reply_of_other_questions_cannot_be_read():
    from aichatkit.decisions.forms import DecisionForm

    form = DecisionForm.build(QUESTIONS, None, None, None)
    with pytest.raises(SchemaError, match="does not have the answers to these questions"):
        form.parse(ai.Reply("{}", "openai", "x"))


def test_an_answer_is_read_like_any_other(every):
    from aichatkit.decisions.request import DecisionAnswer

    answer = DecisionAnswer(ai.Reply("{}", "openai", "x"))
    assert list(answer) == ["{}"]
    assert answer.closed
    other = DecisionAnswer(ai.Reply("{}", "openai", "x"))
    other.cancel()
    assert other.closed


def test_type_checkers_see_the_parameters_that_there_are():
    (protocol,) = ast.parse(textwrap.dedent(inspect.getsource(overloads.Decide))).body
    forms = [node for node in protocol.body if isinstance(node, ast.FunctionDef)]
    names = list(inspect.signature(Client.decide.__wrapped__).parameters)[:4]
    assert len(forms) == 10
    for form in forms:
        assert [parameter.arg for parameter in form.args.args] == names
        assert ast.unparse(form.args.kwarg.annotation) == "Unpack[DecideOptions]"
