"""The script that renews the data reads the sources as archives, knows their traps, and stops when one must look."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aichatkit.catalog.models import Catalog

FOLDER = Path(__file__).parents[2] / ".ci"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="only in a clone")

ROWS = {
    "sample_spec": {"litellm_provider": "one of many"},
    "gpt-x": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 8e-06,
        "cache_read_input_token_cost": 2e-07,
        "cache_creation_input_token_cost": 2.5e-06,
        "cache_creation_input_token_cost_above_12hr": 5e-06,
        "input_cost_per_token_above_272k_tokens": 4e-06,
        "output_cost_per_token_above_272k_tokens": 1.2e-05,
        "input_cost_per_token_batches": 1e-06,
        "output_cost_per_token_batches": 4e-06,
        "input_cost_per_token_flex": 1e-06,
        "output_cost_per_token_flex": 5e-06,
        "max_input_tokens": 1_050_000,
        "max_output_tokens": 128_000,
        "supports_vision": True,
        "supports_reasoning": True,
        "supports_minimal_reasoning_effort": True,
        "supports_low_reasoning_effort": False,
        "search_context_cost_per_query": {f"search_context_size_{size}": 0.01 for size in ("low", "medium", "high")},
        "regional_processing_uplift_multiplier_eu": 1.1,
    },
    "gpt-x-2026-01-02": {"litellm_provider": "openai", "mode": "chat", "alias_of": "gpt-x"},
    "gpt-old": {
        "litellm_provider": "openai",
        "mode": "responses",
        "input_cost_per_token": 0,
        "output_cost_per_token": 0,
        "deprecation_date": "2027-01-02",
        "successor_model": "gpt-older",
    },
    "gpt-older": {"litellm_provider": "openai", "mode": "chat", "successor_model": "gpt-x"},
    "deepseek/d": {
        "litellm_provider": "deepseek",
        "mode": "chat",
        "input_cost_per_token": 3e-07,
        "output_cost_per_token": 1.2e-06,
        "cache_creation_input_token_cost": 0.0,
        "off_peak_pricing": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07},
    },
    "dashscope/q": {
        "litellm_provider": "dashscope",
        "mode": "chat",
        "tiered_pricing": [
            {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06},
            {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-06, "output_cost_per_token": 9e-06},
        ],
    },
    "azure/eu/gpt-x": {"litellm_provider": "azure", "mode": "chat"},
    "xai/g": {
        "litellm_provider": "xai",
        "mode": "chat",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        "input_cost_per_token_above_200k_tokens": 2e-06,
        "output_cost_per_token_above_200k_tokens": 4e-06,
        "cache_creation_input_token_cost": 5e-07,
        "max_input_tokens": 1000,
        "max_output_tokens": 1000,
    },
    "xai/p": {
        "litellm_provider": "xai",
        "mode": "image_generation",
        "input_cost_per_image": 0.04,
        "output_cost_per_image_2K": 0.06,
    },
    "xai/old": {
        "litellm_provider": "xai",
        "mode": "image_generation",
        "input_cost_per_image": 0.04,
        "deprecation_date": "2026-05-15",
    },
    "xai/pixels": {"litellm_provider": "xai", "mode": "image_generation", "input_cost_per_pixel": 1e-08},
    "text-embedding": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 1e-08},
}
GENAI = """
providers = [
    Provider(id='openai', models=[
        ModelInfo(id='gpt-x', match=Any(), prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('2'), output_mtok=Decimal('8.8'))),
            ConditionalPrice(when=Processing(), prices=ModelPrice(input_mtok=Decimal('1'), output_mtok=Decimal('4'))),
            ConditionalPrice(
                constraint=StartDateConstraint(start_date=datetime.date(2027, 1, 1)),
                prices=ModelPrice(input_mtok=Decimal('3'), output_mtok=Decimal('9')),
            ),
        ]),
    ]),
    Provider(id='openrouter', models=[
        ModelInfo(id='openai/gpt-x', match=Any(), prices=ModelPrice(
            input_mtok=TieredPrices(base=Decimal('2'), tiers=[]),
            output_mtok=Decimal('8'),
            cache_write_mtok=Decimal('1'),
        )),
        ModelInfo(id='somebody/else', match=Any(), prices=ModelPrice(input_mtok=Decimal('2'))),
    ]),
    Provider(id='unknown-service', models=[]),
]
"""
SNAPSHOT = {
    "prices": {"deepseek": {"d": {"standard": [{"rates": None}, {"rates": {"input": 0.15, "output": 0.6}}]}}},
    "status": {"deepseek": {"d": "deprecated"}, "xai": {"g": "removed"}},
    "schedules": {"holidays": {"cn": {"dates": ["2026-01-01", "2026-10-01"]}}},
}
OPENAI = '"""Deprecated values:\n\n- "gpt-old", "gpt-lost":\n  Announced shutdown date: 2026-12-24. See there.\n"""\n'
ANTHROPIC = 'DEPRECATED_MODELS = {\n    "claude-x": "January 22nd, 2027",\n}\n'


def wheel(folder, name, files):
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    write(folder)
    return folder


def write(folder, rows=ROWS):
    table = {"litellm/model_prices_and_context_window_backup.json": json.dumps(rows)}
    wheel(folder, "litellm-1.2.0-py3-none-any.whl", table)
    wheel(folder, "genai_prices-0.1-py3-none-any.whl", {"genai_prices/data.py": GENAI})
    wheel(folder, "model_prices-0.1-py3-none-any.whl", {"model_prices/snapshot.json": json.dumps(SNAPSHOT)})
    wheel(folder, "openai-3.0-py3-none-any.whl", {"openai/types/shared/chat_model.py": OPENAI})
    wheel(folder, "anthropic-2.0-py3-none-any.whl", {"anthropic/_data/deprecated_models.py": ANTHROPIC})


@pytest.fixture
def refresh(tmp_path, wheels):
    """Run the script on a copy of itself, so that what it writes is not the package's own data."""
    (tmp_path / "aichatkit" / "catalog").mkdir(parents=True)
    scripts = tmp_path / ".ci"
    (scripts / "model_data").mkdir(parents=True)
    for path in [FOLDER / "refresh_models.py", *(FOLDER / "model_data").glob("*.py")]:
        (scripts / path.relative_to(FOLDER)).write_text(path.read_text("utf-8"), encoding="utf-8")
    curated = {
        "families": [{"match": "openai/gpt-x$", "set": {"effort": "low high"}}],
        "records": [
            {"id": "openai/gpt-latest", "alias": "gpt-x", "why": "the vendor's"},
            {"id": "xai/g", "window": None, "why": "wrong"},
            {"id": "openai/gone", "gone": True, "why": "it is"},
        ],
    }
    (scripts / "model_data" / "curated.json").write_text(json.dumps(curated), encoding="utf-8")

    def run(*arguments, day="2026-11-26"):
        command = [sys.executable, scripts / "refresh_models.py", "--wheels", wheels, "--date", day, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        path = tmp_path / "aichatkit" / "catalog" / "models.json"
        records = json.loads(path.read_text("utf-8"))["models"] if path.exists() else []
        return done, {record["id"]: record for record in records}

    return run


def test_rows_become_records_without_their_traps(refresh):
    done, records = refresh()
    assert done.returncode == 0, done.stderr
    x = records["openai/gpt-x"]
    assert (x["in"], x["out"], x["read"], x["write"], x["write_long"]) == (2, 8, 0.2, 2.5, 5)
    assert x["tiers"] == [{"above": 272_000, "in": 4, "out": 12}]
    assert (x["batch"], x["flex"]) == (0.5, {"in": 1, "out": 5})
    assert (x["window"], x["max_out"], x["caps"], x["search"]) == (922_000, 128_000, "image reasoning", 0.01)
    assert x["effort"] == "low high"
    assert x["uplift"] == {"eu": 1.1}
    assert (x["until"], x["next"]) == ("2026-12-31", {"since": "2027-01-01", "in": 3, "out": 9})
    old = records["openai/gpt-old"]
    assert "in" not in old
    assert (old["retires"], old["successor"], old["endpoint"]) == ("2026-12-24", "gpt-x", "responses")
    assert records["openai/gpt-lost"] == {"id": "openai/gpt-lost", "retires": "2026-12-24"}
    assert records["anthropic/claude-x"]["retires"] == "2027-01-22"
    d = records["deepseek/d"]
    assert (d["in"], d["out"], d["deprecated"]) == (0.15, 0.6, True)
    assert d["peak"] == {"windows": [[1, 4], [6, 10]], "factor": 2, "holidays": ["2026-10-01"]}
    assert "write" not in d
    assert records["dashscope/q"]["tiers"] == [{"above": 32_000, "in": 2, "out": 9}]
    g = records["xai/g"]
    assert g["tiers"][0]["inclusive"]
    assert g["gone"]
    assert not {"write", "window", "max_out"} & g.keys()
    assert records["xai/p"]["per_image"] == 0.06
    assert "per_image" not in {*records["xai/pixels"], *records["xai/old"]}
    assert records["openrouter/openai/gpt-x"] == {"id": "openrouter/openai/gpt-x", "in": 2, "out": 8}
    assert records["openai/gpt-latest"] == {"id": "openai/gpt-latest", "alias": "gpt-x"}
    assert not {"azure/eu/gpt-x", "openai/gpt-x-2026-01-02", "openai/text-embedding", "openrouter/somebody/else"} & set(
        records
    )


def test_figures_that_differ_between_the_sources_are_listed(refresh, tmp_path):
    refresh()
    report = (tmp_path / ".ci" / "model_data" / "differences.txt").read_text("utf-8")
    assert report == "openai/gpt-x out: 8, genai-prices 8.8\n"


def changed(**fields):
    return {**ROWS, "gpt-x": {**ROWS["gpt-x"], **fields}}


@pytest.mark.parametrize(
    ("rows", "alarm"),
    [
        (changed(input_cost_per_token=7e-06), "look: openai/gpt-x: in went from 2 to 7"),
        (changed(output_cost_per_token=2e-06), "look: openai/gpt-x: out went from 8 to 2"),
        (changed(input_cost_per_token=0), "look: openai/gpt-x: the price vanished"),
        ({name: row for name, row in ROWS.items() if name != "dashscope/q"}, "look: dashscope/q: vanished"),
        (
            {**ROWS, "groq/new": {**ROWS["gpt-x"], "litellm_provider": "groq"}},
            "look: groq: a new service",
        ),
    ],
)
def test_it_stops_for_a_person_to_look(refresh, wheels, rows, alarm):
    _, before = refresh()
    write(wheels, rows)
    done, after = refresh()
    assert done.returncode == 1
    assert alarm in done.stderr.splitlines()
    assert after == before
    done, after = refresh("--accept")
    assert done.returncode == 0
    assert after != before


def test_a_change_of_less_than_three_times_is_taken(refresh, wheels):
    refresh()
    write(wheels, changed(input_cost_per_token=5e-06))
    done, records = refresh()
    assert done.returncode == 0
    assert records["openai/gpt-x"]["in"] == 5


def test_data_older_than_the_present_is_refused(refresh):
    refresh()
    done, _ = refresh(day="2026-11-25")
    assert done.returncode == 1
    assert "older than the current data of 2026-11-26" in done.stderr


def test_the_newest_wheel_counts(refresh, wheels):
    wheel(wheels, "litellm-1.10.0-py3-none-any.whl", {"litellm/model_prices_and_context_window_backup.json": "{}"})
    assert "openai/gpt-x" not in refresh()[1]


def test_the_shipped_data_is_what_the_script_would_write_again():
    # A change by hand would be lost with the next refresh: facts that the tables lack are in curated.json.
    curated = json.loads((FOLDER / "model_data" / "curated.json").read_text("utf-8"))
    catalog = Catalog()
    for facts in curated["records"]:
        provider, _, model = facts["id"].partition("/")
        record = catalog.find(provider, model)
        for field, value in facts.items():
            assert field in ("why", "id", "alias") or record.get(field) == value, facts["id"]
