"""JSON schema -> the subset a service supports; other keywords move to the description and are validated locally."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

from aichatkit.structured.validation import resolve

__all__ = ["JSON_TEXT", "for_anthropic", "is_strict", "strict"]

#: The only field of an answer that is JSON text.
JSON_TEXT = "json_text"
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
#: Keywords with schemas by name, with one schema, and with a list of schemas.
_BY_NAME = ("properties", "$defs", "definitions")
_SINGLE = ("items", "additionalProperties")
_LISTS = ("anyOf",)
#: Keywords of OpenAI's strict mode; any other keyword moves to the description.
_STRICT_KEYWORDS = frozenset(
    (
        *("$defs", "$ref", "additionalProperties", "anyOf", "const", "definitions", "description", "enum", "format"),
        *("exclusiveMaximum", "exclusiveMinimum", "items", "maximum", "maxItems", "minimum", "minItems", "multipleOf"),
        *("pattern", "properties", "required", "title", "type"),
    )
)
#: Keywords that determine the shape of the data and so cannot be left out.
_SHAPES = ("allOf", "oneOf", "not", "prefixItems", "patternProperties", "if", "then", "else", "dependentSchemas")
_ANTHROPIC_KEYWORDS = frozenset(
    (
        *("additionalProperties", "anyOf", "const", "description", "enum", "format", "items", "minItems", "pattern"),
        *("properties", "required", "title", "type"),
    )
)
#: Regular expression syntax that services cannot compile.
_HARD_PATTERN = re.compile(r"\(\?|\\[bB1-9]")
#: Keywords about the schema itself, which the model need not know.
_SILENT = frozenset(("$schema", "$id", "$comment", "$anchor", "discriminator", "deprecated", "readOnly", "writeOnly"))
_JSON_TYPES: Sequence[tuple[type, str]] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (type(None), "null"),
    (Mapping, "object"),
    (list, "array"),
)


def strict(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the schema in the form of strict mode, None if that cannot express it, such as optional fields.

    >>> name = {"type": "object", "properties": {"n": {"type": "string", "minLength": 1}}, "required": ["n"]}
    >>> strict({**name, "additionalProperties": False})["properties"]
    {'n': {'type': 'string', 'description': 'minLength: 1'}}
    >>> strict(name) is None
    True
    """
    converted = _Strict(schema).convert(schema)
    return converted if is_strict(converted) else None


def is_strict(schema: Any) -> bool:
    """Return whether a schema qualifies for strict mode.

    Every object must be closed and require all its fields, every value must have a type, and every keyword must be one
    that strict modes accept.

    >>> closed = {"type": "object", "required": ["n"], "additionalProperties": False}
    >>> is_strict({**closed, "properties": {"n": {"type": "integer"}}}), is_strict({**closed, "properties": {"n": {}}})
    (True, False)
    >>> is_strict({"type": "array", "items": {"type": "object", "properties": {"n": {}}}})
    False
    """
    if not isinstance(schema, Mapping):
        return False
    if "$ref" in schema:
        return set(schema) <= {"$ref", "$defs", "definitions"} and all(map(is_strict, _subschemas(schema)))
    if not set(schema) <= _STRICT_KEYWORDS or not set(schema) & {"type", "anyOf"}:
        return False
    if schema.get("format", "date") not in _FORMATS or _HARD_PATTERN.search(str(schema.get("pattern", ""))):
        return False
    types = schema.get("type", ())
    types = [types] if isinstance(types, str) else types
    if "object" in types or "properties" in schema:
        is_closed = schema.get("additionalProperties") is False
        if not is_closed or set(schema.get("properties", ())) != set(schema.get("required", ())):
            return False
    if "array" in types and "items" not in schema:
        return False
    return all(map(is_strict, _subschemas(schema)))


