"""`model_info` and `models(details=True)`: what is known about a model, in the words of the API."""

from __future__ import annotations

import json
import pickle
import re
from datetime import date

import pytest
import responses

import aichatkit
from aichatkit import Client, ModelInfo, UnknownModelError
from aichatkit.catalog.model_infos import nearest_names
from aichatkit.catalog.models import Catalog, is_retired
from aichatkit.registry import registry


def known(**record):
    catalog = {"about": {"date": "2026-11-26"}, "models": [{"id": "openai/x", **record}]}
    return Client(model="offline", catalog=catalog).model_info("openai/x")


def test_a_model_is_told_with_limits_prices_and_efforts():
    info = aichatkit.model_info("anthropic/claude-sonnet-5-5")
    assert (info.provider, info.name, info.endpoint) == ("anthropic", "claude-sonnet-5-5", "chat")
    assert (info.context_window, info.max_output) == (1_000_000, 128_000)
    assert (info.prices.input, info.prices.output) == (2, 10)
    assert (info.prices.cache_read, info.prices.cache_write, info.prices.cache_write_1h) == (0.1, 2.5, 4)
    assert info.efforts == ("low", "medium", "high", "xhigh", "max")
    assert {"image", "tools"} <= set(info.capabilities)
    assert (info.retires, info.successor, info.retired) == (None, None, False)
    assert isinstance(info.as_of, date)
    assert pickle.loads(pickle.dumps(info)) == info


def test_what_is_not_known_is_none():
    assert known() == ModelInfo("openai", "x", as_of=date(2026, 11, 26))


def test_a_factor_becomes_prices_for_the_base_and_for_tiers():
    prices = aichatkit.model_info("openai/gpt-6.1-sol").prices
    assert prices.tiers[0]["above"] == 272_000
    assert (prices.batch.input, prices.batch.output, prices.batch.cache_read) == (1, 5, 0.05)
    assert prices.batch.tiers[0] == {
        "above": 272_000,
        **{"input": 2, "output": 7.5, "cache_read": 0.1, "cache_write": 2.5, "cache_write_1h": 5},
    }


def test_prices_of_a_service_tier_may_be_its_own():
    batch = aichatkit.model_info("gemini/gemini-2.5-pro").prices.batch
    assert (batch.input, batch.output, batch.cache_read) == (0.625, 5, 0.125)


def test_a_fee_for_searches_by_size_shows_the_middle_one():
    assert aichatkit.model_info("perplexity/sonar-pro").prices.per_search == 0.01
    assert aichatkit.model_info("openai/gpt-6-luna").prices.per_search == 0.01
    assert known(per_request=0.002).prices.per_request == 0.002
    assert known(per_image=0.04).prices.per_image == 0.04


def test_a_retired_model_says_when_and_what_to_use():
    info = known(retires="2026-02-19", successor="y")
    assert (info.retires, info.retired, info.successor) == (date(2026, 2, 19), True, "y")
    assert known(gone=True).retired
    assert not known(retires="2999-01-01").retired


def test_the_last_day_is_already_without_the_model():
    assert is_retired({"retires": "2027-01-14"}, date(2027, 1, 14))
    assert not is_retired({"retires": "2027-01-14"}, date(2027, 1, 13))


def test_a_provider_alone_is_its_default_model():
    assert aichatkit.model_info("openai").name == registry["openai"].default_model


def test_a_provider_without_a_default_says_what_it_needs():
    with pytest.raises(UnknownModelError, match="azure needs the name of your deployment"):
        aichatkit.model_info("azure")


def test_a_provider_with_the_models_of_another_tells_them_under_its_own_name():
    info = aichatkit.model_info("openai-responses/gpt-5.5-pro")
    assert (info.provider, info.endpoint, info.prices.input) == ("openai-responses", "responses", 30)


def test_a_bare_name_is_looked_up_at_the_best_known_provider():
    assert aichatkit.model_info("claude-sonnet-5-5").provider == "anthropic"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openai/gpt-6-lnua", "no record of openai/gpt-6-lnua; did you mean gpt-6-luna or"),
        ("openai/zzzzzzzzzzzz", "no record of openai/zzzzzzzzzzzz$"),
        ("opnai/gpt-6-luna", "there is no provider 'opnai'; did you mean 'openai'"),
        ("unheard-of-model", "no record of 'unheard-of-model'; name it as 'provider/model'"),
    ],
)
def test_a_model_without_a_record_is_an_error(name, words):
    with pytest.raises(UnknownModelError, match=words):
        aichatkit.model_info(name)


