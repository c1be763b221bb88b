"""Which models a service offers for a key, where it tells."""

from __future__ import annotations

from aichatkit.call.attempt import Call, CallContext, make_provider, open_transport, provider_keys
from aichatkit.call.request import prepare
from aichatkit.errors import ChatError
from aichatkit.limits.retries import RetryState, retry
from aichatkit.providers.base import Provider, parsing
from aichatkit.transport.timeouts import Deadline

__all__ = ["list_models"]

#: What Gemini puts before each name.
_PREFIX = "models/"


def list_models(kind: type[Provider], call: Call, setup: CallContext) -> list[str]:
    """Return the names the service lists, or those known here where it has no list."""
    if not kind.models_path:
        return list(kind.models)
    provider = make_provider(kind, setup)
    waiting = call.waiting(setup)
    tries = RetryState(call.policy, waiting, setup.budget, kind.name, "", [])
    return retry(lambda: _fetch(provider, call, setup, waiting.deadline), tries)


def _fetch(provider: Provider, call: Call, setup: CallContext, deadline: Deadline) -> list[str]:
    http = open_transport(provider, provider_keys(provider, setup)[0], call, setup, deadline)
    try:
        tokens = prepare(provider, http)
        record = http.get_json(provider.models_url(tokens), headers=provider.headers)
    except ChatError as error:
        http.scrub(error)
        raise
    with parsing(provider.name, "list of models", lambda: record):
        entries = record if isinstance(record, list) else record.get("data") or record.get("models") or []
        names = (str(entry.get("id") or entry["name"]) for entry in entries)
        return sorted(name[len(_PREFIX) :] if name.startswith(_PREFIX) else name for name in names)
