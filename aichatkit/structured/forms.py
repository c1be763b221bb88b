"""`schema=` option -> JSON schema for the request, and reply -> its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aichatkit._dataclasses import dataclass
from aichatkit._reasons import reason_of
from aichatkit.classification.error_bodies import clean
from aichatkit.errors import ContentFilteredError, SchemaError
from aichatkit.reply import Reply
from aichatkit.structured.convert import convert, is_pydantic_model
from aichatkit.structured.schemas import schema_of
from aichatkit.structured.validation import find_errors

__all__ = ["Form"]


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
        schema = dict(target_type) if isinstance(target_type, Mapping) else schema_of(target_type)
        if "properties" in schema:
            schema.setdefault("type", "object")
        if schema.get("type") == "object":
            return cls(target_type, schema, False)
        definitions = {name: schema.pop(name) for name in ("$defs", "definitions") if name in schema}
        return cls(target_type, {**_wrap(schema), **definitions}, True)

    def parse(self, reply: Reply) -> Any:
        """Return the data of a reply.

        Raises:
            SchemaError: the text is not JSON or does not fit the schema; `partial` holds the text.
            ContentFilteredError: the text is a refusal.
        """
        reason = ""
        try:
            value = self._unwrap(reply.json())
            document = {"value": value} if self.is_wrapped else value
            errors = [] if is_pydantic_model(self.target_type) else find_errors(document, self.schema)
            if not errors:
                return value if isinstance(self.target_type, Mapping) else convert(value, self.target_type)
            problem = "; ".join(errors)
        except SchemaError:
            problem = "it is not JSON"
        except (ValueError, TypeError, LookupError, ArithmeticError, AssertionError) as error:
            problem, reason = f"{type(error).__name__}: {error}", reason_of(error)
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
        raise SchemaError(
            f"{reply.provider}: the answer does not fit the schema: {problem}",
            provider=reply.provider,
            model=reply.model,
            partial=reply.text,
            attempts=reply.attempts,
            reason=reason,
        )

    def _unwrap(self, value: Any) -> Any:
        # A model that got the schema as part of the prompt may answer with the bare value.
        has_wrapper = self.is_wrapped and isinstance(value, Mapping) and set(value) == {"value"}
        return value["value"] if has_wrapper else value


def _wrap(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = {"value": schema}
    return {"type": "object", "properties": properties, "required": ["value"], "additionalProperties": False}
