"""Error body -> the parameters that the service refused, and what to send instead.

The parameter is named in a separate field (`param`, `loc`) or only in the message; the message says what is wrong with
it. Any other error yields nothing: a prompt that is too long, a value out of range, a field of the history.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.classification import refusal_wordings as wordings
from aichatkit.classification.error_bodies import MESSAGE_KEYS
from aichatkit.classification.parameter_names import canonical, find_names, foreign_paths, is_foreign

__all__ = ["Refused", "find_refused"]

#: Limits for a body: the characters of one text and of all texts, the number of statements, and the nesting depth.
_MAX_TEXT, _MAX_TEXTS, _MAX_STATEMENTS, _MAX_DEPTH = 1000, 4000, 40, 6
_TEXT_KEYS = frozenset({*MESSAGE_KEYS, "description", "reason"})
_CODE_KEYS = ("code", "type")
#: The location and message of a pydantic error that was printed as text, by JSON or by Python.
_PRINTED_ERROR = re.compile(
    r"['\"]loc['\"]: ?[\[(](?P<loc>[^\])]{0,200})[\])][^{}]{0,80}?"
    r"['\"]msg['\"]: ?(?P<quote>['\"])(?P<msg>.{0,300}?)(?P=quote)"
)


class Refused(NamedTuple):
    """One parameter that a service refused, and the change to the request that follows.

    `name` is the package's name of the parameter, or the service's if there is none. `do` is the change, and `to` its
    value, if any:

    * "leave_out", or "rename" to another field
    * "at_most" or "at_least" a number, or the "first" so many items of a list
    * "one_of" the values of a tuple; "not_value": this value is not supported, and the service lists no others
    * "auto": the model chooses whether to call a tool; "in_words": the schema is described in the prompt
    * "leave_budget": an effort is sent too; "adaptive": the model decides how much it thinks, "budget": the caller
    * "off": no reasoning while there are tools; "no_thinking" without a stream; "report": nothing can be changed
    """

    name: str
    do: str
    to: Any = None


class _Statement(NamedTuple):
    text: str
    hint: str = ""  #: the name or path of the field, from a field of the body
    code: str = ""


def find_refused(record: object) -> tuple[Refused, ...]:
    """Return the parameters that an error body refuses; () for any other error.

    >>> find_refused({"error": {"message": "Unsupported parameter: 'top_p' is not supported with this model."}})
    (Refused(name='top_p', do='leave_out', to=None),)
    >>> find_refused({"error": {"message": "property 'store' is unsupported, did you mean 'stop'?"}})
    ()
    """
    found, length = dict[Refused, None](), 0
    # A body often says the same in several places.
    for statement in dict.fromkeys(islice(_statements(record), _MAX_STATEMENTS)):
        length += len(statement.text)
        if length > _MAX_TEXTS:
            break
        if wordings.NO_PARAMETER.search(statement.text):
            # The error is about something else; the other parts of the body only repeat or wrap it.
            return ()
        found.update(dict.fromkeys(_read(statement)))
    return tuple(found)


def _statements(value: object, depth: int = 0) -> Iterator[_Statement]:
    """Yield every text in a body, however deep, with the field it is about."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield from _printed(value, depth)
    elif isinstance(value, list):
        for item in value[:_MAX_STATEMENTS]:
            yield from _statements(item, depth + 1)
    elif isinstance(value, Mapping):
        code = " ".join(value[key] for key in _CODE_KEYS if isinstance(value.get(key), str))
        for key, inner in value.items():
            if key in _TEXT_KEYS and isinstance(inner, str) and not _is_printed(inner):
                yield _Statement(inner[:_MAX_TEXT], _hint(value), code)
            elif key not in ("loc", "input", "url", *_CODE_KEYS):
                # Pydantic's context (`ctx`) needs no special case: its values are in the message as well.
                yield from _statements(inner, depth + 1)


