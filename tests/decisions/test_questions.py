"""Python types -> questions."""

from __future__ import annotations

import enum
import math
import typing
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union

import pytest

from aichatkit import ConfigurationError
from aichatkit.decisions.questions import parse_questions


class Topic(enum.Enum):
    BUG = "bug"
    BILLING = "billing"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Flag(enum.Enum):
    YES = True
    NO = False


class Bounds(NamedTuple):
    """As annotated-types has them."""

    ge: Any = None
    le: Any = None
    gt: Any = None
    lt: Any = None


class Limit:
    def __init__(self, **ends):
        self.__dict__.update(ends)


def one(hint, name="topic"):
    (parsed,) = parse_questions({name: hint}).fields
    return parsed


@pytest.mark.parametrize(
    ("hint", "kind", "labels", "members"),
    [
        (bool, "predicate", ("true", "false"), (True, False)),
        (Literal[False, True], "predicate", ("true", "false"), (True, False)),
        (Flag, "predicate", ("true", "false"), (Flag.YES, Flag.NO)),
        (Literal["a", "b"], "choice", ("a", "b"), ("a", "b")),
        (Literal[1, 2], "choice", ("1", "2"), (1, 2)),
        (Literal[True, "maybe"], "choice", ("yes", "maybe"), (True, "maybe")),
        (Literal["a", None], "choice", ("a", "none of these"), ("a", None)),
        (Topic, "choice", ("bug", "billing"), (Topic.BUG, Topic.BILLING)),
        (Level, "choice", ("LOW", "HIGH"), (Level.LOW, Level.HIGH)),
        (Optional[Topic], "choice", ("bug", "billing", "none of these"), (Topic.BUG, Topic.BILLING, None)),
        (Optional[bool], "choice", ("yes", "no", "none of these"), (True, False, None)),
        (Union[Literal["a"], Literal["b"]], "choice", ("a", "b"), ("a", "b")),
        (Union[Literal["a"], Topic, None], "choice", ("a", "bug", "billing", "none of these"), ("a", *Topic, None)),
        (["low", "high"], "score", ("low", "high"), ("low", "high")),
        (range(1, 4), "score", ("1", "2", "3"), (1, 2, 3)),
        (Annotated[int, range(0, 3)], "score", ("0", "1", "2"), (0, 1, 2)),
        (Annotated[int, Limit(ge=1), Limit(le=3)], "score", ("1", "2", "3"), (1, 2, 3)),
        (Annotated[int, Limit(gt=0, lt=4)], "score", ("1", "2", "3"), (1, 2, 3)),
        (Annotated[float, (1, 3)], "score", ("1", "2", "3"), (1, 2, 3)),
        (Annotated[float, (0, 1)], "predicate", ("true", "false"), (True, False)),
        ({"a": "The first.", "b": None}, "choice", ("a", "b"), ("a", "b")),
    ],
)
def test_a_type_becomes_a_question(hint, kind, labels, members):
    parsed = one(hint, "topic?")
    (question,) = parsed.questions
    assert (question.kind, question.labels, parsed.members) == (kind, labels, members)
    assert question.text == "topic?"


def test_descriptions_of_options_are_kept():
    (question,) = one({"a": "The first.", "b": None, "c": ""}).questions
    assert dict(question.described()) == {"a": "The first.", "b": None, "c": None}
    assert dict(one(Literal["a", "b"]).questions[0].described()) == {"a": None, "b": None}


@pytest.mark.parametrize(
    ("hint", "container"),
    [
        (list[Literal["spam", "urgent"]], list),
        (set[Literal["spam", "urgent"]], set),
        (frozenset[Literal["spam", "urgent"]], frozenset),
        (dict[Literal["spam", "urgent"], bool], dict),
    ],
)
def test_several_labels_become_a_predicate_each(hint, container):
    parsed = one(hint, "tags")
    assert [(q.name, q.kind) for q in parsed.questions] == [("tags: spam", "predicate"), ("tags: urgent", "predicate")]
    assert parsed.questions[0].text == "tags: does this apply? spam"
    assert (parsed.shape, parsed.container, parsed.members) == ("many", container, ("spam", "urgent"))


def test_a_likelihood_in_percent_is_one_by_its_name():
    assert one(Annotated[float, (0, 100)], "chance of rain?").scale == 100
    assert one(Annotated[float, (0, 1)], "rain?").shape == "likelihood"
    assert one(Annotated[float, (0, 100)], "rain?").shape == "score"


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        ((bool, "Is it urgent?"), "Is it urgent?"),
        (Annotated[bool, "Is it urgent?"], "Is it urgent?"),
        (Annotated[bool, Limit(description="Is it urgent?")], "Is it urgent?"),
        (Annotated[bool, Limit(metadata=[Limit(description="Is it urgent?")])], "Is it urgent?"),
        (Literal["a", "b"], "urgent: which of these applies?"),
        (["low", "high"], "urgent: which of these levels applies?"),
        (range(1, 3), "urgent: which level applies?"),
    ],
)
def test_a_question_has_a_text_of_its_own_or_that_of_its_options(hint, text):
    assert one(hint, "urgent").questions[0].text == text


@dataclass
class Person:
    kind: Literal["client", "vendor"]


@dataclass
class Ticket:
    is_urgent: bool
    topic: Annotated[Topic, "What is it about?"]
    person: Person
    spam: bool = field(default=False, metadata={"description": "Is it spam?"})


class Row(TypedDict):
    is_urgent: bool


class Pair(NamedTuple):
    is_urgent: bool


