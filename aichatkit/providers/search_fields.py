"""Web search -> fields of the request body, in the form that each service has for it; what it lacks is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable

from aichatkit._dataclasses import NamedTuple
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Options, Provider, WebSearch

__all__ = ["check_search", "search_fields"]

_PLACE = ("country", "region", "city", "timezone")
_DOMAINS = ("domains", "blocked_domains")
#: Gemini's models that cannot search and call functions in one request.
_EARLY_GEMINI = re.compile(r"gemini-[12](?![0-9])")
#: Groq's systems that search on their own, and its models with a search tool.
_COMPOUND, _GPT_OSS = re.compile(r"(?:groq/)?compound"), re.compile(r"openai/gpt-oss")
#: The most domains that xAI and Perplexity take.
_MAX_XAI, _MAX_PERPLEXITY = 5, 20


class Style(NamedTuple):
    """How services search: what they are called, the options they keep, and what builds the fields."""

    services: str
    options: frozenset[str]
    build: Callable[[WebSearch, str], dict[str, Any]]


def search_fields(provider: Provider, model: str, search: WebSearch) -> dict[str, Any]:
    """Return the fields that turn web search on; those under "tools" are added to the other tools."""
    return STYLES[provider.search_style].build(search, model)


def check_search(provider: Provider, model: str, options: Options) -> None:
    """Raise if the service cannot search the web, or not in the way that the call requires; nothing is sent."""
    search = options.search
    assert search is not None
    problem = _problem(provider, model, search, options)
    if problem:
        raise ConfigurationError(f"{provider.name}: {problem}", provider=provider.name, model=model, action="next")


def _problem(provider: Provider, model: str, search: WebSearch, options: Options) -> str:
    style = STYLES.get(provider.search_style)
    if style is None:
        return (
            f"it has no web search of its own; services that do: {_services()}. With tools=[ollama_search()], or a "
            "function of yours, any model that calls tools can search"
        )
    kept = _kept(provider, model, style)
    for name in search.given():
        if name not in kept:
            able = _services(name)
            where = f"with {model}" if name in style.options else "there"
            return f"search={{{name!r}: ...}} is not possible {where}; services that take it: {able}"
    check = _CHECKS.get(provider.search_style)
    return "" if check is None else check(model, search, options)


def _kept(provider: Provider, model: str, style: Style) -> frozenset[str]:
    if provider.search_style == "groq" and _COMPOUND.match(model) is None:
        return frozenset()
    return style.options


def _services(option: str = "") -> str:
    names = {style.services for style in STYLES.values() if not option or option in style.options}
    return ", ".join(sorted(names))


def _responses(search: WebSearch, model: str) -> dict[str, Any]:
    filters = _known(allowed_domains=search.domains, blocked_domains=search.blocked_domains)
    # Without a location, it searches as from the United States.
    location = {"type": "approximate", **_location(search)}
    tool = {"type": "web_search", "user_location": location, **_known(filters=filters, search_context_size=search.size)}
    fields: dict[str, Any] = {"tools": [tool], "include": ["web_search_call.action.sources"]}
    return {**fields, **_known(max_tool_calls=search.max_searches)}


def _openai_chat(search: WebSearch, model: str) -> dict[str, Any]:
    location = _location(search)
    nested = {"type": "approximate", "approximate": location} if location else None
    return {"web_search_options": _known(search_context_size=search.size, user_location=nested)}


def _anthropic(search: WebSearch, model: str) -> dict[str, Any]:
    location = _location(search)
    given = _known(
        max_uses=search.max_searches,
        allowed_domains=search.domains,
        blocked_domains=search.blocked_domains,
        user_location={"type": "approximate", **location} if location else None,
    )
    return {"tools": [{"type": "web_search_20250305", "name": "web_search", **given}]}


def _gemini(search: WebSearch, model: str) -> dict[str, Any]:
    return {"tools": [{"google_search": {}}]}


def _xai(search: WebSearch, model: str) -> dict[str, Any]:
    filters = _known(allowed_domains=search.domains, excluded_domains=search.blocked_domains)
    return {"tools": [{"type": "web_search", **_known(filters=filters)}]}


def _perplexity(search: WebSearch, model: str) -> dict[str, Any]:
    domains = [*search.domains, *(f"-{domain}" for domain in search.blocked_domains)]
    given = _known(
        filters=_known(search_domain_filter=domains), search_context_size=search.size, user_location=_location(search)
    )
    return {"tools": [{"type": "web_search", **given}]}


def _mistral(search: WebSearch, model: str) -> dict[str, Any]:
    return {"tools": [{"type": "web_search"}]}


def _openrouter(search: WebSearch, model: str) -> dict[str, Any]:
    location = _location(search)
    parameters = _known(
        max_uses=search.max_searches,
        allowed_domains=search.domains,
        excluded_domains=search.blocked_domains,
        search_context_size=search.size,
        user_location={"type": "approximate", **location} if location else None,
    )
    return {"tools": [{"type": "openrouter:web_search", **_known(parameters=parameters)}]}


def _groq(search: WebSearch, model: str) -> dict[str, Any]:
    if _COMPOUND.match(model) is None:
        return {"tools": [{"type": "browser_search"}]}
    settings = _known(include_domains=search.domains, exclude_domains=search.blocked_domains, country=search.country)
    return _known(search_settings=settings)


def _location(search: WebSearch) -> dict[str, str]:
    return {name: value for name in _PLACE if (value := getattr(search, name))}


def _known(**fields: Any) -> dict[str, Any]:
    """Return the fields that are set; domains as lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value not in _UNSET
    }