def _printed(text: str, depth: int) -> Iterator[_Statement]:
    """Yield the statements of a text that may contain a printed body, as gateways quote the vendor's error."""
    start = min((index for index in map(text.find, "{[") if index >= 0), default=-1)
    errors = [
        _Statement(match["msg"], ".".join(re.findall(r"[A-Za-z_]\w*", match["loc"])))
        for match in _PRINTED_ERROR.finditer(text[: 4 * _MAX_TEXT])
    ]
    try:
        inner = json.JSONDecoder().raw_decode(text, start)[0] if start >= 0 else None
    except (ValueError, RecursionError):
        inner = None
    if isinstance(inner, (dict, list)) and _has_text(inner):
        yield from _statements(inner, depth + 1)
    elif errors:
        yield from errors
    elif " " in text:
        yield _Statement(text[:_MAX_TEXT])


def _is_printed(text: str) -> bool:
    return "{" in text or text.lstrip()[:1] == "["


def _has_text(value: object) -> bool:
    return bool(value) and (isinstance(value, dict) or (isinstance(value, list) and any(map(_has_text, value))))


def _hint(error: Mapping[str, Any]) -> str:
    location, param = error.get("loc"), error.get("param")
    if isinstance(location, (list, tuple)):
        return ".".join(part for part in location if isinstance(part, str))[:200]
    return param[:200] if isinstance(param, str) else ""


def _read(statement: _Statement) -> Iterator[Refused]:
    """Yield the parameters that one statement refuses."""
    text = wordings.straighten(statement.text)
    hint = statement.hint
    if "cache_control" in f"{hint} {text}" and wordings.REFUSES.search(text):
        yield Refused("cache_control", "leave_out")
        return
    if "prompt_cache_" in f"{hint} {text}" and wordings.REFUSES.search(text):
        yield Refused("prompt_cache", "leave_out")
        return
    if is_foreign(hint) or (hint and canonical(hint) is None and foreign_paths(text)):
        return
    named = canonical(hint) if hint else None
    special = list(_read_special(text, named))
    if special:
        yield from special
        return
    clauses = [clause for clause in wordings.clauses(text) if not foreign_paths(clause)]
    if named is not None:
        yield from _demand(named, " ".join(clauses), text, statement.code)
        return
    found = [refused for clause in clauses for refused in _read_clause(clause, text)]
    if not found and re.fullmatch(r"[A-Za-z_][A-Za-z_.]{0,60}", hint) and _is_refusal(text, statement.code):
        found = [Refused(hint, "leave_out")]
    yield from found


def _read_clause(clause: str, text: str) -> Iterator[Refused]:
    names = list(dict.fromkeys(name for _, name in sorted(find_names(wordings.subject(clause)))))
    lists_efforts = bool(wordings.efforts(clause)) and "reasoning_effort" in {name for _, name in find_names(clause)}
    if not names and (lists_efforts or wordings.EFFORT_ALONE.search(clause)):
        names = ["reasoning_effort"]
    if "reasoning_effort" in names and "thinking" in names:
        # Only the object that contains the effort.
        names.remove("thinking")
    for name in names:
        yield from _demand(name, clause, text, "")


def _read_special(text: str, named: str | None) -> Iterator[Refused]:
    """Yield the refusals of a combination of parameters, and of values with a known substitute."""
    names = {name for clause in wordings.clauses(text) for _, name in find_names(clause)}
    if wordings.TOOLS_WITH_EFFORT.search(text):
        yield Refused("reasoning_effort", "off")
    elif wordings.THINKING_NEEDS_STREAM.search(text):
        yield Refused("thinking", "no_thinking")
    elif wordings.NO_TOOL_PARSER.search(text):
        yield Refused("tools", "report")
    elif wordings.MUST_THINK.search(text):
        is_removable = re.search(r"\bremove\b", text, re.IGNORECASE)
        yield Refused("thinking", "leave_out") if is_removable else Refused("thinking", "not_value", "none")
    elif wordings.OWN_EFFORT.search(text):
        yield Refused("thinking", "adaptive")
    elif wordings.NO_ADAPTIVE.search(text):
        yield Refused("thinking", "budget")
    elif wordings.FORCED_TOOL.search(text) or ("tool_choice" in (named, *names) and wordings.REFUSES.search(text)):
        yield Refused("tool_choice", "auto")
    elif wordings.SCHEMA_WITH_TOOLS.search(text):
        yield Refused("response_format", "in_words")
    elif wordings.NOT_BOTH.search(text):
        for pair, dropped in wordings.PAIRS:
            if pair <= names:
                yield Refused(dropped, "leave_budget" if dropped == "thinking" else "leave_out")
                return


