"""What every provider is: a name, addresses, and at most three small hooks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, ClassVar

import requests

from aichatkit import events
from aichatkit._dataclasses import dataclass, field
from aichatkit.errors import BadResponseError, ChatError, MissingKeyError
from aichatkit.messages import Message

if TYPE_CHECKING:
    from aichatkit.classification import classify
    from aichatkit.transport.transport import Transport

__all__ = ["Options", "Provider", "Tool", "parsing", "unreadable"]


@dataclass(frozen=True)
class Options:
    """What a call asks for beside its messages and model.

    `params` are sampling parameters by the package's names, `tokens` what `prepare` returned, `tools` the functions the
    model may call, `schema` the JSON schema the answer must fit, `extra` fields that go into the body unchanged.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    tools: Sequence[Tool] = ()
    schema: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """A function a model may call: its name, what it does, and the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class Provider:
    """Base of all providers: subclass it, set the attributes, fill in `build_request` and `parse_event`.

    An instance holds an address and nothing of any call, so one serves many threads.
    """

    #: How users name it, lower case with hyphens.
    name: ClassVar[str]
    #: The address of the service; `base_url` of a client replaces it.
    url: str
    #: Where prompts are sent; derived from `url` and `path` unless set.
    api_endpoint: str = ""
    path: ClassVar[str] = ""
    #: Where the service lists its models, below `url`; empty where it has no list.
    models_path: ClassVar[str] = ""
    #: Whether the service is known to answer today.
    working: ClassVar[bool] = True
    supports_stream: ClassVar[bool] = True
    supports_system_message: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = True
    default_model: ClassVar[str] = ""
    models: ClassVar[Sequence[str]] = ()
    #: Regular expression of the models that draw, from the start of their names; none where it is empty.
    image_models: ClassVar[str] = ""
    #: Whether a model outside of `models` is refused before anything is sent.
    checks_model: ClassVar[bool] = False
    #: Environment variables that may hold the key, the usual one first; none for services without keys.
    api_key_env: ClassVar[str | Sequence[str]] = ()
    #: Whether a call without a key is refused before anything is sent.
    needs_key: ClassVar[bool] = True
    #: Environment variable that may hold another address.
    base_url_env: ClassVar[str] = ""
    #: First part of every path, which a `base_url` may hold or not.
    version: ClassVar[str] = ""
    #: Settings from the environment, name -> variable; those that are there come to `build_request` with the tokens.
    settings_env: ClassVar[Mapping[str, str]] = {}
    #: Headers that go with every request.
    headers: ClassVar[Mapping[str, str]] = {}
    #: What to do where nothing listens at the address.
    not_running: ClassVar[str] = ""
    #: Header and prefix that carry the key.
    key_header: ClassVar[str] = "Authorization"
    key_prefix: ClassVar[str] = "Bearer "
    #: Sampling parameters it takes: the package's name -> the service's name.
    params: ClassVar[Mapping[str, str]] = {}
    #: Kinds of files it takes in a message: "image", "pdf", "text", "audio"; empty for services that take text only.
    takes_files: ClassVar[frozenset[str]] = frozenset()
    #: Largest file it takes, in bytes.
    max_file: ClassVar[int] = 20 << 20
    #: Whether models may call tools, and whether the service holds answers to a JSON schema by itself.
    takes_tools: ClassVar[bool] = False
    takes_schema: ClassVar[bool] = False
    #: Refusals of its own, looked at before the general tables.
    rules: ClassVar[tuple[classify.Rule, ...]] = ()
    #: Whether an answer without its end marker counts as broken off.
    requires_end: ClassVar[bool] = False
    #: Whether a limit notice may come as plain text with status 200.
    checks_notices: ClassVar[bool] = False
    #: Whether white space before the first text is not part of the answer.
    trims_start: ClassVar[bool] = False
    #: Whether it runs on this machine, so that no proxy applies.
    direct: ClassVar[bool] = False
    #: The provider whose prices hold here as well; its own name where empty.
    priced_as: ClassVar[str] = ""
    #: Longest silence by default, in seconds.
    read_timeout: ClassVar[float] = 60.0
    #: Order among the providers that are chosen by their keys; 0 is never chosen.
    rank: ClassVar[int] = 0
    #: Whether a key in the environment is enough to choose it; no where people have that key for other reasons.
    chosen_by_key: ClassVar[bool] = True
    #: Bounds of one line and of one answer, in bytes and characters.
    max_line: ClassVar[int] = 32 << 20
    max_answer: ClassVar[int] = 256 << 20
    #: How the body is cut into events: one of the `iter_` functions of `aichatkit.events`.
    iter_events: Callable[..., Iterator[events.Event]] = staticmethod(events.iter_sse)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        moved = "url" in cls.__dict__ or ("path" in cls.__dict__ and hasattr(cls, "url"))
        if moved and "api_endpoint" not in cls.__dict__:
            cls.api_endpoint = cls.url + cls.path

    def __init__(self, base_url: str | None = None) -> None:
        if base_url:
            home = type(self).url
            self.url = base_url.rstrip("/")
            if self.version and self.url.endswith(self.version):
                self.url = self.url[: -len(self.version)]
            if self.api_endpoint.startswith(home):
                self.api_endpoint = self.url + self.api_endpoint[len(home) :]

    def prepare(self, http: Transport) -> Mapping[str, str]:
        """Fetch what the service wants to see first, a token or a nonce; the one hook that may use the network.

        The mapping is handed to `build_request` as `options.tokens`; where that takes no options it is sent as headers.
        """
        return {}

    def build_request(self, messages: Sequence[Message], model: str) -> requests.Request:
        """Return the request for a prompt; pure.

        Take a keyword `options` as well to see sampling parameters and tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} has no build_request")

    def parse_event(self, event: events.Event) -> Any:
        """Return what an event means; pure.

        Text, one of `aichatkit.chunks`, a sequence of both, or None; raise one of our errors for a failure.
        """
        raise NotImplementedError(f"{type(self).__name__} has no parse_event")

    def wants_key(self) -> bool:
        """Tell whether nothing may be sent without a key; a server at another address may do without."""
        return self.needs_key and bool(self.key_variables()) and self.url == type(self).url

    def sign(self, key: str) -> tuple[str, str]:
        """Return the header that carries the key, and its value."""
        return self.key_header, self.key_prefix + key

    def models_url(self, tokens: Mapping[str, str]) -> str:
        """Return where the service lists its models; `tokens` is what `prepare` returned."""
        return tokens.get("url", self.url) + self.models_path

    @classmethod
    def draws(cls, model: str) -> bool:
        """Tell whether a model answers with pictures."""
        return bool(cls.image_models) and _matches(cls.image_models, model)

    @classmethod
    def key_variables(cls) -> tuple[str, ...]:
        """Return the environment variables that may hold the key."""
        names = cls.api_key_env
        return (names,) if isinstance(names, str) else tuple(names)

    @classmethod
    def find_key(cls) -> str | None:
        """Return the key from the environment, None where there is none."""
        return next((os.environ[name] for name in cls.key_variables() if os.environ.get(name)), None)

    @classmethod
    def find_base_url(cls) -> str | None:
        """Return the address from the environment, None where there is none."""
        return os.environ.get(cls.base_url_env) or None if cls.base_url_env else None

    @classmethod
    def find_settings(cls) -> dict[str, str]:
        """Return the settings that the environment holds."""
        return {name: os.environ[variable] for name, variable in cls.settings_env.items() if os.environ.get(variable)}

    @classmethod
    def missing_key(cls) -> MissingKeyError:
        """Return the error that names every variable looked up."""
        looked = ", ".join(cls.key_variables())
        return MissingKeyError(
            f"{cls.name}: no key; set {looked} in the environment or pass api_key= (looked up: {looked})",
            provider=cls.name,
        )


@lru_cache(maxsize=256)
def _matches(pattern: str, model: str) -> bool:
    return re.match(pattern, model) is not None


@contextmanager
def parsing(provider: str, what: str, start: Callable[[], Any] = str) -> Iterator[None]:
    """Let our own errors through and turn what bad data raises into a BadResponseError that names the provider."""
    try:
        yield
    except ChatError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        cause = type(error).__name__
    else:
        return
    raise unreadable(provider, what, cause, start())


def unreadable(provider: str, what: str, cause: str, start: Any) -> BadResponseError:
    """Return the error for data that does not have the expected form, with the start of it."""
    shown = f": {str(start)[:100]!r}" if start else ""
    return BadResponseError(f"{provider}: the {what} cannot be read ({cause}){shown}", provider=provider)
