"""The map for contributors, `docs/architecture.md`, names every part of the package and nothing that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aichatkit"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
#: The most modules at the top level; more belong into a folder.
MAX_TOP_LEVEL = 26
#: Gerunds that are the established name of what the module does.
GERUNDS = {"sniffing", "trimming"}


def tables(page):
    """Return the tables of a page by their first heading, each as a list of rows of cells, without the headings."""
    found = {}
    for table in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        heading, _, *rows = [[cell.strip() for cell in re.split(r" ?\| ?", line[1:-1])] for line in table.splitlines()]
        found[heading[0]] = rows
    return found


def in_code(cell):
    """Return what a cell marks as code."""
    return re.findall(r"`([^`]+)`", cell)


def missing(page):
    """Return the paths in the prose and the tables of a page that do not exist."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    words = {word for code in in_code(prose) for word in code.split()}
    paths = {word for word in words if re.fullmatch(r"(?:aichatkit|docs|tests|\.ci)/[\w./]*|[\w./]+(?:/|\.py)", word)}
    # An sdist has no hidden folders.
    left_out = () if CONTRIBUTING.exists() else (".ci/",)
    return sorted(
        path
        for path in paths
        if not path.startswith(left_out) and not any((base / path).exists() for base in (PACKAGE, ROOT))
    )


def names_in(path):
    """Return the functions, methods and classes that a module defines."""
    definitions = (ast.FunctionDef, ast.ClassDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, definitions)}


def undefined(steps):
    """Return the names in the second column that the module named before them does not define."""
    wrong = []
    for _, where, *_ in steps:
        module = None
        for word in in_code(where):
            if word.endswith(".py"):
                module = word
            elif word not in names_in(PACKAGE / module):
                wrong.append(f"{module}: {word}")
    return wrong


TABLES = tables(PAGE)
CHANGES = TABLES["You want to change ..."]


def test_every_path_on_the_page_exists():
    assert missing(PAGE) == []


def test_every_folder_and_every_top_level_module_is_listed_once():
    folders = sorted(f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py"))
    assert sorted(in_code(row[0])[0] for row in TABLES["folder"]) == folders
    modules = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert sorted(in_code(row[0])[0] for row in TABLES["module"]) == modules


def test_every_step_of_a_call_is_defined_where_the_page_says():
    assert undefined(TABLES["step"]) == []


def test_every_change_names_a_file_and_its_test():
    assert len(CHANGES) >= 20
    assert [row for row in CHANGES if len(row) != 3 or not in_code(row[1]) or not in_code(row[2])] == []


@pytest.mark.parametrize("path", sorted({path for row in CHANGES for path in in_code(row[2])}))
def test_the_test_named_for_a_change_holds_tests(path):
    assert path.startswith("tests/")
    assert any(name.startswith("test_") for name in names_in(ROOT / path))


@pytest.mark.skipif(not CONTRIBUTING.exists(), reason="only a clone of the repository has it")
def test_contributing_links_to_the_page_and_names_only_paths_that_exist():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert "(../docs/architecture.md)" in text[:1000]
    assert missing(text) == []


def test_the_top_level_stays_small():
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_TOP_LEVEL


def test_no_module_is_named_by_a_gerund():
    assert {path.stem for path in PACKAGE.rglob("*.py") if path.stem.endswith("ing")} <= GERUNDS


# The checks themselves: a page that is wrong turns red.


def test_a_path_that_does_not_exist_is_found():
    page = "```text\nx\n```\n\nSee `tests/caal`.\n\n| a price | `catalog/costs.py`, `catalog/prices.py` |\n"
    assert missing(page) == ["catalog/costs.py", "tests/caal"]


def test_a_name_that_is_not_defined_is_found():
    row = ["fallback", "`call/fallback.py` `open_answer`, `limits/retries.py` `open_answer`", ""]
    assert undefined([row]) == ["limits/retries.py: open_answer"]
