"""Turns -> answer: an ELIZA in the tradition of Weizenbaum, the same every time under one seed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aichatkit.sandbox.script import FAREWELLS, MEMORIES, NOTHING_FITS, REFLECTIONS, RULES, SILENCE

_TURNS_REMEMBERED = 100


class Eliza:
    """One conversation: rules by rank, answers in turn, and a memory of what was said about "my ..."."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._used: dict[str, int] = {}
        self._memory: list[str] = []

    def answer(self, text: str) -> str:
        """Answer one thing the user says."""
        said = _tidy(text)
        if not said:
            return self._next("silence", SILENCE)
        if said in ("bye", "goodbye", "quit", "exit"):
            return self._next("farewell", FAREWELLS)
        answer = self._first_rule(said) or self._recall() or self._next("nothing", NOTHING_FITS)
        self._remember(said)
        return answer

    def _first_rule(self, said: str) -> str | None:
        for pattern, answers in RULES:
            if match := re.search(pattern, said):
                chosen = self._next(pattern, answers)
                return chosen.format(*(reflect(group or "it") for group in match.groups()))
        return None

    def _recall(self) -> str | None:
        return self._memory.pop(0) if self._memory else None

    def _remember(self, said: str) -> None:
        if match := re.search(r"\bmy ([a-z' ]{3,40})$", said):
            self._memory.append(self._next("memory", MEMORIES).format(reflect(match[1])))

    def _next(self, key: str, answers: Sequence[str]) -> str:
        turn = self._used.get(key, self._seed)
        self._used[key] = turn + 1
        return answers[turn % len(answers)]


def eliza(turns: Sequence[str], seed: int = 0) -> str:
    """Answer the last of a conversation's user turns.

    >>> eliza(["I am sad"])
    'How long have you been sad?'
    """
    speaker = Eliza(seed)
    answer = speaker.answer("")
    for turn in turns[-_TURNS_REMEMBERED:]:
        answer = speaker.answer(turn)
    return answer


def reflect(text: str) -> str:
    """Turn what a speaker says about himself round.

    >>> reflect("my dog likes me")
    'your dog likes you'
    """
    return " ".join(REFLECTIONS.get(word, word) for word in text.split())


def _tidy(text: str) -> str:
    # One short line is enough to talk about; long prompts are cut so that no pattern has to walk through a book.
    words = re.sub(r"[^\w' ]+", " ", text[:2000].lower().replace("\u2019", "'"))
    return " ".join(words.split()[:60])
