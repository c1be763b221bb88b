"""Options -> call: the messages, targets and limits of one call, and what its client brings to it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from aichatkit._dataclasses import NamedTuple, dataclass, field, replace
from aichatkit._lazy import lazy_module
from aichatkit.auth.keys import KeyFunction
from aichatkit.call.targets import AnyKey, Target, parse_key
from aichatkit.catalog.layers import Record
from aichatkit.catalog.models import Catalog
from aichatkit.limits.cooldowns import CooldownKey, Cooldowns
from aichatkit.limits.retries import RetryBudget, RetryPolicy
from aichatkit.limits.waits import Pauses, Sleeper, Wait
from aichatkit.messages import Message
from aichatkit.options import parse_url
from aichatkit.providers.base import Options, Provider
from aichatkit.transport.connections import Connections
from aichatkit.transport.secrets import keys_in
from aichatkit.transport.timeouts import Deadline, Timeout

if TYPE_CHECKING:
    from aichatkit.auth import signers as signing
    from aichatkit.call.answer import Answer
    from aichatkit.call.refusals import Change
    from aichatkit.images import ImageRequest
    from aichatkit.limits.rate_limits import RateLimiter
    from aichatkit.middleware.budgets import Budget
    from aichatkit.middleware.observe import Observer
    from aichatkit.prompt_caching import memory as memories
    from aichatkit.prompt_caching.memory import PromptMemory
    from aichatkit.prompt_caching.plan import SharedHead
    from aichatkit.structured.forms import Form
    from aichatkit.tools.functions import Toolbox
else:
    # Few clients sign requests, and only long prompts are cached.
    signing = lazy_module("aichatkit.auth.signers")
    memories = lazy_module("aichatkit.prompt_caching.memory")

__all__ = ["Call", "CallContext", "Expected"]

T = TypeVar("T")

#: Entries per memo; a client that is called for more models than this starts over.
_MAX_MEMO = 256


@dataclass(frozen=True)
class CallContext:
    """What all calls of a client share: connections, keys, cooldowns, budgets, and memos."""

    connections: Connections
    closing: threading.Event
    keys: dict[str, Sequence[str | KeyFunction]] = field(repr=False)
    base_urls: Mapping[str, str]
    cooldowns: Cooldowns
    retry_budget: RetryBudget
    pauses: Pauses
    #: What signs the requests to a provider, by its name.
    signers: Mapping[str, signing.Signer] = field(default_factory=dict, repr=False)
    catalog: Catalog = field(default_factory=Catalog, repr=False)
    rate_limiter: RateLimiter | None = None
    cache: MutableMapping[str, str] | None = None
    budget: Budget | None = None
    observers: Sequence[Observer] = ()
    on_request: Callable[[Any], None] | None = None
    on_wait: Callable[[Wait], None] | None = None
    #: Changes to requests that follow from what a model refused, by provider and model; later calls apply them.
    refused_params: dict[tuple[str, str], tuple[Change, ...]] = field(default_factory=dict)
    #: Warnings already issued, by provider, model and topic.
    warned: dict[tuple[str, str, str], Any] = field(default_factory=dict, repr=False)
    #: What was sent lately, for the caches of the services; none until a prompt is long enough for one.
    _prompt_memories: dict[str, PromptMemory] = field(default_factory=dict, repr=False)
    _providers: dict[tuple[type[Provider], str | None], Provider] = field(default_factory=dict, repr=False)
    _cooldown_keys: dict[tuple[str, AnyKey, str], CooldownKey] = field(default_factory=dict, repr=False)

    def copy(self) -> CallContext:
        """Return the context for a copy of the client: new connections, the same keys and cache."""
        copy = type(self).__new__(type(self))
        copy.__setstate__({**self._state(), "keys": dict(self.keys), "cache": self.cache})
        return copy

    def __getstate__(self) -> dict[str, Any]:
        self.connections.check_portable()
        for signer in self.signers.values():
            signer.check_portable()
        return self._state()

    def _state(self) -> dict[str, Any]:
        # Keys are not pickled, but functions that return them are: the process that loads this reads keys from its own
        # environment. An in-memory cache may be large, and other processes cannot share it.
        functions = {name: [key for key in keys if isinstance(key, KeyFunction)] for name, keys in self.keys.items()}
        keys = {name: found for name, found in functions.items() if found}
        own = {"connections": self.connections.portable(), "keys": keys, "_providers": {}, "_cooldown_keys": {}}
        own.update(warned={}, _prompt_memories={})
        if isinstance(self.cache, dict):
            own["cache"] = {}
        return {name: value for name, value in {**vars(self), **own}.items() if name != "closing"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        connections = Connections(**state["connections"])
        self.__dict__.update(state, connections=connections, closing=threading.Event())

    def prompt_memory(self, clock: Callable[[], float]) -> PromptMemory:
        """Return what the client has sent lately."""
        memo = self._prompt_memories
        return memo.get("") or memo.setdefault("", memories.PromptMemory(clock))

    def provider(self, provider_cls: type[Provider]) -> Provider:
        """Return a provider at the base URL from the options, else the environment, else its own."""
        name = provider_cls.name
        # A key may say as much about the address.
        signing = self._signing(name) or next(iter(self.keys.get(name, ())), None)
        url = provider_cls.url_for(signing, self.base_urls.get(name))
        if url is None:
            env_url = provider_cls.find_base_url()
            url = parse_url(env_url, source=provider_cls.base_url_env or provider_cls.name) if env_url else None
        memo_key = (provider_cls, url)
        return self._providers.get(memo_key) or memoize(self._providers, memo_key, provider_cls(url))

    def record(self, target: Target) -> Record | None:
        """Return what the catalog knows about a target's model, None if nothing."""
        return self.catalog.find(target.provider.priced_as or target.provider.name, target.model)

    def keys_for(self, provider: Provider) -> Sequence[AnyKey]:
        """Return the keys to send, [None] if none is needed; raise MissingKeyError if one is missing.

        A key of the environment is not sent if something else signs the requests.
        """
        keys = self.keys.get(provider.name)
        if keys:
            return list(keys)
        if provider.name in self.signers or self._signs_itself(provider):
            return [None]
        env_key = provider.find_key()
        if env_key is not None:
            return [parse_key(env_key, provider=provider.name)]
        if provider.wants_key() and not self.connections.has_auth():
            raise provider.missing_key()
        return [None]

    def _signing(self, provider: str) -> Any:
        """Return what signs the requests to a provider: the object passed as `auth`, else what the Session has."""
        if provider in self.signers:
            return self.signers[provider].auth
        session = None if self.connections.owns_session else self.connections.session
        return session.auth or session if session is not None else None

    def _signs_itself(self, provider: Provider) -> bool:
        """Return whether the user's Session signs requests to this address, which is not a service's with keys."""
        connections = self.connections
        return (
            not connections.owns_session
            and provider.url != type(provider).url
            and signing.is_google_session(connections.session)
        )

    def cooldown_key(self, provider: str, key: AnyKey, model: str) -> CooldownKey:
        """Return the entry in the cooldown table of a provider, key and model."""
        memo_key = (provider, key, model)
        return self._cooldown_keys.get(memo_key) or memoize(self._cooldown_keys, memo_key, CooldownKey.of(*memo_key))

    def secrets_of(self, provider: str) -> list[str]:
        """Return the keys of a provider that were passed to the client, or that its functions have returned lately."""
        keys = self.keys.get(provider, ())
        return [text for key in keys for text in (key.secrets if isinstance(key, KeyFunction) else (key,))]

    def cooldown_keys(self, target: Target) -> list[CooldownKey]:
        """Return the entries of a target in the cooldown table, one for each key."""
        name = target.provider.name
        keys: Sequence[AnyKey] = self.keys.get(name) or [None if name in self.signers else target.provider.find_key()]
        return [self.cooldown_key(name, key, target.model) for key in keys]


