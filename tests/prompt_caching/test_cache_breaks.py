"""What breaks the prompt caches of services, by public reports: none of it is of our making."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from test_cache_scenarios import CLAUDE, GPT, HANDBOOK, RESPONSES, World, with_fees

import aichatkit
from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.pictures import png

_BODIES = """
import dataclasses, enum, json, sys, typing
from aichatkit import Client

class Color(enum.Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"

@dataclasses.dataclass
class Place:
    city: str
    street: typing.Optional[str] = None
    colors: typing.Set[Color] = dataclasses.field(default_factory=set)

def paint(place: Place, color: typing.Literal["red", "green"], tags: typing.FrozenSet[str] = frozenset()) -> str:
    "Paint a place."

def look(city: str, options: typing.Dict[str, typing.Union[int, str]]) -> str:
    "Look up a city."

with Client(model=sys.argv[1], api_key="k", base_url=sys.argv[2], retry=0) as client:
    client.ask("Hello", tools=[paint, look], schema=Place, reasoning_effort="low", prompt_cache=True)
"""


@pytest.fixture
def world():
    with Sandbox() as box:
        yield World(box)


@pytest.mark.parametrize("model", [CLAUDE, GPT, RESPONSES, "gemini/gemini-3.8-flash"])
def test_a_request_is_the_same_in_every_process(world, model, monkeypatch):
    base = world.box.url if model.startswith(("anthropic", "gemini")) else f"{world.box.url}/v1"
    source = str(Path(aichatkit.__file__).parent.parent)
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": source}
        subprocess.run([sys.executable, "-c", _BODIES, model, base], env=environment, check=True, timeout=60)
    assert len(world.box.requests) == 3
    assert len({request.body for request in world.box.requests}) == 1


def prefix_of(request):
    """Return a request as its service renders it, without marks and without the fields that are not text."""
    body = json.loads(request.body)
    text = {name: body.get(name) for name in ("tools", "system", "instructions", "thinking", "reasoning")}
    if isinstance(text["system"], list):
        text["system"] = "".join(part["text"] for part in text["system"])
    turns = body.get("messages") or body.get("input")

    def plain(value):
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items() if "cache" not in name}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return plain(text), [plain(turn) for turn in turns]


def joined(turn):
    """Return a turn with its text in one piece, however it is divided."""
    content = turn.get("content")
    if isinstance(content, list) and all(set(part) <= {"type", "text"} for part in content):
        content = "".join(part["text"] for part in content)
    return json.dumps({**turn, "content": content}, sort_keys=True)


@with_fees
def test_turns_are_appended_and_never_changed(world, model):
    with world.client(model) as client:
        conversation = client.chat(system=HANDBOOK, reasoning_effort="low")
        conversation.ask("What is in it?", files=[png("a cat")])
        for number in range(4):
            conversation.ask(f"Question {number}?")
            world.wait(10)
    requests = [prefix_of(request) for request in world.box.requests]
    assert len({json.dumps(head, sort_keys=True) for head, _ in requests}) == 1
    for (_, one), (_, other) in zip(requests, requests[1:]):
        assert [joined(turn) for turn in other[: len(one)]] == [joined(turn) for turn in one]
    assert [use.read > 4000 for use in world.uses] == [False, False, True, True, True]


@with_fees
def test_a_time_in_a_tool_result_breaks_nothing(world, model):
    times = iter(range(100))

    def now() -> str:
        """Return the time."""
        return f"It is 12:00:{next(times):02}."

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with world.client(model) as client:
            conversation = client.chat(system=HANDBOOK, tools=[now])
            for _ in range(6):
                conversation.ask("call now {}")
    reads = [use.read > 4000 for use in world.uses]
    assert reads[2:] == [True] * (len(reads) - 2)


@with_fees
def test_a_time_in_the_system_prompt_costs_no_more_than_without_a_cache(world, model):
    def dated(world, client):
        total = 0.0
        for number in range(8):
            total += client.ask("Question?", system=f"It is 12:0{number}. {HANDBOOK}").cost
            world.wait(20)
        return total

    without = world.cost_of(dated, model, False)
    assert world.cost_of(dated, model, "auto") == pytest.approx(without)


@pytest.mark.parametrize("model", [CLAUDE, RESPONSES])
def test_a_long_turn_with_many_tool_calls_is_found_again(world, model):
    count = iter(range(1000))

    def look(city: str) -> str:
        """Look up the weather of a city."""
        return f"{city}: fair {next(count)}"

    with world.client(model) as client:
        conversation = client.chat(system=HANDBOOK, tools=[look], max_rounds=40)
        calls = "\n".join(f'call look {{"city": "Oslo {number}"}}' for number in range(12))
        for _ in range(5):
            conversation.ask(calls)
    reads = [use.read / use.total for use in world.uses]
    assert min(reads[3:]) > 0.5


@with_fees
def test_an_effort_that_changes_is_a_new_beginning_and_costs_one_premium_at_most(world, model):
    def switching(world, client):
        conversation = client.chat(system=HANDBOOK)
        for effort in ("low", "high", "low", "high"):
            conversation.ask("Question?", reasoning_effort=effort)
        return conversation.cost

    without = world.cost_of(switching, model, False)
    assert world.cost_of(switching, model, "auto") <= without * 1.25
