"""Conversation history -> the part of it that is sent: the oldest turns are dropped until the request fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aichatkit.catalog.context_windows import window_of
from aichatkit.catalog.tokens import count_call, count_message
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Message
from aichatkit.params import is_integer

if TYPE_CHECKING:
    from aichatkit.call.call import Call

__all__ = ["last_turn_start", "parse_trim", "trim_history"]

_INSTRUCTION_ROLES = ("system", "developer")
#: The most tokens reserved for an answer without `max_tokens`, and the share kept free because counts are inexact.
_ANSWER_TOKENS, _SAFETY_MARGIN = 4096, 0.1
_STEPS = 4


def parse_trim(trim: Any) -> int | str | None:
    """Return a valid `trim=` option: a number of tokens, "auto" or None."""
    if trim is None or trim == "auto" or is_integer(trim, minimum=1):
        return trim  # type: ignore[no-any-return]
    raise ConfigurationError(f"trim: must be a number of tokens or 'auto', not {trim!r}")


def trim_history(history: Sequence[Message], new: Sequence[Message], call: Call, trim: int | str) -> list[Message]:
    """Return the history without the oldest turns, as many as needed to fit; `call` holds the whole history and `new`.

    A turn is removed as a unit: prompt, tool calls with their results, and answer. Instructions are never removed.
    With "auto", turns are removed in steps of a quarter of the window, so that the history begins the same for many
    questions, as prompt caches require.
    """
    model = call.targets[0].model
    limit = trim if isinstance(trim, int) else _window_limit(call)
    step = 1 if isinstance(trim, int) else max(1, limit // _STEPS)
    excess = count_call(call.messages, call.options, model) - limit
    excess = -(-excess // step) * step
    # Tool results at the start of `new` continue the last turn of the history; that turn has no end here, so it stays.
    starts = [start for start in _turn_starts([*history, *new]) if start <= len(history)]
    removed: set[int] = set()
    for start, end in zip(starts, starts[1:]):
        if excess <= 0:
            break
        indices = [i for i in range(start, end) if history[i].role not in _INSTRUCTION_ROLES]
        excess -= sum(count_message(history[i], model) for i in indices)
        removed.update(indices)
    return [message for i, message in enumerate(history) if i not in removed]


def last_turn_start(history: Sequence[Message]) -> int:
    """Return the index of the first message of the last turn."""
    return max(_turn_starts(history), default=0)


def _turn_starts(history: Sequence[Message]) -> list[int]:
    """Return the index of each turn's first message: the first of one or more user messages in a row, or message 0."""
    starts, previous_role = [], ""
    for i, message in enumerate(history):
        if not i or (message.role == "user" and previous_role != "user"):
            starts.append(i)
        previous_role = previous_role if message.role in _INSTRUCTION_ROLES else message.role
    return starts


def _window_limit(call: Call) -> int:
    """Return the token limit for `trim="auto"`: the smallest known context window, less room for the answer."""
    names = [f"{target.provider.priced_as or target.provider.name}/{target.model}" for target in call.targets]
    records = map(call.context.record, call.targets)
    windows = [window for window in map(window_of, records) if window is not None]
    if not windows:
        raise ConfigurationError(
            f"trim: the context window of {' and '.join(names)} is not known; pass a number of tokens, trim=8000"
        )
    window, max_tokens = min(windows), call.options.params.get("max_tokens")
    reserved = max_tokens if isinstance(max_tokens, int) else min(_ANSWER_TOKENS, window // 4)
    return max(0, int((window - reserved) * (1 - _SAFETY_MARGIN)))
