"""Python types -> questions: what is asked for each field, and what its answer becomes."""

from __future__ import annotations

import enum
import typing
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.errors import ConfigurationError
from aichatkit.structured.schemas import UNION_TYPES, fields_of, unwrap

__all__ = ["NO", "YES", "Field", "Question", "Questions", "parse_questions"]

#: The labels of a predicate, in order.
YES, NO = "true", "false"
_NONE = "none of these"
_MAX_OPTIONS = 255
#: Words in a name that make a number from 0 to 100 a likelihood.
_LIKELIHOODS = ("chance", "confidence", "likelihood", "odds", "percent", "probability")
_SUPPORTED = (
    "bool, Literal, an Enum, a list of levels, a dict of options with descriptions, Annotated[int, range(1, 6)], "
    "Annotated[float, (0, 1)], list, set or dict of a Literal, or a class with fields of these types"
)


class Question(NamedTuple):
    """One closed question as it is sent; `kind` is "predicate", "choice" or "score", `labels` are in order."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = (YES, NO)
    descriptions: tuple[str | None, ...] = ()

    def described(self) -> Iterator[tuple[str, str | None]]:
        """Yield each label with its description."""
        descriptions = self.descriptions or (None,) * len(self.labels)
        return zip(self.labels, descriptions)


class Field(NamedTuple):
    """One question of the user: the questions that are sent for it, and what their answers become.

    `shape` is "flag", "likelihood", "choice", "score", "level" or "many". `members` are the values of the labels; a
    likelihood is multiplied by `scale`, a score starts at `base`, and several flags become a `container`.
    """

    name: str
    shape: str
    questions: tuple[Question, ...]
    members: tuple[Any, ...] = ()
    scale: float = 1.0
    base: int = 0
    container: Any = None

    @property
    def column(self) -> str:
        """The name of its column in frames and files."""
        return self.name.rstrip("?").strip() or self.name


class Questions(NamedTuple):
    """All questions of a call; `tree` says how their values are put together."""

    fields: tuple[Field, ...]
    tree: Any
    is_single: bool = False

    @property
    def atoms(self) -> list[Question]:
        """The questions as they are sent, in order."""
        return [question for field in self.fields for question in field.questions]

    def build(self, values: Mapping[str, Any]) -> Any:
        """Return the values in the form of what was asked for: a dict, an instance of the class, or one value."""
        return _build(self.tree, values)


class _Node(NamedTuple):
    """A dict, or an instance of `cls`, with a value or another node for each name."""

    cls: Any
    items: Mapping[Any, Any]


def parse_questions(questions: Any, text: str | None = None) -> Questions:
    """Return the questions in a mapping of names, in a class with fields, or in one type with the question `text`.

    Raises:
        ConfigurationError: a question cannot be answered with a type, or asks nothing.
    """
    if text is not None:
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f"decide: the question must be a string with text in it, not {text!r}")
        field = _parse_field("answer", questions, (), text)
        return Questions((field,), field.name, is_single=True)
    fields: list[Field] = []
    class_fields = _fields_of_class(questions)
    if isinstance(questions, Mapping):
        node = _parse_mapping(questions, fields)
    elif class_fields is not None:
        node = _parse_class(questions, class_fields, "", fields, ())
    else:
        raise ConfigurationError(
            "decide: pass questions such as {'refund?': bool}, a class with fields, or one type and its question: "
            "decide(text, bool, 'Does the writer ask for money back?')"
        )
    if not fields:
        raise ConfigurationError("decide: there are no questions")
    names = [question.name for field in fields for question in field.questions]
    columns = [field.column for field in fields]
    for repeated in (names, columns):
        for name in repeated:
            if repeated.count(name) > 1:
                raise ConfigurationError(f"decide: two questions are named {name!r}")
    return Questions(tuple(fields), node)


def _build(tree: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(tree, _Node):
        items = {name: _build(item, values) for name, item in tree.items.items()}
        return items if tree.cls is dict else tree.cls(**items)
    return values[tree]


def _parse_mapping(questions: Mapping[Any, Any], fields: list[Field]) -> _Node:
    items = {}
    for name, hint in questions.items():
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ConfigurationError(f"decide: the names of questions must be strings with text in them, not {name!r}")
        text, hint = _text_of(name), hint
        if isinstance(hint, tuple) and not hasattr(hint, "_fields"):
            if len(hint) != 2 or not isinstance(hint[1], str) or not hint[1].strip() or isinstance(hint[0], str):
                raise ConfigurationError(
                    f"decide: {name!r}: a tuple must be a type and its question, as in (bool, 'Is it urgent?'); "
                    "levels are a list"
                )
            hint, text = hint
        items[name] = _parse_item(name, hint, (), text, fields, (), is_bare=True)
    return _Node(dict, items)


def _parse_class(cls: Any, parts: Sequence[_Part], prefix: str, fields: list[Field], parents: Sequence[Any]) -> _Node:
    if cls in parents:
        raise ConfigurationError(f"decide: {cls.__name__} has a field of its own type, which would ask without end")
    items = {}
    for part in parts:
        # A field says what it asks by its name, as it does in the class.
        text = part.description or f"{part.name.replace('_', ' ')}?"
        name = f"{prefix}{part.name}"
        items[part.key or part.name] = _parse_item(name, part.hint, part.metadata, text, fields, (*parents, cls))
    return _Node(cls, items)


def _parse_item(
    name: str,
    hint: Any,
    metadata: Sequence[Any],
    text: str,
    fields: list[Field],
    parents: Sequence[Any],
    *,
    is_bare: bool = False,
) -> Any:
    """Return the node or the name for a question, after adding its fields."""
    parts = _fields_of_class(unwrap(hint))
    if parts is not None:
        return _parse_class(unwrap(hint), parts, f"{name}.", fields, parents)
    field = _parse_field(name, hint, metadata, text)
    if is_bare and not text and not _find_text(_metadata_of(hint)) and field.shape in ("flag", "likelihood"):
        raise ConfigurationError(
            f"decide: {name!r} asks nothing; write the question as its name, {name + '?'!r}, or with it, "
            f"as in {{{name!r}: (bool, 'Does the writer ...?')}}"
        )
    fields.append(field)
    return name


class _Part(NamedTuple):
    """A field of a class; `key` is the name under which it is passed, if that is another."""

    name: str
    hint: Any
    metadata: Sequence[Any] = ()
    description: str = ""
    key: str = ""


def _fields_of_class(hint: Any) -> list[_Part] | None:
    """Return the fields of a dataclass, TypedDict, NamedTuple or pydantic model, None for any other type."""
    if isinstance(hint, type) and hasattr(hint, "model_fields") and hasattr(hint, "model_validate_json"):
        return [
            _Part(name, info.annotation, tuple(info.metadata), info.description or "", _alias_of(info))
            for name, info in hint.model_fields.items()
        ]
    fields = fields_of(hint)
    return None if fields is None else [_Part(field.name, field.hint, (), field.description) for field in fields]


def _alias_of(info: Any) -> str:
    """Return the name under which pydantic takes a field, empty if it is that of the field."""
    names = getattr(info.validation_alias, "choices", [info.validation_alias])
    return next((name for name in names if isinstance(name, str)), "")


def _parse_field(name: str, hint: Any, metadata: Sequence[Any], text: str) -> Field:
    """Return the field for a type; the text in its `Annotated` goes before any other."""
    metadata = [*metadata, *_metadata_of(hint)]
    text = _find_text(metadata) or text
    if isinstance(hint, range):
        return _parse_levels(name, text, hint.start, hint.stop - 1, step=hint.step, shape="level")
    if isinstance(hint, list):
        return _parse_score(name, text, hint)
    if isinstance(hint, Mapping):
        return _choice(name, text, list(map(str, hint)), tuple(hint), tuple(map(_parse_description, hint.values())))
    inner = unwrap(hint)
    origin, args = typing.get_origin(inner), typing.get_args(inner)
    if inner in (int, float):
        return _parse_number(name, text, inner, metadata)
    if (isinstance(origin, type) and issubclass(origin, (list, Set, dict))) or inner in (list, set, dict):
        return _parse_many(name, text, origin, args)
    options = _options_of(inner)
    if options is None or options == [None]:
        raise ConfigurationError(
            f"decide: {name!r} cannot be {_name_of(hint)}: the answer must be one of a few; use {_SUPPORTED}; "
            "for free text and numbers, ask with schema="
        )
    if _is_flag(options):
        return Field(name, "flag", (Question(name, "predicate", text or name),), tuple(sorted(options, key=_is_false)))
    if None in options:
        options = [option for option in options if option is not None]
        return _choice(name, text, [*map(_label_of, options), _NONE], (*options, None))
    return _choice(name, text, list(map(_label_of, options)), tuple(options))


def _parse_number(name: str, text: str, cls: type, metadata: Sequence[Any]) -> Field:
    bounds = _find_bounds(metadata, is_integer=cls is int)
    if bounds is None:
        raise ConfigurationError(
            f"decide: {name!r}: {cls.__name__} needs both ends, such as Annotated[int, range(1, 6)] for the levels 1 "
            "to 5, or Annotated[float, (0, 1)] for a probability; for free numbers, ask with schema="
        )
    low, high, step = bounds
    is_likelihood = (low, high) == (0, 1) or (
        (low, high) == (0, 100) and any(word in name.lower() for word in _LIKELIHOODS)
    )
    if cls is float and is_likelihood:
        return Field(name, "likelihood", (Question(name, "predicate", text or name),), (True, False), scale=high)
    # Infinity has no remainder.
    if low % 1 != 0 or high % 1 != 0:
        raise ConfigurationError(f"decide: {name!r}: levels are whole numbers, so {low} and {high} cannot be ends")
    return _parse_levels(name, text, int(low), int(high), step=step, shape="level" if cls is int else "score")


def _parse_levels(name: str, text: str, low: int, high: int, *, shape: str, step: int = 1) -> Field:
    count = high - low + 1
    if step != 1 or not 2 <= count <= _MAX_OPTIONS:
        raise ConfigurationError(
            f"decide: {name!r}: a scale has 2 to {_MAX_OPTIONS} levels, one for each whole number, and most services "
            "take 10"
        )
    members = tuple(range(low, high + 1))
    question = Question(name, "score", text or f"{name}: which level applies?", tuple(map(str, members)))
    return Field(name, shape, (question,), members, base=low)


def _parse_score(name: str, text: str, levels: list[Any]) -> Field:
    if not all(isinstance(level, str) for level in levels):
        raise ConfigurationError(f"decide: {name!r}: the levels must be strings, the lowest first")
    _check_labels(name, levels, "levels")
    question = Question(name, "score", text or f"{name}: which of these levels applies?", tuple(levels))
    return Field(name, "score", (question,), tuple(levels))


def _parse_many(name: str, text: str, origin: Any, args: Sequence[Any]) -> Field:
    options = _options_of(args[0]) if args else None
    is_table = isinstance(origin, type) and issubclass(origin, dict)
    if not options or _is_flag(options) or None in options or (is_table and args[1] is not bool):
        example = "dict[Literal['spam', 'urgent'], bool]" if is_table else "list[Literal['spam', 'urgent']]"
        raise ConfigurationError(f"decide: {name!r}: of containers only those like {example} can be decided")
    labels = list(map(_label_of, options))
    _check_labels(name, labels, "options", minimum=1)
    _check_members(name, options)
    base = text or f"{name}: does this apply?"
    questions = tuple(Question(f"{name}: {label}", "predicate", f"{base} {label}") for label in labels)
    container = dict if is_table else list if origin is list else frozenset if origin is frozenset else set
    return Field(name, "many", questions, tuple(options), container=container)


def _choice(
    name: str, text: str, labels: list[str], members: tuple[Any, ...], descriptions: tuple[str | None, ...] = ()
) -> Field:
    _check_labels(name, labels, "options")
    _check_members(name, members)
    question = Question(name, "choice", text or f"{name}: which of these applies?", tuple(labels), descriptions)
    return Field(name, "choice", (question,), members)


def _check_labels(name: str, labels: Sequence[str], noun: str, *, minimum: int = 2) -> None:
    if not minimum <= len(labels) <= _MAX_OPTIONS:
        raise ConfigurationError(f"decide: {name!r}: there must be {minimum} to {_MAX_OPTIONS} {noun}")
    for label in labels:
        if not label.strip() or label != label.strip() or not label.isprintable():
            raise ConfigurationError(f"decide: {name!r}: {label!r} is empty, or has blanks at its ends")
        if labels.count(label) > 1:
            raise ConfigurationError(f"decide: {name!r}: two of the {noun} are {label!r}")


def _check_members(name: str, members: Sequence[Any]) -> None:
    if len(set(members)) < len(members):
        raise ConfigurationError(
            f"decide: {name!r}: two of the options are equal in Python, as 1 and True are; leave one out"
        )


def _options_of(hint: Any) -> list[Any] | None:
    """Return the values of bool, a Literal, an Enum or a union of these and None; None for any other type."""
    hint = unwrap(hint)
    if hint is bool:
        return [True, False]
    if hint is type(None):
        return [None]
    if typing.get_origin(hint) in UNION_TYPES:
        parts = list(map(_options_of, typing.get_args(hint)))
        return None if None in parts else [option for part in parts for option in part or ()]
    if typing.get_origin(hint) is typing.Literal:
        options: list[Any] = list(typing.get_args(hint))
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        options = list(hint)
    else:
        return None
    return options if all(isinstance(_plain(option), (str, int, type(None))) for option in options) else None


def _plain(option: Any) -> Any:
    return option.value if isinstance(option, enum.Enum) else option


def _is_flag(options: Sequence[Any]) -> bool:
    values = list(map(_plain, options))
    return len(values) == 2 and all(isinstance(value, bool) for value in values) and values[0] is not values[1]


def _is_false(option: Any) -> bool:
    return not _plain(option)


def _label_of(option: Any) -> str:
    value = _plain(option)
    if isinstance(value, bool):
        return "yes" if value else "no"
    # The number of an Enum says nothing to a model.
    return option.name if isinstance(option, enum.Enum) and isinstance(value, int) else str(value)


def _parse_description(text: Any) -> str | None:
    if text is not None and not isinstance(text, str):
        raise ConfigurationError(f"decide: the description of an option must be a string or None, not {text!r}")
    return text or None


def _text_of(name: str) -> str:
    """Return the question in a name that is one."""
    return name if name.rstrip().endswith("?") else ""


def _metadata_of(hint: Any) -> list[Any]:
    """Return the metadata of Annotated, with what pydantic's Field holds."""
    metadata = getattr(hint, "__metadata__", ())
    return [part for item in metadata for part in (item, *(getattr(item, "metadata", None) or ()))]


def _find_text(metadata: Sequence[Any]) -> str:
    texts = (text for item in metadata for text in (item, getattr(item, "description", None)))
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def _find_bounds(metadata: Sequence[Any], *, is_integer: bool) -> tuple[float, float, int] | None:
    """Return both ends of a number and its step: of a range, a pair, or the constraints of pydantic and the like."""
    low: Any = None
    high: Any = None
    for item in metadata:
        if isinstance(item, range):
            return item.start, item.stop - 1, item.step
        if isinstance(item, tuple) and len(item) == 2 and all(isinstance(end, (int, float)) for end in item):
            return (*item, 1)
        low = getattr(item, "ge", None) if getattr(item, "ge", None) is not None else low
        high = getattr(item, "le", None) if getattr(item, "le", None) is not None else high
        if is_integer and getattr(item, "gt", None) is not None:
            low = item.gt + 1
        if is_integer and getattr(item, "lt", None) is not None:
            high = item.lt - 1
    return None if low is None or high is None else (low, high, 1)


def _name_of(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else repr(hint)[:80]
