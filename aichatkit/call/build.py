"""Prompt and options -> call: the options of one call over the defaults of its client, all of them checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from aichatkit._dataclasses import replace
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
from aichatkit.providers.base import Options, Provider
from aichatkit.transport.timeouts import Deadline, Timeout

if TYPE_CHECKING:
    from aichatkit import attachments
    from aichatkit.prompt_caching import plan as cache_plans
    from aichatkit.structured import forms
    from aichatkit.tools import functions
else:
    # What only some calls need.
    attachments = lazy_module("aichatkit.attachments")
    cache_plans = lazy_module("aichatkit.prompt_caching.plan")
    forms = lazy_module("aichatkit.structured.forms")
    functions = lazy_module("aichatkit.tools.functions")

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
    if schema is None and approve is None and (tools is None or tools == ()):
        return call
    toolbox, form = functions.Toolbox(() if tools is None else tools, approve), forms.Form.of(schema)
    if not (toolbox or form):
        return call
    call_options = replace(call.options, tools=toolbox.tools, schema=form.sent if form else None)
    return replace(call, options=call_options, toolbox=toolbox, schema=form)


def route(target: Target, context: CallContext) -> Target:
    """Return the target at the endpoint that its model answers at, if the service has it at another one."""
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
