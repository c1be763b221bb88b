"""Results: aligned with the input, and out into files and frames."""

from __future__ import annotations

import array
import csv
import json
import pickle
import sys
from dataclasses import dataclass

import pytest

from aichatkit import ChatError, Client, ConfigurationError, JournalError, Usage
from aichatkit.errors import ContentFilteredError
from aichatkit.testing import BadRequest, Fake, Quota

ROWS = [{"id": 1, "text": "One."}, {"id": 2, "text": None}, {"id": 3, "text": "Three."}]


@dataclass
class City:
    """A city."""

    name: str
    people: int


def echoes(sandbox):
    sandbox.says("ErrorBody.")


@pytest.fixture
def results(client, sandbox):
    """Three rows, of which the second was not asked."""
    echoes(sandbox)
    return client.map(ROWS, "Say {text}", model="openai/gpt-6-sol")


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_in_the_order_of_the_input(results):
    assert [(result.position, result.prompt, result.text) for result in results] == [
        (0, "Say One.", "ErrorBody."),
        (1, None, None),
        (2, "Say Three.", "ErrorBody."),
    ]


def test_lists_are_aligned_with_the_rows(results):
    assert results.text == ["ErrorBody.", None, "ErrorBody."]
    assert results.data == [None, None, None]
    assert [type(error) for error in results.errors] == [type(None), ConfigurationError, type(None)]
    assert [result.position for result in results.failed] == [1]
    assert results[1].data is None


def test_a_row_is_found_by_its_place(results):
    assert results[-1].prompt == "Say Three."
    assert [result.position for result in results[1:]] == [1, 2]
    assert len(results) == 3
    with pytest.raises(IndexError):
        results[3]


def test_usage_and_cost_are_those_of_all(results):
    each = results[0].usage
    assert results.usage.output_tokens == 2 * each.output_tokens
    assert results.cost == pytest.approx(results[0].cost + results[2].cost)
    assert (results.saved, results[0].saved, results[1].saved) == (0.0, 0.0, None)
    assert results[1].usage == Usage()
    assert results[1].cost is None


def test_a_cost_that_is_not_known_makes_the_whole_unknown(client):
    results = client.map(["Hi"], model="openai/unheard-of")
    assert results.cost is results.saved is None


def test_they_tell_themselves_shortly(results, client):
    assert repr(results) == "<Results of 3 rows, 1 failed>"
    live = client.map(["Hi"], as_completed=True)
    assert repr(live) == "<Results, 0 so far>"
    live.finish()


def test_they_pickle(results):
    other = pickle.loads(pickle.dumps(results))
    assert other.text == results.text
    assert (other.stopped, other.interrupted) == (None, False)
    other.close()


def test_they_are_kept_on_disk_where_nobody_knows_how_many_there_will_be(client, sandbox):
    echoes(sandbox)
    results = client.map(iter([*ROWS, {"id": 4, "text": "Four."}]), "Say {text}")
    assert results.text == ["ErrorBody.", None, "ErrorBody.", "ErrorBody."]
    assert [type(error) for error in results.errors][1] is ConfigurationError
    assert results[3].fields == {"id": 4, "text": "Four."}
    with pytest.raises(TypeError, match="save them instead"):
        pickle.dumps(results)
    with pytest.raises(KeyError):
        results._store.get(9)


def test_rows_on_disk_have_their_data(client, sandbox):
    sandbox.says(['{"name": "Paris", "people": 2}', "nothing"])
    (result,) = client.map(iter(["Which?"]), schema=City)
    assert result.data == City("Paris", 2)


def test_a_csv_file_holds_the_input_and_the_answers(results, tmp_path):
    results.save(tmp_path / "out.csv")
    rows = read_csv(tmp_path / "out.csv")
    assert [(row["id"], row["text"], row["answer"]) for row in rows] == [
        ("1", "One.", "ErrorBody."),
        ("2", "", ""),
        ("3", "Three.", "ErrorBody."),
    ]
    assert rows[1]["error"] == "ConfigurationError: row 1: the column 'text' is empty here"
    assert float(rows[0]["cost"]) > 0


