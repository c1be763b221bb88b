"""Tools that services run, and the choice of tools -> fields of the request body, in the form of each protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from aichatkit.chunks import dicts_in
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Options, Provider, ToolChoice
from aichatkit.providers.request_bodies import set_path
from aichatkit.providers.search_fields import search_fields

__all__ = ["add_tool_fields", "check_tool_fields"]


def add_tool_fields(payload: dict[str, Any], provider: Provider, model: str, options: Options) -> None:
    """Add the tools that the service runs itself, and which tools must be used, to a body with the functions."""
    fetch = _FETCH.get(provider.search_style, _WEB_FETCH)
    added = [dict(fetch if tool == _WEB_FETCH else tool) for tool in options.service_tools]
    if options.search is not None:
        fields = search_fields(provider, model, options.search)
        added += fields.pop("tools", ())
        payload.update(fields)
    if added:
        payload["tools"] = [*payload.get("tools", ()), *added]
    choice = options.tool_choice
    if choice is None or not provider.tool_choice_style:
        return
    if _has_tools_to_choose(payload, provider, options):
        _STYLES[provider.tool_choice_style](payload, choice)
    elif choice.mode != "auto":
        # The service would reject it.
        raise ConfigurationError(
            f"{provider.name}: tool_choice={choice.mode!r} is not possible with {model} and no functions in tools=",
            provider=provider.name,
            action="next",
        )


def _has_tools_to_choose(payload: Mapping[str, Any], provider: Provider, options: Options) -> bool:
    """Return whether a request has tools that its field for the choice is about."""
    tools = [*payload.get("tools", ()), *dicts_in(options.extra.get("tools"))]
    if provider.tool_choice_style == "gemini":
        return any("functionDeclarations" in tool for tool in tools)
    return bool(tools)


def check_tool_fields(provider: Provider, options: Options) -> None:
    """Raise if the service takes no tools of its own in a request, or has no such choice of tools."""
    if _WEB_FETCH in options.service_tools and provider.search_style not in _FETCH:
        raise ConfigurationError(
            f"{provider.name} reads no web pages for a model; services that do: {', '.join(_FETCH)}. With a function "
            "of yours, any model that calls tools can",
            provider=provider.name,
            action="next",
        )
    if options.service_tools and not provider.takes_service_tools:
        shown = ", ".join(sorted(str(tool.get("type") or next(iter(tool))) for tool in options.service_tools))
        raise ConfigurationError(
            f"{provider.name} takes only functions in tools=, not tools that a service runs ({shown})",
            provider=provider.name,
            action="next",
        )
    choice = options.tool_choice
    if choice is not None and choice.mode not in _MODES[provider.tool_choice_style]:
        able = "openai, anthropic, gemini, mistral, xai"
        shown = repr(choice.name or choice.mode)
        raise ConfigurationError(
            f"{provider.name} takes no tool_choice={shown}; services that do: {able}",
            provider=provider.name,
            action="next",
        )


def _openai(payload: dict[str, Any], choice: ToolChoice) -> None:
    payload["tool_choice"] = {"type": "function", "function": {"name": choice.name}} if choice.name else choice.mode


def _responses(payload: dict[str, Any], choice: ToolChoice) -> None:
    payload["tool_choice"] = {"type": "function", "name": choice.name} if choice.name else choice.mode


def _mistral(payload: dict[str, Any], choice: ToolChoice) -> None:
    fields: dict[str, Any] = {}
    _openai(fields, choice)
    set_path(payload, "completion_args.tool_choice", fields["tool_choice"])


def _anthropic(payload: dict[str, Any], choice: ToolChoice) -> None:
    modes = {"required": "any", "function": "tool"}
    payload["tool_choice"] = {
        "type": modes.get(choice.mode, choice.mode),
        **({"name": choice.name} if choice.name else {}),
    }


def _gemini(payload: dict[str, Any], choice: ToolChoice) -> None:
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY", "function": "ANY"}
    names = {"allowedFunctionNames": [choice.name]} if choice.name else {}
    set_path(payload, "toolConfig.functionCallingConfig", {"mode": modes[choice.mode], **names})


def _cohere(payload: dict[str, Any], choice: ToolChoice) -> None:
    if choice.mode != "auto":
        payload["tool_choice"] = choice.mode.upper()


def _by_default(payload: dict[str, Any], choice: ToolChoice) -> None:
    """Send nothing, as the model chooses anyway."""


_STYLES: Mapping[str, Callable[[dict[str, Any], ToolChoice], None]] = {
    "openai": _openai,
    "responses": _responses,
    "mistral": _mistral,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "cohere": _cohere,
    "": _by_default,
}
#: The tool that reads the pages named in the prompt, by its name here, and as services write it.
_WEB_FETCH = {"type": "web_fetch"}
_FETCH: Mapping[str, Mapping[str, Any]] = {
    "anthropic": {"type": "web_fetch_20250910", "name": "web_fetch", "citations": {"enabled": True}},
    "gemini": {"url_context": {}},
}
_ALL = frozenset(("auto", "none", "required", "function"))
_MODES: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("openai", "responses", "mistral", "anthropic", "gemini"), _ALL),
    "cohere": frozenset(("auto", "none", "required")),
    "": frozenset(("auto",)),
}
