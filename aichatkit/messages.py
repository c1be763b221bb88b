"""Prompt -> messages: anything a user may pass as a prompt becomes a list of `Message`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from aichatkit._dataclasses import dataclass, field, replace
from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit._surrogates import repair
from aichatkit.chunks import Citation, Thought, ToolCall
from aichatkit.errors import ConfigurationError

if TYPE_CHECKING:
    from aichatkit import _json
else:
    # Most prompts are text.
    _json = lazy_module("aichatkit._json")

__all__ = [
    "CitedMessage",
    "Content",
    "File",
    "Message",
    "Prompt",
    "ToolCallsMessage",
    "ToolResultMessage",
    "format_prompt",
    "iter_files",
    "parse_messages",
    "text_of",
    "text_of_file",
]

Content = Union[str, "list[dict[str, Any]]"]
Prompt = Union[str, "Message", Mapping[str, Any], "Iterable[Message | Mapping[str, Any] | str]"]

ROLES = ("system", "developer", "user", "assistant", "tool")
_SENDERS = {"you": "user", "bot": "assistant"}
#: Types of parts with files, in our format and in OpenAI's.
_FILE_PARTS = ("file", "image_url", "input_audio")


@dataclass(frozen=True)
class Message:
    """One message of a conversation.

    `role` is "system", "developer", "user", "assistant" or "tool", `content` is text or a list of parts.
    """

    role: str
    #: Text, or a list of parts: {"type": "text", "text": ...} and {"type": "file", "file": File}.
    content: Content

    @property
    def text(self) -> str:
        """The text of the message; raises ConfigurationError if it has a part that is not text."""
        return text_of(self.content)


@dataclass(frozen=True)
class File:
    """A file in a message: its kind ("image", "pdf", "text" or "audio"), media type, and bytes or URL.

    `detail` is the resolution at which the model should view an image, such as "low" or "high", if the service has one.
    """

    kind: str
    media_type: str
    name: str = ""
    data: bytes = field(default=b"", repr=False)
    url: str = ""
    detail: str = ""


@dataclass(frozen=True)
class ToolCallsMessage(Message):
    """An assistant message with tool calls; `content` is the text next to them and may be empty.

    `reasoning` is the reasoning before the calls: some services require it back, others their signed `thoughts`.
    `blocks` is the whole answer as the service `origin` sent it, if that service ran tools of its own for it.
    """

    calls: Sequence[ToolCall] = ()
    reasoning: str = field(default="", repr=False)
    thoughts: Sequence[Thought] = field(default=(), repr=False)
    blocks: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    origin: str = field(default="", repr=False)

    def blocks_for(self, provider: str) -> Sequence[Mapping[str, Any]]:
        """Return the blocks if they are the provider's own, else none."""
        return self.blocks if self.origin == provider else ()


@dataclass(frozen=True)
class CitedMessage(Message):
    """An assistant message with the sources that it cites, which are kept in the history and not sent."""

    citations: Sequence[Citation] = field(default=(), repr=False)


@dataclass(frozen=True)
class ToolResultMessage(Message):
    """The result of a tool, as text or with files; `call` is the tool call it answers."""

    call: ToolCall = field(default_factory=lambda: ToolCall("", ""))


def parse_messages(prompt: Any, *, system: str | None = None, history: Iterable[Message] = ()) -> list[Message]:
    """Return the messages for a prompt; raise ConfigurationError if they are invalid for every service.

    >>> parse_messages("Hi", system="Be brief.")
    [Message(role='system', content='Be brief.'), Message(role='user', content='Hi')]
    >>> parse_messages([{"from": "bot", "content": "Hello!"}, "Bye"])
    [Message(role='assistant', content='Hello!'), Message(role='user', content='Bye')]
    """
    parsed = _without_empty(list(map(_parse_message, _list_items(prompt))))
    if not parsed:
        raise ConfigurationError("prompt: there are no messages; pass a string or at least one message")
    for message in parsed:
        _check_content(message)
    messages = _link_tool_results([*history, *parsed])
    if system is not None:
        if not isinstance(system, str) or not system.strip():
            raise ConfigurationError("system: must be a string with text in it")
        messages.insert(0, Message("system", repair(system)))
    return messages


def iter_files(messages: Iterable[Message]) -> Iterator[File]:
    """Yield the files in the messages."""
    for message in messages:
        if not isinstance(message.content, str):
            yield from (part["file"] for part in message.content if isinstance(part.get("file"), File))


