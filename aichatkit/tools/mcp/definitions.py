"""Tool definitions of a server -> definitions that chat services accept: names, descriptions and schemas."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit.providers.base import Tool
from aichatkit.structured.schema_checks import has_its_kind
from aichatkit.structured.validation import resolve
from aichatkit.tools.mcp.messages import encode_header

__all__ = ["ServerTool", "for_services", "header_fields", "name_of", "parse_tool", "safe_name", "with_distinct_names"]

_HEADER = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCALARS = ("boolean", "integer", "string")
_MAX_NAME, _KEPT_NAME = 64, 55
#: Characters that are not shown and so can hide instructions from a person: tags, zero widths, text directions.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f]")
#: Keywords about the schema itself or for references, which are replaced by what they refer to.
_DROPPED = frozenset(
    (
        *("$anchor", "$comment", "$defs", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema", "$vocabulary"),
        *("definitions", _HEADER),
    )
)
#: Keywords whose value is data and not a schema.
_DATA = frozenset(("const", "default", "enum", "examples", "required"))
#: Keywords whose keys are names.
_NAMED = frozenset(("dependentSchemas", "patternProperties", "properties"))
_COMBINED = ("allOf", "anyOf", "oneOf")
_LISTS = (*_COMBINED, "enum", "prefixItems")
_TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
#: Annotations by what their value must be; services reject the whole request for anything else.
_TEXTS = frozenset(("contentEncoding", "contentMediaType", "description", "format", "pattern", "title"))
_FLAGS = frozenset(("deprecated", "readOnly", "uniqueItems", "writeOnly"))
#: The deepest schema, and the most parts of one once references are replaced.
_MAX_DEPTH, _MAX_PARTS = 30, 5000


class ServerTool(NamedTuple):
    """A tool of a server: its `name` there, how the model sees it (`definition`), its own `schema` and its hints.

    The hints `readOnlyHint`, `destructiveHint`, `idempotentHint` and `openWorldHint` are what the server says about it.
    """

    name: str
    definition: Tool
    schema: Mapping[str, Any]
    hints: Mapping[str, Any]
    #: Header name -> path of the argument that is repeated in it.
    headers: Mapping[str, tuple[str, ...]]

    @property
    def description(self) -> str:
        """What the server says that the tool does."""
        return self.definition.description

    def header_values(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Return the HTTP headers that repeat arguments."""
        values = {}
        for header, path in self.headers.items():
            value: Any = arguments
            for step in path:
                value = value.get(step) if isinstance(value, Mapping) else None
            if value is not None:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                values[f"Mcp-Param-{header}"] = encode_header(text)
        return values


def name_of(record: Any) -> str:
    """Return the name in a definition, "" if there is none."""
    name = record.get("name") if isinstance(record, Mapping) else None
    return name if isinstance(name, str) else ""


def parse_tool(record: Any, prefix: str = "", *, repeats_arguments: bool = True) -> ServerTool | str:
    """Return a tool of a server's list, or why it cannot be used; `repeats_arguments` is for headers of HTTP."""
    name = name_of(record)
    if not name:
        return "it has no name"
    execution = record.get("execution")
    if isinstance(execution, Mapping) and execution.get("taskSupport") == "required":
        return f"{name} runs only as a task, which this client does not support"
    schema = record.get("inputSchema")
    schema = schema if isinstance(schema, Mapping) else {}
    try:
        headers = header_fields(schema) if repeats_arguments else {}
        parameters = for_services(schema)
    except ValueError as error:
        return f"{name}: {error}"
    description = _visible(str(record.get("description") or record.get("title") or ""))
    hints = record.get("annotations")
    hints = dict(hints) if isinstance(hints, Mapping) else {}
    return ServerTool(name, Tool(safe_name(prefix + name), description, parameters), dict(schema), hints, headers)


def safe_name(name: str) -> str:
    """Return a name that every service accepts, the same in every run.

    >>> safe_name("files.read"), safe_name("2d"), len(safe_name("x" * 100))
    ('files_read', '_2d', 64)
    """
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    safe = safe if re.match(r"[A-Za-z_]", safe) else f"_{safe}"
    return safe if len(safe) <= _MAX_NAME else _numbered(safe, name)


def with_distinct_names(tools: Mapping[str, ServerTool], prefix: str) -> dict[str, ServerTool]:
    """Return the tools of a server; of those that became alike, each that was changed gets a name of its own."""
    counts = Counter(tool.definition.name for tool in tools.values())
    distinct = dict(tools)
    for name, tool in tools.items():
        safe = tool.definition.name
        if counts[safe] > 1 and safe != prefix + name:
            distinct[name] = tool._replace(definition=replace(tool.definition, name=_numbered(safe, prefix + name)))
    return distinct


