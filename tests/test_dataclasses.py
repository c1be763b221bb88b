"""Structs are dataclasses to everyone, and load without `dataclasses`."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys

import pytest

from aichatkit import Attempt, Message, RateLimitError, Reply, RetryPolicy, Timeout, Usage
from aichatkit._dataclasses import dataclass, field, field_names, replace
from aichatkit.chunks import ToolCall
from aichatkit.limits.rate_limits import _Reservation
from aichatkit.messages import ToolCallsMessage


@dataclass(frozen=True)
class Point:
    """A place."""

    x: int
    y: int = 0
    names: list[str] = field(default_factory=list)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Deep(Point):
    """A place below."""

    z: int = 7


@dataclasses.dataclass(frozen=True)
class Twin:
    x: int
    y: int = 0
    names: list[str] = dataclasses.field(default_factory=list)
    secret: str = dataclasses.field(default="", repr=False)


@dataclass
class Loose:
    """One that may be changed."""

    x: int = 1


def test_it_reads_as_a_dataclass_does():
    assert repr(Point(1, secret="s")) == repr(Twin(1, secret="s")).replace("Twin", "Point")
    assert repr(Deep(1, 2)) == "Deep(x=1, y=2, names=[], z=7)"


def test_equal_are_those_of_one_class_with_equal_fields():
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(1, secret="other")
    assert Point(1) != Deep(1)
    assert Message("user", "Hi") == Message("user", "Hi")
    assert Point(1) != 1


def test_a_frozen_one_has_a_hash_of_its_fields_and_a_loose_one_none():
    assert {Timeout(read=1): 1}[Timeout(read=1)] == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(Loose())
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))


@pytest.mark.parametrize("name", ["x", "secret", "other"])
def test_a_frozen_one_cannot_be_changed(name):
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(Point(1), name, 2)
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(Point(1), name)


def test_an_inherited_field_is_frozen_too():
    with pytest.raises(AttributeError, match="cannot assign to field 'x'"):
        Deep(1).x = 2


def test_a_class_that_inherits_may_hold_more():
    class Named(Point):
        pass

    named = Named(1)
    named.label = "A"
    del named.label
    with pytest.raises(dataclasses.FrozenInstanceError):
        named.y = 3


def test_a_loose_one_can_be_changed():
    loose = Loose()
    loose.x = 5
    assert loose == Loose(5)


def test_each_one_gets_a_list_of_its_own():
    first, second = Point(1), Point(1)
    first.names.append("A")
    assert second.names == []
    assert Point(1, names=["B"]).names == ["B"]


def test_a_default_can_be_seen_on_the_class_and_what_is_made_anew_cannot():
    assert (Point.y, Point.secret, hasattr(Point, "names")) == (0, "", False)


def test_a_missing_or_unknown_field_is_a_type_error_that_names_it():
    with pytest.raises(TypeError, match=r"Point.__init__\(\) missing 1 required positional argument: 'x'|missing"):
        Point()
    with pytest.raises(TypeError, match="unexpected keyword argument 'w'"):
        Point(1, w=2)


def test_the_signature_tells_names_types_and_defaults():
    told = inspect.signature(Point).parameters
    assert list(told) == ["x", "y", "names", "secret"]
    assert (told["x"].annotation, told["y"].default, repr(told["names"].default)) == ("int", 0, "<factory>")


def test_replace_changes_some_fields():
    assert replace(Deep(1, names=["A"]), z=9) == Deep(1, 0, ["A"], "", 9)
    assert dataclasses.replace(Deep(1, names=["A"]), z=9) == Deep(1, 0, ["A"], "", 9)
    with pytest.raises(TypeError):
        replace(Point(1), w=2)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is new in Python 3.13")
def test_the_copy_module_replaces_as_well():
    assert copy.replace(Point(1), y=2) == Point(1, 2)


def test_checks_run_on_every_way_to_make_one():
    for make in (lambda: Timeout(read=-1), lambda: replace(Timeout(), read=-1), lambda: RetryPolicy(attempts=0)):
        with pytest.raises(ValueError, match="must be"):
            make()


@pytest.mark.parametrize("value", [Point(1, 2, ["A"], "s"), Deep(1), Loose(3), ToolCall("1", "f", {"a": 1})])
def test_they_pickle_and_copy(value):
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == copy.copy(value) == value


def test_dataclasses_takes_them_for_its_own():
    assert dataclasses.is_dataclass(Reply)
    assert dataclasses.is_dataclass(Usage(1))
    assert dataclasses.asdict(Deep(1)) == {"x": 1, "y": 0, "names": [], "secret": "", "z": 7}
    mine, theirs = dataclasses.fields(Point), dataclasses.fields(Twin)
    assert [(one.name, one.type, one.default, one.repr) for one in mine] == [
        (one.name, one.type, one.default, one.repr) for one in theirs
    ]
    assert [one.name for one in dataclasses.fields(ToolCallsMessage)] == list(field_names(ToolCallsMessage))


def test_asdict_goes_into_the_depth():
    reply = Reply("Hi", "p", "m", attempts=[Attempt("p", "m", RateLimitError("slow"))])
    told = dataclasses.asdict(reply)
    assert told["usage"] == dict.fromkeys(field_names(Usage))
    assert told["attempts"][0]["provider"] == "p"


def test_a_dataclass_of_a_user_may_inherit():
    @dataclasses.dataclass(frozen=True)
    class Place(Message):
        where: str = "here"

    place = Place("user", "Hi")
    assert (place.text, place.where, dataclasses.asdict(place)["where"]) == ("Hi", "here", "here")
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):
        dataclasses.dataclass(type("Bad", (Message,), {"__annotations__": {"where": "str"}, "where": ""}))


def test_what_may_be_changed_is_no_frozen_dataclass():
    taken = _Reservation(1.0, 3)
    assert dataclasses.replace(taken, counted=False) == _Reservation(1.0, 3, False)
    assert _Reservation.__dataclass_params__.frozen is False


@pytest.mark.skipif(sys.version_info < (3, 10), reason="older Pythons have no match statement")
def test_they_can_be_matched_by_position():
    space = {"value": Point(1, 2)}
    exec("match value:\n case Point(x, y): found = x, y", {"Point": Point}, space)
    assert space["found"] == (1, 2)


def test_none_of_it_loads_dataclasses():
    # An environment's own start-up files may load it, so only what comes after `requests` counts.
    code = (
        "import requests, sys\nbefore = set(sys.modules)\nfrom aichatkit import Reply, Timeout, Usage\n"
        "assert Reply('a', 'b', 'c') == Reply('a', 'b', 'c'), (Timeout(read=2), Usage())\n"
        "assert 'dataclasses' not in set(sys.modules) - before"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
