"""Options of calls -> signatures: each option is listed once, for type checkers, editors and `inspect.signature`."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, Callable, Literal, TypeVar

from aichatkit._lazy import lazy_module
from aichatkit.call.targets import Model
from aichatkit.chunks import ToolCall
from aichatkit.errors import ConfigurationError
from aichatkit.limits.retries import RetryPolicy
from aichatkit.messages import Message, Prompt
from aichatkit.params import unknown_option
from aichatkit.providers.base import ToolSource
from aichatkit.transport.timeouts import Timeout

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    from aichatkit.call import option_hints
else:
    # Needed only after a mistake.
    option_hints = lazy_module("aichatkit.call.option_hints")

    class TypedDict:
        """At run time only the annotations are read; a real TypedDict would parse each of them at import."""

        def __init_subclass__(cls, total=True): ...


__all__ = [
    "CallOptions",
    "ChatOptions",
    "CheckOptions",
    "DecideOptions",
    "EmbedOptions",
    "EstimateOptions",
    "ImageOptions",
    "MapOptions",
    "SamplingOptions",
    "options_of",
    "with_signature",
    "with_signatures",
]


class SamplingOptions(TypedDict, total=False):
    """Sampling parameters, sent only if given; see `params` for their checks."""

    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    stop: str | list[str] | tuple[str, ...] | None
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    repetition_penalty: float | None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    verbosity: Literal["low", "medium", "high"] | None
    logprobs: bool | int | None
    top_logprobs: int | None
    logit_bias: Mapping[Any, Any] | None
    response_format: Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    user: str | None


class CheckOptions(SamplingOptions, total=False):
    """Options of `check`, which reads only the text of one answer."""

    system: str | None
    files: Any
    timeout: float | tuple[float, float] | Timeout | None
    retry: int | RetryPolicy | None
    headers: Mapping[str, str] | None
    proxies: str | Mapping[str, str] | None
    prompt_cache: bool | Literal["auto", "safe", "1h"] | None
    extra: Mapping[str, Any] | None
    raw: bool
    strict: bool


class CallOptions(CheckOptions, total=False):
    """Options of `ask`, `stream` and every other call."""

    model: Model
    schema: Any
    tools: (
        Callable[..., Any]
        | Mapping[str, Any]
        | ToolSource
        | Iterable[Callable[..., Any] | Mapping[str, Any] | ToolSource | str]
        | None
    )
    tool_choice: str | Callable[..., Any] | Mapping[str, Any] | None
    search: bool | Mapping[str, Any]
    max_rounds: int
    approve: Callable[[ToolCall], bool] | None


class ImageOptions(CallOptions, total=False):
    """Options of `image`: those of any call, and what the images are like."""

    size: str | tuple[int, int] | None
    quality: str | None
    n: int


class ChatOptions(CallOptions, total=False):
    """Options of a conversation: those of each turn, and its own."""

    history: Sequence[Any]
    trim: int | Literal["auto"] | None


class DecideOptions(TypedDict, total=False):
    """Options of `decide`; see there."""

    model: Model
    system: str | None
    threshold: float | None
    emulate: bool | None
    files: Any
    timeout: float | tuple[float, float] | Timeout | None
    retry: int | RetryPolicy | None
    headers: Mapping[str, str] | None
    proxies: str | Mapping[str, str] | None
    extra: Mapping[str, Any] | None
    strict: bool


class EstimateOptions(CallOptions, total=False):
    """Options of `estimate`: those of each row, and questions in place of answers as text."""

    decide: Any
    threshold: float | None
    emulate: bool | None


class MapOptions(EstimateOptions, total=False):
    """Options of `map`: those of each row, and those of the run."""

    workers: int
    progress: bool | None
    resume: str | os.PathLike[str] | None
    executor: Any
    on_error: Literal["keep", "raise"]
    as_completed: bool
    budget: float | None
    max_tokens_total: int | None
    encoding: str | None
    delimiter: str | None
    batch: bool
    wait: bool | float
    late: Literal["batch", "live", "fail"]


class EmbedOptions(TypedDict, total=False):
    """Options of `embed`; see there."""

    model: str
    dimensions: int | None
    kind: Literal["document", "query"] | None
    normalize: bool | None
    truncate: bool
    resume: str | os.PathLike[str] | None
    workers: int
    executor: Any
    extra: Mapping[str, Any] | None
    timeout: float | tuple[float, float] | Timeout | None
    retry: int | RetryPolicy | None
    headers: Mapping[str, str] | None
    proxies: str | Mapping[str, str] | None


#: The defaults that are not None.
_DEFAULTS: Mapping[str, Any] = {
    "as_completed": False,
    "batch": False,
    "files": (),
    "history": (),
    "late": "batch",
    "max_rounds": 8,
    "n": 1,
    "on_error": "keep",
    "raw": False,
    "search": False,
    "strict": False,
    "tools": (),
    "truncate": False,
    "wait": True,
    "workers": 8,
}
_FIRST = ("model", "system")
#: As they are written after `**options:`.
_UNPACKED = {
    f"Unpack[{options.__name__}]": options
    for options in (
        *(SamplingOptions, CheckOptions, CallOptions, ChatOptions, MapOptions, EmbedOptions),
        *(DecideOptions, EstimateOptions, ImageOptions),
    )
}
#: What annotations of options refer to, for `typing.get_type_hints`.
_NAMES = {
    **{"Any": Any, "Callable": Callable, "Iterable": Iterable, "Literal": Literal, "Mapping": Mapping, "os": os},
    **{"Message": Message, "Model": Model, "Prompt": Prompt, "RetryPolicy": RetryPolicy, "Sequence": Sequence},
    **{"Timeout": Timeout, "ToolCall": ToolCall, "ToolSource": ToolSource},
}
_HAS_KEYWORDS = 0x08
#: The names that annotations in a module refer to, by the name of the module.
_scopes: dict[str, dict[str, Any]] = {}

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)


def options_of(options: type) -> dict[str, str]:
    """Return the names and annotations of options: the most used first, sampling parameters last.

    >>> list(options_of(CallOptions))[:4], options_of(SamplingOptions)["seed"]
    (['model', 'system', 'schema', 'tools'], 'int | None')
    """
    kinds = [kind for kind in options.__mro__ if kind in _UNPACKED.values()]
    annotations = {name: text for kind in kinds for name, text in kind.__annotations__.items()}
    return {name: annotations[name] for name in sorted(annotations, key=lambda name: name not in _FIRST)}


def with_signature(function: _Function) -> _Function:
    """Give a function whose `**options` are annotated `Unpack[...]` a signature that lists them all.

    It also takes `messages=` as the prompt, and raises ConfigurationError for a missing prompt, an unknown option, or
    an option passed without its name.
    """
    code: Any = function.__code__
    wants_self = code.co_varnames[:1] == ("self",)
    count, takes_prompt = code.co_argcount, "prompt" in code.co_varnames[: code.co_argcount]
    declaration = _declare(function)
    accepted = declaration.__annotations__.keys() - {"return"}
    name = function.__qualname__.partition(".")[0] if function.__name__ == "__init__" else function.__name__

    @functools.wraps(function)
    def call(*operands: Any, **options: Any) -> Any:
        if takes_prompt and "messages" in options and "prompt" not in options and len(operands) < count:
            options["prompt"] = options.pop("messages")
        if len(operands) > count or (takes_prompt and len(operands) < count and "prompt" not in options):
            raise ConfigurationError(f"{name}: {option_hints.operand_hint(name, operands[wants_self:])}")
        for option in options:
            if option not in accepted:
                raise unknown_option(option, accepted, name)
        return function(*operands, **options)

    call.__wrapped__ = declaration
    call.__annotations__ = declaration.__annotations__
    return call  # type: ignore[return-value]


def with_signatures(cls: _Class) -> _Class:
    """Apply `with_signature` to the methods of a class that take options."""
    for name, method in list(vars(cls).items()):
        if isinstance(method, FunctionType) and _options_name(method):
            setattr(cls, name, with_signature(method))
    return cls


def _options_name(function: Any) -> str:
    """Return the name of a function's `**options`, or an empty string if they are not `Unpack[...]`."""
    code = function.__code__
    if not code.co_flags & _HAS_KEYWORDS:
        return ""
    name: str = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
    return name if function.__annotations__.get(name) in _UNPACKED else ""


