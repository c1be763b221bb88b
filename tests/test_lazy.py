from __future__ import annotations

import sys

import pytest

from aichatkit._lazy import lazy_module

#: As asyncio is written: a part becomes a name of the package only where it is imported for the first time.
PACKAGE = """
import os
import {name}_whole
from {name}.part import *

if os.environ.pop("INTERRUPTED", ""):
    raise KeyboardInterrupt
__all__ = part.__all__
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package that is nowhere loaded, and is not afterwards."""
    name = "loaded_late"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(PACKAGE.format(name=name), encoding="utf-8")
    (tmp_path / f"{name}_whole.py").write_text("", encoding="utf-8")
    (tmp_path / name / "part.py").write_text("__all__ = ['answer']\nanswer = 42\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for loaded in (name, f"{name}.part", f"{name}_whole"):
        sys.modules.pop(loaded, None)


def test_a_module_is_loaded_when_it_is_looked_into(package):
    module = lazy_module(package)
    assert package not in sys.modules
    assert module.answer == 42
    assert f"{package}.part" in sys.modules


def test_a_load_that_was_interrupted_begins_anew(package, monkeypatch):
    module = lazy_module(package)
    monkeypatch.setenv("INTERRUPTED", "yes")
    with pytest.raises(KeyboardInterrupt):
        _ = module.answer
    assert module.answer == 42


def test_what_is_whole_stays(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "nobodys.part", sys)
    monkeypatch.setenv("INTERRUPTED", "yes")
    with pytest.raises(KeyboardInterrupt):
        _ = lazy_module(package).answer
    assert {"nobodys.part", f"{package}_whole"} <= set(sys.modules)
    assert f"{package}.part" not in sys.modules
