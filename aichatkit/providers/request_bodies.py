"""Messages and options -> request body: what the protocols have in common."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import string
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit import _json
from aichatkit._lazy import lazy_module
from aichatkit.chunks import Thought, ToolCall
from aichatkit.errors import ConfigurationError
from aichatkit.events import Event
from aichatkit.messages import Content, File, Message, text_of_file
from aichatkit.providers.base import Options, Provider, Tool

if TYPE_CHECKING:
    from aichatkit.providers import effort_fields, tool_fields
else:
    # Few calls set `reasoning_effort`, or use tools of the service.
    effort_fields = lazy_module("aichatkit.providers.effort_fields")
    tool_fields = lazy_module("aichatkit.providers.tool_fields")

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "add_options",
    "build_tool",
    "call_id",
    "encode_base64",
    "exact_record",
    "file_bytes",
    "file_uri",
    "find_signature",
    "iter_parts",
    "merge_turns",
    "parse_arguments",
    "random_string",
    "set_path",
    "split_system",
    "stream_headers",
    "text_of_file",
    "unsupported_file_error",
]

_ARGUMENTS = re.compile(r'"(?:args|arguments|input)"\s*:\s*\{')
#: Output limit for a model that the catalog does not know, if the service demands one.
DEFAULT_MAX_TOKENS = 8192
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "x-m4a": "m4a", "mp4": "m4a"}


def add_options(
    payload: dict[str, Any],
    names: Mapping[str, str],
    options: Options,
    *,
    provider: Provider | None = None,
    model: str = "",
) -> dict[str, Any]:
    """Return the body with the sampling parameters under the service's names, and `extra` merged in unchanged.

    The tools in `extra` are added to the others.
    """
    if provider is not None and options.has_tool_fields:
        tool_fields.add_tool_fields(payload, provider, model, options)
    for name, value in options.params.items():
        if provider is not None and name == "reasoning_effort":
            for path, field in effort_fields.effort_fields(provider, model, options).items():
                set_path(payload, path, field)
        else:
            set_path(payload, names[name], [value] if name == "stop" and isinstance(value, str) else value)
    merged = _deep_merge(payload, options.extra)
    if isinstance(payload.get("tools"), list) and isinstance(options.extra.get("tools"), list):
        merged["tools"] = [*payload["tools"], *options.extra["tools"]]
    return merged


def set_path(payload: MutableMapping[str, Any], path: str, value: Any) -> None:
    """Set the field at a dotted path; missing objects on the path are created.

    >>> payload = {"model": "m"}
    >>> set_path(payload, "options.num_predict", 9)
    >>> payload
    {'model': 'm', 'options': {'num_predict': 9}}
    """
    *parents, name = path.split(".")
    for parent in parents:
        payload = payload.setdefault(parent, {})
    payload[name] = value


def iter_parts(content: Content, *, provider: str) -> Iterator[str | File]:
    """Yield the texts and files of a message; a text file becomes text headed by its name, empty texts are dropped.

    OpenAI's image parts become files; any other part raises a ConfigurationError.
    """
    parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        part_type = part["type"]
        if part_type == "text":
            if part["text"]:
                yield part["text"]
        elif part_type == "file" and isinstance(part.get("file"), File):
            file: File = part["file"]
            yield text_of_file(file) if file.kind == "text" and file.data else file
        elif part_type == "image_url":
            yield _parse_image_url(part["image_url"])
        else:
            raise ConfigurationError(
                f"{provider} takes no part of type {part_type!r}", provider=provider, action="next"
            )


def encode_base64(file: File, *, provider: str) -> str:
    """Return a file's bytes in base64; raise a ConfigurationError if only its URL is known."""
    return base64.b64encode(file_bytes(file, provider=provider)).decode("ascii")


def file_bytes(file: File, *, provider: str) -> bytes:
    """Return a file's bytes; raise a ConfigurationError if only its URL is known."""
    if not file.data:
        raise ConfigurationError(
            f"{provider} takes no file by its address, and none is fetched for you; pass the bytes of {file.url!r}, "
            "as in files=requests.get(url, timeout=30).content",
            provider=provider,
            action="next",
        )
    return file.data