def format_prompt(messages: Sequence[Message]) -> str:
    r"""Return one prompt string: a single message as is, several as labeled lines ending in `Assistant:`.

    >>> format_prompt([Message("user", "Hi")])
    'Hi'
    >>> format_prompt([Message("system", "Be brief."), Message("user", "Hi")])
    'System: Be brief.\nUser: Hi\nAssistant:'
    """
    if len(messages) == 1:
        return messages[0].text
    lines = [f"{message.role.capitalize()}: {message.text}" for message in messages]
    return "\n".join([*lines, "Assistant:"])


def text_of(content: Content) -> str:
    """Return the text of a message content; raise ConfigurationError if a part is not text."""
    if isinstance(content, str):
        return content
    for part in content:
        if part.get("type") != "text":
            raise ConfigurationError(
                f"this provider takes text only, not a part of type {part.get('type')!r}", action="next"
            )
    return "\n".join(str(part["text"]) for part in content)


def text_of_file(file: File) -> str:
    r"""Return the text of a text file, headed by its name.

    >>> text_of_file(File("text", "text/plain", "a.txt", b"One."))
    'a.txt:\nOne.'
    """
    text = file.data.decode("utf-8", "replace")
    return f"{file.name}:\n{text}" if file.name else text


def _list_items(prompt: Any) -> list[Any]:
    if isinstance(prompt, (str, Message, Mapping)):
        return [prompt]
    if isinstance(prompt, Iterable) and not isinstance(prompt, (bytes, bytearray)):
        return list(prompt)
    raise ConfigurationError(f"prompt: must be a string or a list of messages, not {type(prompt).__name__}")


def _parse_message(item: Any) -> Message:
    if isinstance(item, str):
        message = Message("user", item)
    elif isinstance(item, Mapping):
        message = _parse_mapping(item)
    elif isinstance(item, Message):
        message = item
    else:
        raise ConfigurationError(f"message: must be a string, a dict or a Message, not {type(item).__name__}")
    if message.role not in ROLES:
        raise ConfigurationError(f"message: role must be one of {', '.join(ROLES)}, not {message.role!r}")
    if isinstance(message, ToolResultMessage) and not isinstance(message.content, str):
        message = replace(message, content=_parse_result(message.content))
    return _repaired(message)


def _repaired(message: Message) -> Message:
    """Return the message with its lone surrogates replaced; most messages are returned unchanged."""
    content: Any = message.content
    if isinstance(content, str):
        fixed: Any = repair(content)
    elif isinstance(content, (list, tuple)) and not all(map(_is_encodable, content)):
        fixed = [part if _is_encodable(part) else {**part, "text": repair(part["text"])} for part in content]
    else:
        return message
    return message if fixed is content else replace(message, content=fixed)


def _is_encodable(part: Any) -> bool:
    text = part.get("text") if isinstance(part, Mapping) else None
    return not isinstance(text, str) or repair(text) is text


def _without_empty(messages: Sequence[Message]) -> list[Message]:
    """Return the messages without empty ones, which services reject; an empty last message stays and is reported.

    Histories of other programs contain empty answers, which are dropped even at the end.
    """
    last = len(messages) - 1
    return [
        message
        for i, message in enumerate(messages)
        if not (_is_empty(message) and (i < last or (message.role == "assistant" and last)))
    ]


def _is_empty(message: Message) -> bool:
    if isinstance(message, (ToolCallsMessage, ToolResultMessage)):
        return False
    content: Any = message.content
    if isinstance(content, str) or content is None:
        return not (content or "").strip()
    return isinstance(content, (list, tuple)) and not any(map(_has_content, content))


def _has_content(part: Any) -> bool:
    is_text = isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)
    return not is_text or bool(part["text"].strip())


def _parse_mapping(record: Mapping[str, Any]) -> Message:
    if "role" in record:
        role = record["role"]
    elif "from" in record:
        role = _SENDERS.get(str(record["from"]))
        if role is None:
            raise ConfigurationError(f'message: "from" must be "you" or "bot", not {record["from"]!r}')
    else:
        raise ConfigurationError('message: it has no "role"; use {"role": "user", "content": "..."}')
    if role == "tool" and "tool_call_id" in record:
        call = ToolCall(str(record["tool_call_id"]), "")
        return ToolResultMessage("tool", _parse_result(record.get("content")), call)
    if role == "assistant" and record.get("tool_calls"):
        calls = map(_parse_call, _parse_list("tool_calls", record["tool_calls"]))
        thoughts = map(_parse_thought, _parse_list("thoughts", record.get("thoughts") or ()))
        content = record.get("content")
        return ToolCallsMessage(
            role,
            "" if content is None or content == [] else content,
            tuple(calls),
            str(record.get("reasoning") or ""),
            tuple(thoughts),
        )
    if "content" not in record:
        raise ConfigurationError('message: it has no "content"; use {"role": "user", "content": "..."}')
    citations = record.get("citations")
    if role == "assistant" and isinstance(citations, list) and citations:
        return CitedMessage(role, record["content"], tuple(map(_parse_citation, citations)))
    return Message(role, record["content"])


