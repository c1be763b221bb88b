"""Pauses a service asked for."""

from __future__ import annotations

from aichatkit.limits.cooldowns import CooldownKey
from aichatkit.limits.waits import Pauses


def test_past_pauses_are_forgotten_when_there_are_many():
    now = [0.0]
    pauses = Pauses(lambda: now[0])
    last = CooldownKey.of("openai", None, "last")
    pauses.note(last, 5000.0)
    for number in range(3000):
        now[0] += 1.0
        pauses.note(CooldownKey.of("openai", None, f"m{number}"), 10.0)
    assert len(pauses._ends) <= 1000
    assert pauses.until(last) == 5000.0