def test_near_names_are_live_ones():
    assert "gpt-4.1-nano" not in nearest_names(registry["openai"], "gpt-4.1-nan", Catalog())


def test_names_about_to_be_retired_are_not_suggested(monkeypatch):
    class Today(date):
        @classmethod
        def today(cls):
            return date(2026, 11, 27)  # two weeks before the last day of gpt-5

    monkeypatch.setattr("aichatkit.catalog.model_infos.date", Today)
    assert "gpt-5" not in nearest_names(registry["openai"], "gpt-5x", Catalog())
    assert nearest_names(registry["openai"], "gpt-6-lnua", Catalog())[0] == "gpt-6-luna"


def test_details_of_all_known_models_need_no_request(client, sandbox):
    infos = client.models(details=True)
    assert all(isinstance(info, ModelInfo) for info in infos)
    by_name = {f"{info.provider}/{info.name}": info for info in infos}
    assert by_name["openai/gpt-6-luna"].prices.input == 0.1
    assert by_name["aichats/gpt-4"].context_window is None
    assert {info.provider for info in client.models("free", details=True)} >= {"aichats", "chatgptt"}
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("provider", "entry", "expected"),
    [
        ("openai", {"id": "gpt-6-luna", "shutdown_date": "2028-01-02"}, {"retires": date(2028, 1, 2)}),
        ("openai", {"id": "gpt-6-luna", "shutdown_date": None}, {"retires": None}),
        (
            "anthropic",
            {
                "id": "claude-new",
                "lifecycle": "retired",
                "retires_at": "2026-01-31T00:00:00Z",
                "max_input_tokens": 5,
                "max_tokens": 3,
            },
            {"retired": True, "retires": date(2026, 1, 31), "context_window": 5, "max_output": 3},
        ),
        (
            "gemini",
            {"name": "models/gemini-new", "inputTokenLimit": 10, "outputTokenLimit": 4},
            {"name": "gemini-new", "context_window": 10, "max_output": 4},
        ),
        (
            "mistral",
            {"id": "m", "deprecation": "2027-03-01T12:00:00Z", "deprecation_replacement_model": "n"},
            {"retires": date(2027, 3, 1), "successor": "n"},
        ),
    ],
)
def test_what_a_service_says_of_its_models_goes_over_the_catalog(provider, entry, expected):
    info = listed(provider, {"data": [entry]} if provider != "gemini" else {"models": [entry]})[0]
    assert {name: getattr(info, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("provider", "entry"),
    [
        (
            "openrouter",
            {
                "pricing": {"prompt": "0.0000012", "completion": "0.000006", "input_cache_read": "0.00000012"},
            },
        ),
        ("together", {"pricing": {"input": 1.2, "output": 6, "cached_input": 0.12}}),
        (
            "vercel",
            {"pricing": {"input": "0.0000012", "output": "0.000006", "input_cache_read": "1.2e-7"}},
        ),
        (
            "deepinfra",
            {
                "id": "v/m",
                "metadata": {"pricing": {"input_tokens": 1.2, "output_tokens": 6, "cache_read_tokens": 0.12}},
            },
        ),
    ],
)
def test_prices_in_a_list_of_models_are_read(provider, entry):
    prices = listed(provider, {"data": [{"id": "v/m", **entry}]})[0].prices
    assert (prices.input, prices.output, prices.cache_read) == (1.2, 6, 0.12)


@pytest.mark.parametrize(
    "entry",
    [
        {"pricing": {"prompt": "-1", "completion": "free", "input_cache_read": None}},
        {"pricing": "none", "shutdown_date": "soon", "max_tokens": "many"},
        {"top_provider": None, "metadata": [], "deprecation": True, "context_length": 0},
    ],
)
def test_what_cannot_be_read_in_a_list_is_passed_over(entry):
    info = listed("openrouter", {"data": [{"id": "v/unheard-of", **entry}]})[0]
    assert info == ModelInfo("openrouter", "v/unheard-of")


def test_seconds_since_1970_are_a_date_as_well():
    (info,) = listed("openrouter", {"data": [{"id": "v/m", "expiration_date": 1_800_000_000}]})
    assert info.retires == date(2027, 1, 15)


def test_a_provider_without_a_list_tells_what_is_known(client):
    infos = client.models("aichats", details=True)
    assert [info.name for info in infos] == sorted(registry["aichats"].models)


def listed(provider, document):
    with responses.RequestsMock() as web:
        url = registry[provider].url
        web.get(url=re.compile(re.escape(url) + ".*"), body=json.dumps(document))
        with Client(model=provider, api_key={provider: "sk-test"}, retry=0) as client:
            return client.models(provider, details=True)
