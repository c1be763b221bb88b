"""The functions of the package: the methods of a default client that is made on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from aichatkit._lazy import lazy_module
from aichatkit._locks import Lock
from aichatkit.batch.results import Results
from aichatkit.call.signatures import (
    CallOptions,
    ChatOptions,
    DecideOptions,
    EmbedOptions,
    ImageOptions,
    MapOptions,
    with_signature,
)
from aichatkit.chats.chat import Chat
from aichatkit.client import Client
from aichatkit.images import ImageResponse
from aichatkit.messages import Prompt
from aichatkit.reply import Reply
from aichatkit.streams import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from aichatkit.batch_jobs import job as job_lists
    from aichatkit.batch_jobs.job import Job
    from aichatkit.catalog.model_infos import ModelInfo
    from aichatkit.decisions.overloads import Decide
else:
    # Few programs have batch jobs.
    job_lists = lazy_module("aichatkit.batch_jobs.job")

__all__ = ["ask", "chat", "decide", "default_client", "embed", "image", "jobs", "map", "model_info", "models", "stream"]


@with_signature
def ask(prompt: Prompt, **options: Unpack[CallOptions]) -> Reply:
    """Ask with the default client and return the finished reply; options and errors are those of `Client.ask`.

    The most used: `model`, `system`, `temperature`, `max_tokens`, `files` for attachments, `tools` for tool calling and
    `schema` for structured output.

    >>> ask("Hello!", model="offline").complete
    True
    """
    return default_client().ask(prompt, **options)


@with_signature
def stream(prompt: Prompt, **options: Unpack[CallOptions]) -> Stream:
    """Ask with the default client and return the opened stream; options and errors are those of `Client.stream`.

    >>> with stream("Hello!", model="offline") as answer:
    ...     text = "".join(answer)
    >>> text == answer.reply.text
    True
    """
    return default_client().stream(prompt, **options)


@with_signature
def chat(**options: Unpack[ChatOptions]) -> Chat:
    """Return a conversation on the default client; its options are those of `Client.chat` and apply to every turn."""
    return default_client().chat(**options)


@with_signature
def image(prompt: str, **options: Unpack[ImageOptions]) -> ImageResponse:
    """Generate or edit images with the default client; options and errors are those of `Client.image`."""
    return default_client().image(prompt, **options)


if TYPE_CHECKING:
    decide: Decide
else:

    @with_signature
    def decide(text: Any, questions: Any = None, question: str | None = None, **options: Unpack[DecideOptions]) -> Any:
        """Answer closed questions about a text with the default client; options and errors as for `Client.decide`.

        >>> decisions = decide("Money back, now!", {"refund?": bool, "anger": ["calm", "furious"]}, model="offline")
        >>> sorted(decisions), 0 <= decisions["refund?"].probability <= 1
        (['anger', 'refund?'], True)
        """
        return default_client().decide(text, questions, question, **options)


@with_signature
def embed(
    texts: Any,
    template: str | None = None,
    *,
    on_error: Literal["raise", "keep"] = "raise",
    **options: Unpack[EmbedOptions],
) -> Any:
    """Return embeddings with the default client; options and errors are those of `Client.embed`.

    >>> vectors = embed(["red fox", "grey wolf"], model="offline")
    >>> len(vectors), len(vectors[0])
    (2, 64)
    """
    return default_client().embed(texts, template, on_error=on_error, **options)


@with_signature
def map(prompts: Any, template: str | None = None, **options: Unpack[MapOptions]) -> Results:
    """Ask many prompts with the default client; options and errors are those of `Client.map`.

    >>> len(map(["Hello!", "Goodbye!"], model="offline", progress=False))
    2
    """
    return default_client().map(prompts, template, **options)


def jobs(path: Any) -> list[Job]:
    """Return the batch jobs of the journal at `path`, in the order in which they were sent; nothing is sent.

    Their methods `refresh`, `cancel` and `release` call the service with the default client, those of `Client.jobs`
    with that client: it has to have the API key and the `base_url` that the jobs were sent with.

    >>> jobs("no-such.sqlite")
    []

    Raises:
        JournalError: the file is not a journal, or cannot be read.
    """
    return job_lists.list_jobs(path)


@overload
def models(provider: str | None = None, *, details: Literal[False] = False) -> list[str]: ...
@overload
def models(provider: str | None = None, *, details: Literal[True]) -> list[ModelInfo]: ...
def models(provider: str | None = None, *, details: bool = False) -> list[str] | list[ModelInfo]:
    """Return model names: of one provider as the service lists them, else all known ones; see `Client.models`."""
    client = default_client()
    return client.models(provider, details=True) if details else client.models(provider)


def model_info(name: str) -> ModelInfo:
    """Return what the catalog knows about "provider/model": prices, context window, retirement, efforts.

    It is read from the package's own data; nothing is sent.

    >>> model_info("openai/gpt-6-luna").prices.input
    0.1

    Raises:
        UnknownModelError: the catalog has no record of it.
    """
    return default_client().model_info(name)


_default: list[Client] = []
_default_lock = Lock()


def default_client() -> Client:
    """Return the client that the functions of the package share, made on first use."""
    with _default_lock:
        if not _default:
            _default.append(Client())
        return _default[0]