def _declare(function: Any) -> FunctionType:
    """Return a function that is only there to be inspected: it lists the options in place of `**options`.

    A `__signature__` would have to be made at import, by `inspect`, which few programs load.
    """
    code, annotations = function.__code__, dict(function.__annotations__)
    options = options_of(_UNPACKED[annotations.pop(_options_name(function))])
    named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    returned = annotations.pop("return")
    names = (*named, *options)
    inspected = _declaration.__code__.replace(
        co_argcount=code.co_argcount,
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        co_kwonlyargcount=len(names) - code.co_argcount,
        co_name=code.co_name,
        co_nlocals=len(names),
        co_varnames=names,
    )
    # One for all functions of a module.
    scope = _scopes.setdefault(function.__module__, dict(_NAMES))
    scope.update(function.__globals__)
    declared = FunctionType(inspected, scope, code.co_name, function.__defaults__)
    declared.__kwdefaults__ = {
        **{name: _DEFAULTS.get(name) for name in options},
        **(function.__kwdefaults__ or {}),
    }
    declared.__annotations__ = {**annotations, **options, "return": returned}
    declared.__doc__, declared.__module__ = function.__doc__, function.__module__
    declared.__qualname__ = function.__qualname__
    return declared


def _declaration() -> None:
    raise TypeError("this function only declares a signature and cannot be called; call the one that it belongs to")
