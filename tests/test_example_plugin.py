"""A package of somebody else's brings a provider: it is found by name, and harms no other where it is broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import aichatkit
from aichatkit.catalog.models import Catalog
from aichatkit.errors import ConfigurationError, UnknownProviderError
from aichatkit.registry import Registry, registry
from aichatkit.sandbox import RawServer
from aichatkit.sandbox.raw import response

PLUGIN = Path(__file__).parent / "example_plugin"
CLASS = "from aichatkit.providers.base import Provider\nclass Site(Provider):\n    "
KEY = "example-key-0123456789"
ASKS = """
import json, os, sys
import aichatkit as ai

client = ai.Client(model="example-site", retry=0)
told = {"listed": "example-site" in client.providers, "module": client.providers["example-site"].__module__}
told["models"] = [name for name in client.models() if name.startswith("example-site/")]
told["text"] = client.ask("Hi").text
for _ in range(2):
    try:
        client.ask("Hi")
    except ai.ChatError as error:
        told[type(error).__name__] = str(error)
try:
    client.ask("Hi", model="example-site/larg")
except ai.UnknownModelError as error:
    told["model"] = str(error)
del os.environ["EXAMPLE_SITE_URL"], os.environ["EXAMPLE_SITE_KEY"]
try:
    client.ask("Hi")
except ai.MissingKeyError as error:
    told["key"] = str(error)
json.dump(told, sys.stdout)
"""


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=180, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Install the package as a user would, offline, into an environment that is new."""
    pytest.importorskip("pip")
    pytest.importorskip("wheel")
    folder = tmp_path_factory.mktemp("plugin")
    venv.create(folder / "venv", with_pip=False)
    site = next((folder / "venv").glob("**/site-packages"))
    # What it needs is there already: this package, and what this package needs.
    needed = [Path(aichatkit.__file__).parent.parent, sysconfig.get_path("purelib")]
    (site / "needed.pth").write_text("\n".join(map(str, needed)), encoding="utf-8")
    shutil.copytree(PLUGIN, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    offline = ("--no-index", "--no-deps")
    run(*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, folder / "source")
    run(*pip, "install", *offline, "--target", site, *folder.glob("*.whl"))
    return next(path for path in (folder / "venv").glob("*/python*") if path.stem == "python")


@pytest.mark.slow
def test_an_installed_provider_is_found_by_name_with_its_key_models_and_errors(python, tmp_path):
    answers = [b'{"text": "Hel"}\n{"text": "lo!"}\n', b'{"error": "limit"}\n']
    refusal = response(b'{"error": "no such key: %s"}' % KEY.encode(), status="401 Unauthorized")
    with RawServer(*[[response(body)] for body in answers], [refusal]) as server:
        environment = {**os.environ, "EXAMPLE_SITE_KEY": KEY, "EXAMPLE_SITE_URL": server.url}
        told = json.loads(run(python, "-c", ASKS, env=environment, cwd=tmp_path))
        keys = {request.headers["x-example-key"] for request in server.requests}
    assert (told["listed"], told["module"], told["text"]) == (True, "aichatkit_example", "Hello!")
    assert told["models"] == ["example-site/standard", "example-site/large"]
    assert told["QuotaExceededError"] == "example-site: the day's allowance is used up"
    assert KEY not in told["AuthenticationError"]
    assert "did you mean 'large'" in told["model"]
    assert "EXAMPLE_SITE_KEY" in told["key"]
    assert keys == {KEY}


# Packages that are broken.


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Put an installed package on the path that names a provider, and return a registry that looks at it."""

    def install(source, entry="broken-site = broken_plugin:Site"):
        (tmp_path / "broken_plugin.py").write_text(source, encoding="utf-8")
        info = tmp_path / "broken_plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[aichatkit.providers]\n{entry}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
        # A hint may look the package up in the registry of this process, which must forget it again.
        monkeypatch.setattr(registry, "_plugins", None)
        return Registry()

    yield install
    sys.modules.pop("broken_plugin", None)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "has no attribute 'Site'"),
        ("Site = 7", "not a subclass of Provider"),
        (
            CLASS + "name, url = 'other', 'https://x'",
            "is named 'other'",
        ),
        (CLASS + "url = 'https://x'", "has no name"),
    ],
)
def test_a_broken_package_is_told_when_it_is_asked_for_and_harms_no_other(plugin, source, reason):
    registry = plugin(source)
    assert "broken-site" in registry
    assert registry["openai"].name == "openai"
    assert "openai" in [kind.name for kind in registry.importable()]
    with pytest.raises(ConfigurationError, match="'broken-site' comes from a package that cannot be used") as caught:
        registry["broken-site"]
    assert reason in str(caught.value)


def test_a_package_does_not_replace_a_provider_that_is_there(plugin):
    registry = plugin("1 / 0", entry="openai = broken_plugin:Site")
    assert registry["openai"].__module__ == "aichatkit.providers.openai"


def test_a_name_that_is_not_installed_is_told_with_the_nearest(plugin):
    registry = plugin("", entry="my-site = broken_plugin:Site")
    with pytest.raises(UnknownProviderError, match="did you mean 'my-site'"):
        registry["my-sit"]


def test_a_provider_of_a_package_may_bring_records_of_its_models(plugin):
    source = (
        "from aichatkit.providers.openai_compatible import OpenAICompatible\n"
        "class Site(OpenAICompatible):\n"
        "    name = 'broken-site'\n    url = 'https://llm.example.com/v1'\n"
        "    catalog = [{'id': 'small', 'window': 8000}]\n"
    )
    assert plugin(source)["broken-site"].url == "https://llm.example.com/v1"
    assert Catalog().find("broken-site", "small")["window"] == 8000