_UNSET: tuple[Any, ...] = (None, "", (), [], {})

STYLES: Mapping[str, Style] = {
    "responses": Style("openai", frozenset((*_PLACE, *_DOMAINS, "size", "max_searches")), _responses),
    "openai-chat": Style("openai", frozenset((*_PLACE, "size")), _openai_chat),
    "anthropic": Style("anthropic", frozenset((*_PLACE, *_DOMAINS, "max_searches")), _anthropic),
    "gemini": Style("gemini", frozenset(), _gemini),
    "xai": Style("xai", frozenset(_DOMAINS), _xai),
    "perplexity": Style("perplexity", frozenset((*_DOMAINS, "size", "country", "region", "city")), _perplexity),
    "mistral": Style("mistral", frozenset(), _mistral),
    "openrouter": Style("openrouter", frozenset((*_PLACE, *_DOMAINS, "size", "max_searches")), _openrouter),
    "groq": Style("groq", frozenset((*_DOMAINS, "country")), _groq),
    # As tools that run here: nothing is added to the body.
    "ollama": Style("ollama", frozenset(("max_searches", "size")), lambda search, model: {}),
}


def _check_responses(model: str, search: WebSearch, options: Options) -> str:
    if options.params.get("reasoning_effort") == "minimal":
        return "web search does not work with reasoning_effort='minimal'; use 'low' or 'none'"
    return ""


def _check_openai_chat(model: str, search: WebSearch, options: Options) -> str:
    if options.tools:
        return f"{model} searches for every answer and takes no tools=; another model of OpenAI's does both"
    return ""


def _check_anthropic(model: str, search: WebSearch, options: Options) -> str:
    if search.domains and search.blocked_domains:
        return "search= takes domains or blocked_domains there, not both"
    if any(tool.name == "web_search" for tool in options.tools):
        return "with search=, no function of yours may be called web_search; give it another name"
    return ""


def _check_gemini(model: str, search: WebSearch, options: Options) -> str:
    if options.tools and _EARLY_GEMINI.search(model):
        return (
            f"{model} cannot search and call functions in one request; call it with search=True first and pass the "
            "text of the reply on, or use a model from Gemini 3 on"
        )
    return ""


def _check_xai(model: str, search: WebSearch, options: Options) -> str:
    return _check_domains(search, _MAX_XAI)


def _check_perplexity(model: str, search: WebSearch, options: Options) -> str:
    return _check_domains(search, _MAX_PERPLEXITY)


def _check_domains(search: WebSearch, limit: int) -> str:
    if search.domains and search.blocked_domains:
        return "search= takes domains or blocked_domains there, not both"
    if len(search.domains) > limit or len(search.blocked_domains) > limit:
        return f"search= takes at most {limit} domains there"
    return ""


def _check_groq(model: str, search: WebSearch, options: Options) -> str:
    if _COMPOUND.match(model):
        return f"{model} takes no tools= of yours; another service does both: {_services()}" if options.tools else ""
    if _GPT_OSS.match(model):
        return ""
    return f"{model} cannot search; openai/gpt-oss-120b and groq/compound can"


def _check_ollama(model: str, search: WebSearch, options: Options) -> str:
    return (
        "its web search is tools that run here, which cannot be combined with the search of another service; pass "
        "tools=[ollama_search()] in place of search= to all of them"
    )


_CHECKS: Mapping[str, Callable[[str, WebSearch, Options], str]] = {
    "responses": _check_responses,
    "openai-chat": _check_openai_chat,
    "anthropic": _check_anthropic,
    "gemini": _check_gemini,
    "xai": _check_xai,
    "perplexity": _check_perplexity,
    "groq": _check_groq,
    "ollama": _check_ollama,
}
