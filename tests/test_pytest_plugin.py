"""The fixtures as users of pytest have them, in test files of their own."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest

import aichatkit
import aichatkit.api
import aichatkit.pytest_plugin
import aichatkit.testing  # what is loaded before is not loaded anew by every inner run
from aichatkit.sandbox import Sandbox

pytest_plugins = "pytester"


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a test file of a user; the plugin is handed over, so that it need not be installed."""
    for name in ("CI", "AICHATKIT_RECORD", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_it(source, *options):
        if source:
            pytester.makepyfile(test_user="import pytest\nimport aichatkit as ai\n" + source)
        options = ("-p", "no:cacheprovider", "-W", "error", *options)
        return pytester.runpytest_inprocess(*options, plugins=[aichatkit.pytest_plugin])

    return run_it


RECORDS = """
def test_ask(replay):
    client = ai.Client(model="openai", base_url="{url}/v1", api_key="sk-recorded-0123456789")
    assert client.ask("I am sad").text == "How long have you been sad?"
"""


# The sandbox.


def test_a_sandbox_is_there_for_one_test(run):
    run(
        """
from aichatkit.testing import Fake
urls = []

@pytest.mark.parametrize("number", [1, 2])
def test_sandbox(sandbox, number):
    client = ai.Client(model="openai", api_key="any", base_url=f"{sandbox.url}/v1")
    assert client.ask("I am sad").text
    assert len(sandbox.requests) == 1
"""
    ).assert_outcomes(passed=2)


def test_a_fixture_of_the_users_own_with_the_same_name_wins(run):
    run(
        """
@pytest.fixture
def sandbox():
    return 7

def test_sandbox(sandbox):
    assert sandbox == 7
"""
    ).assert_outcomes(passed=1)


# Fakes.


def test_code_under_test_asks_the_fake(run):
    run(
        """
from aichatkit.testing import RateLimit

def capital(country):
    return str(ai.ask(f"Capital of {country}?", model="anthropic"))

def test_capital(fake):
    answers = fake([RateLimit(retry_after=30), "Paris."])
    assert capital("France") == "Paris."
    assert answers.prompts == ["Capital of France?"] * 2
    assert answers.waits == [30.0]

def test_it_is_gone_after(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ai.MissingKeyError):
        capital("France")
"""
    ).assert_outcomes(passed=2)


def test_an_answer_that_was_not_asked_for_is_an_error(run):
    done = run("def test_nothing(fake):\n    fake(['Paris.', 'Rome.'])\n")
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*2 of 2 answers of the fake were not asked for; the next is 'Paris.'*"])


def test_an_answer_too_few_is_an_error_where_the_code_hides_it(run):
    done = run(
        """
def test_hidden(fake):
    fake([])
    try:
        ai.ask("Hi")
    except BaseException:
        pass
"""
    )
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*the fake has no answer left*"])


def test_a_test_that_failed_is_not_told_about_its_answers(run):
    run("def test_fails(fake):\n    fake(['Paris.'])\n    assert 0\n").assert_outcomes(failed=1)


def test_a_second_fake_replaces_the_first(run):
    run(
        """
def test_two(fake):
    first, second = fake("one"), fake("two")
    assert ai.ask("Hi").text == "two"
"""
    ).assert_outcomes(passed=1)


# Recordings.


def test_real_answers_are_recorded_once_and_played_after(run, pytester):
    with Sandbox() as sandbox:
        run(RECORDS.format(url=sandbox.url)).assert_outcomes(passed=1)
        assert len(sandbox.requests) == 1
    recorded = pytester.path / "recordings" / "test_user" / "test_ask.json"
    assert "sk-recorded" not in recorded.read_text(encoding="utf-8")
    run("").assert_outcomes(passed=1)


def test_ci_plays_only_and_tells_how_to_record(run, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with Sandbox() as sandbox:
        done = run(RECORDS.format(url=sandbox.url))
        assert sandbox.requests == []
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["*cannot find a recording at *test_ask.json; *pytest --aichatkit-record=all*test_user.py::test_ask*"]
    )


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_recording_is_made_anew_where_that_is_said(run, pytester, monkeypatch, how):
    with Sandbox() as sandbox:
        run(RECORDS.format(url=sandbox.url))
        recorded = pytester.path / "recordings" / "test_user" / "test_ask.json"
        text = recorded.read_text(encoding="utf-8")
        recorded.write_text(text.replace("How", "Why"), encoding="utf-8")
        run("").assert_outcomes(failed=1)
        if how == "variable":
            monkeypatch.setenv("AICHATKIT_RECORD", "all")
        run("", *(["--aichatkit-record=all"] if how == "option" else [])).assert_outcomes(passed=1)
        assert len(sandbox.requests) == 2


def test_the_option_wins_over_ci(run, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with Sandbox() as sandbox:
        run(RECORDS.format(url=sandbox.url), "--aichatkit-record=once").assert_outcomes(passed=1)


def test_a_request_that_is_not_recorded_is_an_error_where_the_code_hides_it(run):
    done = run(
        """
def test_hidden(replay):
    with pytest.raises(AssertionError):
        ai.ask("Hi", model="openai")
""",
        "--aichatkit-record=none",
    )
    done.assert_outcomes(passed=1, errors=1)


def test_each_test_has_a_file_of_its_own(run, pytester):
    with Sandbox() as sandbox:
        run(
            f"""
@pytest.mark.parametrize("word", ["a/b", "a?b", "plain", "x" * 200])
def test_ask(replay, word):
    ask(word)

class TestMore:
    def test_ask(self, replay):
        ask("more")

def ask(word):
    ai.Client(model="openai", base_url="{sandbox.url}/v1", api_key="any").ask(word)
"""
        ).assert_outcomes(passed=5)
    files = sorted((pytester.path / "recordings" / "test_user").iterdir())
    asked = [
        json.loads(path.read_text(encoding="utf-8"))["exchanges"][0]["request"]["body"]["messages"][0]["content"]
        for path in files
    ]
    assert sorted(asked) == sorted(["a/b", "a?b", "plain", "x" * 200, "more"])
    assert {"TestMore.test_ask.json", "test_ask-plain.json"} < {path.name for path in files}


# The plugin itself.


def test_loading_the_plugin_loads_nothing_of_the_package():
    show = "import aichatkit.pytest_plugin, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    own = {name for name in loaded if name.startswith("aichatkit")}
    assert own == {"aichatkit", "aichatkit._version", "aichatkit._lazy", "aichatkit.pytest_plugin"}
    assert "requests" not in loaded


def test_pytest_finds_the_plugin_by_its_entry_point():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(Path(aichatkit.__file__).parent.parent / "setup.cfg", encoding="utf-8")
    assert parser["options.entry_points"]["pytest11"].strip() == "aichatkit = aichatkit.pytest_plugin"


def test_the_fixtures_and_the_option_are_listed(run):
    run("", "--fixtures").stdout.fnmatch_lines(["sandbox -- *", "fake -- *", "replay -- *"])
    run("", "--help").stdout.fnmatch_lines(["*--aichatkit-record={none,once,all}*"])
