"""Types shared by the tests of schemas and structured output."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, ClassVar, NamedTuple, Optional, TypedDict

Colour = enum.Enum("Colour", {"RED": "red", "BLUE": "blue"})


@dataclass
class Item:
    """A line of an invoice."""

    name: str
    price: float = 0.0


@dataclass
class Invoice:
    number: int
    items: list[Item]
    note: Optional[str] = None  # noqa: UP045 - read at run time
    tags: list[str] = field(default_factory=list)
    due: Annotated[date, "When to pay."] = date(2026, 1, 1)
    total: float = field(init=False, default=0.0)
    kinds: ClassVar[int] = 3


@dataclass
class Node:
    value: int
    children: list[Node] = field(default_factory=list)


class Address(TypedDict):
    street: str
    since: date


class Point(NamedTuple):
    x: int
    y: float = 0.5
