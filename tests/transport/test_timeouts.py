"""The limits a user sets, and the deadline of a call."""

from __future__ import annotations

import copy
import pickle

import pytest

from aichatkit import Client, ConfigurationError, DeadlineExceededError, Timeout
from aichatkit.transport.timeouts import Deadline


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Timeout()),
        (3, Timeout(connect=3, read=3)),
        (0.5, Timeout(connect=0.5, read=0.5)),
        ((3, 30), Timeout(connect=3, read=30)),
        (Timeout(total=9), Timeout(total=9)),
    ],
)
def test_seconds_a_pair_or_a_timeout_may_be_given(given, expected):
    assert Timeout.of(given) == expected


@pytest.mark.parametrize(
    "value", [0, -1, "5", True, float("inf"), float("nan"), (1, 2, 3), (0, 5), (5, None, None), [1, 2], {}]
)
def test_a_limit_that_is_none_is_refused_when_the_client_is_made(value):
    with pytest.raises(ConfigurationError, match="positive number of seconds"):
        Client(timeout=value)


@pytest.mark.parametrize("name", ["connect", "read", "total"])
def test_each_limit_is_checked_and_named(name):
    with pytest.raises(ConfigurationError, match=f"timeout: {name} must be"):
        Timeout(**{name: 0})


def test_defaults_fill_only_what_was_not_set():
    assert Timeout(read=7, total=9).filled(connect=5, read=60) == Timeout(connect=5, read=7, total=9)
    assert Timeout(connect=1).filled(connect=5, read=60) == Timeout(connect=1, read=60)


def test_a_timeout_can_be_copied_pickled_and_not_changed():
    limits = Timeout(read=7)
    assert pickle.loads(pickle.dumps(limits)) == copy.deepcopy(limits) == limits
    with pytest.raises(AttributeError):
        limits.read = 8


def test_without_total_the_deadline_never_comes():
    deadline = Deadline(None, lambda: 1e9)
    assert deadline.remaining() is None
    assert deadline.bound(60) == 60


def test_a_deadline_bounds_every_wait_to_what_is_left():
    now = [100.0]
    deadline = Deadline(10, lambda: now[0])
    now[0] = 107.0
    assert deadline.remaining() == 3
    assert (deadline.bound(60), deadline.bound(2)) == (3, 2)


@pytest.mark.parametrize("moment", [110.0, 111.0])
def test_when_the_deadline_has_come_nothing_more_is_begun(moment):
    now = [100.0]
    deadline = Deadline(10, lambda: now[0])
    now[0] = moment
    with pytest.raises(DeadlineExceededError, match="total timeout of 10 s expired"):
        deadline.bound(60)
