"""Catalogs come from the package, a file, the environment, code and installed packages; a bad one is an error."""

from __future__ import annotations

import json
import logging
import re
from datetime import date
from importlib import metadata
from pathlib import Path

import pytest

import aichatkit
from aichatkit import Client, ConfigurationError, register
from aichatkit.catalog import layers
from aichatkit.catalog.layers import (
    LineRecords,
    parse_layer,
    plugin_layers,
    read_layer,
    register_records,
    shipped,
)
from aichatkit.catalog.models import Catalog
from aichatkit.registry import registry

DATA = Path(aichatkit.__file__).parent / "catalog" / "models.json"
OWN = {"about": {"date": "2026-12-01"}, "models": [{"id": "openai/mine", "in": 1, "out": 2}]}


@pytest.fixture
def plugins(monkeypatch):
    """Entry points that installed packages would have; what is looked up once is forgotten afterwards."""
    found = []

    class EntryPoints(list):
        def select(self, group):
            return [entry for entry in self if entry.group == group]

    monkeypatch.setattr(metadata, "entry_points", lambda: EntryPoints(found))
    plugin_layers.cache_clear()
    yield lambda name, value: found.append(metadata.EntryPoint(name, value, "aichatkit.catalogs"))
    plugin_layers.cache_clear()


def test_the_data_of_the_package_has_one_record_a_line_and_says_where_it_is_from():
    text = DATA.read_text("utf-8")
    about = json.loads(text)["about"]
    assert about["unit"] == "US dollars per million tokens"
    assert {source.partition(" ")[0] for source in about["sources"]} >= {"litellm", "genai-prices", "model-prices"}
    assert date.fromisoformat(about["date"]) == shipped().as_of
    assert len(text.encode()) <= 200_000
    assert text.count("\n") == len(shipped().records) + 3
    assert "MIT" in (DATA.parent / "NOTICE.txt").read_text("utf-8")


DECIDERS = re.compile(r"(?i)/(?:.*decision|pplx-decider|jev|rune$|clef|eu-jeff|drex|aplomb)")


def test_records_are_sound():
    for name, record in shipped().records.items():
        assert name == record["id"]
        assert "/" in name
        for rate in ("in", "out", "read", "write"):
            # Decisions are charged by their input, or by request.
            is_free = rate == "out" or "per_request" in record
            assert rate not in record or record[rate] > 0 or (is_free and DECIDERS.search(name)), name
        assert record.get("write", record.get("in", 0)) >= record.get("in", 0), name
        if "retires" in record:
            date.fromisoformat(record["retires"])


def test_a_file_goes_over_the_data_of_the_package(tmp_path):
    path = tmp_path / "house.json"
    path.write_text(json.dumps(OWN), encoding="utf-8")
    for catalog in (path, str(path), OWN):
        client = Client(model="offline", catalog=catalog)
        assert client.model_info("openai/mine").prices.output == 2
        assert client.model_info("openai/gpt-6-luna").prices.output == 0.5


def test_the_environment_names_a_file(tmp_path, monkeypatch):
    path = tmp_path / "house.json"
    path.write_text(json.dumps(OWN), encoding="utf-8")
    monkeypatch.setenv("AICHATKIT_CATALOG", str(path))
    assert Catalog().find("openai", "mine") == OWN["models"][0]
    assert Catalog().as_of("openai", "mine") == date(2026, 12, 1)


def test_a_file_of_the_environment_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AICHATKIT_CATALOG", str(tmp_path / "none.json"))
    with pytest.raises(ConfigurationError, match="AICHATKIT_CATALOG: the catalog cannot be read"):
        Catalog().find("openai", "gpt-6-luna")


@pytest.mark.parametrize(
    "document",
    [
        *([], {}, {"about": {"date": "soon"}, "models": []}, {"about": {}, "models": []}, {**OWN, "about": None}),
        *({**OWN, "models": models} for models in ([{"in": 1}], ["openai/x"], None)),
    ],
)
def test_a_document_of_another_format_is_refused(document):
    with pytest.raises(ConfigurationError, match="house: not a catalog of models"):
        parse_layer(document, source="house")


