"""The prompt cache key of a request: the same as long as the prompt begins with the same text."""

from __future__ import annotations

from decimal import Decimal

import provider_wires as wires
import pytest

from aichatkit import Client
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Message
from aichatkit.providers.services import SERVICES
from aichatkit.registry import registry

RULES = Message("system", "Answer in one word. " * 200)
FIRST = [Message("user", "My dog is Rex.")]
SECOND = [*FIRST, Message("assistant", "Noted."), Message("user", "His name?")]


def key(messages=FIRST, **options):
    return wires.body("mistral", messages, **options)["prompt_cache_key"]


def test_turns_of_a_conversation_share_a_key():
    assert key(FIRST) == key(SECOND)
    assert key([RULES, *FIRST]) == key([RULES, *SECOND])


def test_prompts_with_the_same_system_prompt_share_a_key():
    assert key([RULES, Message("user", "Rome?")]) == key([RULES, Message("user", "Paris?")])


def test_prompts_with_the_same_tools_share_a_key():
    other = [Message("user", "Paris?")]
    assert key(FIRST, tools=[wires.WEATHER]) == key(other, tools=[wires.WEATHER])


def test_prompts_that_begin_differently_have_different_keys():
    keys = {
        key(FIRST),
        key([Message("user", "Paris?")]),
        key([RULES, *FIRST]),
        key(FIRST, tools=[wires.WEATHER]),
        key([RULES, *FIRST], tools=[wires.WEATHER]),
    }
    assert len(keys) == 5


def test_prompts_from_the_same_template_share_a_key():
    template = "Is this ticket about money? Answer yes or no. " * 6
    assert key([Message("user", f"{template}One")]) == key([Message("user", f"{template}Two")])
    parts = [Message("user", [{"type": "text", "text": text}]) for text in ("One", "Two")]
    assert key([parts[0]]) != key([parts[1]])


def test_models_do_not_share_a_key():
    one, other = (wires.body("mistral", FIRST, model=f"mistral-{size}-latest") for size in ("small", "large"))
    assert one["prompt_cache_key"] != other["prompt_cache_key"]


def test_a_key_is_32_hexadecimal_digits_that_hold_none_of_the_text():
    assert len(key()) == 32
    assert int(key(), 16)


def test_a_lone_surrogate_does_not_keep_a_prompt_from_having_a_key():
    assert key([Message("user", "\ud83d")]) != key([Message("user", "\ud83e")])


def test_a_tool_that_is_not_json_is_refused_by_the_usual_error():
    function = {"name": "price", "parameters": {"type": "object", "properties": {"x": {"default": Decimal(1)}}}}
    tools = [{"type": "function", "function": function}]
    with Client(model="mistral", api_key="k") as client, pytest.raises(ConfigurationError, match="not JSON serial"):
        client.ask("Price of A-17?", tools=tools)


def test_a_key_in_extra_replaces_ours():
    assert key(extra={"prompt_cache_key": "team-a"}) == "team-a"


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "mistral"])
def test_services_that_do_not_need_a_key_get_none(name):
    assert registry[name].needs_cache_key is False
    assert "prompt_cache_key" not in wires.body(name)


def test_another_address_gets_no_key():
    provider = registry["mistral"](base_url="https://gateway.example/v1")
    request = provider.build_request(FIRST, "mistral-small-latest")
    assert "prompt_cache_key" not in request.json