def _demand(name: str, clause: str, text: str, code: str) -> Iterator[Refused]:
    """Yield the change for one parameter; nothing if it is not refused, or only its value is the caller's mistake."""
    target = wordings.moved(text)
    if target is not None and canonical(target) == name:
        yield Refused(name, "rename", target)
    elif name in ("max_tokens", "stop", "reasoning_effort", "thinking", "verbosity", "response_format", "tools"):
        yield from _DEMANDS.get(name, _demand_effort)(name, clause, text, code)
    elif _is_refusal(clause, code) and not wordings.OUT_OF_RANGE.search(clause):
        names = ("presence_penalty", "frequency_penalty") if name == "penalty" else (name,)
        names = ("logprobs", "top_logprobs") if name == "logprobs" else names
        yield from (Refused(each, "leave_out") for each in names)


def _is_refusal(clause: str, code: str) -> bool:
    if wordings.VALUE_CODES.search(code):
        return False
    return wordings.REFUSES.search(clause) is not None or wordings.REFUSAL_CODES.search(code) is not None


def _demand_max_tokens(name: str, clause: str, text: str, code: str) -> Iterator[Refused]:
    lowest, highest = wordings.bounds(text)
    if highest is not None:
        yield Refused(name, "at_most", highest)
    # A minimum of 1 or less means that the caller's value was wrong.
    if lowest is not None and lowest > 1:
        yield Refused(name, "at_least", lowest)
    if highest is None and lowest is None and _is_refusal(clause, code):
        # Never left out: without a limit, the answer may be long and expensive.
        yield Refused(name, "rename", wordings.replacement(text))


def _demand_stop(name: str, clause: str, text: str, code: str) -> Iterator[Refused]:
    if wordings.TOO_MANY.search(text):
        yield Refused(name, "first", wordings.bounds(text)[1] or 4)
    elif _is_refusal(clause, code):
        yield Refused(name, "leave_out")


def _demand_tools(name: str, clause: str, text: str, code: str) -> Iterator[Refused]:
    if _is_refusal(clause, code) or wordings.TOO_MANY.search(text):
        yield Refused(name, "report")


def _demand_format(name: str, clause: str, text: str, code: str) -> Iterator[Refused]:
    allowed = wordings.formats(text)
    if allowed:
        yield Refused(name, "one_of", allowed)
    elif _is_refusal(clause, code) and not wordings.OUT_OF_RANGE.search(clause):
        match = re.search(r"json[_ ](schema|object)", text)
        yield Refused(name, "in_words", f"json_{match.group(1)}" if match else None)


def _demand_effort(name: str, clause: str, text: str, code: str) -> Iterator[Refused]:
    allowed = wordings.efforts(text)
    lowest, highest = wordings.bounds(text)
    if allowed:
        yield Refused(name, "one_of", allowed)
    elif lowest or highest:
        yield from (Refused("thinking", do, to) for do, to in (("at_least", lowest), ("at_most", highest)) if to)
    elif _is_refusal(clause, code) or wordings.REFUSES.search(text):
        value = wordings.refused_effort(clause)
        yield Refused(name, "not_value", value) if value else Refused(name, "leave_out")


_DEMANDS = {
    "max_tokens": _demand_max_tokens,
    "stop": _demand_stop,
    "tools": _demand_tools,
    "response_format": _demand_format,
}
