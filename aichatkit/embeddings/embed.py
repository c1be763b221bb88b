"""Arguments of `Client.embed` -> embeddings: rows in, batches to workers, vectors back in the order of the texts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sized
from functools import partial
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.batch import mapper
from aichatkit.batch.rows import Source, read_rows
from aichatkit.batch.workers import BoundAsk, ThreadWorkers, is_executor, parse_executor
from aichatkit.call.targets import Model, Target
from aichatkit.catalog.tokens import count_tokens, estimate_tokens
from aichatkit.embeddings.request import embed_batch
from aichatkit.embeddings.run import EmbeddingRun, RunSettings, Text, iter_batches, problem_of
from aichatkit.embeddings.services import KINDS, EmbeddingModel, find_model, find_service, price_of, providers_of
from aichatkit.embeddings.store import key_of
from aichatkit.embeddings.vectors import Embeddings, Vector
from aichatkit.embeddings.wires import EmbeddingOptions
from aichatkit.errors import ConfigurationError, UnknownModelError
from aichatkit.middleware.estimates import Estimate
from aichatkit.options import parse_extra
from aichatkit.params import is_integer
from aichatkit.providers.embedders import EMBEDDERS
from aichatkit.registry import registry

if TYPE_CHECKING:
    from aichatkit.client import Client
    from aichatkit.embeddings import jobs
else:
    # Few runs are batch jobs.
    jobs = lazy_module("aichatkit.embeddings.jobs")

__all__ = ["embed_texts", "estimate"]

_ON_ERROR = ("raise", "keep")


def embed_texts(
    client: Client,
    texts: Any,
    template: str | None,
    *,
    on_error: str,
    model: Model = None,
    dimensions: int | None = None,
    kind: str | None = None,
    normalize: bool | None = None,
    truncate: bool = False,
    resume: Any = None,
    workers: int = 8,
    executor: Any = None,
    extra: Mapping[str, Any] | None = None,
    batch: bool = False,
    wait: bool | float = True,
    late: str = "batch",
    **options: Any,
) -> Embeddings | Vector:
    """Return the embeddings of some texts, or the vector of a single one; `options` are those of each request."""
    _check(dimensions, kind, normalize, truncate, workers, on_error)
    _check_batch(batch, wait, late)
    target = _find_target(client, model)
    provider = client._context.provider(target.provider)
    service = find_service(target.provider)
    known = find_model(target.provider.name, target.model)
    if dimensions is not None:
        _check_dimensions(dimensions, target, known)
    settings = EmbeddingOptions(dimensions, kind, truncate, _parse_fields(extra))
    # Options, keys and addresses must fail before the first text is read.
    sample = client._build_call("?", 0, model=f"{target.provider.name}/{target.model}", **options)
    if batch:
        jobs.check_jobs(target, wait=wait, late=late, resume=resume, executor=executor)
    make_executor = parse_executor(executor)
    if make_executor is None:
        client._context.keys_for(provider)
    width = dimensions or (known.width if known is not None and provider.url == type(provider).url else None)
    if truncate and not service.truncate:
        raise ConfigurationError(f"truncate: {target.provider.name} cannot cut texts that are too long; leave it out")
    is_single = isinstance(texts, str) and template is None
    source = Source(read_rows([texts]).rows, 1) if is_single else read_rows(texts, template)
    if on_error == "raise" and _can_be_read_again(texts):
        _check_texts(texts, template)
    identity = _identity(target, settings, normalize)
    expected = {"width": width, "normalize": dimensions is not None if normalize is None else normalize}
    asked = {"target": target, "options": settings, "call_options": options, **expected}
    run_settings = RunSettings(
        ask=BoundAsk(partial(embed_batch, client), asked),
        service=service,
        identity=identity,
        url=provider.url,
        provider=target.provider.name,
        model=target.model,
        price=price_of(provider, target.model, client._context.catalog),
        workers=workers,
        make_executor=make_executor or partial(ThreadWorkers, workers),
        owns_executor=not is_executor(executor),
        journal=None,
        cache=client._context.cache,
        budget=client._context.budget,
        raises=on_error == "raise",
        max_wait=sample.policy.max_wait,
    )
    if batch or _may_have_jobs(resume):
        plan = jobs.JobPlan(client, replace(sample, targets=[target]), settings, expected, resume, wait, late)
        run = jobs.make_run(source, run_settings, plan, sends=batch)
    else:
        run = EmbeddingRun(source, run_settings.with_journal(resume))
    embeddings = run.finish()
    return _single(embeddings) if is_single else embeddings


def estimate(client: Client, prompts: Any, template: str | None, *, batch: bool = False, **options: Any) -> Estimate:
    """Return what `map` would take, and what `embed` would if `model` is an embedding model; nothing is sent.

    Equal texts count once, as they are sent once, and texts that cannot be sent are not counted.
    """
    model = options.get("model")
    target = _find_target(client, model) if isinstance(model, str) and _embeds(model) else None
    if target is None:
        return mapper.estimate_prompts(client, prompts, template, batch=batch, **options)
    name = f"{target.provider.name}/{target.model}"
    for option, value in options.items():
        if option != "model" and value is not None:
            raise ConfigurationError(f"estimate: {option} has no meaning for the embedding model {name}; leave it out")
    _check_batch(batch, True, "batch")
    price = price_of(client._context.provider(target.provider), target.model, client._context.catalog)
    if batch:
        share = jobs.share_of(client._build_call("?", 0, model=name), target)
        price = None if price is None or share is None else price * share
    seen: set[bytes] = set()
    tokens = 0

    def texts() -> Iterator[Text]:
        nonlocal tokens
        for row in read_rows(prompts, template).rows:
            key = b"" if problem_of(row) else key_of("", row.prompt)
            if key and key not in seen:
                seen.add(key)
                tokens += count_tokens(row.prompt, target.model)
                yield Text(key, "", estimate_tokens(row.prompt))

    requests = sum(1 for _ in iter_batches(texts(), find_service(target.provider)))
    # In jobs, each text is a request.
    return Estimate(len(seen) if batch else requests, tokens, 0, None if price is None else tokens * price / 1e6)


def _embeds(model: str) -> bool:
    """Return whether a model is known to embed, or is called so."""
    provider, _, name = model.partition("/")
    if provider in EMBEDDERS or providers_of(model) or find_model(provider, name) is not None:
        return True
    return "embed" in name.lower() and provider in registry


def _check_batch(batch: Any, wait: Any, late: Any) -> None:
    if batch not in (True, False):
        raise ConfigurationError(f"batch: must be True or False, not {batch!r}")
    if not batch and (wait is not True or late != "batch"):
        raise ConfigurationError("wait and late are for batch=True")


def _may_have_jobs(resume: Any) -> bool:
    return isinstance(resume, (str, os.PathLike)) and os.path.isfile(resume) and jobs.has_jobs(resume)


def _check(dimensions: Any, kind: Any, normalize: Any, truncate: Any, workers: Any, on_error: Any) -> None:
    if dimensions is not None and not is_integer(dimensions, minimum=1):
        raise ConfigurationError(f"dimensions: must be an integer of at least 1, not {dimensions!r}")
    if kind is not None and kind not in KINDS:
        raise ConfigurationError(f"kind: must be {' or '.join(map(repr, KINDS))}, not {kind!r}")
    if normalize is not None and not isinstance(normalize, bool):
        raise ConfigurationError(f"normalize: must be True, False or None, not {normalize!r}")
    if not isinstance(truncate, bool):
        raise ConfigurationError(f"truncate: must be True or False, not {truncate!r}")
    if not is_integer(workers, minimum=1):
        raise ConfigurationError(f"workers: must be an integer of at least 1, not {workers!r}")
    if on_error not in _ON_ERROR:
        raise ConfigurationError(f"on_error: must be 'raise' or 'keep', not {on_error!r}")


def _parse_fields(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the extra fields as they are sent, in one order: a journal is of the same fields in any order."""
    fields = parse_extra(extra)
    try:
        parsed: dict[str, Any] = json.loads(json.dumps(fields, sort_keys=True, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        problem, reason = str(error) or type(error).__name__, reason_of(error)
    else:
        return parsed
    raise ConfigurationError(f"extra: the fields are not JSON serializable ({problem})", reason=reason)


def _can_be_read_again(texts: Any) -> bool:
    """Return whether texts can be read before they are sent; iterators and pipes can be read once."""
    if isinstance(texts, (str, os.PathLike)):
        return os.path.isfile(texts)
    return isinstance(texts, Sized) and not isinstance(texts, Iterator)


def _check_texts(texts: Any, template: str | None) -> None:
    """Raise the first error among the texts before any of them is sent."""
    for row in read_rows(texts, template).rows:
        problem = problem_of(row)
        if problem is not None:
            raise problem


def _find_target(client: Client, model: Model) -> Target:
    """Return the one target; a provider without a model means its usual embedding model."""
    if model is None:
        raise ConfigurationError(
            "embed: name a model, such as model='openai/text-embedding-3-small'; the client's own model is for chats"
        )
    if not isinstance(model, str):
        raise ConfigurationError(
            "embed: model must be one name; vectors of different models cannot be compared, so there is no fallback"
        )
    name, slash, rest = model.partition("/")
    if not slash and name not in registry:
        return _bare_target(name)
    if name not in registry:
        # It raises the error for a provider that does not exist.
        return client._targets(model)[0]
    service = find_service(registry[name])
    if not rest and not service.default_model:
        raise UnknownModelError(f"embed: name the model, as '{name}/MODEL'", provider=name)
    return Target(registry[name], rest or service.default_model)


def _bare_target(name: str) -> Target:
    providers = providers_of(name)
    if not providers:
        raise UnknownModelError(
            f"embed: no service is known to have the embedding model {name!r}; name its provider, as 'provider/{name}'",
            model=name,
        )
    return Target(registry[providers[0]], name)


def _check_dimensions(dimensions: int, target: Target, known: EmbeddingModel | None) -> None:
    if known is None or dimensions == known.width:
        return
    name = f"{target.provider.name}/{target.model}"
    if known.widths == ():
        raise ConfigurationError(f"dimensions: {name} always answers with {known.width}; leave dimensions= out")
    if dimensions > max(known.widths or (known.width,)):
        raise ConfigurationError(f"dimensions: {name} has at most {max(known.widths or (known.width,))}")
    if known.widths and dimensions not in known.widths:
        raise ConfigurationError(f"dimensions: {name} takes {', '.join(map(str, known.widths))}, not {dimensions}")


def _identity(target: Target, options: EmbeddingOptions, normalize: bool | None) -> str:
    """Return what decides which vector a text gets, in words that an error can show."""
    parts = [f"{target.provider.name}/{target.model}"]
    parts += [f"{name}={value!r}" for name, value in zip(options._fields, options) if value]
    if normalize is not None:
        parts.append(f"normalize={normalize}")
    return " ".join(parts)


def _single(embeddings: Embeddings) -> Vector:
    vector = Vector(embeddings[0])
    vector.provider, vector.model = embeddings.provider, embeddings.model
    vector.usage, vector.cost = embeddings.usage, embeddings.cost
    return vector