def _numbered(safe: str, name: str) -> str:
    return f"{safe[:_KEPT_NAME]}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def header_fields(schema: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the arguments to repeat in HTTP headers; raise ValueError if the schema breaks the rules for them."""
    fields: dict[str, tuple[str, ...]] = {}
    for path, inner, is_plain in _walk(schema, (), True):
        if _HEADER not in inner:
            continue
        header = inner[_HEADER]
        if not isinstance(header, str) or not _TOKEN.fullmatch(header):
            raise ValueError(f"{header!r} is not the name of a header")
        if not is_plain or not path or inner.get("type") not in _SCALARS:
            raise ValueError(f"the header {header!r} is for something else than a plain argument")
        if header.lower() in map(str.lower, fields):
            raise ValueError(f"two arguments have the header {header!r}")
        fields[header] = path
    return fields


def for_services(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without what some service rejects: references, `$schema`, lists without items, forms at the root.

    References to other documents are never followed, and keywords of older drafts are replaced.

    >>> for_services({"$schema": "http://json-schema.org/draft-07/schema#"})
    {'type': 'object', 'properties': {}}
    """
    cleaned = _Cleaner(schema).clean(schema, ())
    properties = dict(cleaned.get("properties") or {})
    for keyword in _COMBINED:
        for form in cleaned.pop(keyword, ()):
            properties = {**(form.get("properties") or {} if isinstance(form, Mapping) else {}), **properties}
    return _requiring_only_its_own({**cleaned, "type": "object", "properties": properties})


class _Cleaner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.parts = 0

    def clean(self, schema: Any, open_references: tuple[str, ...], depth: int = 0) -> Any:
        """Return a schema without the keywords that services reject."""
        if not isinstance(schema, Mapping):
            return schema
        self.parts += 1
        if self.parts > _MAX_PARTS or depth > _MAX_DEPTH:
            raise ValueError("its schema is too large or too deep")
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference.startswith("#") and reference not in open_references:
                return self.clean(resolve(schema, self.root), (*open_references, reference), depth + 1)
            # Recursive, or in another document: any value.
            schema = {name: value for name, value in schema.items() if name == "description"}
        cleaned = {}
        for name, value in _modern(schema).items():
            if name in _DROPPED or not _is_valid(name, value):
                continue
            if name in _NAMED:
                value = {key: self.clean(_as_object(inner), open_references, depth + 1) for key, inner in value.items()}
            elif isinstance(value, list) and name not in _DATA:
                value = [self.clean(inner, open_references, depth + 1) for inner in value]
            elif name not in _DATA:
                value = self.clean(value, open_references, depth + 1)
            cleaned[name] = _visible(value) if name in ("description", "title") and isinstance(value, str) else value
        types = cleaned.get("type", ())
        if "array" in ([types] if isinstance(types, str) else types) or "items" in cleaned:
            cleaned["items"] = _as_object(cleaned.get("items", {}))
        return _requiring_only_its_own(cleaned) if "properties" in cleaned and depth else cleaned


def _walk(schema: Any, path: tuple[str, ...], is_plain: bool) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """Yield each part of a schema, its path, and whether only `properties` lead to it."""
    if len(path) > _MAX_DEPTH:
        raise ValueError("its schema is too large or too deep")
    if isinstance(schema, list):
        for inner in schema:
            yield from _walk(inner, (*path, ""), False)
    if not isinstance(schema, Mapping):
        return
    yield path, schema, is_plain
    for name, value in schema.items():
        if name in _NAMED or name in ("$defs", "definitions"):
            for key, inner in value.items() if isinstance(value, Mapping) else ():
                yield from _walk(inner, (*path, key), is_plain and name == "properties")
        elif name not in _DATA:
            yield from _walk(value, (*path, ""), False)


def _requiring_only_its_own(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an object schema that requires only properties that it has."""
    if "required" not in schema:
        return schema
    return {**schema, "required": [name for name in schema["required"] if name in schema["properties"]]}


def _modern(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with keywords of older drafts of JSON Schema as the current one has them."""
    modern = dict(schema)
    for name, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(modern.get(name), bool) and modern.pop(name) and bound in modern:
            modern[name] = modern.pop(bound)
    items = modern.get("items")
    if isinstance(items, list):
        # One schema for each place in the list.
        forms = [item for number, item in enumerate(items) if item not in items[:number]]
        modern["items"] = forms[0] if len(forms) == 1 else {"anyOf": forms}
    types = modern.get("type")
    if isinstance(types, list):
        modern["type"] = list(filter(_is_type, types))
    return modern


def _is_type(value: Any) -> bool:
    return isinstance(value, str) and value in _TYPES


def _is_valid(name: str, value: Any) -> bool:
    """Return whether the value of a keyword is one that JSON Schema allows; unknown keywords may have any."""
    if name == "type":
        return bool(value) if isinstance(value, list) else _is_type(value)
    if name in _NAMED:
        return isinstance(value, Mapping)
    if name in _LISTS:
        return isinstance(value, list) and bool(value)
    if name in _FLAGS:
        return isinstance(value, bool)
    if name in _TEXTS:
        return isinstance(value, str)
    return has_its_kind(name, value)


def _as_object(schema: Any) -> Any:
    """Return a schema that is `true` or `false` as an object: services take no others for a property."""
    return {} if isinstance(schema, bool) else schema


def _visible(text: str) -> str:
    return _INVISIBLE.sub("", text)
