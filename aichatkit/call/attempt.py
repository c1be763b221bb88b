"""Target -> answer: the attempts at one target, with its API keys, rate limit and refused fields."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit.auth.keys import KeyFunction
from aichatkit.call.call import Call, memoize
from aichatkit.call.request import ProviderRequest, check_request, send_request
from aichatkit.call.targets import AnyKey, Target
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    ChatError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
)
from aichatkit.limits.retries import RetryState, clock_of
from aichatkit.limits.waits import Sleeper, Wait
from aichatkit.messages import ToolResultMessage
from aichatkit.providers.base import Provider, is_local
from aichatkit.reply import Attempt, Reply
from aichatkit.transport.authorization import Authorization, Renewal
from aichatkit.transport.transport import Transport

if TYPE_CHECKING:
    from aichatkit import _warnings, hooks
    from aichatkit.call import model_rules, refusals, result_files
    from aichatkit.call.answer import Answer
    from aichatkit.catalog import retirements, tokens
    from aichatkit.classification.rules import Rule
    from aichatkit.limits.cooldowns import CooldownKey
    from aichatkit.prompt_caching import policy as cache_policy
else:
    # Few calls have parameters, hooks, a rate limit, a field that is refused, or files from tools.
    _warnings = lazy_module("aichatkit._warnings")
    cache_policy = lazy_module("aichatkit.prompt_caching.policy")
    hooks = lazy_module("aichatkit.hooks")
    model_rules = lazy_module("aichatkit.call.model_rules")
    refusals = lazy_module("aichatkit.call.refusals")
    result_files = lazy_module("aichatkit.call.result_files")
    retirements = lazy_module("aichatkit.catalog.retirements")
    tokens = lazy_module("aichatkit.catalog.tokens")

__all__ = ["TargetAttempts", "open_transport"]

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 5.0
#: Read timeout of servers on this machine, in seconds: they may have to load a model first.
_LOCAL_READ_TIMEOUT = 300.0
#: Prompts of fewer characters are too short for every prompt cache.
_SHORT_PROMPT = 512
#: Failures that another key of the same provider may avoid.
_KEY_ERRORS = (RateLimitError, QuotaExceededError, AuthenticationError, PermissionDeniedError)


class TargetAttempts:
    """The attempts at one target, until it answers or all have failed.

    The methods are in calling order: `check` once, `open` for each attempt, `give_up` at the end if none succeeded.
    """

    def __init__(self, call: Call, target: Target, sleeper: Sleeper, attempts: list[Attempt]) -> None:
        self.call = call
        self.context = call.context
        self.target = target
        self.state = RetryState(
            call.policy,
            sleeper,
            call.context.retry_budget,
            target.provider.name,
            target.model,
            attempts,
            clock_of(call.policy),
        )
        self._cooldown_key: CooldownKey | None = None
        self._memo_key = (target.provider.name, target.model)
        self._repeated = False
        self._learned: Sequence[refusals.Change] = ()

    def check(self) -> None:
        """Raise if the target cannot be called as requested; nothing is sent."""
        call = self.call
        self.provider = self.context.provider(self.target.provider)
        model, catalog = self.target.model, self.context.catalog
        record = None if self.provider.is_free(model) else self.context.record(self.target)
        if record is not None and ("retires" in record or "gone" in record):
            retirements.warn_of_retirement(self.provider, model, record, catalog)
        options = call.options if record is None else replace(call.options, record=record)
        options, changes = model_rules.adapt_options(self.provider, model, options) if options.params else (options, ())
        messages = call.messages
        if any(isinstance(message, ToolResultMessage) and message.content.__class__ is list for message in messages):
            messages = result_files.fit_results(messages, self.provider, options.record)
        self._request = ProviderRequest(self.provider, model, messages, options, catalog, keep_raw=call.keep_raw)
        check_request(self._request)
        if changes:
            warned = self.context.warned
            model_rules.report_changes(
                changes, provider=self.provider.name, model=model, strict=call.strict, warned=warned
            )

    @property
    def request(self) -> ProviderRequest:
        """What is sent, once it is checked."""
        return self._request

    def keys(self) -> Sequence[AnyKey]:
        """Return the keys to send; raise MissingKeyError if one is missing."""
        return self.context.keys_for(self.provider)

    def open(self) -> Answer:
        """Make one attempt: if a key is rate limited, out of quota or rejected, try the next one immediately.

        If all of them fail, raise the error of the key that can be used again first.
        """
        keys = [(self._cooldown_key_of(key), key) for key in self.keys()]
        if len(keys) > 1:
            keys.sort(key=lambda pair: self.context.cooldowns.peek(pair[0], probes=False))
        failures: list[ChatError] = []
        for cooldown_key, key in keys:
            if failures and self.context.cooldowns.peek(cooldown_key, probes=False) > 0:
                continue
            self._cooldown_key = cooldown_key
            started = self.state.clock()
            try:
                return self._open_adapted(cooldown_key, key)
            except _KEY_ERRORS as error:
                self.context.cooldowns.record_failure(cooldown_key, error)
                error.__traceback__ = None
                self.state.record(error, started)
                failures.append(error)
                if len(keys) > 1:
                    logger.info("%s: a key is skipped (%s)", self.provider.name, type(error).__name__)
        raise min(failures, key=_time_to_wait)

    def give_up(self, error: BaseException) -> None:
        """Complete the final error, and record it in the cooldown table."""
        if isinstance(error, ChatError):
            error.provider, error.model = error.provider or self.state.provider, error.model or self.target.model
            if isinstance(error, ModelNotFoundError) and error.successor is None and not self._is_site():
                retirements.explain_missing_model(
                    error, self.provider, self.target.model, self.context.catalog, is_default=self.target.is_default
                )
            if self._cooldown_key is not None and not isinstance(error, _KEY_ERRORS):
                self.context.cooldowns.record_failure(self._cooldown_key, error)
        # If the target was not called after all, or gave no clear outcome, another call may probe it.
        for key in self.context.cooldown_keys(self.target):
            self.context.cooldowns.release_probe(key)

    def _is_site(self) -> bool:
        """Return whether the target is a site, which chooses its model itself."""
        return self.provider.free and not self.provider.direct

    def _cooldown_key_of(self, key: AnyKey) -> CooldownKey:
        return self.context.cooldown_key(self.provider.name, key, self.target.model)

    def _open_adapted(self, cooldown_key: CooldownKey, key: AnyKey) -> Answer:
        """Send what the model is known to accept; if it refuses more, adapt the request and repeat it once."""
        while True:
            changes = () if self.call.strict else self.context.refused_params.get(self._memo_key, ())
            request = replace(self._request, changes=changes) if changes else self._request
            try:
                return self._open_once(request, cooldown_key, key)
            except BadRequestError as error:
                demanded = refusals.take_changes(error) if error._changes and not self.call.strict else ()
                self._remember(demanded)
                if self._repeated and demanded:
                    error.message += "; a request is adapted only once; the next call will omit the refused parameter"
                    error.args = (error.message,)
                if self._repeated or not demanded:
                    raise
            self._repeated = True

    def _remember(self, changes: Sequence[refusals.Change]) -> None:
        """Store the changes that a model requires, with a warning; drop those of this call that did not help."""
        memo, name, model = self.context.refused_params, self.provider.name, self.target.model
        known = memo.get(self._memo_key, ())
        if changes:
            memoize(memo, self._memo_key, (*known, *(change for change in changes if change not in known)))
            for sentence in refusals.describe(changes):
                _warnings.warn_user(f"{name}: {model} {sentence}; strict=True forbids that")
        elif self._learned:
            memo[self._memo_key] = tuple(change for change in known if change not in self._learned)
        self._learned = changes

    def _open_once(self, request: ProviderRequest, cooldown_key: CooldownKey, key: AnyKey) -> Answer:
        context = self.context
        if self.call.in_batch:
            self._await_pauses(cooldown_key)
        release = None if context.rate_limiter is None else self._await_rate_limit(cooldown_key)
        attempts = self.state.attempts
        previous = attempts[-1].error if attempts else None
        http: Transport | None = None
        try:
            http = open_transport(self.provider, key, self.call, previous=previous)
            answer = self._send(request, http)
        except BaseException as error:
            if release is not None:
                release(None)
            if isinstance(error, RateLimitError) and error.retry_after is not None:
                context.pauses.note(cooldown_key, error.retry_after)
            if isinstance(error, ChatError) and http is not None:
                http.scrub(error)
                _add_advice(error, self.provider)
                error.provider, error.model = error.provider or self.provider.name, error.model or self.target.model
            raise
        context.cooldowns.record_success(cooldown_key)
        if release is not None:
            answer.when_closed(release)
        answer.when_failed(lambda error: context.cooldowns.record_failure(cooldown_key, error))
        return answer

    def _send(self, request: ProviderRequest, http: Transport) -> Answer:
        on_request = None if self.context.on_request is None else self._emit_request
        decision = self._decide_on_cache(request)
        if decision is not None and decision.plan is not None:
            request = replace(request, options=replace(request.options, cache=decision.plan))
        answer = send_request(request, http, clock=self.state.clock, on_request=on_request)
        if decision is not None:
            decision.follow(answer)
        return answer

    def _decide_on_cache(self, request: ProviderRequest) -> cache_policy.CacheDecision | None:
        """Return how a request uses the service's prompt cache, None if it is too short for it."""
        contents = [message.content for message in request.messages]
        lengths = [len(content) for content in contents if isinstance(content, str)]
        if len(lengths) == len(contents) and sum(lengths) < _SHORT_PROMPT and not request.options.tools:
            return None
        return cache_policy.decide(
            self.provider,
            request.model,
            request.messages,
            request.options,
            mode=self.call.prompt_cache,
            memory=self.context.prompt_memory(self.call.policy.now),
            shared=self.call.shared_head,
        )

    def _await_pauses(self, key: CooldownKey) -> None:
        """Wait until the pause that the service requested has ended, and any that begins meanwhile."""
        policy, pauses = self.call.policy, self.context.pauses
        waited_until = 0.0
        while (until := pauses.until(key)) > max(waited_until, policy.now()):
            waited_until, remaining = until, until - policy.now()
            if remaining > policy.max_wait:
                message = f"{key.provider}: the service asked for a pause; {remaining:.0f} s of it remain"
                raise RateLimitError(message, retry_after=remaining)
            # Jitter, as many rows wait for the same moment.
            seconds = remaining + (policy.random or random.random)() * min(1.0, remaining * 0.1)
            self.state.sleeper.wait(Wait(key.provider, key.model, seconds))
            self.state.paced += seconds

    def _await_rate_limit(self, key: CooldownKey) -> Callable[[Reply | None], None]:
        """Wait until the client's own rate limit allows one more request; return the function that frees its slot."""
        call, limiter = self.call, self.context.rate_limiter
        assert limiter is not None
        texts = (message.content for message in call.messages if isinstance(message.content, str))
        weight = sum(map(tokens.estimate_tokens, texts))
        max_tokens = call.options.params.get("max_tokens")
        weight += max_tokens or 0
        slot, waited = limiter.acquire(key.provider, key.key, key.model, max(weight, 1), self.state.sleeper)
        self.state.paced += waited
        return lambda reply: slot.release(reply.usage.total_tokens if reply is not None else None)

    def _emit_request(self, request: Any) -> None:
        secrets = self.call.secrets()
        record = hooks.RequestInfo(
            self.provider.name,
            self.target.model,
            str(request.method),
            hooks.redact_url(str(request.url)),
            hooks.redact_headers(request.headers or {}, self.context.connections.headers, self.call.headers),
            hooks.redact_keys(self.call.messages, secrets),
            hooks.redact_keys(self.call.options.params, secrets),
            len(self.state.attempts) + 1,
        )
        hooks.run_hook("request", self.context.on_request, record)


