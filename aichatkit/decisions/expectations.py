"""Questions of a call -> the requests and tokens that their answers take, for estimates and budgets."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from aichatkit.call.call import Call, Expected
from aichatkit.call.targets import Target
from aichatkit.catalog.tokens import count_message, count_tokens
from aichatkit.decisions import emulation
from aichatkit.decisions.forms import DecisionForm
from aichatkit.decisions.questions import Question
from aichatkit.decisions.services import find_service
from aichatkit.decisions.wires import WIRES
from aichatkit.messages import Message

__all__ = ["expect_answers"]


def expect_answers(form: DecisionForm, call: Call, target: Target) -> Expected:
    """Return what the answers take at a target, in the way in which it is asked."""
    atoms, model = form.questions.atoms, target.model
    service = find_service(target, emulate=form.emulate)
    if service is not None:
        count = math.ceil(len(atoms) / service.questions)
        provider = call.context.provider(target.provider)
        # As they are sent: what a service makes of them is its own affair.
        body = WIRES[service.wire].body([Message("user", "?")], atoms, provider)
        asked = count_tokens(json.dumps(body["questions"], ensure_ascii=False), model)
        # Decision models write no text.
        return Expected(count, count * _count(call.messages, model) + asked, 0, 0)
    if emulation.takes_letters(call.context.provider(target.provider), call.context.record(target), atoms):
        prompts = [emulation.letter_messages(call.messages, question) for question in atoms]
        return Expected(len(atoms), sum(_count(prompt, model) for prompt in prompts), len(atoms))
    schema = json.dumps(emulation.schema_of_questions(atoms))
    prompt = emulation.schema_messages(call.messages, atoms)
    answer = json.dumps(dict.fromkeys((question.name for question in atoms), _longest(atoms)))
    return Expected(1, _count(prompt, model) + count_tokens(schema, model), count_tokens(answer, model))


def _count(messages: Sequence[Message], model: str) -> int:
    return sum(count_message(message, model) for message in messages)


def _longest(atoms: Sequence[Question]) -> str:
    return max((label for question in atoms for label in question.labels), key=len)
