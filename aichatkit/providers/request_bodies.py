"""Messages and options -> body: what the protocols share when they build a request."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from aichatkit.chunks import Thought, ToolCall
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Content, File, Message, text_of_file
from aichatkit.providers.base import Options

__all__ = [
    "add_options",
    "encoded",
    "file_uri",
    "is_strict",
    "iter_parts",
    "joined_turns",
    "own_signature",
    "parse_arguments",
    "put",
    "refused_file",
    "split_system",
    "text_of_file",
]

_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "x-m4a": "m4a", "mp4": "m4a"}


def add_options(payload: dict[str, Any], names: Mapping[str, str], options: Options) -> dict[str, Any]:
    """Return a body with the sampling parameters under the service's names, and `extra` put in unchanged."""
    for name, value in options.params.items():
        put(payload, names[name], [value] if name == "stop" and isinstance(value, str) else value)
    return _merged(payload, options.extra)


def put(payload: MutableMapping[str, Any], path: str, value: Any) -> None:
    """Set a field; dots lead into objects inside, which are made where they are missing.

    >>> payload = {"model": "m"}
    >>> put(payload, "options.num_predict", 9)
    >>> payload
    {'model': 'm', 'options': {'num_predict': 9}}
    """
    *outer, last = path.split(".")
    for name in outer:
        payload = payload.setdefault(name, {})
    payload[last] = value


def iter_parts(content: Content, *, provider: str) -> Iterator[str | File]:
    """Yield the texts and files of a message; a text file is text under its name, an empty text nothing.

    OpenAI's picture parts are files here; raise ConfigurationError for other parts.
    """
    parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        kind = part["type"]
        if kind == "text":
            if part["text"]:
                yield part["text"]
        elif kind == "file" and isinstance(part.get("file"), File):
            file: File = part["file"]
            yield text_of_file(file) if file.kind == "text" and file.data else file
        elif kind == "image_url":
            yield _picture(part["image_url"])
        else:
            raise ConfigurationError(f"{provider} takes no part of type {kind!r}", provider=provider, action="next")


def encoded(file: File, *, provider: str) -> str:
    """Return a file's bytes in base64; raise ConfigurationError where only its address is known."""
    if not file.data:
        raise ConfigurationError(
            f"{provider} takes no file by its address, and none is fetched for you; pass the bytes of {file.url!r}, "
            "as in files=requests.get(url, timeout=30).content",
            provider=provider,
            action="next",
        )
    return base64.b64encode(file.data).decode("ascii")


def file_uri(file: File, *, provider: str, by_address: bool = True) -> str:
    """Return a file's address where it has one and that may be sent, else its data URI."""
    if file.url and by_address:
        return file.url
    return f"data:{file.media_type};base64,{encoded(file, provider=provider)}"


def audio_format(file: File) -> str:
    """Return the short name of an audio file's format.

    >>> audio_format(File("audio", "audio/mpeg"))
    'mp3'
    """
    subtype = file.media_type.partition("/")[2]
    return _AUDIO_FORMATS.get(subtype, subtype)


def refused_file(file: File, *, provider: str) -> ConfigurationError:
    """Return the error for a kind of file that a service does not take."""
    what = file.name or file.url or "a file"
    return ConfigurationError(
        f"{provider} takes no files of the kind {file.kind!r} ({what})", provider=provider, action="next"
    )


def split_system(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """Return the system's words as one text, and the other messages.

    >>> split_system([Message("system", "Be brief."), Message("user", "Hi")])
    ('Be brief.', [Message(role='user', content='Hi')])
    """
    system = [message.text for message in messages if message.role in ("system", "developer")]
    return "\n\n".join(system), [message for message in messages if message.role not in ("system", "developer")]


def joined_turns(turns: Iterable[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
    """Return the turns with neighbours of one role made one: results of tools have to come together.

    >>> joined_turns([("user", [1]), ("user", [2]), ("model", [3]), ("user", [])])
    [('user', [1, 2]), ('model', [3])]
    """
    joined: list[tuple[str, list[Any]]] = []
    for role, parts in turns:
        if joined and joined[-1][0] == role:
            joined[-1][1].extend(parts)
        elif parts:
            joined.append((role, list(parts)))
    return joined


def is_strict(schema: Any) -> bool:
    """Tell whether a service can hold an answer to a schema strictly: objects are closed and need all they have,
    every value has a type, and nothing is said in words beyond that.

    >>> closed = {"type": "object", "required": ["n"], "additionalProperties": False}
    >>> is_strict({**closed, "properties": {"n": {"type": "integer"}}}), is_strict({**closed, "properties": {"n": {}}})
    (True, False)
    >>> is_strict({"type": "array", "items": {"type": "object", "properties": {"n": {}}}})
    False
    """
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    # Words that strict modes refuse; a field of such a name only costs the strictness.
    if any(word in schema for word in ("allOf", "oneOf", "not", "prefixItems", "patternProperties")):
        return False
    fields = schema.get("properties")
    if (isinstance(fields, Mapping) and not all(fields.values())) or schema.get("items", True) == {}:
        return False
    if schema.get("type") == "object" or "properties" in schema:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("properties", ())) != set(schema.get("required", ())):
            return False
    return all(map(is_strict, schema.values()))


def own_signature(call: ToolCall | Thought, *, provider: str) -> str:
    """Return the signature of a call or thought of this provider's, nothing for another's.

    >>> own_signature(ToolCall("", "now", {}, "gemini:c2ln"), provider="gemini")
    'c2ln'
    """
    maker, _, signature = call.signature.partition(":")
    return signature if maker == provider else ""


def parse_arguments(arguments: Any) -> str:
    """Return a tool call's arguments as JSON text, whether they came as text or as an object."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments or {})


def _merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in extra.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _picture(image: Any) -> File:
    url = str(image["url"] if isinstance(image, Mapping) else image)
    detail = str(image.get("detail") or "") if isinstance(image, Mapping) else ""
    head, comma, body = url.partition(",")
    if url.startswith("data:") and comma and head.endswith(";base64"):
        return File("image", head[len("data:") : -len(";base64")], data=base64.b64decode(body), detail=detail)
    return File("image", "image/*", url=url, detail=detail)
