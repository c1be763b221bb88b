"""Imports point one way, and each outside package has one door."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import aichatkit

PACKAGE = Path(aichatkit.__file__).parent
#: Modules that may ask for `requests`: it talks HTTP only in `transport`; the others need its classes.
REQUESTS = {
    *("errors", "client", "call.request", "transport", "providers", "decisions", "embeddings", "testing"),
    *("auth", "batch_jobs.http", "tools.mcp.http", "tools.mcp.server", "tools.mcp.settings", "tools.ollama_search"),
}
#: What only some users have; it is imported in the function that needs it.
EXTRAS = {
    "IPython",
    "botocore",
    "google",
    "keyring",
    "markdown_it",
    "numpy",
    "opentelemetry",
    "pandas",
    "pyrate_limiter",
    "redis",
    "requests_aws4auth",
    "rich",
    "shtab",
    "tiktoken",
    "tqdm",
    "truststore",
}
#: Each module may import only from those before it; one line is a step of the data's way.
#: A wing stands for all of its modules that have no place of their own.
ORDER = """
    _lazy
    _dataclasses
    _version _locks _reasons _surrogates display.markup cli.paths storage.private_files display.plain
    display.reply_record
    display.reprs _json
    errors call.other_words
    prompt_caching.plan
    call.option_hints
    catalog.layers
    catalog.rates
    catalog.models
    catalog.context_windows
    storage.sqlite params
    transport.timeouts chunks providers.user_agents _warnings structured.validation catalog.efforts
    notebook.cell_options messages events.lines classification.table batch.templates batch.csv_rows classification.rules
    events classification.error_bodies classification.retry_after catalog.prices
    structured.schemas structured.schema_checks structured.dialects structured.fit structured.partial
    batch.rows
    catalog.own_prices
    catalog.parameters
    classification.parameter_names classification.refusal_wordings
    classification.refused_params
    classification.decide
    events.sniffing classification.classify structured.convert
    images
    attachments display.screen
    auth.failures
    auth.keys auth.signers auth.aws_files
    auth.aws_credentials
    auth.aws auth.google
    transport.authorization
    transport
    reply transcripts
    call.answer_like storage.archive structured.forms
    batch.text_bar
    sandbox storage.records batch.progress batch.tables batch.workers
    providers.site_rules
    providers
    prompt_caching.memory prompt_caching.prompts prompt_caching.services
    prompt_caching.misses
    hooks catalog.tokens
    tools call.tool_calls call.blocks call.citations call.closings
    call.collector call.cost limits.cooldowns limits.shared_rates
    limits.waits batch.journal batch.result_store
    call.base_answer
    prompt_caching.policy
    call.answer limits.rate_limits limits.retries
    call.model_rules
    call.refused_fields call.multipart
    call.refusal_actions
    call.refusals
    registry call.request call.listings
    catalog.model_infos
    catalog.retirements
    streams call.targets
    cli.key_store cli.error_text call.signatures
    options
    tools.mcp tools.ollama_search
    call.call
    call.build prompt_caching.runs
    call.result_files
    call.attempt
    call.fallback chats.trimming
    call.list_models chats checks
    middleware.fingerprints middleware.estimates middleware.tool_rounds middleware.call_log middleware.telemetry
    middleware.budgets middleware.cache middleware.observe
    middleware.pipeline batch.task_queue
    batch.base_run
    batch_jobs.records batch_jobs.lines
    batch_jobs.journal batch_jobs.http
    batch_jobs.protocols.base
    batch_jobs.protocols.openai_files batch_jobs.protocols.messages batch_jobs.protocols.operations
    batch_jobs.protocols.counters
    batch_jobs.protocols
    batch_jobs.prices batch_jobs.waiting_rows
    batch_jobs.answers
    batch_jobs.work
    batch_jobs.planner
    batch_jobs.engine batch_jobs.first_row
    batch_jobs.collection batch_jobs.job batch_jobs.holdings batch_jobs.status
    batch_jobs.run_options
    batch_jobs.run
    batch.run batch.results
    batch_jobs.mapper
    decisions.questions decisions.services
    decisions.wires decisions.results
    decisions.answers decisions.emulation decisions.forms
    decisions.expectations decisions.overloads decisions.request
    decisions.decide decisions.rows
    batch.mapper
    embeddings.services embeddings.vectors
    embeddings.wires embeddings.store
    embeddings.job_store
    embeddings.answers
    embeddings.request
    embeddings.run
    embeddings.jobs
    embeddings.embed
    client
    cli.findings
    cli.sign_in_checks
    api cli.diagnostics
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
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazy_module":
            # Loaded later, but no less above it.
            yield ast.literal_eval(node.args[0])
        else:
            yield from imports(node, typing=typing)


