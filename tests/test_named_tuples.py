"""Named tuples that are fast to import behave as those of the standard library."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
import typing

import pytest

from aichatkit._dataclasses import NamedTuple
from aichatkit.chunks import Citation


class Mine(NamedTuple):
    """A place."""

    x: int
    names: list[str] | None = None
    y: float = 0.5

    @property
    def total(self) -> float:
        """The sum."""
        return self.x + self.y

    @classmethod
    def at(cls, x: int) -> Mine:
        """Return a place."""
        return cls(x, y=1)


class Theirs(typing.NamedTuple):
    """A place."""

    x: int
    names: list[str] | None = None
    y: float = 0.5


class Empty(NamedTuple):
    pass


def test_they_are_what_the_standard_ones_are():
    assert Mine.__mro__[1:] == Theirs.__mro__[1:] == (tuple, object)
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__match_args__"):
        assert getattr(Mine, name, None) == getattr(Theirs, name, None), name
    assert Mine.__qualname__ == Mine.__name__ == "Mine"
    mine, theirs = (inspect.signature(cls).parameters.values() for cls in (Mine, Theirs))
    assert [(told.name, told.default) for told in mine] == [(told.name, told.default) for told in theirs]
    assert Empty() == ()


def test_values_defaults_and_methods():
    place = Mine(1)
    assert (place, place.names, place.y, place.total) == ((1, None, 0.5), None, 0.5, 1.5)
    assert repr(place) == "Mine(x=1, names=None, y=0.5)"
    assert Mine.at(2) == (2, None, 1)
    assert place._replace(y=2)._asdict() == {"x": 1, "names": None, "y": 2}
    for wrong in ((), (1, 2, 3, 4)):
        with pytest.raises(TypeError):
            Mine(*wrong)


@pytest.mark.parametrize("value", [Mine(1), Citation("https://a.example")])
def test_they_pickle_and_copy(value):
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    assert type(copy.copy(value)) is type(value)


def test_their_annotations_are_as_written():
    assert Mine.__annotations__ == {"x": "int", "names": "list[str] | None", "y": "float"}
    assert set(map(type, Citation.__annotations__.values())) == {str}


@pytest.mark.skipif(sys.version_info < (3, 10), reason="older Pythons cannot evaluate them")
def test_their_annotations_can_be_evaluated():
    assert typing.get_type_hints(Citation).keys() == set(Citation._fields)
