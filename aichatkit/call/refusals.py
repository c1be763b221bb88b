"""What a model refused -> the changes to its requests: fields left out, renamed or set, in the body of any protocol.

A change is found once, from a refusal and the body that was refused, and applied to that model's later bodies as well.
What the caller put into `extra` is only ever renamed, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit.call import refused_fields as fields
from aichatkit.call.refusal_actions import ACTIONS, BECOMES_BUDGET, LOSSES, SENTENCES
from aichatkit.classification.refused_params import Refused
from aichatkit.errors import ChatError
from aichatkit.providers.base import Options

if TYPE_CHECKING:
    from aichatkit.call.request import ProviderRequest

__all__ = ["Change", "apply", "describe", "describes_schema", "note_refusal", "schema_in_words", "take_changes"]

#: Parameters whose meaning would be lost: they are never left out.
_KEPT = frozenset({"tools", "max_tokens", "messages", "model"})


class Change(NamedTuple):
    """A lasting change to the requests for one model; `path` is the field; `do` and `to` are as in `Refused`."""

    param: str
    path: str
    do: str
    to: Any = None


def note_refusal(error: ChatError, body: object, request: ProviderRequest) -> None:
    """Replace what an error says is refused by the changes that make the refused body acceptable."""
    refused: Iterable[Refused] = vars(error).pop("_refused", ())
    if not isinstance(body, dict):
        return
    if body.get("tools") and any(each.name == "tools" for each in refused):
        error.message += "; tools are never left out: ask another model, or call without tools= or with fewer"
        error.args = (error.message,)
    trial, changes, effective = deepcopy(body), list[Change](), False
    for change in (change for each in refused for change in _changes(each, trial, request)):
        is_new = change.do == "in_words" or apply(trial, change, request.options)
        # The model may also refuse what replaced a parameter that the catalog left out.
        is_known = change.param in request.options.left_out
        effective = effective or is_new or is_known
        if is_new or is_known or change.do == "leave_out":
            changes.append(change)
    if effective:
        error._changes = tuple(changes)


def take_changes(error: ChatError) -> tuple[Change, ...]:
    """Return the changes that an error demands, and remove them from it."""
    changes: tuple[Change, ...] = vars(error).pop("_changes", ())
    return changes


def apply(body: Any, change: Change, options: Options) -> bool:
    """Change a body in place; return whether that made a difference."""
    if not isinstance(body, dict) or _is_own(change, options):
        return False
    return ACTIONS[change.do](body, change.path, change.to)


def describes_schema(changes: Iterable[Change]) -> bool:
    """Return whether a model does not take the schema of the answer as a parameter."""
    return any(change.do == "in_words" for change in changes)


def schema_in_words(request: ProviderRequest) -> ProviderRequest:
    """Return a request with the schema of the caller's `response_format`, if any, moved to `options.schema`."""
    options = request.options
    response_format = options.params.get("response_format")
    schema = fields.schema_of(response_format) if isinstance(response_format, Mapping) else None
    if options.schema is not None or schema is None:
        return request
    params = {name: value for name, value in options.params.items() if name != "response_format"}
    return replace(request, options=replace(options, params=params, schema=schema))


def describe(changes: Iterable[Change]) -> Iterator[str]:
    """Yield one sentence for the warning about each type of change."""
    changes = list(changes)
    budgets = [change for change in changes if change.do == "leave_out" and change.path in BECOMES_BUDGET]
    if budgets:
        yield SENTENCES["budget"]
    changes = [change for change in changes if change not in budgets]
    out = list(dict.fromkeys(change.param for change in changes if change.do == "leave_out"))
    if out:
        names, one = " and ".join(map(repr, out)), len(out) == 1
        loss = LOSSES.get(out[0], "") if one else ""
        yield f"does not take {names}, so {'it is' if one else 'they are'} left out{loss}"
    for change in changes:
        if change.do != "leave_out":
            to = " or ".join(map(repr, change.to)) if isinstance(change.to, tuple) else change.to
            yield SENTENCES[change.do].format(param=change.param, path=change.path, to=to)


def _changes(refused: Refused, body: dict[str, Any], request: ProviderRequest) -> Iterator[Change]:
    """Yield the changes that a refusal may demand of a body; not every one has to make a difference."""
    provider, options = request.provider, request.options
    # A service may name a parameter differently at its own base URL than at others.
    tables = (provider.params, getattr(provider, "own_params", {}))
    name, do, to = refused
    if name == "tools" and body.get(name) == []:
        yield Change(name, name, "leave_empty")
    if do == "report" or (do == "leave_out" and name in _KEPT):
        return
    if do in ("off", "no_thinking"):
        # The field may not have been sent.
        path = provider.params.get("reasoning_effort", "") if do == "off" else "enable_thinking"
        yield Change("reasoning_effort", path, do, to)
        return
    if name == "response_format" and do != "rename":
        yield from _format_changes(do, to, body, options)
        return
    for param, path in fields.find_paths(name, tables, body):
        if param in _KEPT and do == "leave_out":
            continue
        target = fields.renamed(path, to) if do == "rename" else to
        if do != "rename" or target is not None:
            yield Change(param, path, do, target)


def _format_changes(do: str, to: Any, body: dict[str, Any], options: Options) -> Iterator[Change]:
    """Yield the change that replaces a refused response format."""
    for path in fields.FORMATS:
        value = fields.get(body, path)
        if value is None or fields.get(options.extra, path) is not None:
            continue
        format_type = value.get("type") if isinstance(value, Mapping) else None
        is_known = options.schema is not None or format_type in (None, "json_object", "json_schema")
        is_meant = (
            format_type not in to
            if do == "one_of"
            else to in (None, format_type) or format_type is None or options.schema is not None
        )
        if is_known and is_meant:
            has_schema = options.schema is not None or (
                isinstance(value, Mapping) and fields.schema_of(value) is not None
            )
            yield Change("response_format", path, *(("in_words",) if has_schema else ("leave_out", format_type)))
        return


def _is_own(change: Change, options: Options) -> bool:
    """Return whether the caller set a field in `extra`: it may get another name, or let the model choose, but stays."""
    paths = fields.CACHE_FIELDS.get(change.path, (change.path,))
    is_own = any(fields.get(options.extra, path) is not None for path in paths)
    return change.do not in ("rename", "auto", "leave_empty") and is_own
