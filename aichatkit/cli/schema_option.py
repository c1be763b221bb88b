"""`--schema` -> JSON schema: from a file, JSON text, or a short form such as "name, age int, email"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError
from aichatkit.params import suggestion

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

    The short form lists fields, each with an optional type (str, int, float or bool, with [] for a list) and, after a
    colon, an optional description. In square brackets, it describes a list of such objects.

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
        return {"type": "array", "items": _object_schema(text[1:-1])}
    return _object_schema(text)


def _read_file(path: str) -> dict[str, Any]:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError, RuntimeError) as error:
        problem, reason = getattr(error, "strerror", None) or str(error), reason_of(error)
    else:
        return _read_json(text, path)
    raise ConfigurationError(f"--schema: cannot read {path!r} ({problem})", reason=reason)


def _read_json(text: str, source: str) -> dict[str, Any]:
    try:
        schema = json.loads(text)
    except ValueError as error:
        problem, reason = str(error), reason_of(error)
    else:
        if isinstance(schema, dict):
            return schema
        problem, reason = "it must be an object", ""
    raise ConfigurationError(f"{source}: is no JSON schema: {problem}", reason=reason)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _object_schema(text: str) -> dict[str, Any]:
    fields = text.splitlines() if "\n" in text.strip() else text.split(",")
    properties = dict(_parse_field(field) for field in fields if field.strip())
    if not properties:
        raise ConfigurationError("--schema: names no field; write for example 'name, age int'")
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _parse_field(text: str) -> tuple[str, dict[str, Any]]:
    declaration, _, description = text.strip().rstrip(",").partition(":")
    words = declaration.split()
    type_name = words[1] if len(words) == 2 else "str"
    json_type = _TYPES.get(type_name[:-2] if type_name.endswith("[]") else type_name)
    if not 1 <= len(words) <= 2 or json_type is None:
        raise ConfigurationError(
            f"--schema: cannot read the field {text.strip()!r}{suggestion(type_name, _TYPES)}; "
            "write its name, its type if it is not str, and after a colon what it means"
        )
    schema: dict[str, Any] = {"type": json_type}
    if type_name.endswith("[]"):
        schema = {"type": "array", "items": schema}
    return words[0], {**schema, "description": description.strip()} if description.strip() else schema
