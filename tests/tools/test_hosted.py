"""Web search, tools of a service and the choice of tools: what a call takes, and what it says of the rest."""

from __future__ import annotations

import functools

import pytest

from aichatkit import Client
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import ToolChoice, WebSearch
from aichatkit.tools.hosted import parse_search, parse_tool_choice, split_tools

FUNCTION = {"type": "function", "function": {"name": "a"}}
NAMED = {"name": "b"}


def stock(article: str) -> int:
    """Count an article."""
    return len(article)


def test_a_search_is_on_off_or_has_options():
    assert [parse_search(value) for value in (None, False, True)] == [None, None, WebSearch()]
    given = {
        "domains": ["example.org", "a.example/b"],
        "max_searches": 3,
        "country": "de",
        "city": "Köln",
        "size": "low",
    }
    assert parse_search(given) == WebSearch(
        ("example.org", "a.example/b"), max_searches=3, country="DE", city="Köln", size="low"
    )
    assert parse_search({"domains": {"b.org", "a.org"}, "size": None}) == WebSearch(("a.org", "b.org"))
    assert parse_search({"blocked_domains": "b.org"}) == WebSearch(blocked_domains=("b.org",))


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        (5, "search must be True, False or a dict"),
        ({"max_uses": 3}, "did you mean 'max_searches'"),
        ({"domain": "a.org"}, "there is no 'domain'; did you mean 'domains'\\?; the options are domains, "),
        ({"domains": []}, "must be a list of domains"),
        ({"domains": 5}, "must be a list of domains"),
        ({"domains": ["https://a.org"]}, "without https://, got 'https://a.org'"),
        ({"domains": [5]}, "without https://, got 5"),
        ({"max_searches": 0}, "max_searches must be an integer of at least 1"),
        ({"max_searches": True}, "max_searches must be an integer of at least 1"),
        ({"size": "huge"}, "size must be 'low', 'medium' or 'high'"),
        ({"city": " "}, "city must be text"),
        ({"country": "Germany"}, "country must be a code of two letters"),
    ],
)
def test_a_search_that_is_not_understood_is_refused(search, problem):
    with pytest.raises(ConfigurationError, match=problem):
        parse_search(search)


@pytest.mark.parametrize(
    ("tools", "functions", "hosted", "searches"),
    [
        ([stock, "web_search", {"type": "code_execution"}], [stock], [{"type": "code_execution"}], True),
        ("web_search", [], [], True),
        ([stock, "web_fetch", "web_search"], [stock], [{"type": "web_fetch"}], True),
        ({"google_search": {}}, [], [{"google_search": {}}], False),
        ([FUNCTION], [FUNCTION], [], False),
        ([{"type": "custom", "name": "a"}, NAMED, {}], [{"type": "custom", "name": "a"}, NAMED, {}], [], False),
        (stock, stock, [], False),
        (5, 5, [], False),
    ],
)  # fmt: skip
def test_tools_of_a_service_are_told_from_functions(tools, functions, hosted, searches):
    assert split_tools(tools) == (functions, hosted, searches)


def test_the_name_of_another_tool_is_refused():
    with pytest.raises(ConfigurationError, match="'web_crawl' is not a tool"):
        split_tools(["web_crawl"])


@pytest.mark.parametrize(
    ("choice", "parsed"),
    [
        (None, None),
        *[(mode, ToolChoice(mode)) for mode in ("auto", "none", "required")],
        *[(choice, ToolChoice("function", "stock")) for choice in ("stock", stock, functools.partial(stock, "a"))],
        ({"type": "function", "function": {"name": "stock"}}, ToolChoice("function", "stock")),
        ({"type": "tool", "name": "stock"}, ToolChoice("function", "stock")),
    ],
)
def test_a_choice_of_tools_is_a_word_or_a_function(choice, parsed):
    assert parse_tool_choice(choice, ["stock"], has_tools=True) == parsed


def test_a_function_that_is_called_like_a_word_can_be_chosen():
    assert parse_tool_choice("auto", ["auto"], has_tools=True) == ToolChoice("function", "auto")


@pytest.mark.parametrize("choice", ["any", "other", len, 5, {"function": 5}])
def test_a_choice_that_is_no_tool_is_refused(choice):
    with pytest.raises(ConfigurationError, match="tool_choice must be 'auto', 'none', 'required'"):
        parse_tool_choice(choice, ["stock"], has_tools=True)


def test_a_choice_without_tools_is_refused_before_anything_is_sent():
    client = Client("openai", api_key="k")
    with pytest.raises(ConfigurationError, match="there are no tools to choose from"):
        client.ask("Hi", tool_choice="auto")
