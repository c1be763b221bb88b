"""Chat with language models from plain synchronous Python, over `requests`.

    import aichatkit as ai

    print(ai.ask("Capital of France?", model="openai/gpt-6-luna"))

Nothing is loaded before it is used: importing this package costs next to nothing.
"""

import logging as _logging

from aichatkit._version import __version__ as __version__

# For type checkers, which do not run `__getattr__`; never executed.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from aichatkit._warnings import RetiredModelWarning as RetiredModelWarning
    from aichatkit._warnings import SkippedServerWarning as SkippedServerWarning
    from aichatkit._warnings import TrimmedWarning as TrimmedWarning
    from aichatkit.api import ask as ask
    from aichatkit.api import chat as chat
    from aichatkit.api import decide as decide
    from aichatkit.api import embed as embed
    from aichatkit.api import image as image
    from aichatkit.api import jobs as jobs
    from aichatkit.api import map as map
    from aichatkit.api import model_info as model_info
    from aichatkit.api import models as models
    from aichatkit.api import stream as stream
    from aichatkit.auth.aws import aws_auth as aws_auth
    from aichatkit.auth.google import google_auth as google_auth
    from aichatkit.batch.results import Result as Result
    from aichatkit.batch.results import Results as Results
    from aichatkit.batch_jobs.job import Job as Job
    from aichatkit.catalog.model_infos import ModelInfo as ModelInfo
    from aichatkit.catalog.model_infos import ModelPrices as ModelPrices
    from aichatkit.chats.chat import Chat as Chat
    from aichatkit.checks import Check as Check
    from aichatkit.chunks import Usage as Usage
    from aichatkit.cli import key_store
    from aichatkit.client import Client as Client
    from aichatkit.decisions.results import Decision as Decision
    from aichatkit.decisions.results import Decisions as Decisions
    from aichatkit.embeddings.vectors import Embeddings as Embeddings
    from aichatkit.errors import AllProvidersFailedError as AllProvidersFailedError
    from aichatkit.errors import APIError as APIError
    from aichatkit.errors import AuthenticationError as AuthenticationError
    from aichatkit.errors import BadRequestError as BadRequestError
    from aichatkit.errors import BadResponseError as BadResponseError
    from aichatkit.errors import BatchExpiredError as BatchExpiredError
    from aichatkit.errors import BatchGoneError as BatchGoneError
    from aichatkit.errors import BatchPendingError as BatchPendingError
    from aichatkit.errors import BlockedError as BlockedError
    from aichatkit.errors import BudgetExceededError as BudgetExceededError
    from aichatkit.errors import ChatError as ChatError
    from aichatkit.errors import ConfigurationError as ConfigurationError
    from aichatkit.errors import ConnectError as ConnectError
    from aichatkit.errors import ContentFilteredError as ContentFilteredError
    from aichatkit.errors import ContextTooLongError as ContextTooLongError
    from aichatkit.errors import DeadlineExceededError as DeadlineExceededError
    from aichatkit.errors import EmptyAnswerError as EmptyAnswerError
    from aichatkit.errors import JournalError as JournalError
    from aichatkit.errors import MCPError as MCPError
    from aichatkit.errors import MissingKeyError as MissingKeyError
    from aichatkit.errors import ModelNotFoundError as ModelNotFoundError
    from aichatkit.errors import OverloadedError as OverloadedError
    from aichatkit.errors import PermissionDeniedError as PermissionDeniedError
    from aichatkit.errors import QuotaExceededError as QuotaExceededError
    from aichatkit.errors import RateLimitError as RateLimitError
    from aichatkit.errors import SchemaError as SchemaError
    from aichatkit.errors import ServerError as ServerError
    from aichatkit.errors import StreamInterruptedError as StreamInterruptedError
    from aichatkit.errors import StreamStalledError as StreamStalledError
    from aichatkit.errors import TimedOutError as TimedOutError
    from aichatkit.errors import TokenNotFoundError as TokenNotFoundError
    from aichatkit.errors import ToolError as ToolError
    from aichatkit.errors import TransportError as TransportError
    from aichatkit.errors import UnknownModelError as UnknownModelError
    from aichatkit.errors import UnknownProviderError as UnknownProviderError
    from aichatkit.hooks import ChunkInfo as ChunkInfo
    from aichatkit.hooks import ErrorInfo as ErrorInfo
    from aichatkit.hooks import ReplyInfo as ReplyInfo
    from aichatkit.hooks import RequestInfo as RequestInfo
    from aichatkit.images import ImageResponse as ImageResponse
    from aichatkit.limits.cooldowns import Cooling as Cooling
    from aichatkit.limits.rate_limits import Rate as Rate
    from aichatkit.limits.retries import RetryPolicy as RetryPolicy
    from aichatkit.limits.waits import Wait as Wait
    from aichatkit.messages import Message as Message
    from aichatkit.middleware.cache import Cache as Cache
    from aichatkit.middleware.estimates import Estimate as Estimate
    from aichatkit.middleware.telemetry import Telemetry as Telemetry
    from aichatkit.registry import register as register
    from aichatkit.reply import Attempt as Attempt
    from aichatkit.reply import Reply as Reply
    from aichatkit.storage.archive import search_saved as search_saved
    from aichatkit.streams import Stream as Stream
    from aichatkit.tools.mcp.config import mcp_config as mcp_config
    from aichatkit.tools.mcp.contents import ToolResult as ToolResult
    from aichatkit.tools.mcp.server import MCPServer as MCPServer
    from aichatkit.tools.mcp.server import mcp as mcp
    from aichatkit.tools.ollama_search import ollama_search as ollama_search
    from aichatkit.transport.timeouts import Timeout as Timeout

    keys = key_store