def file_uri(file: File, *, provider: str, allow_url: bool = True) -> str:
    """Return a file's URL if it has one and `allow_url` is set, else a data URI."""
    if file.url and allow_url:
        return file.url
    return f"data:{file.media_type};base64,{encode_base64(file, provider=provider)}"


def audio_format(file: File) -> str:
    """Return the format of an audio file as OpenAI names it.

    >>> audio_format(File("audio", "audio/mpeg"))
    'mp3'
    """
    subtype = file.media_type.partition("/")[2]
    return _AUDIO_FORMATS.get(subtype, subtype)


def unsupported_file_error(file: File, *, provider: str) -> ConfigurationError:
    """Return the error for a file type that the service does not support."""
    label = file.name or file.url or "a file"
    return ConfigurationError(
        f"{provider} takes no files of the kind {file.kind!r} ({label})", provider=provider, action="next"
    )


def split_system(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """Return the system prompt as one text, and the other messages.

    >>> split_system([Message("system", "Be brief."), Message("user", "Hi")])
    ('Be brief.', [Message(role='user', content='Hi')])
    """
    system = [message.text for message in messages if message.role in ("system", "developer")]
    return "\n\n".join(system), [message for message in messages if message.role not in ("system", "developer")]


def merge_turns(turns: Iterable[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
    """Merge consecutive turns of the same role, since all tool results must be in one turn.

    >>> merge_turns([("user", [1]), ("user", [2]), ("model", [3]), ("user", [])])
    [('user', [1, 2]), ('model', [3])]
    """
    merged: list[tuple[str, list[Any]]] = []
    for role, parts in turns:
        if merged and merged[-1][0] == role:
            merged[-1][1].extend(parts)
        elif parts:
            merged.append((role, list(parts)))
    return merged


def build_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool's definition in the format of chat completions."""
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


def call_id(call: ToolCall, form: str = "") -> str:
    """Return the id that links a tool call to its result; the tool's name if the call has none.

    `form` is a regular expression for the ids that the service takes. Others, from another service, are replaced: by
    the same one in call and result, and by different ones for different calls.

    >>> call_id(ToolCall("functions.look:0", "look"), "[a-zA-Z0-9]{9}")
    'ec0002042'
    """
    name = call.id or call.name
    if not form or re.fullmatch(form, name):
        return name
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:9]


def find_signature(call: ToolCall | Thought, *, provider: str) -> str:
    """Return the signature of a tool call or thought if this provider made it, else an empty string.

    >>> find_signature(ToolCall("", "now", {}, "gemini:c2ln"), provider="gemini")
    'c2ln'
    """
    owner, _, signature = call.signature.partition(":")
    return signature if owner == provider else ""


def parse_arguments(arguments: Any) -> str:
    """Return a tool call's arguments as JSON text, whether received as text or as an object."""
    if isinstance(arguments, str):
        return arguments
    try:
        return _json.dumps(arguments or {})
    except (ValueError, RecursionError):
        # With NaN or an infinity, or nested too deeply, no tool can be called with them.
        return "arguments that are not JSON"


def exact_record(event: Event) -> Any:
    """Return the record of an event; if it has arguments of calls as an object, with the digits of their numbers."""
    if _ARGUMENTS.search(event.data) is None:
        return event.json()
    try:
        return _json.loads_record(event.data)
    except RecursionError:
        return event.json()


def stream_headers(provider: Provider, options: Options) -> dict[str, str]:
    """Return the headers of a streaming request, including the provider's settings from the environment."""
    settings = {name: options.tokens[name] for name in provider.settings_env if name in options.tokens}
    return {"Accept": "text/event-stream", **provider.headers, **settings}


def random_string(length: int) -> str:
    """Return random lower-case letters and digits, as web chat sites use for ids."""
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=length))


def _deep_merge(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in extra.items():
        is_nested = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _deep_merge(merged[name], value) if is_nested else value
    return merged


def _parse_image_url(image: Any) -> File:
    url = str(image["url"] if isinstance(image, Mapping) else image)
    detail = str(image.get("detail") or "") if isinstance(image, Mapping) else ""
    prefix, comma, data = url.partition(",")
    if url.startswith("data:") and comma and prefix.endswith(";base64"):
        return File("image", prefix[len("data:") : -len(";base64")], data=base64.b64decode(data), detail=detail)
    return File("image", "image/*", url=url, detail=detail)