class Expected(NamedTuple):
    """The requests that a call takes at a target, their tokens, and the most output, None if that is not known."""

    requests: int
    input_tokens: int
    output_tokens: int
    most_output: int | None = None


@dataclass(frozen=True)
class Call:
    """One call: its messages and options, its targets, and its limits."""

    context: CallContext = field(repr=False)
    targets: Sequence[Target]
    messages: Sequence[Message]
    options: Options
    timeout: Timeout
    deadline: Deadline
    policy: RetryPolicy
    headers: Mapping[str, str]
    proxies: Mapping[str, str] | None
    strict: bool = False
    keep_raw: bool = False
    toolbox: Toolbox | None = None
    max_rounds: int = 8
    prompt_cache: Any = "auto"
    #: The beginning that the rows of a batch have in common.
    shared_head: SharedHead | None = None
    schema: Form | None = None
    #: How often an answer that does not fit the schema is requested again.
    repairs: int = 0
    #: Whether it is one row of a batch: it waits for the pauses of other rows, and the run enforces the budget.
    in_batch: bool = False
    #: Called with each answer that is opened; a call with tools opens several.
    on_answer: Callable[[Answer], None] | None = None
    #: What it takes at a target, if that is not one request and its answer.
    expect: Callable[[Call, Target], Expected] | None = None
    #: Makes the attempts at a target, if it is not a chat: called as `TargetAttempts` is.
    make_attempts: Callable[..., Any] | None = None
    #: Called before each further answer of a call with tools; an error it raises ends the call.
    before_round: Callable[[], None] | None = None
    #: Its span, in the form of the header `traceparent`, for what its tools send; "" without telemetry.
    traceparent: str = ""

    def with_image(self, image: ImageRequest) -> Call:
        """Return the call as one for images."""
        return replace(self, options=replace(self.options, image=image))

    def sleeper(self) -> Sleeper:
        """Return how this call waits."""
        return Sleeper(self.deadline, self.context.closing, self.context.on_wait, self.policy.sleep)

    def secrets(self) -> list[str]:
        """Return every API key this call may send."""
        client_keys = [key for name in self.context.keys for key in self.context.secrets_of(name)]
        env_keys = [key for target in self.targets if (key := target.provider.find_key())]
        headers = (self.context.connections.headers, self.headers)
        return [*client_keys, *env_keys, *(key for part in headers for key in keys_in(part))]


def memoize(memo: dict[Any, T], key: Any, value: T) -> T:
    """Store a value in a memo and return it; a full memo is emptied first."""
    if len(memo) >= _MAX_MEMO:
        memo.clear()
    memo[key] = value
    return value
