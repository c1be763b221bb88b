"""Questions -> the type of their answers, for type checkers: what `decide` returns for each form of questions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from aichatkit.call.signatures import DecideOptions
from aichatkit.decisions.results import Decision, Decisions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Decide"]

Class = TypeVar("Class")
Label = TypeVar("Label")
Member = TypeVar("Member", bound=Enum)


class Decide(Protocol):
    """Answers closed questions: several by name, or one with its question.

    A type checker knows the value of a `bool`, an Enum, a list of levels, a range and a dict of options, and the class
    whose fields are asked; those of `Literal` and `Annotated` are `Any` to it.
    """

    @overload
    def __call__(
        self, text: Any, questions: type[bool], question: str, **options: Unpack[DecideOptions]
    ) -> Decision[bool]: ...
    @overload
    def __call__(
        self, text: Any, questions: type[Member], question: str, **options: Unpack[DecideOptions]
    ) -> Decision[Member]: ...
    @overload
    def __call__(
        self, text: Any, questions: range, question: str, **options: Unpack[DecideOptions]
    ) -> Decision[int]: ...
    @overload
    def __call__(
        self, text: Any, questions: list[str], question: str, **options: Unpack[DecideOptions]
    ) -> Decision[float]: ...
    @overload
    def __call__(
        self, text: Any, questions: Mapping[Label, str | None], question: str, **options: Unpack[DecideOptions]
    ) -> Decision[Label]: ...
    @overload
    def __call__(self, text: Any, questions: Any, question: str, **options: Unpack[DecideOptions]) -> Decision[Any]: ...
    @overload
    def __call__(
        self, text: Any, questions: Mapping[str, type[bool]], question: None = None, **options: Unpack[DecideOptions]
    ) -> Decisions[dict[str, bool], bool]: ...
    @overload
    def __call__(
        self, text: Any, questions: Mapping[str, Any], question: None = None, **options: Unpack[DecideOptions]
    ) -> Decisions[dict[str, Any], Any]: ...
    @overload
    def __call__(
        self, text: Any, questions: type[Class], question: None = None, **options: Unpack[DecideOptions]
    ) -> Decisions[Class, Any]: ...
    @overload
    def __call__(
        self, text: Any, questions: Any = None, question: str | None = None, **options: Unpack[DecideOptions]
    ) -> Any: ...
