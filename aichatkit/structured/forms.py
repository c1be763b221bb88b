"""`schema=` option -> JSON schema for the request, and reply -> its data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from aichatkit import _json
from aichatkit._dataclasses import dataclass
from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.classification.error_bodies import clean
from aichatkit.errors import ContentFilteredError, SchemaError
from aichatkit.reply import Reply
from aichatkit.structured.convert import convert, is_pydantic_model
from aichatkit.structured.dialects import JSON_TEXT
from aichatkit.structured.fit import fit_texts
from aichatkit.structured.schema_checks import check_schema
from aichatkit.structured.schemas import schema_of
from aichatkit.structured.validation import find_errors

if TYPE_CHECKING:
    from aichatkit.structured import partial as partials
else:
    # Few streams are read while they are in progress.
    partials = lazy_module("aichatkit.structured.partial")

__all__ = ["Form"]

#: Keywords with definitions, with schemas by name, and with data.
_DEFINITIONS = ("$defs", "definitions")
_BY_NAME = (*_DEFINITIONS, "dependentSchemas", "patternProperties", "properties")
_DATA = ("enum", "const", "default")
#: A reference to the root, or to a part of it that is not among its definitions.
_OWN_REFERENCE = re.compile(r"#(?:$|/(?!(?:\$defs|definitions)/))")
#: Reasoning that some models write into the text before the answer.
_LEADING_THOUGHTS = re.compile(r"\s*<(think|thinking)>.*?</\1>", re.DOTALL)


@dataclass(frozen=True)
class Form:
    """The required form of a structured answer: the schema to send, and the type to convert its data to.

    `target_type` is a type, or the user's own JSON schema as a mapping, in which case the data stays parsed JSON.
    Services require an object at the root, so other types are wrapped in an object with the single field `value`.
    """

    target_type: Any
    schema: Mapping[str, Any]
    is_wrapped: bool

    @classmethod
    def of(cls, target_type: Any) -> Form | None:
        """Return the form for a `schema=` option, None for None."""
        if target_type is None:
            return None
        if isinstance(target_type, Mapping):
            check_schema(target_type, "schema")
        schema = dict(target_type) if isinstance(target_type, Mapping) else schema_of(target_type)
        if "properties" in schema:
            schema.setdefault("type", "object")
        if schema.get("type") == "object":
            return cls(target_type, schema, False)
        return cls(target_type, _wrap(schema), True)

    @property
    def sent(self) -> Mapping[str, Any]:
        """The schema to send: the objects of pydantic models are closed, as strict modes require."""
        return self.schema if isinstance(self.target_type, Mapping) else _closed(self.schema)

    def parse(self, reply: Reply) -> Any:
        """Return the data of a reply.

        Raises:
            SchemaError: the text is not JSON or does not fit the schema; `partial` holds the text.
            ContentFilteredError: the text is a refusal.
        """
        reason, repairable = "", True
        try:
            return self._parse(reply)
        except _UnfitError as error:
            problem = str(error)
        except SchemaError:
            problem = "it is not JSON"
        except Exception as error:  # noqa: BLE001 - the user's class may raise anything
            problem, reason = f"{type(error).__name__}: {error}", reason_of(error)
            # Not caused by the data: the next answer would fail in the same way.
            repairable = not isinstance(error, RuntimeError)
        if reply.finish_reason == "content_filter":
            raise ContentFilteredError(
                f"{reply.provider}: the model refused to answer: {clean(reply.text, 300)}",
                provider=reply.provider,
                model=reply.model,
                partial=reply.text,
                attempts=reply.attempts,
            )
        if reply.finish_reason == "length":
            problem = "it was cut at the length limit; raise max_tokens"
        failure = SchemaError(
            f"{reply.provider}: the answer does not fit the schema: {problem}",
            provider=reply.provider,
            model=reply.model,
            partial=reply.text,
            attempts=reply.attempts,
            reason=reason,
        )
        failure.repairable = repairable
        raise failure

    def plain_data(self, reply: Reply) -> Any:
        """Return the data of a reply that `parse` has accepted as plain JSON, not converted to its type."""
        document = self._document(reply)
        return _json.plain(document["value"] if self.is_wrapped else document)

    def partial_data(self) -> partials.PartialData:
        """Return what reads the data of an answer while it is in progress."""
        json_text = "" if JSON_TEXT in self.schema.get("properties", ()) else JSON_TEXT
        return partials.PartialData(
            partial(partials.JSONReader, self.schema, is_wrapped=self.is_wrapped, json_text=json_text)
        )

    def _document(self, reply: Reply) -> Any:
        value = self._unwrap(reply._exact_json(_without_thoughts(reply.text)))
        return fit_texts({"value": value} if self.is_wrapped else value, self.schema)

    def _parse(self, reply: Reply) -> Any:
        document = self._document(reply)
        errors = [] if is_pydantic_model(self.target_type) else find_errors(document, self.schema)
        if errors:
            raise _UnfitError("; ".join(errors))
        value = document["value"] if self.is_wrapped else document
        return _json.plain(value) if isinstance(self.target_type, Mapping) else convert(value, self.target_type)

    def _unwrap(self, value: Any) -> Any:
        if (
            isinstance(value, Mapping)
            and set(value) == {JSON_TEXT}
            and JSON_TEXT not in self.schema.get("properties", ())
        ):
            value = value[JSON_TEXT]
        # A model that got the schema as part of the prompt may answer with the bare value.
        has_wrapper = self.is_wrapped and isinstance(value, Mapping) and set(value) == {"value"}
        return value["value"] if has_wrapper else value


def _closed(schema: Any) -> Any:
    """Return a schema whose objects are closed if they require all their fields and do not mention others."""
    closed = _converted(schema, _closed)
    if not isinstance(schema, Mapping):
        return closed
    fields = schema.get("properties")
    if (
        schema.get("type") == "object"
        and isinstance(fields, Mapping)
        and set(fields) == set(schema.get("required", ()))
    ):
        closed.setdefault("additionalProperties", False)
    return closed


def _moved(schema: Any, place: str) -> Any:
    """Return a schema whose references to itself and its parts, but its definitions, point to another place."""
    moved = _converted(schema, lambda part: _moved(part, place))
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if isinstance(reference, str) and _OWN_REFERENCE.match(reference):
        moved["$ref"] = place + reference[1:]
    return moved


def _converted(schema: Any, convert: Callable[[Any], Any]) -> Any:
    """Return a schema, or a list of them, with each schema in it converted."""
    if isinstance(schema, (list, tuple)):
        return type(schema)(map(convert, schema))
    if not isinstance(schema, Mapping):
        return schema
    converted = {}
    for name, value in schema.items():
        if name in _BY_NAME and isinstance(value, Mapping):
            converted[name] = {key: convert(part) for key, part in value.items()}
        else:
            converted[name] = value if name in _DATA else convert(value)
    return converted


def _without_thoughts(text: str) -> str:
    match = _LEADING_THOUGHTS.match(text)
    return text[match.end() :] if match else text


class _UnfitError(Exception):
    """The data does not fit the schema; the message says where."""


def _wrap(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with the data in its only field; definitions stay at the root.

    A schema that refers to itself becomes one of them, as its root is elsewhere now.
    """
    name = "answer"
    while name in schema.get("$defs", {}):
        name += "_"
    value = _moved(schema, f"#/$defs/{name}")
    refers_to_itself = value != schema
    definitions = {keyword: value.pop(keyword) for keyword in _DEFINITIONS if keyword in value}
    if refers_to_itself:
        definitions["$defs"] = {**definitions.get("$defs", {}), name: value}
        value = {"$ref": f"#/$defs/{name}"}
    properties = {"value": value}
    wrapper = {"type": "object", "properties": properties, "required": ["value"], "additionalProperties": False}
    return {**wrapper, **definitions}
