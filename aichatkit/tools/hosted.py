"""Options for tools that services run -> checked values: web search, dict tools of a service, the choice of tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aichatkit.errors import ConfigurationError
from aichatkit.params import is_integer, suggestion
from aichatkit.providers.base import ToolChoice, WebSearch

__all__ = ["parse_search", "parse_tool_choice", "split_tools"]

WEB_SEARCH, WEB_FETCH = "web_search", "web_fetch"
_MODES = ("auto", "none", "required")
_DOMAIN = re.compile(r"[^\s:/]+\.[^\s:/]+(?:/\S*)?")
_SIZES = ("low", "medium", "high")
#: What other libraries call the options of a search.
_WORDS = {
    "allowed_domains": "domains",
    "include_domains": "domains",
    "search_domain_filter": "domains",
    "exclude_domains": "blocked_domains",
    "excluded_domains": "blocked_domains",
    "max_uses": "max_searches",
    "max_results": "max_searches",
    "search_context_size": "size",
    "context_size": "size",
    "location": "country",
    "user_location": "country",
}


def parse_search(search: Any) -> WebSearch | None:
    """Return the options of a web search, None if there is to be none.

    >>> parse_search({"domains": "example.org", "max_searches": 3}).given()
    ['domains', 'max_searches']
    """
    if search is None or search is False:
        return None
    if search is True:
        return WebSearch()
    if not isinstance(search, Mapping):
        raise ConfigurationError(
            f"search must be True, False or a dict such as {{'domains': ['example.org']}}, got {search!r:.100}"
        )
    for name in search:
        if name not in WebSearch._fields:
            meant = _WORDS.get(str(name))
            hint = f"; did you mean {meant!r}?" if meant else suggestion(str(name), WebSearch._fields)
            names = ", ".join(WebSearch._fields)
            raise ConfigurationError(f"search: there is no {name!r}{hint}; the options are {names}")
    return WebSearch(**{name: _parse(name, value) for name, value in search.items() if value is not None})


def split_tools(tools: Any) -> tuple[Any, list[Mapping[str, Any]], bool]:
    """Return the functions, the tools that the service runs, and whether "web_search" is among them."""
    if isinstance(tools, (str, Mapping)):
        tools = [tools]
    if callable(tools) or not isinstance(tools, Iterable):
        return tools, [], False
    tools = list(tools)
    words = [tool for tool in tools if isinstance(tool, str)]
    for tool in words:
        if tool not in (WEB_SEARCH, WEB_FETCH):
            raise ConfigurationError(
                f"tools: {tool!r} is not a tool; pass functions, dicts, 'web_search' for the service's web search, or "
                "'web_fetch' for the pages that the prompt names"
            )
    tools = [tool for tool in tools if not isinstance(tool, str)]
    # The service has its own form of it.
    tools += [{"type": WEB_FETCH}] if WEB_FETCH in words else []
    hosted: list[Mapping[str, Any]] = [dict(tool) for tool in tools if _is_hosted(tool)]
    return [tool for tool in tools if not _is_hosted(tool)], hosted, WEB_SEARCH in words


def parse_tool_choice(choice: Any, names: Sequence[str], *, has_tools: bool) -> ToolChoice | None:
    """Return which tools the model must use; `names` are those of the functions it may call."""
    if choice is None:
        return None
    if not has_tools:
        raise ConfigurationError("tool_choice: there are no tools to choose from; pass tools=")
    if isinstance(choice, str) and choice in _MODES and choice not in names:
        return ToolChoice(choice)
    name = _function_name(choice)
    if name not in names:
        known = ", ".join(map(repr, (*_MODES, *names)))
        raise ConfigurationError(
            f"tool_choice must be 'auto', 'none', 'required', or one of the functions in tools= or its name; got "
            f"{choice!r:.100}, and there is {known}"
        )
    return ToolChoice("function", name)


def _function_name(choice: Any) -> str:
    """Return the name of a function, or of the one in a dict as OpenAI and Anthropic write it."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        return str((function if isinstance(function, Mapping) else choice).get("name"))
    return choice if isinstance(choice, str) else str(getattr(getattr(choice, "func", choice), "__name__", ""))


def _is_hosted(tool: Any) -> bool:
    """Return whether a dict is a tool that the service runs, not the definition of a function."""
    if not isinstance(tool, Mapping) or "function" in tool:
        return False
    tool_type = tool.get("type")
    if isinstance(tool_type, str):
        return tool_type not in ("function", "custom")
    return bool(tool) and "name" not in tool and all(isinstance(value, Mapping) for value in tool.values())


def _parse(name: str, value: Any) -> Any:
    if name in ("domains", "blocked_domains"):
        domains = (value,) if isinstance(value, str) else value
        if not isinstance(domains, (list, tuple, set, frozenset)) or not domains:
            raise ConfigurationError(f"search: {name} must be a list of domains, got {value!r:.100}")
        for domain in domains:
            if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
                raise ConfigurationError(f"search: {name} must be like 'example.org', without https://, got {domain!r}")
        return tuple(sorted(domains) if isinstance(domains, (set, frozenset)) else domains)
    if name == "max_searches":
        if not is_integer(value, minimum=1):
            raise ConfigurationError(f"search: max_searches must be an integer of at least 1, got {value!r:.100}")
        return int(value)
    if name == "size" and value not in _SIZES:
        raise ConfigurationError(f"search: size must be 'low', 'medium' or 'high', got {value!r:.100}")
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"search: {name} must be text, got {value!r:.100}")
    if name == "country" and not re.fullmatch(r"[A-Za-z]{2}", value):
        raise ConfigurationError(f"search: country must be a code of two letters such as 'DE', got {value!r:.100}")
    return value.upper() if name == "country" else value
