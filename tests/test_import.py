"""Importing costs next to nothing, and nothing happens before it is asked for."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest

import aichatkit
from aichatkit.registry import registry


def loaded_after(code):
    """Run code in a new interpreter and return the modules it loaded."""
    show = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", show], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_import_loads_not_even_requests():
    loaded = loaded_after("import aichatkit")
    assert {name for name in loaded if name.startswith("aichatkit")} == {"aichatkit", "aichatkit._version"}
    assert not loaded & {"requests", "urllib3", "tenacity", "ssl", "socket", "http.client", "json"}


@pytest.mark.parametrize("code", ["dir(aichatkit)", "aichatkit.__version__", "aichatkit.__all__", "help"])
def test_looking_around_loads_nothing(code):
    assert "requests" not in loaded_after(f"import aichatkit\n{code}")


def test_an_error_needs_no_client():
    loaded = loaded_after("from aichatkit import ChatError, Message, Timeout")
    assert not loaded & {"tenacity", "aichatkit.client", "aichatkit.transport.transport"}


def test_a_client_loads_no_provider():
    loaded = loaded_after(
        "import aichatkit\naichatkit.Client(model=['openai/gpt-6-sol', 'free'], api_key={'openai': 'k'}).chat(seed=1)"
    )
    own = {name for name in loaded if name.startswith("aichatkit.providers.")}
    assert own == {"aichatkit.providers.base"}
    assert not {name for name in loaded if name.startswith("aichatkit.sandbox")}


def test_only_the_provider_that_is_asked_is_loaded():
    loaded = loaded_after("import aichatkit\naichatkit.Client(model='offline').ask('Hi')")
    assert {name for name in registry._modules().values() if f"aichatkit.providers.{name}" in loaded} == {"offline"}


def test_an_answer_at_the_first_try_loads_neither_retries_nor_refusals(sandbox):
    # Others load what they find installed, so what `requests` brings does not count.
    before = loaded_after("import requests")
    client = f"Client(model='openai', base_url='{sandbox.url}/v1', api_key='sk-test')"
    loaded = loaded_after(f"from aichatkit import Client\nprint({client}.ask('Hi').text and '')") - before
    assert not loaded & {"tenacity", "dataclasses", "inspect", "difflib", "pkgutil"}
    assert not loaded & {
        f"aichatkit.classification.{name}" for name in ("decide", "table", "error_bodies", "retry_after")
    }


def test_no_key_is_read_at_import_or_construction():
    watch = """
import os
seen = []
class Watched(dict):
    def __getitem__(self, name): seen.append(name); return super().__getitem__(name)
    def get(self, name, default=None): seen.append(name); return super().get(name, default)
import aichatkit, aichatkit.client
os.environ = Watched(os.environ)
aichatkit.Client(model='openai')
assert not [name for name in seen if 'KEY' in name or 'AICHATKIT' in name], seen
"""
    loaded_after(watch)


def test_the_package_never_speaks_unless_logging_is_set_up():
    package = logging.getLogger("aichatkit")
    assert any(isinstance(handler, logging.NullHandler) for handler in package.handlers)
    assert (package.level, package.propagate) == (logging.NOTSET, True)


def test_every_public_name_can_be_imported_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in aichatkit.__all__:
            getattr(aichatkit, name)


def test_a_name_is_kept_after_its_first_use(monkeypatch):
    monkeypatch.delitem(vars(aichatkit), "Usage", raising=False)
    first = aichatkit.Usage
    assert vars(aichatkit)["Usage"] is first


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'aichatkit' has no attribute 'Cleint'"):
        aichatkit.Cleint  # noqa: B018


def test_importing_a_name_that_is_not_there_is_an_import_error():
    with pytest.raises(ImportError):
        from aichatkit import Cleint  # noqa: F401
