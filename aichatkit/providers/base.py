"""Base class of every provider: a name, URLs and at most three small hooks."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, ClassVar
from urllib.parse import urlsplit

import requests

from aichatkit import events
from aichatkit._dataclasses import NamedTuple, dataclass, field
from aichatkit._reasons import reason_of
from aichatkit.errors import (
    BadResponseError,
    ChatError,
    ConfigurationError,
    ConnectError,
    MissingKeyError,
    UnknownModelError,
)
from aichatkit.messages import Message

if TYPE_CHECKING:
    from aichatkit.classification import classify
    from aichatkit.images import ImageRequest
    from aichatkit.prompt_caching.plan import CachePlan
    from aichatkit.tools.sources import RemoteTool
    from aichatkit.transport.connections import Connections
    from aichatkit.transport.transport import Transport

__all__ = [
    "NO_OPTIONS",
    "WEB_IMAGES",
    "Options",
    "Provider",
    "Tool",
    "ToolChoice",
    "ToolSource",
    "WebSearch",
    "is_local",
    "parsing",
    "unreadable",
]


class WebSearch(NamedTuple):
    """A web search that the service runs itself; empty for what the call leaves to the service."""

    domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    max_searches: int | None = None
    country: str = ""
    region: str = ""
    city: str = ""
    timezone: str = ""
    size: str = ""

    def given(self) -> list[str]:
        """Return the names of the options that are set."""
        return [name for name, value in self._asdict().items() if value]


class ToolChoice(NamedTuple):
    """Which tools the model must use: "auto", "none", "required", or "function", the one with this name."""

    mode: str
    name: str = ""


@dataclass(frozen=True)
class Options:
    """What a call sends in addition to its messages and model.

    `params` are sampling parameters under the package's names, `tokens` what `prepare` returned, `tools` the functions
    the model may call, `schema` the JSON schema for structured output, `extra` fields copied into the body unchanged.
    `record` is what the catalog knows about the model, empty if nothing. `hide_thoughts` is set if the caller wants no
    reasoning, although the model may not be able to switch it off; `left_out` are the caller's parameters that the
    model is known to refuse. `search` is set if the service is to search the web, `service_tools` are tools that the
    service runs, as it defines them, and `tool_choice` says which tools the model must use. `cache` says how the prompt
    uses the service's prompt cache, if the caller or the service cares.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    tools: Sequence[Tool] = ()
    schema: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    hide_thoughts: bool = False
    left_out: frozenset[str] = frozenset()
    search: WebSearch | None = None
    service_tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: ToolChoice | None = None
    cache: CachePlan | None = None
    #: What the call asks for if it is to generate images.
    image: ImageRequest | None = None

    @property
    def has_tool_fields(self) -> bool:
        """Whether there is anything about tools besides the functions."""
        return self.search is not None or bool(self.service_tools) or self.tool_choice is not None


NO_OPTIONS = Options()
#: Image types of the web, the only ones that most services take.
WEB_IMAGES = frozenset(("image/gif", "image/jpeg", "image/png", "image/webp"))