def _parse_list(name: str, value: Any) -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    raise ConfigurationError(f"message: its {name!r} must be a list, not {type(value).__name__}")


def _parse_citation(citation: Any) -> Citation:
    """Parse a citation in the format of a saved conversation; one with other fields, as a later version may have."""
    fields = citation if isinstance(citation, Mapping) else {"url": citation}
    return Citation(**{"url": "", **{name: fields[name] for name in Citation._fields if name in fields}})


def _parse_result(content: Any) -> Content:
    """Return the result of a tool: text parts joined, parts with files unchanged, and anything else as JSON."""
    if content is None or isinstance(content, str):
        return repair(content or "")
    parts = list(content) if isinstance(content, (list, tuple)) else []
    if parts and all(isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in parts):
        for part in parts:
            _check_part(part)
        return parts if any(part["type"] in _FILE_PARTS for part in parts) else repair(text_of(parts))
    try:
        return repair(_json.dumps(content))
    except (TypeError, ValueError, RecursionError) as error:
        reason = reason_of(error)
    raise ConfigurationError(
        f"message: the content of a tool message must be text or JSON data, not {type(content).__name__}",
        reason=reason,
    )


def _parse_call(call: Any) -> ToolCall:
    """Parse a tool call in OpenAI's format; its arguments may also be an object."""
    reason = ""
    try:
        function = call["function"]
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else _json.dumps({} if arguments is None else arguments)
        fields = _json.loads_object(text)
        if fields is None:
            # Raises with the reason, unless it is JSON of another type.
            _json.loads(text)
        else:
            signature = str(call.get("signature") or "")
            return ToolCall(str(call.get("id") or ""), str(function["name"]), fields, signature)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = reason_of(error)
    raise ConfigurationError(
        'message: a tool call must look like {"id": "...", "function": {"name": "...", "arguments": "{...}"}}',
        reason=reason,
    )


def _parse_thought(thought: Any) -> Thought:
    """Parse a reasoning block in the format of a saved conversation."""
    try:
        return Thought(*thought)
    except TypeError as error:
        reason = reason_of(error)
    raise ConfigurationError('message: "thoughts" are only understood as a saved conversation has them', reason=reason)


def _link_tool_results(messages: Sequence[Message]) -> list[Message]:
    """Link each tool result to its call: in OpenAI's format a result has only the call's ID."""
    calls: dict[str, ToolCall] = {}
    linked: list[Message] = []
    for message in messages:
        if isinstance(message, ToolCallsMessage):
            # Some services use the same IDs in every turn.
            calls.update((call.id, call) for call in message.calls)
        if isinstance(message, ToolResultMessage) and not message.call.name:
            call = calls.get(message.call.id)
            if call is None:
                raise ConfigurationError(
                    f"message: no message before asks for the tool call {message.call.id!r}; "
                    'put the assistant\'s message with its "tool_calls" before the result'
                )
            message = replace(message, call=call)
        linked.append(message)
    return linked


def _check_content(message: Message) -> None:
    content = message.content
    if isinstance(message, (ToolCallsMessage, ToolResultMessage)) and isinstance(content, str):
        return
    if isinstance(content, str):
        if not content.strip():
            raise ConfigurationError(f"message: the content of the {message.role} message is empty")
    elif isinstance(content, (list, tuple)):
        if not content:
            raise ConfigurationError(f"message: the content of the {message.role} message is empty")
        for part in content:
            _check_part(part)
        if not any(part["type"] != "text" or part["text"].strip() for part in content):
            raise ConfigurationError(f"message: the content of the {message.role} message is empty")
    else:
        raise ConfigurationError(f"message: content must be a string or a list of parts, not {type(content).__name__}")


def _check_part(part: Any) -> None:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise ConfigurationError(
            'message: a part must be a dict with a "type", such as {"type": "text", "text": "..."}'
        )
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise ConfigurationError('message: a part of type "text" needs a "text" that is a string')
