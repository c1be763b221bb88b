"""A model that is gone or soon will be warns once, before anything is sent; a refusal names the successor."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from datetime import date, timedelta

import pytest

from aichatkit import Client, ModelNotFoundError, RetiredModelWarning
from aichatkit._version import __version__
from aichatkit.catalog import retirements
from aichatkit.registry import registry

SOON = (date.today() + timedelta(days=30)).isoformat()
LATER = (date.today() + timedelta(days=90)).isoformat()


def record(**fields):
    return {"id": "openai/old", **fields}


@pytest.fixture
def client_with(sandbox, policy):
    def build(*records, model="openai/old", **options):
        catalog = {"about": {"date": "2026-11-26"}, "models": list(records)}
        url = {"openai": f"{sandbox.url}/v1", "anthropic": sandbox.url, "gemini": sandbox.url}
        keys = dict.fromkeys(url, "sk-test")
        return Client(model=model, api_key=keys, base_url=url, retry=policy, catalog=catalog, **options)

    return build


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"retires": SOON, "successor": "new"}, rf"openai/old retires on {SOON}; use new \(catalog of 2026-11-26\)"),
        ({"retires": "2026-02-19"}, r"openai/old retired on 2026-02-19 \(catalog"),
        ({"gone": True, "successor": "new"}, r"openai/old is retired; use new \("),
        (
            {"retires": "2026-05-15", "served_as": "newer", "successor": "newer"},
            "retired on 2026-05-15; the service answers with newer and charges for it; use newer",
        ),
    ],
)
def test_a_model_that_is_gone_or_soon_will_be_warns(client_with, fields, words):
    with pytest.warns(RetiredModelWarning, match=words):
        client_with(record(**fields)).ask("Hi")


@pytest.mark.parametrize("fields", [{}, {"retires": LATER}, {"successor": "new"}])
def test_a_model_that_stays_does_not_warn(client_with, fields):
    assert client_with(record(**fields)).ask("Hi").complete


def test_it_warns_once_a_process_and_model_at_the_user_s_line(client_with):
    client = client_with(record(retires=SOON), {"id": "openai/older", "retires": SOON})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for model in ("openai/old", "openai/old", "openai/older"):
            client.ask("Hi", model=model)
        client_with(record(retires=SOON)).ask("Hi")
    assert [str(warning.message).split()[0] for warning in caught] == ["openai/old", "openai/older"]
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.ask("Hi"),
        lambda client: client.stream("Hi"),
        lambda client: client.chat().ask("Hi"),
        lambda client: client.map(["Hi"], progress=False, on_error="raise"),
    ],
)
def test_a_filter_makes_it_an_error_before_anything_is_sent(client_with, sandbox, ask):
    client = client_with(record(retires=SOON))
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RetiredModelWarning)
            with pytest.raises(RetiredModelWarning):
                ask(client)
    assert sandbox.requests == []


def test_users_see_it_without_asking(sandbox, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from aichatkit import Client\n"
        f"Client(model='openai/gpt-4.1-nano', api_key='sk-x', base_url='{sandbox.url}/v1').ask('Hi')\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert "RetiredModelWarning: openai/gpt-4.1-nano retired on 2026-10-23; use gpt-6-luna" in done.stderr
    assert f"{script}:2" in done.stderr


def test_it_is_a_user_warning():
    assert issubclass(RetiredModelWarning, UserWarning)


def refused(client, sandbox, model):
    sandbox.script("model-not-found")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RetiredModelWarning)
        with pytest.raises(ModelNotFoundError) as caught:
            client.ask("Hi", model=model)
    return caught.value


@pytest.mark.parametrize(
    "model", ["openai/gpt-4.1-nano", "anthropic/claude-3-5-haiku-latest", "gemini/gemini-2.0-flash"]
)
def test_the_error_of_a_retired_model_says_when_and_names_the_successor(client_with, sandbox, model):
    error = refused(client_with(), sandbox, model)
    assert error.successor
    assert "it retired on 2026-" in error.message
    assert f"use {model.partition('/')[0]}/{error.successor}" in error.message
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert other.successor == error.successor


def test_a_typo_gets_the_nearest_live_names(client_with, sandbox):
    error = refused(client_with(), sandbox, "openai/gpt-6-lnua")
    assert error.successor is None
    assert "did you mean gpt-6-luna or" in error.message


def test_a_name_that_is_newer_than_the_data_says_so(client_with, sandbox):
    assert "not in the catalog of 2026-11-26" in refused(client_with(), sandbox, "openai/zzzzzzzzzz").message


def test_a_live_model_that_is_refused_may_not_be_open_to_the_account(client_with, sandbox):
    error = refused(client_with(), sandbox, "openai/gpt-6-luna")
    assert "your account may not use it" in error.message


def test_a_model_of_another_endpoint_names_the_provider(client_with, sandbox):
    error = refused(client_with(), sandbox, "openai/gpt-5.5-pro")
    assert "it answers only at the Responses endpoint: name it as openai-responses/gpt-5.5-pro" in error.message


def test_a_default_model_is_the_package_s_choice_and_a_named_one_is_not(client_with, sandbox):
    default = registry["openai"].default_model
    error = refused(client_with({"id": f"openai/{default}", "retires": "2026-01-01"}), sandbox, "openai")
    assert f"it is the default of aichatkit {__version__}: pass model=, or upgrade the package" in error.message
    assert "default of aichatkit" not in refused(client_with(), sandbox, f"openai/{default}").message


def test_every_error_has_a_successor_attribute():
    assert ModelNotFoundError("x").successor is None


def test_the_notice_is_sixty_days():
    today = date(2026, 11, 26)
    assert retirements.is_retiring({"retires": "2027-01-25"}, today)
    assert not retirements.is_retiring({"retires": "2027-01-26"}, today)