def test_a_class_asks_for_each_field():
    parsed = parse_questions(Ticket)
    assert [question.name for question in parsed.atoms] == ["is_urgent", "topic", "person.kind", "spam"]
    assert [question.text for question in parsed.atoms] == [
        "is urgent?",
        "What is it about?",
        "kind?",
        "Is it spam?",
    ]
    values = {"is_urgent": True, "topic": Topic.BUG, "person.kind": "client", "spam": False}
    assert parsed.build(values) == Ticket(True, Topic.BUG, Person("client"), False)
    assert parse_questions(Row).build({"is_urgent": True}) == {"is_urgent": True}
    assert parse_questions(Pair).build({"is_urgent": True}) == Pair(True)


def test_a_class_can_be_a_part_of_a_mapping():
    parsed = parse_questions({"spam?": bool, "person": Person})
    assert [question.name for question in parsed.atoms] == ["spam?", "person.kind"]
    assert parsed.build({"spam?": True, "person.kind": "vendor"}) == {"spam?": True, "person": Person("vendor")}


def test_a_pydantic_model_asks_for_its_fields():
    pydantic = pytest.importorskip("pydantic")

    class Mail(pydantic.BaseModel):
        urgent: bool = pydantic.Field(description="Is it urgent?")
        stars: int = pydantic.Field(ge=1, le=5)
        sure: Annotated[float, pydantic.Field(ge=0, le=1)]

    parsed = parse_questions(Mail)
    assert [(each.name, each.shape) for each in parsed.fields] == [
        ("urgent", "flag"),
        ("stars", "level"),
        ("sure", "likelihood"),
    ]
    assert parsed.atoms[0].text == "Is it urgent?"
    assert parsed.build({"urgent": True, "stars": 3, "sure": 0.25}) == Mail(urgent=True, stars=3, sure=0.25)


def test_a_single_question_has_its_text():
    parsed = parse_questions(bool, "Is it urgent?")
    assert parsed.is_single
    assert parsed.atoms[0].text == "Is it urgent?"
    assert parsed.build({"answer": True}) is True


def test_the_column_of_a_question_has_no_mark():
    assert one(bool, "refund?").column == "refund"
    assert parse_questions({"?": (bool, "Is it so?")}).fields[0].column == "?"


@dataclass
class Endless:
    next: Endless


@pytest.mark.parametrize(
    ("questions", "words"),
    [
        ({"refund": bool}, "'refund' asks nothing"),
        ({"refund": Annotated[float, (0, 1)]}, "asks nothing"),
        ({"x?": str}, "'x\\?' cannot be str: .*schema="),
        ({"x?": int}, "int needs both ends"),
        ({"x?": float}, "float needs both ends"),
        ({"x?": Annotated[float, (0.5, 3)]}, "levels are whole numbers"),
        ({"x?": Annotated[int, (0, math.inf)]}, "levels are whole numbers, so 0 and inf cannot be ends"),
        ({"x?": Annotated[float, (math.nan, 5)]}, "levels are whole numbers"),
        ({"x?": Annotated[int, range(1, 10, 2)]}, "a scale has 2 to 255 levels"),
        ({"x?": Literal[1, True]}, "two of the options are equal in Python"),
        ({"x?": list[Literal[0, 1, False]]}, "two of the options are equal in Python"),
        ({"x?": range(1, 2)}, "a scale has 2 to 255 levels"),
        ({"x?": range(1, 9, 2)}, "a scale has 2 to 255 levels"),
        ({"x?": range(300)}, "a scale has 2 to 255 levels"),
        ({"x?": Literal["a"]}, "there must be 2 to 255 options"),
        ({"x?": {}}, "there must be 2 to 255 options"),
        ({"x?": {"a": 1, "b": None}}, "the description of an option must be a string"),
        ({"x?": Literal["1", 1]}, "two of the options are '1'"),
        ({"x?": ["a", "a"]}, "two of the levels are 'a'"),
        ({"x?": ["a", " "]}, "is empty, or has blanks"),
        ({"x?": ["a", 1]}, "the levels must be strings"),
        ({"x?": Literal[b"a", b"b"]}, "cannot be"),
        ({"x?": Optional[str]}, "cannot be"),
        ({"x?": Union[Literal["a"], int]}, "cannot be"),
        ({"x?": None}, "cannot be"),
        ({"x?": type(None)}, "cannot be"),
        ({"x?": list[str]}, "of containers only those like list"),
        ({"x?": list}, "of containers only those like list"),
        ({"x?": list[bool]}, "of containers only those like list"),
        ({"x?": dict[Literal["a", "b"], str]}, "of containers only those like dict"),
        ({"x?": ("low", "high")}, "levels are a list"),
        ({"x?": (bool, " ")}, "levels are a list"),
        ({"x?": (bool, "Is it?", 1)}, "levels are a list"),
        ({1: bool}, "the names of questions must be strings"),
        ({"a\ud800?": bool}, "the names of questions must be strings"),
        ({" ": bool}, "the names of questions must be strings"),
        ({}, "there are no questions"),
        ({"a?": bool, "a": (bool, "Is it a?")}, "two questions are named 'a'"),
        ({"a": list[Literal["b", "c"]], "a: b": (bool, "Is it?")}, "two questions are named 'a: b'"),
        (bool, "pass questions such as"),
        (None, "pass questions such as"),
        (Endless, "a field of its own type"),
    ],
)
def test_what_cannot_be_decided_is_an_error(questions, words):
    with pytest.raises(ConfigurationError, match=words):
        parse_questions(questions)


def test_the_text_of_a_single_question_is_checked():
    with pytest.raises(ConfigurationError, match="the question must be a string"):
        parse_questions(bool, " ")


def test_newer_spellings_of_types_are_the_same():
    assert one(list[Literal["a", "b"]], "x").container is list
    assert typing.get_origin(set[int]) is set
