"""What closing events repeat is taken once: as far as no piece of it came before."""

from __future__ import annotations

import pytest

from aichatkit.call.collector import Collector
from aichatkit.chunks import Part, Picture, Reasoning, Refusal, Whole


def heard(*chunks):
    """Return the text and the reasoning that come out of the chunks."""
    texts = []
    seen = Collector("asked", texts)
    for chunk in chunks:
        for part in seen.iter_new(chunk) if isinstance(chunk, Whole) else (chunk,):
            if isinstance(part, (str, Refusal)):
                texts.append(part if isinstance(part, str) else part.text)
            else:
                seen.add(part)
    return "".join(texts), "".join(seen.reasoning)


A, B = ("a",), ("b",)


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        # The whole answer.
        ([Whole(("Hello",))], "Hello"),
        (["Hel", "lo", Whole(("Hello",))], "Hello"),
        (["Hel", Whole(("Hello",))], "Hello"),
        (["Hello", Whole(("Hello", " world"))], "Hello world"),
        (["Hello", Whole(("Hi",))], "Hello"),
        (["Hello", Whole((Refusal("Hello, no."),))], "Hello, no."),
        (["Hello", Whole(())], "Hello"),
        # A service that sends pieces as others send the whole.
        ([Whole(("Hel",)), Whole(("lo",))], "Hello"),
        ([Whole(("Hel",)), Whole(("Hello",)), Whole(("Hello",))], "Hello"),
        # Part by part.
        ([Whole(("Hello",), A), Whole(("Hello",), A)], "Hello"),
        (["Hello", Whole(("Hello",), A), Whole((" you",), B), Whole(("Hello", " you"))], "Hello you"),
        (["Hello", " you", Whole(("Hello",), A), Whole((" you",), B)], "Hello you"),
        (["Hel", Whole(("Hello",), A), Whole(("Hello",))], "Hello"),
        (["Hello", Part(B), " you", Whole(("Hello",), A), Whole((" you",), B)], "Hello you"),
        (["Hello", Whole(("Hi",), A), Whole((" you",), B)], "Hello you"),
        ([Whole(("Yes.",), A), Whole(("Yes.",), B)], "Yes.Yes."),
        ([Part(A), Part(A), Whole(("",), B)], ""),
    ],
)
def test_text_is_told_once(chunks, text):
    assert heard(*chunks)[0] == text


@pytest.mark.parametrize(
    ("chunks", "reasoning"),
    [
        ([Whole((Reasoning("Hm."),))], "Hm."),
        ([Reasoning("H"), Reasoning("m."), Whole((Reasoning("Hm."),), A), Whole((Reasoning("Hm."), "Hi"))], "Hm."),
        ([Reasoning("H"), Whole((Reasoning("Hm."),))], "Hm."),
        ([Reasoning("Hm."), Whole((Reasoning("So."),), A)], "Hm.So."),
    ],
)
def test_reasoning_is_told_once(chunks, reasoning):
    assert heard(*chunks)[1] == reasoning


def test_a_picture_is_told_once():
    seen = Collector("asked")
    whole = Whole((Picture(data="data:image/png;base64,aQ=="),))
    assert list(seen.iter_new(whole)) == list(whole.parts)
    seen.images.append("data:image/png;base64,aQ==")
    assert list(seen.iter_new(whole)) == []
