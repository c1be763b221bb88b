"""Turns -> answer: an ELIZA in the tradition of Weizenbaum, deterministic for a given seed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aichatkit.sandbox.script import DEFAULT_ANSWERS, FAREWELLS, MEMORIES, REFLECTIONS, RULES, SILENCE

_MAX_TURNS = 100


class Eliza:
    """One conversation: ranked rules, answers in rotation, and a memory of phrases with "my ..."."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._next_index: dict[str, int] = {}
        self._memory: list[str] = []

    def answer(self, text: str) -> str:
        """Return the answer to the user's next message."""
        text = _normalize(text)
        if not text:
            return self._next("silence", SILENCE)
        if text in ("bye", "goodbye", "quit", "exit"):
            return self._next("farewell", FAREWELLS)
        answer = self._apply_rules(text) or self._recall() or self._next("default", DEFAULT_ANSWERS)
        self._remember(text)
        return answer

    def _apply_rules(self, text: str) -> str | None:
        for pattern, answers in RULES:
            if match := re.search(pattern, text):
                answer = self._next(pattern, answers)
                return answer.format(*(reflect(group or "it") for group in match.groups()))
        return None

    def _recall(self) -> str | None:
        return self._memory.pop(0) if self._memory else None

    def _remember(self, text: str) -> None:
        if match := re.search(r"\bmy ([a-z' ]{3,40})$", text):
            self._memory.append(self._next("memory", MEMORIES).format(reflect(match[1])))

    def _next(self, key: str, answers: Sequence[str]) -> str:
        index = self._next_index.get(key, self._seed)
        self._next_index[key] = index + 1
        return answers[index % len(answers)]


def eliza(turns: Sequence[str], seed: int = 0) -> str:
    """Return the answer to the last of a conversation's user turns.

    >>> eliza(["I am sad"])
    'How long have you been sad?'
    """
    conversation = Eliza(seed)
    answer = conversation.answer("")
    for turn in turns[-_MAX_TURNS:]:
        answer = conversation.answer(turn)
    return answer


def reflect(text: str) -> str:
    """Swap the first and second person in a text.

    >>> reflect("my dog likes me")
    'your dog likes you'
    """
    return " ".join(REFLECTIONS.get(word, word) for word in text.split())


def _normalize(text: str) -> str:
    # The patterns need only a short line; prompts are truncated so that matching stays fast.
    words = re.sub(r"[^\w' ]+", " ", text[:2000].lower().replace("\u2019", "'"))
    return " ".join(words.split()[:60])