#: Imports of a later step, each inside a function: a loaded conversation and a listed job get the default client.
UPWARDS = {("chats.chat", "api"), ("batch_jobs.job", "api")}

TREES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
STEPS = {name: number for number, line in enumerate(ORDER.splitlines()) for name in line.split()}


def place_of(module):
    """Return the entry of the order that a module belongs to, if there is one: its own, else that of its wing."""
    name = module
    while name and name not in STEPS:
        name = name.rpartition(".")[0]
    return name


def own(module):
    """Return the modules of the package that a module imports, by their names inside it."""
    found = {name[len("aichatkit.") :] for name in imports(TREES[module]) if name.startswith("aichatkit.")}
    # Of a wing that only leads to its modules nothing is needed.
    wings = {name.rpartition(".")[0] for name in found if name in TREES}
    return {name for name in found if name in TREES or (f"{name}.__init__" in TREES and name not in wings)}


def outside(module):
    """Return the packages of others that a module imports."""
    return {name.partition(".")[0] for name in imports(TREES[module], typing=True)} - {"aichatkit", "__future__"}


def test_every_module_has_its_place_in_the_order():
    # The first lines of a wing import nothing, unless they hand names on.
    assert [module for module in TREES if own(module) and not place_of(module)] == []


def test_every_place_in_the_order_is_a_module():
    assert [name for name in STEPS if name not in TREES and f"{name}.__init__" not in TREES] == []


@pytest.mark.parametrize("module", TREES)
def test_a_module_imports_only_from_the_steps_before_it(module):
    place = place_of(module)
    others = {place_of(name) for name in own(module) if (module, name) not in UPWARDS} - {place, ""}
    # What has no place fails a test above, and that is enough.
    assert {name for name in others if STEPS[name] >= STEPS.get(place, 99)} == set()


def test_there_is_no_circle():
    graph = {
        module: {name if name in TREES else f"{name}.__init__" for name in own(module) if (module, name) not in UPWARDS}
        for module in TREES
    }
    done: set[str] = set()
    while True:
        ready = {module for module, needs in graph.items() if module not in done and needs - {module} <= done}
        if not ready:
            break
        done |= ready
    assert set(graph) - done == set()


@pytest.mark.parametrize("module", TREES)
def test_requests_is_asked_for_where_it_is_needed_and_nowhere_else(module):
    assert "requests" not in outside(module) or {module, module.partition(".")[0]} & REQUESTS


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
    assert "tenacity" not in outside(module) or module == "limits.retries"


@pytest.mark.parametrize("module", TREES)
def test_urllib3_is_known_by_its_errors_only(module):
    names = {name for name in imports(TREES[module], typing=True) if name.startswith("urllib3")}
    # The shortcut takes the place of its layers, so it has to know whether they are as they were.
    layers = {"urllib3.connection", "urllib3.connectionpool", "urllib3.util.connection"}
    allowed = {"urllib3", "urllib3.exceptions", *(layers if module == "transport.shortcut" else ())}
    assert {name for name in names if not name.startswith("urllib3.util.connection.")} <= allowed


@pytest.mark.parametrize("module", [name for name in TREES if name != "__init__"])
def test_nothing_is_imported_inside_a_function(module):
    functions = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.FunctionDef)]
    inside = {name for function in functions for name in imports(function, typing=True)}
    allowed = tuple(f"aichatkit.{name}" for origin, name in UPWARDS if origin == module)
    assert {name for name in inside if name.partition(".")[0] not in EXTRAS and not name.startswith(allowed)} == set()


@pytest.mark.parametrize("module", TREES)
def test_imports_are_absolute(module):
    assert [node.lineno for node in ast.walk(TREES[module]) if isinstance(node, ast.ImportFrom) and node.level] == []


@pytest.mark.skipif(sys.version_info < (3, 10), reason="older Pythons do not know the names of their own modules")
def test_two_packages_are_enough_to_run():
    plugin = {"pytest_plugin"}  # only pytest loads it
    needed = (
        {name for module in TREES.keys() - plugin for name in outside(module)} - EXTRAS - set(sys.stdlib_module_names)
    )
    assert needed - {"typing_extensions"} == {"requests", "tenacity", "urllib3"}


@pytest.mark.parametrize("module", TREES)
def test_typing_extensions_is_for_type_checkers_only(module):
    assert not [name for name in imports(TREES[module]) if name.startswith("typing_extensions")]
