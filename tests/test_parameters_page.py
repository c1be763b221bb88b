"""The page on options lists every option, where it belongs, and which service takes which parameter."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from aichatkit import Chat, Client, ConfigurationError
from aichatkit.options import CALL_OPTIONS
from aichatkit.params import PARAMS, parse_value
from aichatkit.registry import registry

PAGE = (Path(__file__).parent.parent / "docs" / "parameters.md").read_text(encoding="utf-8")
#: What every service takes.
COMMON = {"max_tokens", "temperature", "top_p"}
METHODS = {"image": Client.image, "map": Client.map, "chat": Client.chat, "Chat.show": Chat.show, "Client": Client}


def table(heading):
    """Return the cells of a table, without its head, by the first cell of its head and the text before it."""
    _, _, after = PAGE.partition(heading)
    lines = re.search(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", after, re.MULTILINE)[1].splitlines()
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def takes(function, option):
    return option in inspect.signature(function).parameters


def services():
    """Return the services by what they take in addition to the common parameters, most first."""
    found: dict[tuple[str, ...], list[str]] = {}
    for kind in registry.importable():
        if kind.working and kind.__module__.startswith("aichatkit."):
            names = {*kind.params, *getattr(kind, "own_params", ())}
            assert names >= COMMON
            found.setdefault(tuple(sorted(names - COMMON)), []).append(kind.name)
    return sorted(found.items(), key=lambda entry: (-len(entry[0]), entry[1]))


def test_every_option_of_a_call_is_listed_with_where_it_is_taken():
    rows = table("## Options of a call")
    assert {row[0] for row in rows} == set(CALL_OPTIONS)
    also = {"Client": Client, "check": Client.check}
    for name, _, others, _ in rows:
        assert others == ", ".join(where for where in also if takes(also[where], name)), name


def test_every_option_of_one_method_is_listed():
    rows = table("These belong to one method:")
    listed = {(name, method.strip("` ")) for name, methods, _, _ in rows for method in methods.split(",")}
    own = {
        (name, method)
        for method, function in METHODS.items()
        for name in set(inspect.signature(function).parameters) - {*CALL_OPTIONS, *PARAMS, "self", "prompt"}
        if method != "Client" or name == "budget"
    }
    assert listed == own - {("prompts", "map"), ("template", "map")}


@pytest.mark.parametrize(("name", "value"), [row[:2] for row in table("## Sampling parameters")])
def test_the_values_of_a_parameter_are_those_it_accepts(name, value):
    expected = re.sub(r"`(\w+)`|\w+", lambda word: word[1] or word[0], value)
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        parse_value(name, object())
    if bounds := re.fullmatch(r"a(?:n integer| number) from (-?\d+)(?: to (\d+))?", value):
        low, high = int(bounds[1]), bounds[2]
        assert parse_value(name, low) == low
        with pytest.raises(ConfigurationError, match=str(low)):
            parse_value(name, low - 1)
        if high:
            assert parse_value(name, int(high)) == int(high)
            with pytest.raises(ConfigurationError, match=high):
                parse_value(name, int(high) + 1)
    elif re.search(r"\w+ or \w+$", expected) and "`" in value:
        for word in re.findall(r"`(\w+)", f"`{value}"):
            assert parse_value(name, word) == word


def test_every_parameter_is_listed():
    assert [row[0] for row in table("## Sampling parameters")] == list(
        {name: None for name in inspect.signature(Client).parameters if name in PARAMS}
    )


def test_each_service_is_listed_with_its_parameters():
    rows = [
        f"| {', '.join(names)} | {', '.join(f'`{param}`' for param in params) or 'none'} |"
        for params, names in services()
    ]
    _, _, section = PAGE.partition("## Parameters of each service")
    assert re.findall(r"^\| .*\|$", section.partition("\n## ")[0], re.MULTILINE)[1:] == rows
