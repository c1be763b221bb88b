"""What is public, and that it keeps the promises of its form."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import pkgutil
import typing
from pathlib import Path

import pytest

import aichatkit
from aichatkit import errors

PACKAGE = Path(aichatkit.__file__).parent
PUBLIC = [name for name in dir(aichatkit) if name != "__version__"]
CLASSES = [getattr(aichatkit, name) for name in PUBLIC if inspect.isclass(getattr(aichatkit, name))]
MODULES = [
    info.name for info in pkgutil.walk_packages([str(PACKAGE)], "aichatkit.") if info.name != "aichatkit.__main__"
]
SOURCES = sorted(PACKAGE.rglob("*.py"))

#: The obvious operand of each callable, which may be given without its name.
OPERANDS = {
    "ask": ["prompt"],
    "stream": ["prompt"],
    "chat": [],
    "image": ["prompt"],
    "map": ["prompts", "template"],
    "decide": ["text", "questions", "question"],
    "embed": ["texts", "template"],
    "models": ["provider"],
    "jobs": ["path"],
    "mcp": ["url"],
    "mcp_config": ["path"],
    "ollama_search": ["api_key"],
    "model_info": ["name"],
    "aws_auth": [],
    "google_auth": [],
    "register": ["provider"],
    "search_saved": ["folder", "words"],
    "Client": ["model"],
    "Client.ask": ["prompt"],
    "Client.stream": ["prompt"],
    "Client.chat": [],
    "Client.image": ["prompt"],
    "Client.map": ["prompts", "template"],
    "Client.decide": ["text", "questions", "question"],
    "Client.embed": ["texts", "template"],
    "Decision.to_dict": [],
    "Decisions.columns": [],
    "Decisions.to_dict": [],
    "Embeddings.array": [],
    "Embeddings.nearest": ["vector", "k"],
    "Embeddings.to_frame": [],
    "Client.estimate": ["prompts", "template"],
    "Client.models": ["provider"],
    "Client.close": [],
    "Chat": ["client"],
    "Chat.ask": ["prompt"],
    "Chat.stream": ["prompt"],
    "Chat.export": ["path"],
    "Chat.to_markdown": [],
    "Chat.save": ["path"],
    "Chat.load": ["path"],
    "Chat.fork": [],
    "Chat.undo": [],
    "Results.save": ["path"],
    "Results.to_frame": [],
    "ImageResponse.bytes": ["index"],
    "ImageResponse.save": ["path"],
}


def find(name):
    found = aichatkit
    for part in name.split("."):
        found = getattr(found, part)
    return found


def public_members(kind):
    """Return the functions and properties a class defines for its users."""
    for name, member in vars(kind).items():
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
            yield name, member


def test_all_is_sorted_and_without_doubles():
    assert aichatkit.__all__ == sorted(set(aichatkit.__all__))


@pytest.mark.parametrize("name", dir(aichatkit))
def test_every_name_of_all_is_there_and_shown(name):
    assert getattr(aichatkit, name) is not None
    assert name in dir(aichatkit)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_comes_from_a_module_that_calls_it_public(name):
    module = importlib.import_module(f"aichatkit.{aichatkit._MODULE_OF[name]}")
    assert name in module.__all__


def test_every_error_is_public():
    assert set(errors.__all__) <= set(aichatkit.__all__)


def test_type_checkers_see_the_same_names_in_the_same_places():
    tree = ast.parse(Path(aichatkit.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    modules = {None: ("aichatkit.cli", "key_store")}
    assert seen == {**modules, **{name: (f"aichatkit.{place}", name) for name, place in aichatkit._MODULE_OF.items()}}


def test_stored_keys_are_found_where_the_docs_import_them():
    from aichatkit import keys

    assert keys is importlib.import_module("aichatkit.cli.key_store")
    assert "keys" not in dir(aichatkit)


def test_only_public_names_are_shown():
    assert dir(aichatkit) == sorted([*aichatkit.__all__, "map"])


def test_a_star_import_hides_nothing_of_python():
    names = {}
    exec("from aichatkit import *", names)
    assert {name for name in names if name in vars(builtins) and not name.startswith("__")} == set()
    assert names["ask"] is aichatkit.ask


def test_every_other_name_of_the_package_is_private_or_a_module():
    shown = {name for name in vars(aichatkit) if not name.startswith("_")} - set(dir(aichatkit)) - {"TYPE_CHECKING"}
    assert {name for name in shown if not inspect.ismodule(getattr(aichatkit, name))} == set()


@pytest.mark.parametrize(("name", "operands"), OPERANDS.items())
def test_everything_but_the_obvious_operand_is_given_by_name(name, operands):
    given = [
        parameter.name
        for parameter in inspect.signature(find(name)).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    assert [parameter for parameter in given if parameter != "self"] == operands


@pytest.mark.parametrize("function", [name for name in PUBLIC if inspect.isfunction(getattr(aichatkit, name))])
def test_every_public_function_has_its_operand_in_the_table(function):
    assert function in OPERANDS


@pytest.mark.parametrize("error", [getattr(errors, name) for name in errors.__all__])
def test_every_error_has_one_base(error):
    assert issubclass(error, aichatkit.ChatError)


def test_no_module_defines_an_error_outside_the_tree():
    strays = []
    for name in MODULES:
        module = importlib.import_module(name)
        for value in vars(module).values():
            own = inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == name
            # A warning ends nothing.
            if own and issubclass(value, Warning):
                continue
            if own and name != errors.__name__ and not value.__name__.startswith("_"):
                strays.append(value.__qualname__)
    # What the sandbox and the decoders of the transport raise stays inside of them.
    assert set(strays) <= {"APIError", "ClientDisconnected", "UnknownEncodingError"}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_public_class_has_a_docstring_of_its_own(kind):
    assert kind.__dict__.get("__doc__")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_public_method_has_a_docstring(kind):
    assert [name for name, member in public_members(kind) if not inspect.getdoc(member)] == []


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(getattr(aichatkit, name))])
def test_every_public_function_has_a_docstring_and_annotations(name):
    function = getattr(aichatkit, name)
    assert function.__doc__
    assert "return" in function.__annotations__


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_is_long_or_without_a_docstring(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 410
    assert not text or path.name == "_version.py" or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_calls_public_it_has(name):
    module = importlib.import_module(name)
    assert [missing for missing in getattr(module, "__all__", ()) if not hasattr(module, missing)] == []


def test_the_version_is_that_of_its_file():
    assert aichatkit.__version__ == importlib.import_module("aichatkit._version").__version__


def test_a_stream_is_an_iterator_of_text():
    assert typing.get_type_hints(aichatkit.Stream.__next__)["return"] is str
