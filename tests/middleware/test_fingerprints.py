"""Fingerprints: the same for what is the same, and steady from run to run."""

from __future__ import annotations

import pytest

from aichatkit.middleware.fingerprints import fingerprint


@pytest.fixture
def of(client):
    return lambda prompt, **options: fingerprint(client._build_call(prompt, 1, **options))


def test_equal_calls_have_equal_fingerprints(of):
    assert of("Hi", temperature=0.5, seed=1) == of("Hi", seed=1, temperature=0.5)
    assert of("Hi") == of([{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize("other", ["Ho", "Hi ", ["Hi", "Hi"], "H\ud83d", "Hé"])
def test_other_prompts_have_others(of, other):
    assert of("Hi") != of(other)


def test_files_count_by_what_is_in_them(of):
    assert of("Hi", files=[b"text one"]) == of("Hi", files=[b"text one"])
    assert of("Hi", files=[b"text one"]) != of("Hi", files=[b"text two"])


@pytest.mark.parametrize(("one", "two"), [({"b", "a"}, {"a", "b"}), (b"x", bytearray(b"x")), (3j, 3j)])
def test_values_that_json_does_not_know_are_steady(of, one, two):
    assert of("Hi", extra={"x": one}) == of("Hi", extra={"x": two})


def test_values_that_json_does_not_know_are_told_apart(of):
    assert len({of("Hi", extra={"x": value}) for value in ({"a"}, {"b"}, b"a", b"b", 1j, 2j)}) == 6