def test_a_file_that_is_not_json_is_refused(tmp_path):
    path = tmp_path / "house.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="house: the catalog cannot be read") as caught:
        read_layer(path, source="house")
    assert "JSONDecodeError" in caught.value.reason


def test_a_catalog_is_a_path_or_a_document():
    with pytest.raises(ConfigurationError, match="catalog: must be the path of a JSON file or its content, not int"):
        Client(catalog=7)


def test_register_takes_the_records_of_the_models(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    records = [{"id": "small", "in": 1, "out": 2, "window": 8000}, {"id": "own-gateway/large", "window": 9000}]
    register("own-gateway", url="https://llm.example.com/v1", default_model="small", catalog=records)
    client = Client(model="offline")
    assert client.model_info("own-gateway").prices.input == 1
    assert client.model_info("own-gateway/large").context_window == 9000


def test_register_takes_records_for_a_class_as_well(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    provider = type("Own", (registry["openai"],), {"name": "own-class", "catalog": [{"id": "a", "window": 1}]})
    register(provider, catalog=[{"id": "b", "window": 2}])
    found = Catalog()
    assert (found.find("own-class", "a")["window"], found.find("own-class", "b")["window"]) == (1, 2)


def test_register_takes_the_path_of_a_catalog(tmp_path):
    path = tmp_path / "house.json"
    path.write_text(json.dumps(OWN), encoding="utf-8")
    register_records("openai", path)
    assert Catalog().find("openai", "mine")["in"] == 1


@pytest.mark.parametrize("records", [7, {"id": "x"}, [{"in": 1}], ["x"], [{"id": 7}]])
def test_records_of_another_form_are_refused(records):
    with pytest.raises(ConfigurationError, match="register: catalog must be a list of records"):
        register_records("openai", records)


def test_a_package_brings_records_as_a_document_a_path_or_a_function(plugins, monkeypatch, tmp_path):
    path = tmp_path / "house.json"
    path.write_text(json.dumps({**OWN, "models": [{"id": "openai/from-path", "in": 2}]}), encoding="utf-8")
    monkeypatch.setattr(layers, "OWN", OWN, raising=False)
    monkeypatch.setattr(layers, "path_of_own", lambda: path, raising=False)
    plugins("document", "aichatkit.catalog.layers:OWN")
    plugins("function", "aichatkit.catalog.layers:path_of_own")
    assert Catalog().find("openai", "mine")["in"] == 1
    assert Catalog().find("openai", "from-path")["in"] == 2


def test_a_package_that_cannot_be_used_is_logged_and_left_out(plugins, caplog):
    plugins("broken", "a_package_nobody_has:OWN")
    plugins("odd", "aichatkit.catalog.layers:_ENTRY_POINTS")
    with caplog.at_level(logging.WARNING, "aichatkit"):
        assert Catalog().find("openai", "mine") is None
    assert [record.message.partition(" of a package")[0] for record in caplog.records] == [
        "the catalog 'broken'",
        "the catalog 'odd'",
    ]


def test_python_3_9_has_a_dict_of_entry_points(monkeypatch):
    monkeypatch.setattr(metadata, "entry_points", dict)
    plugin_layers.cache_clear()
    assert plugin_layers() == ()
    plugin_layers.cache_clear()


def test_a_known_model_is_found_without_looking_for_packages(monkeypatch):
    monkeypatch.setattr("aichatkit.catalog.models.plugin_layers", lambda: pytest.fail("looked for packages"))
    assert Catalog().find("openai", "gpt-6-luna")


def test_a_record_of_the_package_is_parsed_when_it_is_read(monkeypatch):
    records = LineRecords(DATA.read_bytes())
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda line: (parsed.append(line), loads(line))[1])
    record = records["openai/gpt-6-luna"]
    assert record["id"] == "openai/gpt-6-luna"
    assert records["openai/gpt-6-luna"] is record
    assert records.get("openai/gpt-6-lun") is None
    assert records.get('openai/"') is None
    assert len(parsed) == 1
    assert dict(records) == {record["id"]: record for record in loads(DATA.read_bytes())["models"]}
    assert len(records) == len(list(records))