def test_a_json_lines_file_holds_the_same(results, tmp_path):
    results.save(str(tmp_path / "out.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["text"], row["answer"]) for row in rows] == [
        (1, "One.", "ErrorBody."),
        (2, None, None),
        (3, "Three.", "ErrorBody."),
    ]


def test_no_column_of_the_input_is_hidden(client, tmp_path):
    rows = [{"answer": "a", "answer_2": "b", "error": "c", "prompt": "Hi"}]
    client.map(rows).save(tmp_path / "out.csv")
    (row,) = read_csv(tmp_path / "out.csv")
    assert (row["answer"], row["answer_2"], row["error"], row["error_2"]) == ("a", "b", "c", "")
    assert row["answer_3"]


def test_rows_may_have_columns_of_their_own(client, tmp_path):
    client.map([{"prompt": "Hi", "a": 1}, {"prompt": "Ho", "b": [2]}]).save(tmp_path / "out.csv")
    assert [(row["a"], row["b"]) for row in read_csv(tmp_path / "out.csv")] == [("1", ""), ("", "[2]")]


def test_data_has_a_column_where_there_is_a_schema(client, sandbox, tmp_path):
    sandbox.says('{"name": "Paris", "people": 2}')
    results = client.map(["Which?"], schema=City)
    results.save(tmp_path / "out.csv")
    results.save(tmp_path / "out.jsonl")
    assert json.loads(read_csv(tmp_path / "out.csv")[0]["data"]) == {"name": "Paris", "people": 2}
    assert json.loads((tmp_path / "out.jsonl").read_text())["data"] == {"name": "Paris", "people": 2}


def test_data_of_pydantic_models_is_saved(client, sandbox, tmp_path):
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Town", name=(str, ...))
    sandbox.says('{"name": "Paris"}')
    client.map(["Which?"], schema=model).save(tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["data"] == {"name": "Paris"}


def test_whatever_the_input_holds_is_saved(client, tmp_path):
    class Odd:
        def __str__(self):
            return "odd"

    results = client.map([{"prompt": "Hi", "odd": Odd(), "nothing": float("nan"), "array": array.array("i", [3])}])
    results.save(tmp_path / "out.csv")
    (line,) = read_csv(tmp_path / "out.csv")
    assert (line["odd"], line["nothing"], line["array"]) == ("odd", "", "[3]")
    results.save(tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert (row["odd"], row["nothing"]) == ("odd", None)


@pytest.mark.parametrize("path", ["out.txt", "out", 3, None])
def test_the_suffix_says_how_to_save(results, path):
    with pytest.raises(ConfigurationError, match=r"must end in \.csv"):
        results.save(path)


def test_a_file_is_replaced_whole_or_not_at_all(results, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("before")

    whole, calls = results._iter_records, []

    def broken():
        calls.append(1)
        yield from whole()
        if len(calls) == 3:
            raise ValueError("in the middle")

    results._iter_records = broken
    with pytest.raises(ValueError, match="in the middle"):
        results.save(path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_a_place_that_cannot_be_written_is_told(results, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
        results.save(tmp_path / "nowhere" / "out.csv")


def test_a_pandas_frame_comes_back_with_answers(client, sandbox):
    pandas = pytest.importorskip("pandas")
    echoes(sandbox)
    frame = pandas.DataFrame({"text": ["a", "b"]}, index=["x", "y"])
    results = client.map(frame, "Say {text}")
    whole = results.to_frame()
    assert list(whole.index) == ["x", "y"]
    assert list(whole.columns) == ["text", "answer", "error", "input_tokens", "output_tokens", "cost"]
    assert list(whole["answer"]) == ["ErrorBody.", "ErrorBody."]
    assert list(frame.columns) == ["text"]
    frame["said"] = results.text
    assert frame["said"]["y"] == "ErrorBody."


@pytest.mark.parametrize(("name", "column"), [("review", "review"), (None, "prompt")])
def test_a_pandas_series_becomes_a_frame(client, name, column):
    pandas = pytest.importorskip("pandas")
    frame = client.map(pandas.Series(["a"], index=[7], name=name)).to_frame()
    assert (list(frame.index), frame.columns[0]) == ([7], column)


def test_a_polars_frame_comes_back_with_answers(client, sandbox):
    polars = pytest.importorskip("polars")
    echoes(sandbox)
    frame = polars.DataFrame({"text": ["a", None]})
    whole = client.map(frame, "Say {text}").to_frame()
    assert isinstance(whole, polars.DataFrame)
    assert whole["answer"].to_list() == ["ErrorBody.", None]
    assert client.map(frame["text"]).to_frame()["answer"].to_list() == ["ErrorBody.", None]


def test_a_list_becomes_a_pandas_frame(results, client):
    pandas = pytest.importorskip("pandas")
    whole = results.to_frame()
    assert isinstance(whole, pandas.DataFrame)
    assert list(whole["id"]) == [1, 2, 3]
    assert list(client.map({"k": "Hi"}).to_frame().index) == ["k"]


def test_without_pandas_the_package_is_named(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match="pip install pandas"):
        results.to_frame()


def test_a_run_that_is_left_finishes_what_is_under_way(client, sandbox):
    results = client.map([f"p{number}" for number in range(50)], as_completed=True, workers=2)
    first = next(iter(results))
    results.close()
    results.close()
    assert first.error is None
    assert 1 <= len(sandbox.requests) <= 6
    assert len([result for result in results if result.reply]) == len(sandbox.requests)
    assert len(results) == 50
    assert "the run was closed" in str(results.stopped)


def test_the_first_loop_has_the_rows_as_they_come_and_the_next_all_in_order(client):
    results = client.map(["a", "b", ""], as_completed=True, workers=3)
    came = [result.position for result in results]
    assert sorted(came) == [0, 1, 2]
    assert [result.position for result in results] == [0, 1, 2]


def test_an_error_that_ends_the_run_has_the_results(client, sandbox):
    sandbox.script(None, "content-filter")
    with pytest.raises(ContentFilteredError) as caught:
        client.map(["a", "b", "c", "d"], workers=1, on_error="raise")
    results = caught.value.results
    assert [type(error) for error in results.errors] == [type(None), *[ContentFilteredError] * 3]
    assert len(sandbox.requests) == 2
    assert isinstance(results.stopped, ChatError)


def test_the_package_asks_many_as_well(monkeypatch, sandbox):
    import aichatkit

    with Client(model="offline") as client:
        monkeypatch.setattr("aichatkit.api._default", [client])
        assert len(aichatkit.map(["Hi", "Ho"])) == 2


def test_results_of_many_rows_are_read_back_from_disk_and_from_what_is_on_its_way_there(client, sandbox):
    echoes(sandbox)
    results = client.map(f"p{number}" for number in range(300))
    assert len(results) == 300
    assert [results[place].prompt for place in (0, 127, 128, 255, 256, 299)] == [
        "p0",
        "p127",
        "p128",
        "p255",
        "p256",
        "p299",
    ]
    assert results.text == ["ErrorBody."] * 300


def test_a_disk_without_room_for_results_ends_the_run_and_keeps_those_there_are(client, sandbox, monkeypatch):
    echoes(sandbox)
    results = client.map((f"p{number}" for number in range(1000)), as_completed=True)
    with results._store._database.reading() as connection:
        connection.execute("PRAGMA max_page_count=1")
    with pytest.raises(JournalError, match=r"temporary file of the results: the disk is full") as caught:
        results.finish()
    assert caught.value.results is results
    assert 128 <= len(results) < 200
    assert len(sandbox.requests) == results.text.count("ErrorBody.")


def test_rows_that_were_never_asked_did_not_fail():
    results = Fake(["A", BadRequest(), Quota()]).client().map(list("abcdef"), workers=1, progress=False)
    shown = "<Results of 6 rows, 2 failed, 3 not asked>"
    assert repr(results) == repr(pickle.loads(pickle.dumps(results))) == shown
    assert "6 rows, 1 answered, 2 failed, 3 not asked" in results._repr_html_()
    assert len(results.failed) == 5


def test_files_hold_no_numbers_that_only_python_reads(client, tmp_path):
    odd = {"nan": [float("nan"), 1.5], "inf": float("-inf"), "price": 1.25}
    results = client.map([{"prompt": "Hi", "odd": odd, "inf": float("inf")}])
    results.save(tmp_path / "out.jsonl")
    refuse = pytest.fail
    row = json.loads((tmp_path / "out.jsonl").read_text(), parse_constant=refuse)
    assert (row["odd"], row["inf"]) == ({"nan": [None, 1.5], "inf": None, "price": 1.25}, None)
    results.save(tmp_path / "out.csv")
    (line,) = read_csv(tmp_path / "out.csv")
    assert json.loads(line["odd"], parse_constant=refuse) == row["odd"]


def test_half_a_character_of_the_input_is_saved(client, tmp_path):
    results = client.map([{"prompt": "Hi", "text": "caf\udce9", "list": ["\ud83d"]}])
    results.save(tmp_path / "out.csv")
    results.save(tmp_path / "out.jsonl")
    (line,) = read_csv(tmp_path / "out.csv")
    row = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert (line["text"], line["list"]) == ("caf\ufffd", '["\ufffd"]')
    assert (row["text"], row["list"]) == ("caf\ufffd", ["\ufffd"])


FORMULAS = ["=1+1", "+1", "-1", "@x", "\tx", "plain", "it's"]


def test_text_that_is_a_formula_is_escaped_on_request(tmp_path):
    results = Client(model="offline").map([{"=head": text} for text in FORMULAS], "{=head}", progress=False)
    path = tmp_path / "out.csv"
    results.save(path)
    assert path.read_text(encoding="utf-8").startswith("=head,")
    results.save(path, escape_formulas=True, bom=True)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf'=head,")
    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [row["'=head"] for row in csv.DictReader(file)]
    assert cells == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "plain", "it's"]


def test_a_file_with_tabs_is_written(tmp_path):
    path = tmp_path / "out.tsv"
    Client(model="offline").map([{"a": "x", "b": "y"}], "{a}", progress=False).save(path)
    assert path.read_text(encoding="utf-8").startswith("a\tb\tanswer\t")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.jsonl", {"bom": True}, "bom is for .csv and .tsv files"),
        ("out.jsonl", {"escape_formulas": True}, "escape_formulas is for"),
        ("out.csv", {"bom": "yes"}, "bom must be True or False"),
    ],
)
def test_options_of_saving_are_checked(tmp_path, name, options, words):
    results = Client(model="offline").map(["Hi"], progress=False)
    with pytest.raises(ConfigurationError, match=words):
        results.save(tmp_path / name, **options)
    assert not (tmp_path / name).exists()


def test_the_first_loop_misses_no_row_that_something_else_has_waited_for(client):
    assert sorted(row.position for row in list(client.map(["a", "b", "c"], as_completed=True))) == [0, 1, 2]
    results = client.map(["a", "b", "c"], as_completed=True, workers=1)
    assert [(row.position, len(results)) for row in results] == [(0, 3), (1, 3), (2, 3)]
    assert [row.position for row in results] == [0, 1, 2]
    results = client.map(["a", "b", "c"], as_completed=True, workers=1)
    assert len(results) == 3  # `list` of Python 3.9 asks for it before it begins the loop
    assert [row.position for row in results] == [0, 1, 2]