@dataclass(frozen=True)
class Tool:
    """A function the model may call: its name, its description and the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class ToolSource:
    """Something that has tools, such as an MCP server."""

    name: str
    #: What to do if another tool has the name of one of these.
    rename_hint: ClassVar[str] = "pass it prefix="

    def open_tools(self, connections: Connections | None = None) -> Sequence[RemoteTool]:
        """Return the tools; `connections` are those of the client that calls."""
        raise NotImplementedError


class Provider:
    """Base class of all providers: subclass it, set the attributes, implement `build_request` and `parse_event`.

    An instance holds its base URL and no state of a call, so many threads can share it.
    """

    #: The name users pass as `provider`: lower case, with hyphens.
    name: ClassVar[str]
    #: Base URL of the service; the client's `base_url` replaces it.
    url: str
    #: URL that prompts are posted to; `url` + `path` unless set.
    api_endpoint: str = ""
    path: ClassVar[str] = ""
    #: Path of the list of models, relative to `url`; empty if the service has none.
    models_path: ClassVar[str] = ""
    #: The call to make at a service that does not chat, with {} for the model; empty if it chats.
    no_chat: ClassVar[str] = ""
    #: Whether the service is known to work at present.
    working: ClassVar[bool] = True
    supports_stream: ClassVar[bool] = True
    supports_system_message: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = True
    default_model: ClassVar[str] = ""
    models: ClassVar[Sequence[str]] = ()
    #: Regular expression for the start of the names of image generation models; empty if there are none.
    image_models: ClassVar[str] = ""
    #: The form in which the service takes size and number of images, by its name in `image_fields`; empty if in none.
    image_style: ClassVar[str] = ""
    #: Whether a model not in `models` is rejected before anything is sent.
    checks_model: ClassVar[bool] = False
    #: Environment variables that may hold the API key, the usual one first; empty for services without keys.
    api_key_env: ClassVar[str | Sequence[str]] = ()
    #: Whether a call without an API key is rejected before anything is sent.
    needs_key: ClassVar[bool] = True
    #: Environment variable that may override `url`.
    base_url_env: ClassVar[str] = ""
    #: Version prefix of every path; a `base_url` may include it or not.
    version: ClassVar[str] = ""
    #: Settings from the environment, name -> variable; those that are set are added to `options.tokens`.
    settings_env: ClassVar[Mapping[str, str]] = {}
    #: Headers sent with every request.
    headers: ClassVar[Mapping[str, str]] = {}
    #: Advice appended to the error if the connection fails.
    not_running: ClassVar[str] = ""
    #: Header that carries the API key, and the prefix of its value.
    key_header: ClassVar[str] = "Authorization"
    key_prefix: ClassVar[str] = "Bearer "
    #: Supported sampling parameters: the package's name -> the service's name.
    params: ClassVar[Mapping[str, str]] = {}
    #: The form in which the service takes `reasoning_effort`, by its name in `effort_fields`; empty for a plain field.
    effort_style: ClassVar[str] = ""
    #: Supported attachments: "image", "pdf", "text", "audio"; empty for text-only services.
    takes_files: ClassVar[frozenset[str]] = frozenset()
    #: Attachments that the result of a tool may have; others follow in a message of the user, for None they cannot.
    takes_result_files: ClassVar[frozenset[str] | None] = frozenset()
    #: Media types of the pictures that the service takes; empty if all, or not known.
    takes_images: ClassVar[frozenset[str]] = frozenset()
    #: Maximum size of an attachment, in bytes.
    max_file: ClassVar[int] = 20 << 20
    #: Whether the service supports tool calling, and whether it enforces a JSON schema on the answer itself.
    takes_tools: ClassVar[bool] = False
    takes_schema: ClassVar[bool] = False
    #: The form in which the service takes a choice of tools, by its name in `tool_fields`; empty if it takes none.
    tool_choice_style: ClassVar[str] = ""
    #: Whether requests may have tools that the service runs itself.
    takes_service_tools: ClassVar[bool] = False
    #: The form in which the service searches the web, by its name in `search_fields`; empty if it does not.
    search_style: ClassVar[str] = ""
    #: Error responses specific to the service, tried before the general table.
    rules: ClassVar[tuple[classify.Rule, ...]] = ()
    #: Whether an answer without its end marker counts as interrupted.
    requires_end: ClassVar[bool] = False
    #: Whether a limit notice may arrive as the text of a normal answer.
    checks_notices: ClassVar[bool] = False
    #: Whether leading whitespace is removed from the answer.
    trims_start: ClassVar[bool] = False
    #: Whether to bypass proxies if the server is on this machine.
    direct: ClassVar[bool] = False
    #: Name of the provider whose models and prices apply, if not its own.
    priced_as: ClassVar[str] = ""
    #: Records of its models for the catalog, or the path of a file with them; for providers outside the package.
    catalog: ClassVar[Any] = ()
    #: Whether the service writes prompts to its cache without being asked, and charges for it.
    writes_cache: ClassVar[bool] = False
    #: How the service is asked to cache prompts: "claude" and "openai" by marks, "xai" by a header that groups
    #: requests; empty if it needs nothing, or nothing is known about it.
    cache_style: ClassVar[str] = ""
    #: Whether answers cost nothing; of a server with `direct`, only while it is on this machine.
    free: ClassVar[bool] = False
    #: Regular expression for the base URLs of regions with prices of their own; group 1 is the region.
    region_urls: ClassVar[str] = ""
    #: Default read timeout, in seconds.
    read_timeout: ClassVar[float] = 60.0
    #: Order in which providers with a key are chosen by default, lowest first; 0 is never chosen.
    rank: ClassVar[int] = 0
    #: Whether a key in the environment is enough to choose it; False if users often have that key for other reasons.
    chosen_by_key: ClassVar[bool] = True
    #: Maximum size of one line in bytes, and of one answer in characters.
    max_line: ClassVar[int] = 32 << 20
    max_answer: ClassVar[int] = 256 << 20
    #: How the response body is split into events: one of the `iter_` functions of `aichatkit.events`.
    iter_events: Callable[..., Iterator[events.Event]] = staticmethod(events.iter_sse)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        has_new_address = "url" in cls.__dict__ or ("path" in cls.__dict__ and hasattr(cls, "url"))
        if has_new_address and "api_endpoint" not in cls.__dict__:
            cls.api_endpoint = cls.url + cls.path

    def __init__(self, base_url: str | None = None) -> None:
        if base_url:
            default_url = type(self).url
            self.url = base_url.rstrip("/")
            if self.version and self.url.endswith(self.version):
                self.url = self.url[: -len(self.version)]
            if self.path and self.url.endswith(self.path):
                raise ConfigurationError(
                    f"base_url: {self.path} is added to it for each request, so it must end before that",
                    provider=self.name,
                )
            if self.api_endpoint.startswith(default_url):
                self.api_endpoint = self.url + self.api_endpoint[len(default_url) :]

    def prepare(self, http: Transport) -> Mapping[str, str]:
        """Fetch what the service requires first, such as a token or nonce; the only hook that may use the network.

        The result is passed to `build_request` as `options.tokens`, or sent as headers if that hook takes no `options`.
        Accept a keyword argument `messages`, empty by default, to receive the prompt of the call.
        """
        return {}

    def build_request(self, messages: Sequence[Message], model: str) -> requests.Request:
        """Return the request for a prompt, without side effects.

        Accept a keyword argument `options` to receive sampling parameters and tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} has no build_request")

    def parse_event(self, event: events.Event) -> Any:
        """Return what an event contains, without side effects.

        Text, one of `aichatkit.chunks`, a sequence of both, or None; raise a `ChatError` for a failure.
        """
        raise NotImplementedError(f"{type(self).__name__} has no parse_event")

    def takes_schema_for(self, model: str, options: Options) -> bool:
        """Return whether the service enforces a schema in this call; if not, the prompt describes it."""
        return self.takes_schema

    def wants_key(self) -> bool:
        """Return whether an API key is required; a server at another `base_url` may work without one."""
        return self.needs_key and bool(self.key_variables()) and self.url == type(self).url

    def is_free(self, model: str) -> bool:
        """Return whether an answer of a model costs nothing."""
        return self.free and (not self.direct or is_local(self.url))

    def region(self) -> str:
        """Return the region of the base URL if prices depend on it, else an empty string."""
        match = re.match(self.region_urls, self.url) if self.region_urls else None
        return "" if match is None else match[1]

    def sign(self, key: str) -> tuple[str, str]:
        """Return the name and value of the header that carries the API key."""
        return self.key_header, self.key_prefix + key

    def sign_token(self, key: str) -> tuple[str, str]:
        """Return the name and value of the header for a key that a function returned, which may be a token."""
        return self.sign(key)

    def models_url(self, tokens: Mapping[str, str]) -> str:
        """Return the URL of the list of models; `tokens` is what `prepare` returned."""
        return tokens.get("url", self.url) + self.models_path

    @classmethod
    def for_endpoint(cls, endpoint: str) -> type[Provider] | None:
        """Return the class for the models that answer only at another endpoint of the service, None if there is none.

        `endpoint` is "responses" or "messages", as in the catalog.
        """
        return None

    @classmethod
    def for_model(cls, model: str) -> type[Provider] | None:
        """Return the class for a model that the service has at another endpoint, None if it has not."""
        return None

    @classmethod
    def for_service_tools(cls, model: str) -> type[Provider] | None:
        """Return the class for the endpoint that runs tools of the service, None if it is this one or there is none."""
        return None

    @classmethod
    def draws(cls, model: str) -> bool:
        """Return whether a model generates images."""
        return bool(cls.image_models) and re.match(cls.image_models, model) is not None

    def advice_for(self, error: ChatError) -> str:
        """Return what to do about an error, appended to its message; "" if it says so itself."""
        return self.not_running if isinstance(error, ConnectError) and not error.maybe_processed else ""

    @classmethod
    def key_variables(cls) -> tuple[str, ...]:
        """Return the environment variables that may hold the API key."""
        names = cls.api_key_env
        return (names,) if isinstance(names, str) else tuple(names)

    @classmethod
    def find_key(cls) -> str | None:
        """Return the API key from the environment, or None."""
        return next((os.environ[name] for name in cls.key_variables() if os.environ.get(name)), None)

    @classmethod
    def find_base_url(cls) -> str | None:
        """Return the base URL from the environment, or None."""
        return os.environ.get(cls.base_url_env) or None if cls.base_url_env else None

    @classmethod
    def url_for(cls, auth: Any, url: str | None = None) -> str | None:
        """Return the base URL for what `auth` signs: `url`, completed if need be, or that of its place, or None."""
        return url

    @classmethod
    def find_settings(cls) -> dict[str, str]:
        """Return the settings that are set in the environment."""
        return {name: os.environ[variable] for name, variable in cls.settings_env.items() if os.environ.get(variable)}

    @classmethod
    def missing_key(cls) -> MissingKeyError:
        """Return the error for a missing key; it names every variable looked up."""
        names = ", ".join(cls.key_variables())
        return MissingKeyError(
            f"{cls.name}: no key; set {names} in the environment or pass api_key=",
            provider=cls.name,
        )

    @classmethod
    def missing_model(cls) -> UnknownModelError:
        """Return the error for a call that names no model, at a provider without a default model."""
        return UnknownModelError(f"{cls.name} has no default model; name one as '{cls.name}/model'", provider=cls.name)


@lru_cache(maxsize=256)
def is_local(url: str) -> bool:
    """Return whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def parsing(provider: str, subject: str, excerpt: Callable[[], Any] = str) -> Iterator[None]:
    """Turn exceptions caused by bad data into a `BadResponseError` naming the provider; let a `ChatError` through."""
    try:
        yield
    except ChatError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        failure = unreadable(provider, subject, error, excerpt())
    else:
        return
    raise failure


def unreadable(provider: str, subject: str, error: Exception, data: Any) -> BadResponseError:
    """Return the error for malformed data; its message shows how the data starts."""
    excerpt = f": {str(data)[:100]!r}" if data else ""
    return BadResponseError(
        f"{provider}: the {subject} cannot be read ({type(error).__name__}){excerpt}",
        provider=provider,
        reason=reason_of(error),
    )
