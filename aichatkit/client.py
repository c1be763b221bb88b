"""The client: options in, streams and replies out. It holds the Session, the keys and the policy of all its calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Callable

import requests

from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit._locks import Lock
from aichatkit.batch.mapper import Mapper
from aichatkit.call.targets import (
    Keys,
    Model,
    PerProvider,
    Target,
    find_targets,
    named_providers,
    parse_keys,
    per_provider,
)
from aichatkit.catalog.prices import parse_prices
from aichatkit.chats.chat import Chat
from aichatkit.chunks import ToolCall
from aichatkit.errors import BadResponseError, ConfigurationError
from aichatkit.limits.cooldowns import Cooldowns, Cooling
from aichatkit.limits.pauses import Pauses
from aichatkit.limits.retries import RetryBudget, RetryPolicy
from aichatkit.messages import Prompt, parse_messages
from aichatkit.options import (
    CALL_OPTIONS,
    parse_extra,
    parse_headers,
    parse_hooks,
    parse_proxies,
    parse_rates,
    parse_url,
    parse_verify,
)
from aichatkit.params import parse_params
from aichatkit.providers.base import Options
from aichatkit.registry import GROUPS, Registry, registry
from aichatkit.reply import Reply
from aichatkit.streams import Stream
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Deadline, Timeout

if TYPE_CHECKING:
    from aichatkit import attachments, checks, images
    from aichatkit.call import attempt, fallback, list_models
    from aichatkit.call.attempt import Call, CallContext
    from aichatkit.limits import rate_limits
    from aichatkit.middleware import budgets, call_log, observe, pipeline, tool_rounds
    from aichatkit.middleware import cache as caches
    from aichatkit.middleware import telemetry as telemetries
    from aichatkit.tools import functions
else:
    pipeline = lazy_module("aichatkit.middleware.pipeline")
    attempt = lazy_module("aichatkit.call.attempt")
    attachments = lazy_module("aichatkit.attachments")
    budgets = lazy_module("aichatkit.middleware.budgets")
    caches = lazy_module("aichatkit.middleware.cache")
    fallback = lazy_module("aichatkit.call.fallback")
    checks = lazy_module("aichatkit.checks")
    images = lazy_module("aichatkit.images")
    list_models = lazy_module("aichatkit.call.list_models")
    call_log = lazy_module("aichatkit.middleware.call_log")
    observe = lazy_module("aichatkit.middleware.observe")
    rate_limits = lazy_module("aichatkit.limits.rate_limits")
    tool_rounds = lazy_module("aichatkit.middleware.tool_rounds")
    telemetries = lazy_module("aichatkit.middleware.telemetry")
    functions = lazy_module("aichatkit.tools.functions")

__all__ = ["Client", "default_client"]

#: What a copy makes anew; connections are told in a form that can travel.
_STAYS = frozenset({"_closing", "_connections", "_keys", "_made"})


class Client(Mapper):
    """Ask chat services, over one `requests.Session`.

    Example:
        >>> with Client(model="offline") as client:
        ...     reply = client.ask("Hello!")
        >>> reply.provider
        'offline'

    Args:
        model: "provider/model", "provider", a list of them in the order of fallback, or None to choose by environment.
        system: instructions that go before every prompt.
        api_key: the key, several of which a limited one steps aside, or a dict by provider;
            without it the environment is asked at the first call.
        base_url: another address that speaks the provider's protocol, or a dict by provider.
        session: a Session of your own, used as it is and not altered.
        proxies: one URL or a dict as `requests` takes it; without it the environment counts.
        verify: a CA bundle's path, or False to switch TLS verification off.
        headers: sent with every request.
        timeout: seconds for connecting and for silence, or a Timeout.
        retry: retries after the first attempt (default 2, 0 for none), or a RetryPolicy.
        rate: "60/min" or a Rate, kept for each provider and key by itself, or a dict by provider.
        prices: your own prices, {"provider/model": (in, out)} in US dollars for a million tokens.
        budget: US dollars, by the prices, that all answers of this client together do not pass.
        cache: where answers to identical calls are kept: a path, a Cache or a dict; not for calls with tools, or with
            a temperature above 0 and no seed.
        hooks: functions that watch, each called with a record: "request" before one is sent, "chunk" for each piece of
            text, "wait" before a wait, "reply" and "error" at the end. One that fails is logged and ends nothing.
        log: path of a SQLite file that each call is noted in, with its prompt and answer and without keys.
        telemetry: True for OpenTelemetry's spans and metrics (extra `otel`), or a Telemetry.
        params: sampling parameters such as `temperature`, sent only when given.

    Raises:
        ConfigurationError: an option is unknown or cannot be used; nothing is sent.
    """

    def __init__(
        self,
        *,
        model: Model = None,
        system: str | None = None,
        api_key: Keys = None,
        base_url: PerProvider = None,
        session: requests.Session | None = None,
        proxies: str | Mapping[str, str] | None = None,
        verify: bool | str | os.PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | tuple[float, float] | Timeout | None = None,
        retry: int | RetryPolicy | None = None,
        rate: str | rate_limits.Rate | Mapping[str, str | rate_limits.Rate] | None = None,
        prices: Mapping[str, tuple[float, ...]] | None = None,
        budget: float | None = None,
        cache: str | os.PathLike[str] | MutableMapping[str, str] | None = None,
        hooks: Mapping[str, Callable[[Any], None]] | None = None,
        log: str | os.PathLike[str] | None = None,
        telemetry: bool | telemetries.Telemetry | None = None,
        **params: Any,
    ) -> None:
        if session is not None and not isinstance(session, requests.Session):
            raise ConfigurationError(f"session: must be a requests.Session, not {type(session).__name__}")
        self._model = model
        self._system = system
        self._timeout = Timeout.of(timeout)
        self._policy = RetryPolicy.of(retry)
        self._params = parse_params(params, options=_client_options())
        names = named_providers(model) if isinstance(api_key, (str, list, tuple)) or isinstance(base_url, str) else []
        self._keys = {
            name: parse_keys(key, provider=name) for name, key in per_provider(api_key, names, option="api_key").items()
        }
        self._base_urls = {
            name: parse_url(url) for name, url in per_provider(base_url, names, option="base_url").items()
        }
        self._hooks = parse_hooks(hooks)
        self._observers: list[observe.Observer] = []
        if not self._hooks.keys() <= {"request", "wait"}:
            self._observers.append(observe.Hooks(self._hooks))
        self._log = None if log is None else call_log.CallLog(log)
        if self._log is not None:
            self._observers.append(self._log)
        if telemetry is not None and (watch := telemetries.Telemetry.of(telemetry)) is not None:
            self._observers.append(watch)
        self._connections = Connections(
            session, proxies=parse_proxies(proxies), verify=parse_verify(verify), headers=parse_headers(headers)
        )
        self._closing = threading.Event()
        self._prices = parse_prices(prices)
        self._purse = None if budget is None else budgets.Budget(budget)
        self._cache = None if cache is None else caches.parse_cache(cache)
        self._pauses = Pauses(self._policy.now)
        self._dropped: dict[tuple[str, str], frozenset[str]] = {}
        rates = parse_rates(rate)
        self._pacer = rate_limits.RateLimiter(rates, self._policy.now) if rates else None
        self._health = Cooldowns(self._policy.now)
        self._budget = RetryBudget(self._policy.budget)
        self._made: CallContext | None = None

    @property
    def session(self) -> requests.Session:
        """The Session all calls go through."""
        return self._connections.session

    @property
    def providers(self) -> Registry:
        """The registry: a mapping of names to provider classes."""
        return registry

    @property
    def health(self) -> list[Cooling]:
        """What is left alone after failures, why and until when, the longest first."""
        return self._health.cooling()

    def ask(self, prompt: Prompt, **options: Any) -> Reply:
        """Ask and return the finished reply.

        Options, each for this call: model, system, timeout, retry, headers, proxies, sampling parameters, and

        - `files`: paths, URLs, bytes, open files, PIL images or matplotlib figures that go with the prompt;
        - `tools`: typed functions the model may call, `max_rounds` times in a row (8); `approve(call)` may forbid one;
          the calls of tools given as dicts are left to you in `reply.tool_calls`;
        - `schema`: a type or JSON schema the answer must fit; `reply.data` is its value;
        - `extra`: fields for the body, sent as they are; `raw=True`: keep the records of the answer in `reply.raw`;
          `strict=True`: never leave out what a service refuses.

        Raises:
            ChatError: any error of the package; `partial` holds the text of an answer that broke off.
        """
        return self._open(prompt, 1, False, **options).read()

    def stream(self, prompt: Prompt, **options: Any) -> Stream:
        """Ask and return the stream, opened: a service that cannot answer raises here, not in the loop.

        It is an iterator of text; `stream.text` is what came so far, `stream.reply` the reply when it has ended.
        """
        return self._open(prompt, 0, False, **options)

    def chat(self, *, system: str | None = None, **options: Any) -> Chat:
        """Return a conversation; its options hold for every turn."""
        return Chat(self, system=system, **options)

    def image(self, prompt: str, *, model: Model = None, **options: Any) -> images.ImageResponse:
        """Have a picture made and return it; raise BadResponseError where the model only talks."""
        with self.stream(prompt, model=model, **options) as stream:
            pictures = [chunk for chunk in stream if isinstance(chunk, images.ImageResponse)]
            provider = stream.provider
        if not pictures:
            raise BadResponseError(
                f"{provider}: no picture came, only text; choose a model that draws, such as 'aichats/dalle'",
                provider=provider,
                partial=stream.text,
            )
        return pictures[0] if len(pictures) == 1 else pictures[0].joined(pictures[1:])

    def models(self, provider: str | None = None) -> list[str]:
        """Return model names: of one provider as the service lists them for the key, else those known here."""
        if provider is None or provider in GROUPS:
            kinds = registry.importable() if provider is None else [registry[name] for name in GROUPS[provider]]
            return [f"{kind.name}/{model}" for kind in kinds for model in kind.models]
        return list_models.list_models(registry[provider], self._call("models", model=provider), self._setup())

    def check(self, model: Model = None, **options: Any) -> list[checks.Check]:
        """Ask each provider that `model` stands for one small question, at once, and tell who answers and why not.

        Nothing is retried and each has 30 seconds in all, unless `retry` and `timeout` say otherwise.
        The answers cost what a short answer costs; a failure is a `Check` with its error and raises nothing.
        """
        limits = {"retry": 0, "timeout": checks.DEFAULT_TIMEOUT if self._timeout == Timeout() else None}
        call = self._call(checks.PROMPT, model=model, **{**limits, **options})
        return checks.check_targets(call, self._setup())

    def close(self) -> None:
        """End every stream and wait of this client, in whatever thread, and free its connections."""
        self._closing.set()
        self._connections.close()
        if self._pacer is not None:
            self._pacer.close()
        if self._cache is not None and isinstance(self._cache, caches.Cache):
            self._cache.close()
        if self._log is not None:
            self._log.close()

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Refuse options that no call takes, before the first call."""
        parse_params({name: options[name] for name in options if name not in CALL_OPTIONS}, options=CALL_OPTIONS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client model={self._model!r}>"

    def __getstate__(self) -> dict[str, Any]:
        # Keys stay at home: the process that loads this finds its own in its environment.
        state = {name: value for name, value in self.__dict__.items() if name not in _STAYS}
        if isinstance(self._cache, dict):
            # What is held in memory may be large, and is of use here.
            state["_cache"] = {}
        return {**state, "_connections": self._connections.portable()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _closing=threading.Event(), _keys={}, _made=None)
        self._connections = Connections(**state["_connections"])

    def __deepcopy__(self, memo: dict[int, Any]) -> Client:
        copy = type(self).__new__(type(self))
        copy.__setstate__(self.__getstate__())
        copy._keys, copy._cache = dict(self._keys), self._cache
        return copy

    def __copy__(self) -> Client:
        return self.__deepcopy__({})

    def _open(self, prompt: Prompt, repairs: int, in_run: bool, /, **options: Any) -> Stream:
        # Who asks many rows counts what they cost, and waits for pauses that any of them met.
        call, form = self._prepared(prompt, **options)
        call = replace(call, patient=True) if in_run else call
        purse = self._purse if self._purse and not in_run else None
        if not form and self._cache is None and purse is None and not self._observers:
            return Stream(fallback.open_call(call, self._setup()))
        means = pipeline.Means(form, repairs, self._cache, purse, self._observers)
        return Stream(pipeline.answer_call(call, self._setup(), means))

    def _answer(self, prompt: Prompt, **options: Any) -> Reply:
        return self._open(prompt, 1, True, **options).read()

    def _planned(self, prompt: Prompt, **options: Any) -> Call:
        return self._prepared(prompt, **options)[0]

    def _check(self, call: Call) -> None:
        fallback.check_call(call, self._setup())

    def _prepared(
        self,
        prompt: Prompt,
        *,
        tools: Any = (),
        max_rounds: int = 8,
        approve: Callable[[ToolCall], bool] | None = None,
        schema: Any = None,
        **options: Any,
    ) -> tuple[Call, dict[str, Any]]:
        call = self._call(prompt, **options)
        tools = () if tools is None else tools
        if schema is None and approve is None and tools == ():
            return call, {}
        toolbox, form = functions.Toolbox(tools, approve), tool_rounds.Form.of(schema)
        asked = replace(call.options, tools=toolbox.tools, schema=form.schema if form else None)
        call = replace(call, options=asked)
        return call, {"toolbox": toolbox, "max_rounds": max_rounds, "form": form} if toolbox or form else {}

    def _call(
        self,
        prompt: Prompt,
        *,
        files: Any = (),
        extra: Mapping[str, Any] | None = None,
        strict: bool = False,
        raw: bool = False,
        model: Model = None,
        system: str | None = None,
        timeout: float | tuple[float, float] | Timeout | None = None,
        retry: int | RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
        proxies: str | Mapping[str, str] | None = None,
        **params: Any,
    ) -> Call:
        if self._closing.is_set():
            raise ConfigurationError("the client is closed; make a new one")
        given = parse_params(params, options=CALL_OPTIONS)
        limits = self._timeout if timeout is None else Timeout.of(timeout)
        policy = self._policy if retry is None else RetryPolicy.of(retry)
        messages = parse_messages(prompt, system=self._system if system is None else system)
        plain = isinstance(files, tuple) and not files and all(isinstance(turn.content, str) for turn in messages)
        return attempt.Call(
            targets=self._targets(self._model if model is None else model),
            messages=messages if plain else attachments.with_files(messages, files),
            options=Options(params={**self._params, **given}, extra=parse_extra(extra)),
            timeout=limits,
            deadline=Deadline(limits.total, policy.now),
            policy=policy,
            headers=parse_headers(headers),
            proxies=None if proxies is None else parse_proxies(proxies),
            prices=self._prices,
            strict=strict,
            keep_raw=raw,
        )

    def _targets(self, model: Model) -> list[Target]:
        return find_targets(model, keys=self._keys)

    def _setup(self) -> CallContext:
        if self._made is None:
            self._made = attempt.CallContext(
                self._connections,
                self._closing,
                self._keys,
                self._base_urls,
                self._health,
                self._budget,
                self._pacer,
                self._hooks.get("wait"),
                self._dropped,
                self._pauses,
                self._hooks.get("request"),
            )
        return self._made


_default: list[Client] = []
_default_lock = Lock()


def default_client() -> Client:
    """Return the client that the functions of the package share, made on first use."""
    with _default_lock:
        if not _default:
            _default.append(Client())
        return _default[0]


Chat.default_client = staticmethod(default_client)


def _client_options() -> list[str]:
    return list(Client.__init__.__kwdefaults__ or ())
