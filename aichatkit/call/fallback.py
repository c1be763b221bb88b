"""One call: the targets in order, until one answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aichatkit._lazy import lazy_module
from aichatkit.call.answer import Answer
from aichatkit.call.attempt import Call, CallContext, ask_target, make_provider, provider_keys, subjects_of
from aichatkit.call.request import ProviderRequest, check_ask
from aichatkit.call.targets import Target
from aichatkit.errors import (
    AllProvidersFailedError,
    ChatError,
    ConfigurationError,
    ContextTooLongError,
)
from aichatkit.limits.waits import Sleeper, Wait
from aichatkit.reply import Attempt

if TYPE_CHECKING:
    from aichatkit.catalog import context_windows
else:
    # Few prompts are too long for anybody.
    context_windows = lazy_module("aichatkit.catalog.context_windows")

__all__ = ["check_call", "open_call"]

logger = logging.getLogger(__name__)


def open_call(call: Call, setup: CallContext) -> Answer:
    """Return an answer with its first text in hand, from the first target that gives one.

    Targets that are cooling are passed over; where all of them are, the one that is free first is waited for.
    """
    waiting = call.waiting(setup)
    attempts: list[Attempt] = []
    errors: list[ChatError] = []
    waited = 0.0
    while not errors:
        # Another thread may have taken the probe of the last one that was free: then look again.
        waited = _await_any(call, setup, waiting, waited)
        answer = _ask_in_order(call, setup, waiting, attempts, errors)
        if answer is not None:
            return answer
    raise _verdict(errors, attempts)


def _ask_in_order(
    call: Call, setup: CallContext, waiting: Sleeper, attempts: list[Attempt], errors: list[ChatError]
) -> Answer | None:
    too_long: list[Target] = []
    for target in call.targets:
        if not all(context_windows.may_fit_more(_name(target), than=_name(other)) for other in too_long):
            continue
        if len(call.targets) > 1 and _cooling(target, setup):
            continue
        try:
            answer = ask_target(target, call, setup, waiting, attempts)
        except ChatError as error:
            failure = error
        else:
            answer.attempts.extend(attempts)  # one list with its reply, which may be made already
            return answer
        failure.attempts = list(attempts)
        errors.append(failure)
        if failure.action == "stop":
            break
        if isinstance(failure, ContextTooLongError):
            too_long.append(target)
        logger.info("%s failed (%s), moving on", target.provider.name, type(failure).__name__)
    return None


def _name(target: Target) -> str:
    return f"{target.provider.priced_as or target.provider.name}/{target.model}"


def check_call(call: Call, setup: CallContext) -> None:
    """Raise what none of the targets would get past, before anything is sent."""
    errors = []
    for target in call.targets:
        provider = make_provider(target.provider, setup)
        try:
            check_ask(ProviderRequest(provider, target.model, call.messages, call.options))
            provider_keys(provider, setup)
            return
        except ConfigurationError as error:
            errors.append(error)
    raise errors[0]


def _await_any(call: Call, setup: CallContext, waiting: Sleeper, waited: float) -> float:
    """Where every target is cooling, wait for the first that is free again, if that is soon enough."""
    if len(call.targets) < 2:
        return waited
    while True:
        left = {target: min(map(setup.health.peek, subjects_of(target, setup))) for target in call.targets}
        first = min(left, key=lambda target: left[target])
        if left[first] <= 0:
            return waited
        if waited + left[first] > call.policy.max_wait:
            raise _all_cooling(setup, left[first])
        waiting.wait(Wait(first.provider.name, first.model, left[first]))
        waited += left[first]


def _cooling(target: Target, setup: CallContext) -> bool:
    return not any(setup.health.admit(subject) <= 0 for subject in subjects_of(target, setup))


def _verdict(errors: Sequence[ChatError], attempts: Sequence[Attempt]) -> ChatError:
    for error in errors:
        error.__traceback__ = None
    if len(errors) == 1 or errors[-1].action == "stop":
        return errors[-1]
    return _all_failed("all of them failed", errors, attempts)


def _all_cooling(setup: CallContext, seconds: float) -> AllProvidersFailedError:
    told = ", ".join(f"{row.provider} ({row.reason}, {row.seconds:.0f} s)" for row in setup.health.cooling())
    return AllProvidersFailedError(
        f"every provider is cooling after failures: {told}; the first is free in {seconds:.0f} s", retry_after=seconds
    )


def _all_failed(what: str, errors: Sequence[ChatError], attempts: Sequence[Attempt]) -> AllProvidersFailedError:
    told = "; ".join(f"{type(error).__name__}: {error}" for error in errors)
    hints = [error.retry_after for error in errors if error.retry_after is not None]
    return AllProvidersFailedError(
        f"{len(errors)} providers were asked and {what}: {told}",
        errors=errors,
        attempts=attempts,
        retry_after=min(hints) if hints else None,
    )
