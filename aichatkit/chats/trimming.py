"""History -> what of it is sent: the oldest turns are left out where all of them would not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aichatkit.catalog.context_windows import window_of
from aichatkit.catalog.tokens import count_call, count_message
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Message
from aichatkit.params import is_integer

if TYPE_CHECKING:
    from aichatkit.call.attempt import Call

__all__ = ["last_turn", "parse_trim", "trimmed"]

_LASTING = ("system", "developer")
#: Tokens left for an answer whose length is not bounded, at most; and the share that a count may be wrong by.
_ANSWER, _DOUBT = 4096, 0.1


def parse_trim(trim: Any) -> int | str | None:
    """Return the limit a user may set: a number of tokens, "auto" or None."""
    if trim is None or trim == "auto" or is_integer(trim, minimum=1):
        return trim  # type: ignore[no-any-return]
    raise ConfigurationError(f"trim: must be a number of tokens or 'auto', not {trim!r}")


def trimmed(history: Sequence[Message], turns: Sequence[Message], call: Call, trim: int | str) -> list[Message]:
    """Return the history without the oldest turns that do not fit into `call`, which asks with all of it and `turns`.

    A turn goes as a whole: the question, the calls of tools and their results, and the answer. Instructions stay.
    """
    model = call.targets[0].model
    most = trim if isinstance(trim, int) else _room(call)
    taken = count_call(call.messages, call.options, model)
    # Results of tools go on with the turn that asked for them: that has no end here, and stays.
    starts = [start for start in _starts([*history, *turns]) if start <= len(history)]
    gone: set[int] = set()
    for start, end in zip(starts, starts[1:]):
        if taken <= most:
            break
        leaving = [i for i in range(start, end) if history[i].role not in _LASTING]
        taken -= sum(count_message(history[i], model) for i in leaving)
        gone.update(leaving)
    return [message for i, message in enumerate(history) if i not in gone]


def last_turn(history: Sequence[Message]) -> int:
    """Return where the last turn begins."""
    return max(_starts(history), default=0)


def _starts(history: Sequence[Message]) -> list[int]:
    """Return where the turns begin: with a question, of one message or several, or with the first message of all."""
    starts, before = [], ""
    for i, message in enumerate(history):
        if not i or (message.role == "user" and before != "user"):
            starts.append(i)
        before = before if message.role in _LASTING else message.role
    return starts


def _room(call: Call) -> int:
    """Return how many tokens the models asked take, by the smallest window that is known, less room for the answer."""
    names = [f"{target.provider.priced_as or target.provider.name}/{target.model}" for target in call.targets]
    known = [window for window in map(window_of, names) if window is not None]
    if not known:
        raise ConfigurationError(
            f"trim: the context window of {' and '.join(names)} is not known; pass a number of tokens, trim=8000"
        )
    window, answer = min(known), call.options.params.get("max_tokens")
    left = answer if isinstance(answer, int) else min(_ANSWER, window // 4)
    return max(0, int((window - left) * (1 - _DOUBT)))