def for_anthropic(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema in the form of Anthropic's structured outputs: closed, without recursion and bounds.

    A part that has no such form, such as an object with arbitrary keys, becomes a string of JSON text, which
    `fit_texts` parses.
    """
    converted: dict[str, Any] = _Anthropic(schema).convert(schema)
    if converted.get("type") == "object":
        return converted
    # The root must be an object.
    fields = {JSON_TEXT: converted}
    return {"type": "object", "properties": fields, "required": [JSON_TEXT], "additionalProperties": False}


class _Converter:
    """Copies a schema with the keywords that a service supports; `root` resolves its references."""

    keywords: frozenset[str]

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        #: References that are being followed, to detect recursion.
        self.open: list[str] = []

    def convert(self, schema: Any) -> Any:
        """Return the service's form of a schema."""
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema:
            return self.convert_reference(schema)
        return self.convert_plain(_normalized(schema))

    def convert_reference(self, schema: Mapping[str, Any]) -> Any:
        """Return the service's form of a schema with a reference."""

    def convert_plain(self, schema: Mapping[str, Any]) -> Any:
        """Return the service's form of a schema without a reference."""

    def convert_named(self, keyword: str, name: str, schema: Any) -> Any:
        """Convert a field or definition; a reference to it from inside is recursive."""
        self.open.append(f"#/{keyword}/{name}")
        try:
            return self.convert(schema)
        finally:
            self.open.pop()

    def follow(self, schema: Mapping[str, Any], convert: Callable[[Any], Any]) -> Any:
        """Convert the definition that a reference points to, combined with the keywords next to the reference."""
        self.open.append(schema["$ref"])
        try:
            return convert(resolve(schema, self.root))
        finally:
            self.open.pop()

    def copy(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the supported keywords with their schemas converted, and the others in the description."""
        kept: dict[str, Any] = {}
        notes = []
        for name, value in schema.items():
            if name not in self.keywords or self.refuses(name, value):
                notes += [] if name in _SILENT else [_note(name, value)]
            elif name in _BY_NAME:
                kept[name] = {key: self.convert_named(name, key, inner) for key, inner in value.items()}
            elif name in _LISTS:
                kept[name] = [self.convert(inner) for inner in value]
            else:
                kept[name] = self.convert(value) if name in _SINGLE else value
        return _described(kept, notes)

    def refuses(self, name: str, value: Any) -> bool:
        """Return whether the service rejects this value of a supported keyword."""
        if name == "pattern":
            return _HARD_PATTERN.search(str(value)) is not None
        return name == "format" and value not in _FORMATS


class _Strict(_Converter):
    """OpenAI's strict mode. It supports references, even recursive ones, without other keywords next to them."""

    keywords = _STRICT_KEYWORDS

    def convert_reference(self, schema: Mapping[str, Any]) -> Any:
        siblings = {name: value for name, value in schema.items() if name != "$ref"}
        if not siblings or any(name in siblings for name in _BY_NAME):
            return dict(schema)
        if schema["$ref"] in self.open or schema["$ref"] == "#":
            # A recursive reference cannot be replaced by its definition.
            return _described({"anyOf": [{"$ref": schema["$ref"]}]}, [str(siblings.get("description") or "")])
        return self.follow(schema, self.convert)

    def convert_plain(self, schema: Mapping[str, Any]) -> Any:
        if any(name in schema for name in _SHAPES):
            return schema
        return self.copy(schema)


class _Anthropic(_Converter):
    """Anthropic's structured outputs: no recursion, no bounds, and every object closed."""

    keywords = _ANTHROPIC_KEYWORDS

    def convert_reference(self, schema: Mapping[str, Any]) -> Any:
        if schema["$ref"] in self.open or schema["$ref"] == "#":
            return _json_text(resolve(schema, self.root), self.root)
        return self.follow(schema, self.convert)

    def convert_plain(self, schema: Mapping[str, Any]) -> Any:
        schema = {name: value for name, value in schema.items() if name not in ("$defs", "definitions")}
        if "allOf" in schema:
            schema = self._merged(schema)
        types = schema.get("type")
        if isinstance(types, list):
            shared = {name: value for name, value in schema.items() if name != "type"}
            return self.convert({"anyOf": [_only(shared, name) for name in types]})
        if types == "object" or "properties" in schema:
            return self._convert_object(schema)
        if types == "array":
            return self._convert_array(schema)
        return self.copy(schema)

    def refuses(self, name: str, value: Any) -> bool:
        if name == "minItems":
            return value not in (0, 1)
        return super().refuses(name, value) and (name, value) != ("format", "uri")

    def _convert_object(self, schema: Mapping[str, Any]) -> Any:
        if not schema.get("properties"):
            is_empty = schema.get("additionalProperties") is False and "patternProperties" not in schema
            return self.copy(schema) if is_empty else _json_text(schema, self.root)
        if isinstance(schema.get("additionalProperties"), Mapping):
            # Closing it would lose the other fields.
            return _json_text(schema, self.root)
        return {**self.copy({**schema, "additionalProperties": False}), "type": "object"}

    def _convert_array(self, schema: Mapping[str, Any]) -> Any:
        items = schema.get("items")
        prefix = schema.get("prefixItems") or (items if isinstance(items, list) else ())
        if not prefix:
            return self.copy(schema)
        forms: list[Any] = []
        for item in [*prefix, *([items] if isinstance(items, Mapping) else ())]:
            forms += [item] if item not in forms else []
        same = {"items": forms[0] if len(forms) == 1 else {"anyOf": forms}}
        rest = {name: value for name, value in schema.items() if name != "prefixItems"}
        return self.copy({**rest, **same})

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        merged = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            inner = resolve(part, self.root)
            for name, value in inner.items() if isinstance(inner, Mapping) else ():
                if name == "properties":
                    merged[name] = {**value, **merged.get(name, {})}
                elif name == "required":
                    merged[name] = list(dict.fromkeys([*merged.get(name, ()), *value]))
                else:
                    merged.setdefault(name, value)
        return merged


def _normalized(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with a type for its constants, and with `anyOf` for `oneOf`, which few services support."""
    normal = dict(schema)
    if "oneOf" in normal and "anyOf" not in normal:
        normal["anyOf"] = normal.pop("oneOf")
    if isinstance(normal.get("allOf"), list) and len(normal["allOf"]) == 1 and "$ref" in normal["allOf"][0]:
        # The way to describe a reference before other keywords were allowed next to it.
        (reference,) = normal.pop("allOf")
        return {**normal, **reference} if not normal else {"anyOf": [reference], **normal}
    if normal.pop("nullable", False) and isinstance(normal.get("type"), str):
        normal["type"] = [normal["type"], "null"]
    if "type" not in normal and ("enum" in normal or "const" in normal):
        values = normal["enum"] if "enum" in normal else [normal["const"]]
        names = list(dict.fromkeys(name for value in values for name in _type_names(value)))
        normal["type"] = names[0] if len(names) == 1 else names
    return normal


def _type_names(value: Any) -> Iterator[str]:
    yield next((name for cls, name in _JSON_TYPES if isinstance(value, cls)), "string")


def _only(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the part of a schema that applies to one type."""
    if name == "null":
        return {"type": "null"}
    kept = {"type": name, **schema}
    if "enum" in kept:
        kept["enum"] = [value for value in kept["enum"] if name in _type_names(value)]
    return kept


def _json_text(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a string with the JSON of a value."""
    shown = dict(schema) if isinstance(schema, Mapping) else {}
    description = str(shown.pop("description", ""))
    definitions = {
        name: root[name] for name in ("$defs", "definitions") if name in root and "$ref" in json.dumps(shown)
    }
    form = json.dumps({**shown, **definitions}, ensure_ascii=False)
    return _described({"type": "string"}, [description, f"JSON text that fits this JSON schema: {form}"])


def _described(schema: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    text = "; ".join(filter(None, [schema.get("description", ""), *notes]))
    return {**schema, "description": text} if text else schema


def _note(name: str, value: Any) -> str:
    return f"{name}: {json.dumps(value, ensure_ascii=False, default=str)}"


def _subschemas(schema: Mapping[str, Any]) -> Iterator[Any]:
    for name in _BY_NAME:
        yield from schema.get(name, {}).values()
    for name in _LISTS:
        yield from schema.get(name, ())
    if "items" in schema:
        yield schema["items"]
