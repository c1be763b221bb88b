"""Prompt and options -> call: the options of one call over the defaults of its client, all of them checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit._lazy import lazy_module
from aichatkit.call.call import Call, CallContext
from aichatkit.call.targets import Model, Target
from aichatkit.chunks import ToolCall
from aichatkit.errors import ConfigurationError
from aichatkit.limits.retries import RetryPolicy
from aichatkit.messages import Prompt, parse_messages
from aichatkit.options import (
    CALL_OPTIONS,
    MAX_ROUNDS,
    parse_extra,
    parse_flag,
    parse_headers,
    parse_proxies,
    parse_rounds,
)
from aichatkit.params import parse_params
from aichatkit.providers.base import Options, Provider, WebSearch
from aichatkit.transport.timeouts import Deadline, Timeout

if TYPE_CHECKING:
    from aichatkit import attachments
    from aichatkit.prompt_caching import plan as cache_plans
    from aichatkit.structured import forms
    from aichatkit.tools import functions, hosted, ollama_search
else:
    # What only some calls need.
    attachments = lazy_module("aichatkit.attachments")
    cache_plans = lazy_module("aichatkit.prompt_caching.plan")
    forms = lazy_module("aichatkit.structured.forms")
    functions = lazy_module("aichatkit.tools.functions")
    hosted = lazy_module("aichatkit.tools.hosted")
    ollama_search = lazy_module("aichatkit.tools.ollama_search")

__all__ = ["Defaults", "build_call", "route"]


class Defaults(NamedTuple):
    """The options of a client that a call may override."""

    model: Model
    system: str | None
    timeout: Timeout
    policy: RetryPolicy
    params: Mapping[str, Any]
    prompt_cache: Any = "auto"


def build_call(
    context: CallContext,
    defaults: Defaults,
    find_targets: Callable[[Model], Sequence[Target]],
    prompt: Prompt,
    repairs: int,
    /,
    *,
    model: Model = None,
    system: str | None = None,
    files: Any = (),
    tools: Any = (),
    tool_choice: Any = None,
    search: Any = False,
    max_rounds: int = MAX_ROUNDS,
    approve: Callable[[ToolCall], bool] | None = None,
    schema: Any = None,
    extra: Mapping[str, Any] | None = None,
    strict: bool = False,
    raw: bool = False,
    timeout: float | tuple[float, float] | Timeout | None = None,
    retry: int | RetryPolicy | None = None,
    headers: Mapping[str, str] | None = None,
    proxies: str | Mapping[str, str] | None = None,
    prompt_cache: Any = None,
    **params: Any,
) -> Call:
    """Return the call for a prompt and its options; raise ConfigurationError if one is invalid."""
    if context.closing.is_set():
        raise ConfigurationError("the client is closed; make a new one")
    call_params = parse_params(params, options=CALL_OPTIONS) if params else {}
    limit = defaults.timeout if timeout is None else Timeout.of(timeout)
    policy = defaults.policy if retry is None else RetryPolicy.of(retry)
    messages = parse_messages(prompt, system=defaults.system if system is None else system)
    plain = isinstance(files, tuple) and not files and all(isinstance(message.content, str) for message in messages)
    call = Call(
        context=context,
        targets=[route(target, context) for target in find_targets(defaults.model if model is None else model)],
        messages=messages if plain else attachments.with_files(messages, files),
        options=Options(params={**defaults.params, **call_params}, extra={} if extra is None else parse_extra(extra)),
        timeout=limit,
        deadline=Deadline(limit.total, policy.now),
        policy=policy,
        headers={} if headers is None else parse_headers(headers),
        proxies=None if proxies is None else parse_proxies(proxies),
        strict=strict if strict is False else parse_flag("strict", strict),
        keep_raw=raw if raw is False else parse_flag("raw", raw),
        max_rounds=parse_rounds(max_rounds),
        prompt_cache=defaults.prompt_cache if prompt_cache is None else cache_plans.parse_mode(prompt_cache),
        repairs=repairs,
    )
    has_tools = not (tools is None or tools == ()) or tool_choice is not None or search not in (None, False)
    if schema is None and approve is None and not has_tools and "tools" not in call.options.extra:
        return call
    return _with_tools(call, tools, tool_choice, search, approve, forms.Form.of(schema))


def _with_tools(
    call: Call,
    tools: Any,
    choice: Any,
    search: Any,
    approve: Callable[[ToolCall], bool] | None,
    form: forms.Form | None,
) -> Call:
    """Return the call with functions to run here, tools that the service runs, and a schema."""
    own, service_tools, searches = hosted.split_tools(() if tools is None else tools)
    web_search = hosted.parse_search(search)
    if searches and web_search is None:
        web_search = hosted.parse_search(True)
    if web_search is not None and _runs_search_here(call.targets, web_search):
        own = [*(own if isinstance(own, list) else [own]), ollama_search.search_with(web_search)]
        web_search = None
    # After all other options are checked, as the tools of an MCP server are asked for.
    toolbox = functions.Toolbox(own, approve, call.context.connections)
    runs_there = web_search is not None or bool(service_tools)
    names = [tool.name for tool in toolbox.tools]
    has_tools = bool(toolbox) or runs_there or "tools" in call.options.extra
    options = replace(
        call.options,
        tools=toolbox.tools,
        schema=form.sent if form else None,
        search=web_search,
        service_tools=service_tools,
        tool_choice=hosted.parse_tool_choice(choice, names, has_tools=has_tools),
    )
    if not (has_tools or form):
        return call
    targets = list(map(_route_to_tools, call.targets)) if runs_there else call.targets
    return replace(call, targets=targets, options=options, toolbox=toolbox, schema=form)


def _runs_search_here(targets: Sequence[Target], search: WebSearch) -> bool:
    """Return whether a web search is a tool that runs here; an option that it lacks is reported by the provider."""
    are_able = all(target.provider.search_style == "ollama" for target in targets)
    return are_able and not {*search.given()} - {"max_searches", "size"}


def _route_to_tools(target: Target) -> Target:
    """Return the target at the endpoint that runs tools of the service, if that is another one."""
    routed = target.provider.for_service_tools(target.model)
    return target if routed is None else target._replace(provider=routed)


def route(target: Target, context: CallContext) -> Target:
    """Return the target at the endpoint that its model answers at, if the service has it at another one."""
    by_name = target.provider.for_model(target.model)
    if by_name is not None:
        return target._replace(provider=by_name)
    provider_cls = target.provider
    if provider_cls.for_endpoint.__func__ is Provider.for_endpoint.__func__:  # type: ignore[attr-defined]
        return target
    record = context.record(target)
    # A server at another address may have only the endpoint it was given for.
    is_elsewhere = provider_cls.name in context.base_urls or os.environ.get(provider_cls.base_url_env)
    if record is None or "endpoint" not in record or is_elsewhere:
        return target
    routed = provider_cls.for_endpoint(record["endpoint"])
    return target if routed is None else target._replace(provider=routed)
