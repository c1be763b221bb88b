"""Dataclasses that are cheap to load: `dataclasses` itself brings `inspect`, and compiles six functions for each class.

To everyone else they are dataclasses: `dataclasses.replace`, `fields`, `asdict` and `is_dataclass` take them, and a
class decorated by `dataclasses` may inherit from them. For type checkers they are nothing else.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._lazy import lazy_module

if TYPE_CHECKING:
    import dataclasses
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:
    dataclasses = lazy_module("dataclasses")

    def dataclass(kind=None, *, frozen=False):
        """Write the methods of a dataclass; equal are two of one class with equal fields."""
        return _made(kind, frozen) if kind is not None else lambda kind: _made(kind, frozen)

    def field(*, default=..., default_factory=None, repr=True):
        """Tell more about a field than a default can."""
        return _Field("", default, default_factory, repr)

    def replace(instance, /, **changes):
        """Return a copy with some fields changed."""
        values = instance.__dict__
        return instance.__class__(**{**{name: values[name] for name in instance.__match_args__}, **changes})


__all__ = ["dataclass", "field", "field_names", "replace"]

_FIELDS, _VALUES = "__struct_fields__", "__struct_values__"
_LOOKED_FOR = ("__dataclass_fields__", "__dataclass_params__")


class _New:
    """Stands for a default that is made anew for each instance."""

    def __repr__(self) -> str:
        return "<factory>"


_NEW = _New()


def field_names(kind: Any) -> tuple[str, ...]:
    """Return the names of the fields of such a class, in order."""
    names: tuple[str, ...] = kind.__match_args__
    return names


class _Field:
    """A field: its type as written, its default or what makes one, and whether `repr` shows it."""

    __slots__ = ("default", "factory", "note", "shown")

    def __init__(self, note: str, default: Any, factory: Callable[[], Any] | None, shown: bool) -> None:
        self.note = note
        self.default = default
        self.factory = factory
        self.shown = shown


class _Lookup:
    """What `dataclasses` looks for on a class: worked out by itself, from a copy, when it is first looked for."""

    def __init__(self, kind: type, frozen: bool, name: str) -> None:
        self._kind, self._frozen, self._name = kind, frozen, name

    def __get__(self, instance: object, owner: type) -> Any:
        kind, fields = self._kind, getattr(self._kind, _FIELDS)
        told = {name: _standard(field) for name, field in fields.items() if field.default is not ... or field.factory}
        notes = {name: field.note for name, field in fields.items()}
        copy = type(kind.__name__, (), {**told, "__annotations__": notes, "__module__": kind.__module__})
        copy = dataclasses.dataclass(frozen=self._frozen)(copy)
        for name in _LOOKED_FOR:
            setattr(kind, name, getattr(copy, name))
        return getattr(kind, self._name)


def _standard(field: _Field) -> Any:
    if field.factory is not None:
        return dataclasses.field(default_factory=field.factory, repr=field.shown)
    return dataclasses.field(default=field.default, repr=field.shown)


def _made(kind: Any, frozen: bool) -> Any:
    fields: dict[str, _Field] = dict(getattr(kind, _FIELDS, {}))
    for name, note in vars(kind).get("__annotations__", {}).items():
        told = vars(kind).get(name, ...)
        if isinstance(told, _Field):
            delattr(kind, name)
            if told.default is not ...:
                setattr(kind, name, told.default)
        else:
            told = _Field("", told, None, True)
        told.note = note
        fields[name] = told
    methods = {
        _FIELDS: fields,
        "__match_args__": tuple(fields),
        "__init__": _init(kind, fields, "_dict['{}']" if frozen else "self.{}"),
        "__repr__": _repr,
        "__eq__": _eq,
        "__hash__": _hash if frozen else None,
        _VALUES: staticmethod(attrgetter(*fields)),
        "__replace__": replace,
        **{name: _Lookup(kind, frozen, name) for name in _LOOKED_FOR},
    }
    if frozen:
        methods["__setattr__"], methods["__delattr__"] = _refuse(kind, "assign to"), _refuse(kind, "delete")
    for name, method in methods.items():
        setattr(kind, name, method)
    return kind


def _init(kind: Any, fields: dict[str, _Field], place: str) -> Any:
    """Compile the constructor: it is called often, and what it takes is told by its names."""
    known: dict[str, Any] = {"_new": _NEW}
    heads, lines = [], []
    for name, field in fields.items():
        head, value = name, name
        if field.factory is not None:
            known[f"_make_{name}"] = field.factory
            head, value = f"{name}=_new", f"_make_{name}() if {name} is _new else {name}"
        elif field.default is not ...:
            known[f"_{name}"] = field.default
            head = f"{name}=_{name}"
        heads.append(head)
        lines.append(f" {place.format(name)} = {value}")
    if hasattr(kind, "__post_init__"):
        lines.append(" self.__post_init__()")
    source = "\n".join((f"def __init__(self, {', '.join(heads)}):", " _dict = self.__dict__", *lines))
    exec(source, known)
    init = known["__init__"]
    init.__qualname__ = f"{kind.__qualname__}.__init__"
    init.__annotations__ = {**{name: field.note for name, field in fields.items()}, "return": None}
    return init


def _repr(self: Any) -> str:
    shown = [name for name, field in getattr(self, _FIELDS).items() if field.shown]
    return f"{self.__class__.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _eq(self: Any, other: Any) -> Any:
    if self.__class__ is not other.__class__:
        return NotImplemented
    return bool(self.__struct_values__(self) == self.__struct_values__(other))


def _hash(self: Any) -> int:
    return hash(self.__struct_values__(self))


def _refuse(kind: Any, what: str) -> Any:
    parent = kind.__mro__[1]
    usual = parent.__setattr__ if what == "assign to" else parent.__delattr__

    def refuse(self: Any, name: str, *value: Any) -> None:
        # A class of a user's own that inherits may hold more.
        if type(self) is kind or name in getattr(kind, _FIELDS):
            raise dataclasses.FrozenInstanceError(f"cannot {what} field {name!r}")
        usual(self, name, *value)

    return refuse
