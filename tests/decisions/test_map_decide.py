"""`Client.map(decide=...)`: a request for each row, and columns for each question."""

from __future__ import annotations

import csv
import enum
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import pytest

import aichatkit as ai
from aichatkit import Client, ConfigurationError, QuotaExceededError

ROWS = [{"text": "I want a refund"}, {"text": "All is well"}]
QUESTIONS = {"refund?": bool, "anger": ["calm", "furious"]}
HEAD = [
    "text",
    "refund",
    "refund_p",
    "anger",
    "anger_p",
    "anger_label",
    "error",
    "input_tokens",
    "output_tokens",
    "cost",
]


class Topic(enum.Enum):
    BUG = "bug"
    BILLING = "billing"


@dataclass
class Ticket:
    refund: bool
    topic: Literal["bug", "billing"]


@pytest.fixture
def client(sandbox, policy):
    with Client("openai", api_key="sk-test", base_url=f"{sandbox.url}/v1", retry=policy) as made:
        yield made


def run(client, rows=ROWS, template="{text}", **options):
    return client.map(rows, template, **{"decide": QUESTIONS, "progress": False, **options})


def test_each_row_is_one_request_whatever_the_number_of_questions(client, sandbox):
    rows = [{"text": f"text {number}"} for number in range(60)]
    results = run(client, rows, decide={f"q{number}?": bool for number in range(5)})
    assert len(results) == len(sandbox.requests) == 60
    assert all(len(result.data) == 5 for result in results)
    assert results.usage.input_tokens == sum(result.data.usage.input_tokens for result in results)
    assert results.cost > 0


def test_rows_have_their_decisions_in_order(client):
    results = run(client)
    assert [result.data["refund"].value for result in results] == [True, False]
    assert results.data[0]["refund?"].probability > 0.5


def test_a_file_has_a_column_for_each_question_and_its_probability(client, tmp_path):
    path = tmp_path / "out.csv"
    results = run(client)
    results.save(path)
    head, first, _ = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    assert head == HEAD
    row = dict(zip(head, first))
    assert (row["text"], row["refund"], row["error"]) == ("I want a refund", "True", "")
    assert float(row["refund_p"]) == results[0].data["refund"].probability
    assert row["anger_label"] == results[0].data["anger"].label
    path = tmp_path / "out.jsonl"
    run(client, decide={"topic": Topic}).save(path)
    record = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert record["topic"] in ("bug", "billing")
    assert 0 < record["topic_p"] < 1


def test_a_frame_gets_the_columns(client):
    pandas = pytest.importorskip("pandas")
    frame = run(client, pandas.DataFrame(ROWS)).to_frame()
    assert list(frame.columns) == HEAD
    assert list(frame["refund"]) == [True, False]
    polars = pytest.importorskip("polars")
    assert run(client, polars.DataFrame(ROWS)).to_frame().columns == HEAD


def test_several_labels_have_a_probability_each(client, tmp_path):
    labels = {"tags": list[Literal["refund", "urgent"]]}
    results = client.map(ROWS, "{text}", decide=labels, progress=False)
    results.save(tmp_path / "out.jsonl")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert records[0]["tags_p"] == results[0].data["tags"].probabilities
    assert list(records[0]["tags_p"]) == ["refund", "urgent"]


def test_a_column_of_the_input_keeps_its_name(client):
    pytest.importorskip("pandas")
    rows = [{"text": "refund", "refund": "mine"}]
    columns = list(run(client, rows).to_frame().columns)
    assert columns[:3] == ["text", "refund", "refund_2"]


def test_a_row_that_fails_has_empty_cells(client, sandbox, tmp_path):
    pytest.importorskip("pandas")
    sandbox.script("bad-request,on=decisions")
    results = run(client, workers=1)
    assert [type(error).__name__ for error in results.errors] == ["BadRequestError", "NoneType"]
    frame = results.to_frame()
    assert list(frame.columns) == HEAD
    assert frame["refund"][0] is None
    assert list(run(client, []).to_frame().columns) == []
    run(client, []).save(tmp_path / "empty.csv")


