"""Dataclasses and named tuples that are fast to import: subsets of the standard ones.

The standard module costs about 9 ms, 5 % of the 180 ms that `import requests` takes: it imports `inspect`, and it
compiles six functions for every class instead of one. `typing.NamedTuple` compiles every annotation, which takes half
of the time that a class takes; here annotations stay as they are written. Even so, importing the package and
making a client adds 20 % to the instructions of `import requests`; the aim is 15 %.

These classes are dataclasses to all other code: `dataclasses.replace`, `fields`, `asdict` and `is_dataclass` accept
them, and a standard dataclass may inherit from them. Type checkers see the standard modules.
"""

from __future__ import annotations

from collections import namedtuple
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._lazy import lazy_module

if TYPE_CHECKING:
    import dataclasses
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
    from typing import NamedTuple as NamedTuple
else:
    dataclasses = lazy_module("dataclasses")

    def dataclass(cls=None, *, frozen=False):
        """Add the methods of a dataclass to a class; instances are equal if class and fields are equal."""
        return _add_methods(cls, frozen) if cls is not None else lambda cls: _add_methods(cls, frozen)

    def field(*, default=..., default_factory=None, repr=True):
        """Return a field with options, to assign in the class body."""
        return _Field("", default, default_factory, repr)

    def replace(instance, /, **changes):
        """Return a copy with some fields changed."""
        values = instance.__dict__
        return instance.__class__(**{**{name: values[name] for name in instance.__match_args__}, **changes})

    class _TupleMaker(type):
        """Turns the body of a class into a named tuple."""

        def __new__(cls, name, bases, namespace):
            fields = namespace.pop("__annotations__", {})
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            made.__annotations__ = made.__new__.__annotations__ = fields
            for key, value in namespace.items():
                setattr(made, key, value)
            return made

    NamedTuple = type.__new__(_TupleMaker, "NamedTuple", (), {"__module__": __name__})


__all__ = ["NamedTuple", "dataclass", "field", "field_names", "replace"]

#: Class attributes: the fields by name, and a function that returns an instance's values as a tuple.
_FIELDS, _VALUES = "__aichatkit_fields__", "__aichatkit_values__"
#: Class attributes by which the standard module recognizes a dataclass.
_STANDARD_ATTRIBUTES = ("__dataclass_fields__", "__dataclass_params__")


class _FactoryDefault:
    """The default shown in the signature for a field with a `default_factory`."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY_DEFAULT = _FactoryDefault()


def field_names(cls: Any) -> tuple[str, ...]:
    """Return the names of the fields of a dataclass, in order."""
    names: tuple[str, ...] = cls.__match_args__
    return names


class _Field:
    """A field: its annotation as written, its default or default factory, and whether `repr` includes it."""

    __slots__ = ("annotation", "default", "factory", "in_repr")

    def __init__(self, annotation: str, default: Any, factory: Callable[[], Any] | None, in_repr: bool) -> None:
        self.annotation = annotation
        self.default = default
        self.factory = factory
        self.in_repr = in_repr


class _StandardAttribute:
    """Descriptor of a standard attribute: on first access, copies it from an equivalent standard dataclass."""

    def __init__(self, cls: type, frozen: bool, name: str) -> None:
        self._cls, self._frozen, self._name = cls, frozen, name

    def __get__(self, instance: object, owner: type) -> Any:
        cls, fields = self._cls, getattr(self._cls, _FIELDS)
        defaults = {
            name: _standard_field(field) for name, field in fields.items() if field.default is not ... or field.factory
        }
        annotations = {name: field.annotation for name, field in fields.items()}
        namespace = {**defaults, "__annotations__": annotations, "__module__": cls.__module__}
        standard: Any = dataclasses.dataclass(frozen=self._frozen)(type(cls.__name__, (), namespace))
        for name in _STANDARD_ATTRIBUTES:
            setattr(cls, name, getattr(standard, name))
        return getattr(cls, self._name)


def _standard_field(field: _Field) -> Any:
    if field.factory is not None:
        return dataclasses.field(default_factory=field.factory, repr=field.in_repr)
    return dataclasses.field(default=field.default, repr=field.in_repr)


def _add_methods(cls: Any, frozen: bool) -> Any:
    fields: dict[str, _Field] = dict(getattr(cls, _FIELDS, {}))
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        value = vars(cls).get(name, ...)
        if isinstance(value, _Field):
            delattr(cls, name)
            if value.default is not ...:
                setattr(cls, name, value.default)
        else:
            value = _Field("", value, None, True)
        value.annotation = annotation
        fields[name] = value
    attributes = {
        _FIELDS: fields,
        "__match_args__": tuple(fields),
        # A frozen instance refuses attribute assignment, so its values go straight into `__dict__`.
        "__init__": _compile_init(cls, fields, "_dict['{}']" if frozen else "self.{}"),
        "__repr__": vars(cls).get("__repr__", _repr),
        "__eq__": _eq,
        "__hash__": _hash if frozen else None,
        _VALUES: staticmethod(attrgetter(*fields)),
        "__replace__": replace,
        **{name: _StandardAttribute(cls, frozen, name) for name in _STANDARD_ATTRIBUTES},
    }
    if frozen:
        attributes["__setattr__"] = _build_guard(cls, "assign to")
        attributes["__delattr__"] = _build_guard(cls, "delete")
    for name, value in attributes.items():
        setattr(cls, name, value)
    return cls


def _compile_init(cls: Any, fields: dict[str, _Field], assignment_target: str) -> Any:
    """Compile `__init__`: it runs often, and its signature and errors must show the names of the fields."""
    namespace: dict[str, Any] = {"_FACTORY_DEFAULT": _FACTORY_DEFAULT}
    parameters, lines = [], []
    for name, field in fields.items():
        parameter, value = name, name
        if field.factory is not None:
            namespace[f"_make_{name}"] = field.factory
            parameter, value = f"{name}=_FACTORY_DEFAULT", f"_make_{name}() if {name} is _FACTORY_DEFAULT else {name}"
        elif field.default is not ...:
            namespace[f"_{name}"] = field.default
            parameter = f"{name}=_{name}"
        parameters.append(parameter)
        lines.append(f" {assignment_target.format(name)} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    source = "\n".join((f"def __init__(self, {', '.join(parameters)}):", " _dict = self.__dict__", *lines))
    exec(source, namespace)
    init = namespace["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {**{name: field.annotation for name, field in fields.items()}, "return": None}
    return init


def _repr(self: Any) -> str:
    names = [name for name, field in getattr(self, _FIELDS).items() if field.in_repr]
    return f"{self.__class__.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _eq(self: Any, other: Any) -> Any:
    if self.__class__ is not other.__class__:
        return NotImplemented
    return bool(self.__aichatkit_values__(self) == self.__aichatkit_values__(other))


def _hash(self: Any) -> int:
    return hash(self.__aichatkit_values__(self))


def _build_guard(cls: Any, action: str) -> Any:
    """Return a `__setattr__` or `__delattr__` that raises FrozenInstanceError for fields."""
    parent = cls.__mro__[1]
    inherited = parent.__setattr__ if action == "assign to" else parent.__delattr__

    def guard(self: Any, name: str, *value: Any) -> None:
        # A user's subclass may have further attributes.
        if type(self) is cls or name in getattr(cls, _FIELDS):
            raise dataclasses.FrozenInstanceError(f"cannot {action} field {name!r}")
        inherited(self, name, *value)

    return guard