_PUBLIC = {
    "api": ("ask", "chat", "decide", "embed", "image", "jobs", "map", "model_info", "models", "stream"),
    "client": ("Client",),
    "storage.archive": ("search_saved",),
    "middleware.cache": ("Cache",),
    "_warnings": ("RetiredModelWarning", "SkippedServerWarning", "TrimmedWarning"),
    "catalog.model_infos": ("ModelInfo", "ModelPrices"),
    "chats.chat": ("Chat",),
    "checks": ("Check",),
    "streams": ("Stream",),
    "reply": ("Attempt", "Reply"),
    "auth.aws": ("aws_auth",),
    "auth.google": ("google_auth",),
    "batch.results": ("Result", "Results"),
    "batch_jobs.job": ("Job",),
    "chunks": ("Usage",),
    "decisions.results": ("Decision", "Decisions"),
    "embeddings.vectors": ("Embeddings",),
    "images": ("ImageResponse",),
    "messages": ("Message",),
    "registry": ("register",),
    "limits.retries": ("RetryPolicy",),
    "limits.rate_limits": ("Rate",),
    "limits.waits": ("Wait",),
    "limits.cooldowns": ("Cooling",),
    "hooks": ("ChunkInfo", "ErrorInfo", "ReplyInfo", "RequestInfo"),
    "middleware.estimates": ("Estimate",),
    "middleware.telemetry": ("Telemetry",),
    "tools.mcp.config": ("mcp_config",),
    "tools.mcp.contents": ("ToolResult",),
    "tools.mcp.server": ("MCPServer", "mcp"),
    "tools.ollama_search": ("ollama_search",),
    "transport.timeouts": ("Timeout",),
    "errors": (
        "APIError",
        "AllProvidersFailedError",
        "AuthenticationError",
        "BadRequestError",
        "BadResponseError",
        "BatchExpiredError",
        "BatchGoneError",
        "BatchPendingError",
        "BlockedError",
        "BudgetExceededError",
        "ChatError",
        "ConfigurationError",
        "ConnectError",
        "ContentFilteredError",
        "ContextTooLongError",
        "DeadlineExceededError",
        "EmptyAnswerError",
        "JournalError",
        "MCPError",
        "MissingKeyError",
        "ModelNotFoundError",
        "OverloadedError",
        "PermissionDeniedError",
        "QuotaExceededError",
        "RateLimitError",
        "SchemaError",
        "ServerError",
        "StreamInterruptedError",
        "StreamStalledError",
        "TimedOutError",
        "TokenNotFoundError",
        "ToolError",
        "TransportError",
        "UnknownModelError",
        "UnknownProviderError",
    ),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}
#: Modules that the documentation imports by another name.
_ALIASES = {"keys": "cli.key_store"}
#: What `%load_ext aichatkit` looks up; for IPython only, so not public.
_HOOKS = ("load_ipython_extension", "unload_ipython_extension")

_NAMES = sorted([*_MODULE_OF, "__version__"])
#: What `import *` brings: not `map`, which would hide Python's own.
__all__ = [name for name in _NAMES if name != "map"]

# A library stays silent unless its user configures logging.
_logging.getLogger(__name__).addHandler(_logging.NullHandler())


def __getattr__(name: str) -> object:
    """Import a public name on first access (PEP 562)."""
    from importlib import import_module

    if name in _ALIASES:
        return import_module(f"{__name__}.{_ALIASES[name]}")
    module = "notebook" if name in _HOOKS else _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    if name not in _HOOKS:
        globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return _NAMES
