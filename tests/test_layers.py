"""Imports point one way, and each outside package has one door."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import aichatkit

PACKAGE = Path(aichatkit.__file__).parent
#: Modules that may ask for `requests`: it talks HTTP only in `transport`; the others need its classes.
REQUESTS = {"errors", "client", "opening", "transport", "providers", "testing"}
#: What only some users have; it is imported in the function that needs it.
EXTRAS = {
    "IPython",
    "keyring",
    "markdown_it",
    "opentelemetry",
    "pandas",
    "pyrate_limiter",
    "redis",
    "rich",
    "shtab",
    "tiktoken",
    "tqdm",
}
#: Each module may import only from those before it; one line is a step of the data's way.
ORDER = """
    _version forks late markup places windows
    reports structs
    errors
    databases
    params timeouts chunks browsers cautions validation
    cell_options messages lines refusals templates signs
    events bodies delays prices schemas rows
    verdicts
    sniffing classify values
    images
    files screens
    transport
    reply transcripts
    archive
    sandbox records budgets progress tables workers
    providers
    hooks
    tools gathered health shared_rates waits
    pacing pauses journal shelves
    answers retries tokens
    registry rounds opening
    showing
    streams targets
    keys
    options
    asking
    calls trimming
    listing chats estimates fingerprints checks
    intake cache observing
    answering logbook telemetry
    batch results
    mapping
    client
    default doctor
    testing
    pytest_plugin
    cli notebook
    __init__ __main__
"""


def name_of(path):
    """Return the dotted name of a module inside the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(tree, *, typing=False):
    """Yield the modules imported when this tree runs; those for type checkers only where `typing` says so."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "late":
            # Loaded later, but no less above it.
            yield ast.literal_eval(node.args[0])
        else:
            yield from imports(node, typing=typing)


TREES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
TOP = sorted({name.partition(".")[0] for name in TREES})


def own(module):
    """Return the modules of the package that a module imports, by their names inside it."""
    found = {name[len("aichatkit.") :] for name in imports(TREES[module]) if name.startswith("aichatkit.")}
    return {name for name in found if name in TREES or f"{name}.__init__" in TREES}


def outside(module):
    """Return the packages of others that a module imports."""
    return {name.partition(".")[0] for name in imports(TREES[module], typing=True)} - {"aichatkit", "__future__"}


def test_every_module_has_its_place_in_the_order():
    assert sorted(ORDER.split()) == TOP


@pytest.mark.parametrize("module", TREES)
def test_a_module_imports_only_from_the_steps_before_it(module):
    steps = {name: number for number, line in enumerate(ORDER.splitlines()) for name in line.split()}
    top = module.partition(".")[0]
    others = {name.partition(".")[0] for name in own(module)} - {top}
    # What has no place yet fails the test above, and that is enough.
    assert {name for name in others if steps.get(name, -1) >= steps.get(top, 99)} == set()


def test_there_is_no_circle():
    graph = {module: {name if name in TREES else f"{name}.__init__" for name in own(module)} for module in TREES}
    done: set[str] = set()
    while True:
        ready = {module for module, needs in graph.items() if module not in done and needs - {module} <= done}
        if not ready:
            break
        done |= ready
    assert set(graph) - done == set()


@pytest.mark.parametrize("module", TREES)
def test_requests_is_asked_for_where_it_is_needed_and_nowhere_else(module):
    assert "requests" not in outside(module) or module.partition(".")[0] in REQUESTS


@pytest.mark.parametrize("module", [name for name in TREES if not name.startswith("transport")])
def test_only_transport_talks_http(module):
    calls = {"Session", "get", "post", "put", "request", "head", "patch", "delete"}
    used = {
        node.func.attr
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "requests"
    }
    assert used & calls == set()
    if not module.startswith("sandbox"):
        assert outside(module) & {"socket", "http", "urllib3", "ssl"} == set()


@pytest.mark.parametrize("module", TREES)
def test_retries_alone_knows_tenacity(module):
    assert "tenacity" not in outside(module) or module == "retries"


@pytest.mark.parametrize("module", TREES)
def test_urllib3_is_known_by_its_errors_only(module):
    names = {name for name in imports(TREES[module], typing=True) if name.startswith("urllib3")}
    assert names <= {"urllib3", "urllib3.exceptions"}


@pytest.mark.parametrize("module", [name for name in TREES if name != "__init__"])
def test_nothing_is_imported_inside_a_function(module):
    functions = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.FunctionDef)]
    inside = {name for function in functions for name in imports(function, typing=True)}
    assert {name for name in inside if name.partition(".")[0] not in EXTRAS} == set()


@pytest.mark.parametrize("module", TREES)
def test_imports_are_absolute(module):
    assert [node.lineno for node in ast.walk(TREES[module]) if isinstance(node, ast.ImportFrom) and node.level] == []


@pytest.mark.skipif(sys.version_info < (3, 10), reason="older Pythons do not know the names of their own modules")
def test_two_packages_are_enough_to_run():
    plugin = {"pytest_plugin"}  # only pytest loads it
    needed = (
        {name for module in TREES.keys() - plugin for name in outside(module)} - EXTRAS - set(sys.stdlib_module_names)
    )
    assert needed == {"requests", "tenacity", "urllib3"}
