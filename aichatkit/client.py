"""The client: options in, streams and replies out. It holds the Session, the keys and the limits of all its calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Callable, Literal, overload

import requests

from aichatkit._lazy import lazy_module
from aichatkit.call.build import Defaults, build_call
from aichatkit.call.call import Call, CallContext
from aichatkit.call.signatures import (
    CallOptions,
    ChatOptions,
    CheckOptions,
    DecideOptions,
    EmbedOptions,
    EstimateOptions,
    ImageOptions,
    MapOptions,
    SamplingOptions,
    with_signatures,
)
from aichatkit.call.targets import Keys, Model, PerProvider, Target, find_targets, parse_model
from aichatkit.errors import ConfigurationError
from aichatkit.limits.cooldowns import Cooldowns, Cooling
from aichatkit.limits.retries import RetryBudget, RetryPolicy
from aichatkit.limits.waits import Pauses
from aichatkit.messages import Prompt
from aichatkit.options import CALL_OPTIONS, build_connections, parse_access, parse_catalog, parse_hooks, parse_rates
from aichatkit.params import parse_params
from aichatkit.registry import Registry, registry
from aichatkit.reply import Reply
from aichatkit.streams import Stream
from aichatkit.transport.timeouts import Timeout

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from aichatkit import checks, images
    from aichatkit.batch import mapper
    from aichatkit.batch.results import Results
    from aichatkit.batch_jobs import job as job_lists
    from aichatkit.call import list_models
    from aichatkit.catalog import model_infos
    from aichatkit.catalog.model_infos import ModelInfo
    from aichatkit.chats import chat as chats
    from aichatkit.decisions import decide as decisions
    from aichatkit.decisions.overloads import Decide
    from aichatkit.embeddings import embed as embeddings
    from aichatkit.limits import rate_limits
    from aichatkit.middleware import budgets, call_log, observe, pipeline
    from aichatkit.middleware import cache as caches
    from aichatkit.middleware import telemetry as telemetries
    from aichatkit.middleware.estimates import Estimate
    from aichatkit.prompt_caching import plan as cache_plans
else:
    # What only some clients or calls need.
    budgets = lazy_module("aichatkit.middleware.budgets")
    cache_plans = lazy_module("aichatkit.prompt_caching.plan")
    caches = lazy_module("aichatkit.middleware.cache")
    call_log = lazy_module("aichatkit.middleware.call_log")
    chats = lazy_module("aichatkit.chats.chat")
    checks = lazy_module("aichatkit.checks")
    decisions = lazy_module("aichatkit.decisions.decide")
    embeddings = lazy_module("aichatkit.embeddings.embed")
    images = lazy_module("aichatkit.images")
    job_lists = lazy_module("aichatkit.batch_jobs.job")
    list_models = lazy_module("aichatkit.call.list_models")
    model_infos = lazy_module("aichatkit.catalog.model_infos")
    mapper = lazy_module("aichatkit.batch.mapper")
    observe = lazy_module("aichatkit.middleware.observe")
    pipeline = lazy_module("aichatkit.middleware.pipeline")
    rate_limits = lazy_module("aichatkit.limits.rate_limits")

__all__ = ["Client"]


@with_signatures
class Client:
    """A client for chat services, over one `requests.Session`.

    Example:
        >>> with Client(model="offline") as client:
        ...     reply = client.ask("Hello!")
        >>> reply.provider
        'offline'

    Args:
        model: "provider/model", "provider", a list of them in fallback order, or None to choose by environment.
        system: the system prompt of every call.
        api_key: a key, a function that returns one and is called for each attempt, a list of them (a rate-limited one
            is skipped), or a dict by provider; without it the environment is read at the first call.
        auth: what signs each request: an AuthBase such as `aws_auth()`, (user, password), or a dict by provider.
        base_url: another URL that speaks the provider's protocol, or a dict by provider.
        session: your own Session, used as it is and never modified.
        proxies: one URL, or a dict as `requests` takes it; without it the environment counts.
        verify: the path of a CA bundle, "system" for the certificates of the operating system (extra `truststore`), or
            False to switch TLS verification off.
        cert: a client certificate: the path of a file with certificate and key, or (certificate, key), two paths.
        headers: sent with every request.
        timeout: seconds for connecting and for silence, or a Timeout.
        retry: retries after the first attempt (default 2, 0 for none), or a RetryPolicy.
        rate: "60/min" or a Rate, kept separately for each provider and key, or a dict by provider.
        prices: your own prices, {"provider/model": (input, output)} in US dollars per million tokens.
        catalog: your own records of models, the path of a JSON file in the format of the package's.
        budget: US dollars, by the price table, that all answers of this client together do not exceed.
        cache: a path, a Cache or a dict that stores answers to identical calls; calls with tools, or with a
            temperature above 0 and no seed, are not cached.
        prompt_cache: how prompts are marked for the cache of the service: "auto" if they are likely to be read again,
            "safe" if that cannot cost more, True always, "1h" always and for an hour, False never.
        hooks: functions that observe calls, each called with a record: "request" before one is sent, "chunk" for each
            piece of text, "wait" before a wait, "reply" and "error" at the end. An exception in a hook is logged.
        log: path of a SQLite file that gets a row for each call, with prompt and answer and without keys.
        telemetry: True for OpenTelemetry spans and metrics (extra `otel`), or a Telemetry.
        params: sampling parameters such as `temperature`, sent only if given.

    Raises:
        ConfigurationError: an option is unknown or invalid; nothing is sent.
    """

    def __init__(
        self,
        model: Model = None,
        *,
        system: str | None = None,
        api_key: Keys = None,
        auth: Any = None,
        base_url: PerProvider = None,
        session: requests.Session | None = None,
        proxies: str | Mapping[str, str] | None = None,
        verify: bool | str | os.PathLike[str] | None = None,
        cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | tuple[float, float] | Timeout | None = None,
        retry: int | RetryPolicy | None = None,
        rate: str | rate_limits.Rate | Mapping[str, str | rate_limits.Rate] | None = None,
        prices: Mapping[str, tuple[float, ...] | Mapping[str, Any]] | None = None,
        catalog: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        budget: float | None = None,
        cache: str | os.PathLike[str] | MutableMapping[str, str] | None = None,
        prompt_cache: bool | Literal["auto", "safe", "1h"] = "auto",
        hooks: Mapping[str, Callable[[Any], None]] | None = None,
        log: str | os.PathLike[str] | None = None,
        telemetry: bool | telemetries.Telemetry | None = None,
        **params: Unpack[SamplingOptions],
    ) -> None:
        if session is not None and not isinstance(session, requests.Session):
            raise ConfigurationError(f"session: must be a requests.Session, not {type(session).__name__}")
        if model is not None:
            parse_model(model)
        if system is not None and not isinstance(system, str):
            raise ConfigurationError("system: must be a string with text in it")
        policy = RetryPolicy.of(retry)
        self._defaults = Defaults(
            model,
            system,
            Timeout.of(timeout),
            policy,
            parse_params(params, options=()),
            "auto" if prompt_cache == "auto" else cache_plans.parse_mode(prompt_cache),
        )
        keys, base_urls, signers = parse_access(model, api_key, base_url, auth, session)
        hooks = parse_hooks(hooks)
        self._log = None if log is None else call_log.CallLog(log)  # only now, as it creates its file
        observed = bool(hooks) or self._log is not None or telemetry is not None
        observers = observe.build_observers(hooks, self._log, telemetry) if observed else ()
        self._context = CallContext(
            connections=build_connections(session, proxies, verify, cert, headers),
            closing=threading.Event(),
            keys=keys,
            base_urls=base_urls,
            signers=signers,
            cooldowns=Cooldowns(policy.now),
            retry_budget=RetryBudget(policy.budget),
            pauses=Pauses(policy.now),
            catalog=parse_catalog(catalog, prices),
            budget=None if budget is None else budgets.Budget(budget),
            cache=None if cache is None else caches.parse_cache(cache),
            rate_limiter=rate_limits.RateLimiter(rates, policy.now) if (rates := parse_rates(rate)) else None,
            observers=observers,
            on_request=hooks.get("request"),
            on_wait=hooks.get("wait"),
        )

    @property
    def session(self) -> requests.Session:
        """The `requests.Session` that all calls go through."""
        return self._context.connections.session

    @property
    def providers(self) -> Registry:
        """The registry: a mapping of names to provider classes."""
        return registry

    @property
    def health(self) -> list[Cooling]:
        """The providers, keys and models on cooldown after failures, with the longest cooldown first."""
        return self._context.cooldowns.cooling()

    def ask(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Reply:
        """Ask and return the finished reply.

        Options, each for this call: model, system, timeout, retry, headers, proxies, sampling parameters, and

        - `files`: attachments: paths, URLs, bytes, open files, PIL images or matplotlib figures;
        - `tools`: typed functions the model may call, in up to `max_rounds` rounds (8); `approve(call)` may forbid a
          call; calls of tools given as dicts are left to you in `reply.tool_calls`;
        - `schema`: structured output: a type or JSON schema the answer must fit; `reply.data` is its value;
        - `prompt_cache`: as for the client;
        - `extra`: fields for the body, sent as they are; `raw=True`: keep the records of the answer in `reply.raw`;
          `strict=True`: never omit a parameter that the service refuses.

        Raises:
            ChatError: any error of the package; `partial` holds the text received before it.
        """
        # Unlike a stream, an answer that has not been shown yet can be replaced by one that fits the schema.
        return Stream(pipeline.open_answer(self._build_call(prompt, 1, **options))).read()

    def stream(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Stream:
        """Ask and return the opened stream: a service that cannot answer raises here, not in the loop.

        It is an iterator of text; `stream.text` is the text received so far, `stream.reply` the reply at the end.
        """
        return Stream(pipeline.open_answer(self._build_call(prompt, 0, **options)))

    def chat(self, **options: Unpack[ChatOptions]) -> chats.Chat:
        """Return a conversation; its options apply to every turn."""
        return chats.Chat(self, **options)

    def image(self, prompt: str, **options: Unpack[ImageOptions]) -> images.ImageResponse:
        """Generate images, or edit those in `files`, and return them.

        Args:
            size: "1024x1024" or (1024, 1024); at some services "16:9", "2K" or "16:9 2K".
            quality: a word of the service, such as "low", "medium" or "high".
            n: how many images, at services that generate several for one request; other options are those of `ask`.

        Raises:
            ConfigurationError: nothing was sent; the model cannot do that.
            BadResponseError: the model answered with text only, or with fewer images, which are in `partial` then.
        """
        request, others = images.split_options(options)
        call = self._build_call(prompt, 0, **others).with_image(request)
        return images.read_images(Stream(pipeline.open_answer(call)), request)

    @overload
    def models(self, provider: str | None = None, *, details: Literal[False] = False) -> list[str]: ...
    @overload
    def models(self, provider: str | None = None, *, details: Literal[True]) -> list[ModelInfo]: ...
    def models(self, provider: str | None = None, *, details: bool = False) -> list[str] | list[ModelInfo]:
        """Return model names: of one provider as the service lists them for the key, else all known ones.

        With `details`, return a `ModelInfo` for each, from the catalog and from the service, which takes precedence.
        """
        if provider is None or list_models.names_group(provider):
            return list_models.known_models(provider, details=details, catalog=self._context.catalog)
        call = self._build_call("models", 0, model=list_models.any_model(provider))
        return list_models.list_models(registry[provider], call, details=details)

    def model_info(self, name: str) -> ModelInfo:
        """Return what the catalog knows about "provider/model"; raise UnknownModelError if it has no record."""
        return model_infos.find_info(name, self._context.catalog)

    def map(self, prompts: Any, template: str | None = None, **options: Unpack[MapOptions]) -> Results:
        """Send every prompt of a list, iterable, dict, pandas or polars frame, or of a CSV or JSON Lines file.

        Rows are sent in parallel; the results are in the order of the input, and a row that fails holds its error.
        Ctrl-C waits for the requests in progress and returns the results so far; a second one stops immediately.

        Args:
            template: a text such as "Translate: {text}" that is filled with the columns of each row.
            workers: rows in progress at the same time.
            progress: a progress bar (extra `progress`); shown by default in a terminal or a notebook.
            resume: path of a journal; a run that is started again with it sends only the rows without an answer.
            executor: a `concurrent.futures.Executor`, or a function that makes one, to run elsewhere; its processes
                take keys from their own environment.
            on_error: "raise" ends the run at the first row that fails; the error has the `results`.
            as_completed: return immediately; the first loop over the results yields rows as they are completed.
            encoding: of the file; by default UTF-8, or UTF-16 or UTF-32 with a byte order mark.
            delimiter: of the CSV file; detected by default.
            budget: the most to spend, in US dollars by the price table.
            max_tokens_total: the most tokens to use, input and output together.
            batch: send the rows in the service's batch jobs, mostly at half the price and within a day; needs `resume`.
            wait: with `batch`, wait until all jobs have ended, or for this many seconds; False collects what is there.
            late: with `batch`, what happens to rows that a job did not run: "batch" puts them into the next job, at
                most twice, "live" sends them as ordinary requests, "fail" gives them a BatchExpiredError.
            decide: questions about each row, as for `decide`, with `threshold` and `emulate`.
            options: those of `ask`, the same for every row.

        Raises:
            ConfigurationError: nothing was sent; an option is invalid or a key is missing.
            JournalError: the journal cannot be used; its content is kept.
        """
        return mapper.map_prompts(self, prompts, template, **options)

    def estimate(
        self, prompts: Any, template: str | None = None, *, batch: bool = False, **options: Unpack[EstimateOptions]
    ) -> Estimate:
        """Return how many calls, tokens and US dollars `map` would take, without sending anything.

        Tokens are counted by tiktoken if it and its tables are installed, else four bytes count as one token; an answer
        counts as `max_tokens`, or as 256 tokens without it; answers to the questions of `decide` count as they are
        requested. Rows that cannot be sent are not counted. With `batch`, the prices are those of batch jobs.
        With an embedding model as `model`, it is what `embed` would take.
        """
        return embeddings.estimate(self, prompts, template, batch=batch, **options)

    def jobs(self, path: Any) -> list[job_lists.Job]:
        """Return the batch jobs of the journal at `path`; nothing is sent before one is refreshed or cancelled."""
        return job_lists.list_jobs(path, self)

    if TYPE_CHECKING:
        decide: Decide
    else:

        def decide(
            self, text: Any, questions: Any = None, question: str | None = None, **options: Unpack[DecideOptions]
        ) -> Any:
            """Answer closed questions about a text: classification, with probabilities; return the `Decisions` by name.

            Args:
                questions: a mapping of names to types, such as {"refund?": bool, "topic": Literal["bug", "billing"],
                    "anger": ["calm", "annoyed", "furious"]}, or a class with such fields; or one type, with its
                    `question`.
                options: `threshold`, from which on a probability counts as yes (0.5); `emulate`: True asks chat models
                    only, False decision models only; `files`: images; the others as for `ask`.

            Raises:
                ConfigurationError: nothing was sent; a question cannot be answered, or the model cannot answer it.
                ChatError: the call failed; `partial` has the answers so far as JSON.
            """
            return decisions.decide(self, text, questions, question, **options)

    def embed(
        self,
        texts: Any,
        template: str | None = None,
        *,
        on_error: Literal["raise", "keep"] = "raise",
        **options: Unpack[EmbedOptions],
    ) -> Any:
        """Return the `Embeddings` of a list, iterable, dict, frame or file of texts; for one text, a list of floats.

        Texts are sent in batches within the limits of the service; equal texts are sent once.

        Args:
            template: a text such as "{title}: {body}" that is filled with the columns of each row.
            on_error: "keep" returns the embeddings although some failed; see `Embeddings.errors`.
            options: `model`, which must name one; `dimensions`: how many numbers a vector has, if the model can shorten
                it; `kind`: "document" or "query"; `normalize`: whether vectors get the length 1 (by default those that
                were shortened); `truncate`: let the service cut texts that are too long; `resume`, `workers`,
                `executor`, `batch`, `wait` and `late` as for `map`; the others as for `ask`.

        Raises:
            ConfigurationError: nothing was sent; an option or a text is invalid.
            ChatError: a text failed; `results` has the embeddings so far.
        """
        return embeddings.embed_texts(self, texts, template, on_error=on_error, **options)

    def check(self, model: Model = None, **options: Unpack[CheckOptions]) -> list[checks.Check]:
        """Send a short question to every provider of `model`, in parallel, and return a `Check` for each.

        Nothing is retried, and each provider has 30 seconds in total, unless you pass `retry` and `timeout`.
        The questions are charged as usual. A provider that fails raises nothing: its `Check` has the error.
        """
        defaults = {"retry": 0, "timeout": checks.DEFAULT_TIMEOUT if self._defaults.timeout == Timeout() else None}
        return checks.check_targets(self._build_call(checks.PROMPT, 0, model=model, **{**defaults, **options}))

    def close(self) -> None:
        """End all streams and waits of this client, in every thread, and close its connections."""
        context = self._context
        context.closing.set()
        context.connections.close()
        if context.rate_limiter is not None:
            context.rate_limiter.close()
        if context.cache is not None and isinstance(context.cache, caches.Cache):
            context.cache.close()
        if self._log is not None:
            self._log.close()

    def check_options(self, options: Mapping[str, object]) -> None:
        """Raise ConfigurationError if an option is not known to any call."""
        parse_params({name: options[name] for name in options if name not in CALL_OPTIONS}, options=CALL_OPTIONS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client model={self._defaults.model!r}>"

    def __copy__(self) -> Client:
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__, _context=self._context.copy())
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Client:
        return self.__copy__()

    def _build_call(self, prompt: Prompt, repairs: int, /, **options: Any) -> Call:
        return build_call(self._context, self._defaults, self._targets, prompt, repairs, **options)

    def _targets(self, model: Model) -> list[Target]:
        return find_targets(model, keys={**self._context.signers, **self._context.keys})
