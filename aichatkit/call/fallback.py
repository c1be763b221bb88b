"""Call -> answer: the targets in order, until one of them answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aichatkit._lazy import lazy_module
from aichatkit.call.answer import Answer
from aichatkit.call.attempt import TargetAttempts
from aichatkit.call.call import Call, CallContext
from aichatkit.call.targets import Target
from aichatkit.errors import AllProvidersFailedError, ChatError, ConfigurationError, ContextTooLongError
from aichatkit.limits.retries import retry
from aichatkit.limits.waits import Sleeper, Wait
from aichatkit.reply import Attempt

if TYPE_CHECKING:
    from aichatkit.catalog import context_windows
else:
    # Few prompts are too long for a model.
    context_windows = lazy_module("aichatkit.catalog.context_windows")

__all__ = ["check_call", "open_answer"]

logger = logging.getLogger(__name__)


def open_answer(call: Call) -> Answer:
    """Return the answer of the first target that gives one, with its first text received.

    Targets on cooldown are skipped; if all of them are, the call waits for the first to come back.
    """
    sleeper = call.sleeper()
    attempts: list[Attempt] = []
    errors: list[ChatError] = []
    skipped: list[Target] = []
    waited = 0.0
    while not errors:
        # If another thread took the probe of the last available target, nothing was tried, so wait again.
        waited = _await_any(call, sleeper, waited)
        skipped.clear()
        answer = _try_in_order(call, sleeper, attempts, errors, skipped)
        if answer is not None:
            if call.on_answer is not None:
                call.on_answer(answer)
            return answer
    raise _final_error(errors, attempts, skipped)


def check_call(call: Call) -> None:
    """Raise if no target can be called as requested; nothing is sent."""
    errors = []
    for target in call.targets:
        attempt = (call.make_attempts or TargetAttempts)(call, target, call.sleeper(), [])
        # An invalid address in the environment is an error even if another target could be called.
        call.context.provider(target.provider)
        try:
            attempt.check()
            attempt.keys()
            return
        except ConfigurationError as error:
            errors.append(error)
    raise errors[0]


def _try_in_order(
    call: Call, sleeper: Sleeper, attempts: list[Attempt], errors: list[ChatError], skipped: list[Target]
) -> Answer | None:
    too_long: list[Target] = []
    for target in call.targets:
        record = call.context.record
        if not all(context_windows.may_fit_more(record(target), than=record(other)) for other in too_long):
            skipped.append(target)
            continue
        if len(call.targets) > 1 and _on_cooldown(target, call.context):
            skipped.append(target)
            logger.info("%s is on cooldown and is skipped", _name(target))
            continue
        try:
            answer = _try_target(call, target, sleeper, attempts)
        except ChatError as error:
            failure = error
        else:
            # Extend it in place: the reply, if it is complete already, shares the list.
            answer.attempts.extend(attempts)
            return answer
        failure.attempts = list(attempts)
        errors.append(failure)
        if failure.action == "stop":
            break
        if isinstance(failure, ContextTooLongError):
            too_long.append(target)
        logger.info("%s failed (%s), moving on", target.provider.name, type(failure).__name__)
    return None


def _try_target(call: Call, target: Target, sleeper: Sleeper, attempts: list[Attempt]) -> Answer:
    attempt: TargetAttempts = (call.make_attempts or TargetAttempts)(call, target, sleeper, attempts)
    try:
        attempt.check()
        return retry(attempt)
    except BaseException as error:
        attempt.give_up(error)
        raise


def _name(target: Target) -> str:
    return f"{target.provider.name}/{target.model}"


def _await_any(call: Call, sleeper: Sleeper, waited: float) -> float:
    """If every target is on cooldown, wait for the first to come back, unless that takes too long."""
    if len(call.targets) < 2:
        return waited
    context = call.context
    while True:
        remaining = {target: min(map(context.cooldowns.peek, context.cooldown_keys(target))) for target in call.targets}
        first = min(remaining, key=lambda target: remaining[target])
        if remaining[first] <= 0:
            return waited
        if waited + remaining[first] > call.policy.max_wait:
            raise _all_on_cooldown(context, remaining[first])
        sleeper.wait(Wait(first.provider.name, first.model, remaining[first]))
        waited += remaining[first]


def _on_cooldown(target: Target, context: CallContext) -> bool:
    return not any(context.cooldowns.admit(key) <= 0 for key in context.cooldown_keys(target))


def _final_error(errors: Sequence[ChatError], attempts: Sequence[Attempt], skipped: Sequence[Target]) -> ChatError:
    for error in errors:
        error.__traceback__ = None
    note = f"; skipped: {', '.join(map(_name, skipped))}" if skipped else ""
    if errors[-1].action == "stop":
        return errors[-1]
    if len(errors) == 1:
        errors[0].message += note
        errors[0].args = (errors[0].message,)
        return errors[0]
    reasons = "; ".join(f"{type(error).__name__}: {error}" for error in errors)
    hints = [error.retry_after for error in errors if error.retry_after is not None]
    return AllProvidersFailedError(
        f"{len(errors)} providers were called and all of them failed: {reasons}{note}",
        errors=errors,
        attempts=attempts,
        retry_after=min(hints) if hints else None,
    )


def _all_on_cooldown(context: CallContext, seconds: float) -> AllProvidersFailedError:
    rows = (f"{row.provider} ({row.reason}, {row.seconds:.0f} s)" for row in context.cooldowns.cooling())
    return AllProvidersFailedError(
        f"every provider is on cooldown after failures: {', '.join(rows)}; the first is available in {seconds:.0f} s",
        retry_after=seconds,
    )