def test_a_refused_question_has_empty_cells(sandbox, policy):
    url = f"{sandbox.url}/fault/refuse-question/v1"
    client = Client("openai", api_key="k", base_url=url, retry=policy)
    (row,) = run(client, ROWS[:1])
    assert row.data.columns()["refund"] is None
    assert row.data.columns()["anger_label"] in ("calm", "furious")
    assert row.error is None


def test_a_journal_sends_only_what_is_missing(client, sandbox, tmp_path):
    path = tmp_path / "run.sqlite"
    first = run(client, ROWS[:1], resume=path)
    again = run(client, ROWS, resume=path, threshold=0.999)
    assert len(sandbox.requests) == 2
    assert again[0].data["refund"].probability == first[0].data["refund"].probability
    assert (first[0].data["refund"].value, again[0].data["refund"].value) == (True, False)
    assert again[0].data.cost == first[0].data.cost
    run(client, ROWS, resume=path, decide={"refund?": (bool, "Is it so?")})
    assert len(sandbox.requests) == 4


def test_the_cache_of_the_client_serves_rows(sandbox, policy):
    client = Client("openai", api_key="k", base_url=f"{sandbox.url}/v1", cache={}, retry=policy)
    run(client)
    results = run(client)
    assert len(sandbox.requests) == 2
    assert [result.data.cached for result in results] == [True, True]


def test_a_class_and_an_executor_work_as_for_every_run(client):
    pytest.importorskip("pandas")
    with ThreadPoolExecutor(2) as pool:
        results = run(client, decide=Ticket, executor=pool)
    assert results[0].data.data.refund is True
    assert list(results.to_frame().columns)[1:5] == ["refund", "refund_p", "topic", "topic_p"]


def test_results_can_be_pickled(client):
    pytest.importorskip("pandas")
    results = run(client)
    copy = pickle.loads(pickle.dumps(results))
    assert copy[0].data == results[0].data
    assert list(copy.to_frame().columns) == HEAD


def test_rows_without_a_known_number_are_kept_on_disk(client):
    results = run(client, iter(ROWS))
    assert [result.data["refund"].value for result in results] == [True, False]


def test_a_budget_and_quota_end_a_run(client, sandbox):
    rows = [{"text": f"text {number}"} for number in range(20)]
    results = run(client, rows, budget=5e-5, workers=1)
    assert 0 < len(sandbox.requests) < 20
    assert results.stopped is not None
    sandbox.script("quota,on=decisions")
    with pytest.raises(QuotaExceededError):
        run(client, rows, on_error="raise", workers=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decide": None, "threshold": 0.5}, "threshold and emulate are for decide="),
        ({"decide": None, "emulate": True}, "threshold and emulate are for decide="),
        ({"batch": True, "resume": "x.sqlite"}, "gpt-6-luna answers at a decisions endpoint.*with emulate=True"),
        (
            {"batch": True, "resume": "x.sqlite", "emulate": False},
            "for that; leave batch= out",
        ),
        ({"schema": int}, "schema: cannot be used with decide="),
        ({"temperature": 0.0}, "temperature: cannot be used with decide="),
        ({"reasoning_effort": "low"}, "reasoning_effort: cannot be used with decide="),
        ({"tools": [len]}, "tools: cannot be used with decide="),
        ({"search": True}, "search: cannot be used with decide="),
        ({"tool_choice": "auto"}, "tool_choice: cannot be used with decide="),
        ({"decide": {"error?": bool}}, "the column 'error' would be there twice"),
        ({"decide": {"a?": bool, "a_p": (bool, "So?")}}, "the column 'a_p' would be there twice"),
        ({"decide": {"a": str}}, "cannot be str"),
        ({"emulate": False, "model": "groq"}, "groq has no decision models"),
    ],
)
def test_options_that_do_not_fit_are_errors_before_anything_is_sent(client, sandbox, options, words):
    with pytest.raises(ConfigurationError, match=words):
        run(client, **options)
    assert sandbox.requests == []


def test_the_function_of_the_package_decides_as_well():
    results = ai.map(ROWS, "{text}", decide=QUESTIONS, model="offline", progress=False)
    assert results[0].data["refund"].source == "decision"
    assert "<Results of 2 rows" in repr(results)
    assert "refund" in results._repr_html_()
