"""Arguments of `Client.decide` and `Client.map` -> the call with its questions, and its decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import replace
from aichatkit.call.build import build_call
from aichatkit.call.call import Call
from aichatkit.decisions.expectations import expect_answers
from aichatkit.decisions.forms import DecisionForm
from aichatkit.decisions.request import DecisionAttempts, check_emulation
from aichatkit.decisions.services import find_service, with_default_model
from aichatkit.display import reply_record
from aichatkit.errors import ConfigurationError
from aichatkit.middleware.pipeline import open_answer
from aichatkit.params import PARAMS
from aichatkit.streams import Stream

if TYPE_CHECKING:
    from aichatkit.client import Client

__all__ = ["build_decision_call", "check_targets", "decide", "parse_form"]

#: The client's sampling parameters that apply to chat models that stand in for decision models.
_KEPT = ("reasoning_effort", "user")
#: The other columns of a row in frames and files.
_COLUMNS = ("error", "input_tokens", "output_tokens", "cost")
#: Options of `map` that have no meaning for questions.
_NO_OPTIONS = {"tools", "tool_choice", "search", "schema", "approve", "max_rounds", "raw"}


def decide(
    client: Client,
    text: Any,
    questions: Any,
    question: str | None,
    *,
    threshold: Any = None,
    emulate: Any = None,
    **options: Any,
) -> Any:
    """Return the decisions about a text, or the one decision if there is a single question."""
    form = DecisionForm.build(questions, question, threshold, emulate)
    call = build_decision_call(client, text, form, **options)
    decisions = form.parse(Stream(open_answer(call)).read())
    return decisions["answer"] if form.questions.is_single else decisions


def parse_form(questions: Any, threshold: Any, emulate: Any, options: Mapping[str, Any]) -> DecisionForm:
    """Return the form for the options of `map`; raise ConfigurationError if others do not go with it."""
    for name, value in options.items():
        if name in _NO_OPTIONS | PARAMS and not (value is None or value is False or value in ((), [])):
            raise ConfigurationError(f"{name}: cannot be used with decide=")
    form = DecisionForm.build(questions, None, threshold, emulate)
    columns = form.columns
    for column in columns:
        if column in _COLUMNS or columns.count(column) > 1:
            raise ConfigurationError(f"decide: the column {column!r} would be there twice; rename the question")
    return form


def build_decision_call(client: Client, text: Any, form: DecisionForm, /, **options: Any) -> Call:
    """Return the call for questions about a text, or about the data of a mapping, which is sent as JSON."""
    if isinstance(text, Mapping) and not _is_message(text):
        text = json.dumps(reply_record.plain(text), ensure_ascii=False)
    defaults = client._defaults
    kept = {name: value for name, value in defaults.params.items() if name in _KEPT}
    call = build_call(client._context, defaults._replace(system=None, params=kept), client._targets, text, 0, **options)
    targets = [with_default_model(target, emulate=form.emulate) for target in call.targets]
    return replace(
        call,
        targets=targets,
        options=replace(call.options, schema=form.schema),
        schema=form,
        expect=partial(expect_answers, form),
        make_attempts=DecisionAttempts,
    )


def check_targets(call: Call) -> None:
    """Raise the error of the first target if none of them can answer the questions of a call."""
    assert isinstance(call.schema, DecisionForm)
    failures: list[ConfigurationError] = []
    for target in call.targets:
        try:
            if find_service(target, emulate=call.schema.emulate) is None:
                provider = call.context.provider(target.provider)
                check_emulation(call.schema, provider, target.model, call.context.record(target))
        except ConfigurationError as error:
            failures.append(error)
    if len(failures) == len(call.targets):
        raise failures[0]


def _is_message(row: Mapping[Any, Any]) -> bool:
    """Return whether a mapping is a message, and not the data of a row, which may have such columns as well."""
    return "content" in row and ("role" in row or row.get("from") in ("you", "bot"))
