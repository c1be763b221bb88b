"""Every model that the package ships or documents is alive for two more months on the day of the release."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import model_names
import pytest

from aichatkit.catalog.layers import Layer, shipped
from aichatkit.catalog.models import Catalog
from aichatkit.registry import registry

ROOT = Path(__file__).parent.parent
#: The planned day of the next release; it is moved on when the release is, never read from the clock.
PLANNED = date(2026, 11, 26)
DAY = date.fromisoformat(
    os.environ.get("AICHATKIT_RELEASE_DATE")
    or model_names.release_date((ROOT / "CHANGELOG.md").read_text("utf-8"), PLANNED).isoformat()
)
LATER = date(2027, 1, 20)

#: What runs on the user's machine is not retired, and a deployment is named by its owner.
OWN = {"azure", "llamacpp", "lmstudio", "offline", "ollama", "ollama-v1", "vllm"}
#: No source lists what these serve; open weights, or a router's own name.
UNLISTED = {"huggingface/openai/gpt-oss-120b", "huggingface/openai/gpt-oss-20b", "nvidia/openai/gpt-oss-120b"}
UNLISTED |= {"openrouter/openrouter/auto"}
SERVICES = sorted(name for name in registry if name not in {*model_names.SITES, *OWN})
SHIPPED = sorted(
    {f"{name}/{model}" for name in SERVICES for model in {registry[name].default_model, *registry[name].models}}
)

TEXTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", ".github/*.md", "docs/*.md", "docs/*.py", "aichatkit/**/*.py", "tests/**/*.py")
    for path in ROOT.glob(pattern)
)
#: Why a text may hold a name that is gone or going: the names, by the start of the path.
ALLOWED = {
    # Code of another package, as its users have it.
    "docs/coming-from-gpt4free.md": "gpt-4",
    # What a retired name leads to.
    "docs/models.md": "openai/gpt-4.1-nano gpt-4.1-nano",
    "aichatkit/providers/perplexity.py": "*",
    # Refusals as services wrote them.
    "tests/sandbox/test_model_rules.py": "*",
    "tests/classification/test_refused_params.py": "*",
    "tests/call/test_cost.py": "*",
    "tests/providers/test_gemini_usage.py": "*",
    "tests/providers/test_openai_usage.py": "*",
    # Families of models by the start of their names.
    "aichatkit/catalog/efforts.py": "gpt-5 grok-3-mini o1",
    "aichatkit/providers/image_fields.py": "dall-e-2 dall-e-3 gpt-image-1",
    "aichatkit/sandbox/wires/image_rules.py": "dall-e-2 dall-e-3 gpt-image-1",
    "tests/call/test_result_files.py": "gemini-2.5-flash",
    "tests/prompt_caching/test_cache_policy.py": "claude-3-5-haiku-20241022 gemini-2.5-flash",
    "tests/providers/test_effort_fields.py": "*",
    "tests/providers/test_image_fields.py": "*",
    "tests/sandbox/test_sandbox_images.py": "*",
    "tests/providers/test_perplexity.py": "*",
    "tests/catalog/": "*",
    "tests/cli/test_cli_catalog.py": "*",
    "tests/middleware/test_estimates.py": "*",
    "tests/test_model_names.py": "*",
    "tests/support/model_names.py": "*",
    # The labels of public sites.
    "aichatkit/providers/aichat": "*",
    "aichatkit/providers/chatgptt.py": "*",
    "tests/providers/test_aichat": "*",
    "tests/providers/test_chatgptt.py": "*",
    "tests/call/test_targets.py": "gpt-4 gpt-4o-mini gpt-5",
    "tests/cli/test_conversations.py": "gpt-4",
    "tests/test_client.py": "gpt-4",
    # Bytes as received: recordings, error texts, a mock server's own names, files of earlier versions.
    "tests/providers/test_anthropic.py": "claude-sonnet-4-5-20250929",
    "tests/providers/test_azure.py": "gpt-4o-mini-2024-07-18",
    "tests/providers/test_gemini.py": "*",
    "tests/providers/test_openai_responses.py": "gpt-4o-mini-2024-07-18",
    "tests/classification/test_classify.py": "gpt-4 gpt-4o",
    "tests/peers/test_openai_peers.py": "openai/o3-mini o3-mini",
    "tests/test_compatibility.py": "*",
}

#: README's sentence, from which the docs take their model.
EXAMPLE = re.search(r"^The examples use `openai/([^`]+)`", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
PAGES = [path for path in TEXTS if path.startswith(("README", "docs/")) or path == "aichatkit/__init__.py"]
#: Pages about more than one model of OpenAI, or about old ones.
OTHERS = {
    "docs/models.md": {"gpt-5.5-pro", "gpt-4.1-nano"},
    "docs/coming-from-gpt4free.md": {"gpt-4"},
    # Answers of several models, to compare what packages say they cost.
    "docs/compare_costs.py": {"gpt-6.2-sol"},
    "docs/costs.md": {"gpt-6.2-sol"},
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_default_model_that_it_lists(name):
    assert registry[name].default_model in registry[name].models


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_served_for_two_more_months(name):
    provider, _, model = name.partition("/")
    records = model_names.records_of(provider, model, Catalog())
    found = {trouble for record in records if (trouble := model_names.problem(record, DAY))}
    assert found == ({"not in the catalog"} if name in UNLISTED else set())


@pytest.mark.parametrize("path", TEXTS)
def test_a_text_names_no_model_that_is_gone_or_going(path):
    found = model_names.named_in((ROOT / path).read_text("utf-8"), DAY)
    allowed = [names for start, names in ALLOWED.items() if path.startswith(start)]
    if "*" not in allowed:
        assert {name: why for name, why in found.items() if name not in " ".join(allowed).split()} == {}


def test_every_exception_is_still_needed():
    for start, names in ALLOWED.items():
        texts = [(ROOT / path).read_text("utf-8") for path in TEXTS if path.startswith(start)]
        found = {name for text in texts for name in model_names.named_in(text, DAY)}
        assert found if names == "*" else found >= set(names.split()), start


def test_notebooks_and_workflows_name_no_model_that_is_gone_or_going():
    paths = [*ROOT.glob("tests/notebook/notebooks/*.ipynb"), *ROOT.glob(".github/**/*.yml"), *ROOT.glob("docs/*.html")]
    assert {path.name: model_names.named_in(path.read_text("utf-8"), DAY) for path in paths} == {
        path.name: {} for path in paths
    }


def test_the_data_is_at_most_45_days_old_at_the_release():
    assert not model_names.is_stale(shipped(), DAY), "renew it: python .ci/refresh_models.py"


def test_the_release_is_not_before_the_data():
    assert shipped().as_of <= DAY, "move PLANNED on"


# README's model.


def test_readme_names_the_default_model_of_openai():
    assert EXAMPLE is not None
    assert EXAMPLE[1] == registry["openai"].default_model == registry["openai-responses"].default_model


@pytest.mark.parametrize("path", PAGES)
def test_the_examples_have_the_model_of_the_readme(path):
    chat_models = {
        key.partition("/")[2]
        for key, record in shipped().records.items()
        if key.startswith("openai/") and "draws" not in record.get("caps", "")
    }
    found = chat_models & set(model_names.words((ROOT / path).read_text("utf-8")))
    assert found <= {EXAMPLE[1], *OTHERS.get(path, ())}


@pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="only in a clone")
def test_a_script_gives_all_examples_another_model(tmp_path):
    for folder in ("docs", ".ci"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "aichatkit/catalog").mkdir(parents=True)
    for path in ("README.md", "aichatkit/__init__.py", "aichatkit/catalog/models.json"):
        shutil.copy(ROOT / path, tmp_path / path)
    script = [sys.executable, str(tmp_path / ".ci/rename_example_model.py")]
    assert subprocess.run([*script, "gpt-6-moon"], capture_output=True).returncode == 1
    assert "gpt-6-moon" not in (tmp_path / "README.md").read_text("utf-8")
    done = subprocess.run([*script, "gpt-6.1-terra"], capture_output=True, text=True, check=True)
    assert "README.md: " in done.stdout
    for path in PAGES:
        words = set(model_names.words((tmp_path / path).read_text("utf-8")))
        assert EXAMPLE[1] not in words
    assert "The examples use `openai/gpt-6.1-terra`;" in (tmp_path / "README.md").read_text("utf-8")


# The checks themselves, on days of their own.


@pytest.mark.parametrize(
    ("text", "day", "names"),
    [
        ('ask("Hi", model="openai/gpt-4o-mini")', date(2026, 11, 14), []),
        ('ask("Hi", model="openai/gpt-4o-mini")', date(2026, 11, 15), ["openai/gpt-4o-mini", "gpt-4o-mini"]),
        ("Use `gpt-4o-mini-2024-07-18`.", date(2026, 11, 26), ["gpt-4o-mini-2024-07-18"]),
        ("aichatkit -m groq/llama-3.3-70b-versatile", date(2026, 11, 26), ["groq/llama-3.3-70b-versatile"]),
        ("claude-sonnet-4-5, gemini-2.5-flash", date(2026, 11, 26), ["claude-sonnet-4-5", "gemini-2.5-flash"]),
        ("claude-sonnet-5-5, gemini-flash-latest, gpt-6-luna", date(2027, 11, 26), []),
        ("free/gpt-4 and aichats/gpt-4 are labels of sites", date(2027, 11, 26), []),
        ("gpt-6-luna-next, openai/my-gpt-4 and ft:gpt-4:me", date(2027, 11, 26), []),
    ],
)
def test_a_name_in_a_text_is_found_from_60_days_before_its_last_day_on(text, day, names):
    assert [name for name in model_names.named_in(text, day) if name in names or not names] == names


@pytest.mark.parametrize(
    ("provider", "model", "troubles"),
    [
        ("openai", "gpt-4o-mini", ["retires 2027-01-14, use gpt-6-luna"]),
        ("openai", "gpt-7", ["not in the catalog"]),
        ("openai-responses", "gpt-6-luna", [""]),
        ("openrouter", "anthropic/claude-sonnet-4.5", ["", "retires 2026-11-30, use claude-sonnet-5-5"]),
        ("vercel", "openai/gpt-6-luna", [""]),
        ("vercel", "openai/gpt-7", ["not in the catalog"]),
        ("groq", "openai/gpt-oss-120b", [""]),
    ],
)
def test_a_router_s_model_goes_with_that_of_its_vendor(provider, model, troubles):
    records = model_names.records_of(provider, model, Catalog())
    assert [model_names.problem(record, LATER) for record in records] == troubles


def test_data_is_stale_after_45_days():
    layer = Layer(date(2026, 11, 26), {})
    assert not model_names.is_stale(layer, date(2027, 1, 10))
    assert model_names.is_stale(layer, date(2027, 1, 11))


@pytest.mark.parametrize(
    ("changelog", "day"),
    [
        ("## [Unreleased]\n", date(2026, 11, 26)),
        ("## [Unreleased]\n\n## [0.1.0] - 2027-01-04\n\n## [0.0.9] - 2026-01-04\n", date(2027, 1, 4)),
        ("## [0.0.9] - 2026-01-04\n", date(2026, 11, 26)),
    ],
)
def test_the_release_is_planned_or_dated_in_the_changelog(changelog, day):
    assert model_names.release_date(changelog, date(2026, 11, 26)) == day
