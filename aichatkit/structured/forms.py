"""What a user passes as `schema=` -> the JSON schema that is sent, and a reply -> its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aichatkit._dataclasses import dataclass
from aichatkit.errors import SchemaError
from aichatkit.reply import Reply
from aichatkit.structured.convert import build, is_model
from aichatkit.structured.schemas import schema_of
from aichatkit.structured.validation import check

__all__ = ["Form"]


@dataclass(frozen=True)
class Form:
    """What an answer must look like: the schema as it is sent, and the type its data becomes.

    Services want an object at the root, so other types travel in the field `value` of one.
    """

    target_type: Any
    schema: Mapping[str, Any]
    wrapped: bool

    @classmethod
    def of(cls, target_type: Any) -> Form | None:
        """Return the form for what a user may pass as `schema=`; None for None."""
        if target_type is None:
            return None
        schema = dict(target_type) if isinstance(target_type, Mapping) else schema_of(target_type)
        if "properties" in schema:
            schema.setdefault("type", "object")
        if schema.get("type") == "object":
            return cls(target_type, schema, False)
        shared = {name: schema.pop(name) for name in ("$defs", "definitions") if name in schema}
        return cls(target_type, {**_wrapping(schema), **shared}, True)

    def parse(self, reply: Reply) -> Any:
        """Return the data of an answer; raise SchemaError with its text where it does not fit."""
        try:
            value = self._unwrapped(reply.json())
            faults = (
                [] if is_model(self.target_type) else check({"value": value} if self.wrapped else value, self.schema)
            )
            if not faults:
                return value if isinstance(self.target_type, Mapping) else build(value, self.target_type)
            fault = "; ".join(faults)
        except SchemaError:
            fault = "it is not JSON"
        except (ValueError, TypeError, LookupError, ArithmeticError, AssertionError) as error:
            fault = f"{type(error).__name__}: {error}"
        if reply.finish_reason == "length":
            fault = "it was cut at the length limit; raise max_tokens"
        raise SchemaError(
            f"{reply.provider}: the answer does not fit the schema: {fault}",
            provider=reply.provider,
            model=reply.model,
            partial=reply.text,
            attempts=reply.attempts,
        )

    def _unwrapped(self, value: Any) -> Any:
        # A model that was asked in words may well answer with the bare value.
        inside = self.wrapped and isinstance(value, Mapping) and set(value) == {"value"}
        return value["value"] if inside else value


def _wrapping(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = {"value": schema}
    return {"type": "object", "properties": properties, "required": ["value"], "additionalProperties": False}