def open_transport(
    provider: Provider,
    key: AnyKey,
    call: Call,
    *,
    previous: BaseException | None = None,
    rules: Sequence[Rule] = (),
) -> Transport:
    """Return the transport of one attempt; a new connection is opened if that of the `previous` one was stale.

    `rules` go before the provider's own.

    A function that returns keys is called here, for each attempt, and once more if the service refuses its key.
    """
    context, local = call.context, is_local(provider.url)
    text = key.fetch() if isinstance(key, KeyFunction) else key
    authorization = Authorization(
        *_sign(provider, key, text),
        text or "",
        context.signers.get(provider.name),
        None if not isinstance(key, KeyFunction) else lambda refused: _renew(provider, key, refused),
        is_implicit=provider.name not in context.keys,
    )
    read = _LOCAL_READ_TIMEOUT if local else provider.read_timeout
    return Transport(
        context.connections,
        provider=provider.name,
        base_url=provider.url,
        timeout=call.timeout.filled(connect=_CONNECT_TIMEOUT, read=read),
        deadline=call.deadline,
        authorization=authorization,
        headers=call.headers,
        proxies=call.proxies,
        direct=provider.direct and local,
        fresh=getattr(previous, "stale", False),
        refused=previous if isinstance(previous, ChatError) and previous.action == "refresh" else None,
        rules=(*rules, *provider.rules),
        secrets=tuple({*([text] if text else ()), *context.secrets_of(provider.name)}),
    )


def _sign(provider: Provider, key: AnyKey, text: str | None) -> tuple[str, str]:
    if not text:
        return "", ""
    return provider.sign_token(text) if isinstance(key, KeyFunction) else provider.sign(text)


def _renew(provider: Provider, key: KeyFunction, refused: str) -> Renewal | None:
    renewed = key.renew(refused)
    return None if renewed is None else Renewal(*provider.sign_token(renewed[0]), *renewed)


def _time_to_wait(error: ChatError) -> tuple[bool, float]:
    return error.action != "retry", error.cooldown if error.retry_after is None else error.retry_after


def _add_advice(error: ChatError, provider: Provider) -> None:
    advice = provider.advice_for(error)
    if advice:
        error.message = f"{error.message} {advice}"
        error.args = (error.message,)
