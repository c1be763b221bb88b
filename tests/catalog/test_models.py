"""A record is found by exact name, by the undated one and through aliases; later layers override earlier ones."""

from __future__ import annotations

from datetime import date

import pytest

from aichatkit.catalog.layers import Layer, register_records
from aichatkit.catalog.models import Catalog

DAY = date(2026, 11, 26)


def catalog(*records, day=DAY):
    return Catalog([Layer(day, {record["id"]: record for record in records})])


def test_a_model_is_found_by_its_name():
    assert Catalog().find("openai", "gpt-6-luna")["in"] == 0.1


@pytest.mark.parametrize("name", ["gpt-6-luna-2026-09-22", "gpt-6-luna-20260922", "gpt-6-luna@20260922"])
def test_a_dated_name_falls_back_to_the_undated_one(name):
    assert Catalog().find("openai", name)["id"] == "openai/gpt-6-luna"


@pytest.mark.parametrize("name", ["gpt-6-luna-max", "gpt-6", "gpt-6-luna-0922", "GPT-6-LUNA", ""])
def test_no_other_name_gets_the_record_of_a_model(name):
    assert Catalog().find("openai", name) is None


def test_gemini_s_prefix_is_not_part_of_a_name():
    assert Catalog().find("gemini", "models/gemini-3.8-flash")["id"] == "gemini/gemini-3.8-flash"


def test_an_alias_has_the_data_of_the_model_it_stands_for():
    record = Catalog().find("gemini", "gemini-flash-latest")
    assert record["id"] == "gemini/gemini-flash-latest"
    assert (record["in"], record["stands_for"]) == (0.75, "gemini-3.8-flash")
    assert "alias" not in record


def test_aliases_are_followed_a_few_times_and_a_circle_ends():
    found = catalog({"id": "x/a", "alias": "b"}, {"id": "x/b", "alias": "c"}, {"id": "x/c", "in": 1})
    assert found.find("x", "a")["in"] == 1
    circle = catalog({"id": "x/a", "alias": "b"}, {"id": "x/b", "alias": "a"})
    assert "in" not in circle.find("x", "a")
    assert "in" not in catalog({"id": "x/a", "alias": "nowhere"}).find("x", "a")


def test_a_later_layer_overrides_fields_and_keeps_the_others():
    record = catalog({"id": "openai/gpt-6-luna", "window": 1000}).find("openai", "gpt-6-luna")
    assert (record["window"], record["in"], record["max_out"]) == (1000, 0.1, 128_000)


def test_a_price_of_one_s_own_replaces_the_whole_price():
    record = catalog({"id": "openai/gpt-6-luna", "in": 5, "out": 6}).find("openai", "gpt-6-luna")
    assert (record["in"], record["out"], record["window"]) == (5, 6, 922_000)
    assert not {"read", "tiers", "batch", "search"} & record.keys()


def test_the_date_is_that_of_the_last_layer_with_a_record():
    own = catalog({"id": "openai/mine", "in": 1}, day=date(2027, 1, 1))
    assert own.as_of("openai", "mine") == date(2027, 1, 1)
    assert own.as_of("openai", "gpt-6-luna") == own.as_of("openai", "unheard-of") == DAY


def test_names_are_those_of_all_layers():
    names = catalog({"id": "openai/mine", "in": 1}).names("openai")
    assert {"gpt-6-luna", "mine"} <= set(names)
    assert not any("/" in name for name in names)


def test_a_record_registered_later_is_found_by_a_catalog_that_has_looked_before():
    found = Catalog()
    assert found.find("openai", "brand-new") is None
    register_records("openai", [{"id": "brand-new", "in": 1}])
    assert found.find("openai", "brand-new")["in"] == 1


def test_the_memo_has_a_bound(monkeypatch):
    monkeypatch.setattr("aichatkit.catalog.models._MAX_MEMO", 2)
    found = Catalog()
    for number in range(5):
        found.find("openai", f"none-{number}")
    assert len(found._memo) <= 2
