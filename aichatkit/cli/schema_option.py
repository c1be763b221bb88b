"""`--schema` -> JSON schema: from a file, as JSON, or in a short form such as "name, age int, email"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aichatkit.errors import ConfigurationError
from aichatkit.params import nearest

__all__ = ["parse_schema_option"]

_TYPES = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
}


def parse_schema_option(text: str) -> dict[str, Any]:
    """Return a JSON schema.

    The short form names fields, each with a type (str, int, float, bool, or one of these with [] for a list) and after
    a colon what it means; in brackets it asks for a list of such objects.

    >>> parse_schema_option("name, age int")["properties"]
    {'name': {'type': 'string'}, 'age': {'type': 'integer'}}
    >>> parse_schema_option("[name]")["type"]
    'array'
    """
    text = text.strip()
    if text.startswith("{"):
        return _read_json(text, "--schema")
    if text.endswith(".json") or _is_file(text):
        return _read_file(text)
    if text.startswith("[") and text.endswith("]"):
        return {"type": "array", "items": _object(text[1:-1])}
    return _object(text)


def _read_file(path: str) -> dict[str, Any]:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    else:
        return _read_json(text, path)
    raise ConfigurationError(f"--schema: cannot read {path!r} ({reason})")


def _read_json(text: str, source: str) -> dict[str, Any]:
    try:
        schema = json.loads(text)
    except ValueError as error:
        reason = str(error)
    else:
        if isinstance(schema, dict):
            return schema
        reason = "it must be an object"
    raise ConfigurationError(f"{source}: is no JSON schema: {reason}")


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _object(text: str) -> dict[str, Any]:
    pieces = text.splitlines() if "\n" in text.strip() else text.split(",")
    properties = dict(_field(piece) for piece in pieces if piece.strip())
    if not properties:
        raise ConfigurationError("--schema: names no field; write for example 'name, age int'")
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _field(piece: str) -> tuple[str, dict[str, Any]]:
    named, _, meaning = piece.strip().rstrip(",").partition(":")
    words = named.split()
    kind = words[1] if len(words) == 2 else "str"
    known = _TYPES.get(kind[:-2] if kind.endswith("[]") else kind)
    if not 1 <= len(words) <= 2 or known is None:
        raise ConfigurationError(
            f"--schema: cannot read the field {piece.strip()!r}{nearest(kind, _TYPES)}; "
            "write its name, its type if it is not str, and after a colon what it means"
        )
    schema: dict[str, Any] = {"type": known}
    if kind.endswith("[]"):
        schema = {"type": "array", "items": schema}
    return words[0], {**schema, "description": meaning.strip()} if meaning.strip() else schema
