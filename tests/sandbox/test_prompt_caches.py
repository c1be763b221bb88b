"""The sandbox keeps account of what each service reads from its prompt cache and writes to it."""

from __future__ import annotations

import pytest
import requests

from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.exchange import Piece, Response
from aichatkit.sandbox.prompt_caches import Block, CacheRules, Charge, Prompt, PromptCaches

CLAUDE, GPT, OLD_GPT = "claude-sonnet-5-5", "gpt-6-luna", "gpt-5.4"
#: 1,600 tokens.
LONG = "word" + " word" * 1599
MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
POINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}


@pytest.fixture
def box():
    with Sandbox() as sandbox:
        yield sandbox


def text(words=LONG, **more):
    return {"type": "text", "text": words, **more}


def claude(box, *blocks, system=None, model=CLAUDE, **more):
    messages = [{"role": "user", "content": list(blocks) or "Hi"}]
    body = {"model": model, "max_tokens": 9, "messages": messages, **({"system": system} if system else {}), **more}
    headers = {"anthropic-version": "2023-06-01"}
    response = requests.post(f"{box.url}/v1/messages", json=body, headers=headers, timeout=9)
    record = response.json()
    if response.status_code != 200:
        return record["error"]["message"]
    usage = record["usage"]
    return usage["input_tokens"], usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]


def gpt(box, *parts, model=GPT, path="chat/completions", **more):
    field = "messages" if path.startswith("chat") else "input"
    body = {"model": model, field: [{"role": "user", "content": list(parts)}], **more}
    response = requests.post(f"{box.url}/v1/{path}", json=body, timeout=9)
    record = response.json()
    if response.status_code != 200:
        return record["error"]["message"]
    usage = record["usage"]
    details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
    return (
        usage.get("prompt_tokens", usage.get("input_tokens")),
        details["cache_write_tokens"],
        details["cached_tokens"],
    )


def test_a_marked_prompt_is_written_once_and_then_read(box):
    assert claude(box, system=[text(**MARK)])[1:] == (1600, 0)
    assert claude(box, text("Hello"), system=[text(**MARK)])[1:] == (0, 1600)


def test_without_a_mark_nothing_is_cached(box):
    assert claude(box, text("Hi")) == claude(box, text("Hi"))
    assert claude(box, text(), system=[text()])[1:] == (0, 0)


def test_an_entry_ends_with_its_lifetime_and_each_read_renews_it(box):
    system = [text(**MARK)]
    claude(box, system=system)
    for _ in range(3):
        box.prompt_caches.skip(299)
        assert claude(box, system=system)[2] == 1600
    box.prompt_caches.skip(301)
    assert claude(box, system=system)[1:] == (1600, 0)


def test_an_hour_is_charged_twice_the_input(box):
    claude(box, text("Hi"), system=[text(**HOUR)])
    box.prompt_caches.skip(3500)
    assert claude(box, text("Hi"), system=[text(**HOUR)])[2] == 1600
    (charge, later) = box.prompt_caches.charges
    assert (charge.use.written, charge.use.long_written) == (1600, 1600)
    assert charge.cost == pytest.approx((1 * 2 + 1600 * 4 + 9 * 10) / 1e6, rel=0.1)
    assert box.prompt_caches.cost == charge.cost + later.cost


def test_a_short_prompt_is_not_cached_and_its_mark_costs_nothing(box):
    assert claude(box, text("Rules. " * 100, **MARK))[1:] == (0, 0)
    assert claude(box, text("Rules. " * 900, **MARK), model="claude-haiku-4-5")[1:] == (0, 0)


def test_the_lookback_from_a_mark_is_20_blocks(box):
    blocks = [text("word " * 100) for _ in range(40)]
    claude(box, *blocks[:20], text("end", **MARK))
    near = claude(box, *blocks[:20], text("end"), *blocks[:19], text("x", **MARK))
    assert near[2] > 0
    assert claude(box, *blocks[:20], text("end"), *blocks, text("y", **MARK))[2] == 0


def test_tools_and_settings_are_part_of_the_prefix(box):
    tool = {"name": "look", "input_schema": {}, "description": LONG, **MARK}
    claude(box, text(**MARK), tools=[tool])
    assert claude(box, text(**MARK), tools=[tool])[2] > 3200
    # Thoughts change the messages, and not the tools.
    assert claude(box, text(**MARK), tools=[tool], thinking={"type": "adaptive"})[2] == pytest.approx(1600, abs=9)


def test_five_marks_are_refused(box):
    assert claude(box, *[text(**MARK)] * 5) == ("A maximum of 4 blocks with cache_control may be provided. Found 5.")
    assert "Found 5" in claude(box, *[text(**MARK)] * 4, text(), **MARK)


def test_a_longer_lifetime_comes_first(box):
    assert "must not come after" in claude(box, text(**HOUR), system=[text(**MARK)])
    assert claude(box, text(**MARK), system=[text(**HOUR)])[1] == 3200
    assert "ttl" in claude(box, text(cache_control={"type": "ephemeral", "ttl": "2h"}))


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_a_newer_model_writes_without_a_mark_unless_it_is_told_not_to(box, path):
    explicit = {"prompt_cache_options": {"mode": "explicit"}}
    assert gpt(box, text(), path=path, **explicit)[1:] == (0, 0)
    assert gpt(box, text(), path=path)[1:] == (1600, 0)
    assert gpt(box, text(), path=path)[1:] == (0, 1600)
    assert gpt(box, text(**POINT), text("Hi"), path=path, **explicit)[1:] == (0, 1600)


def test_twelve_hours_cost_more(box):
    gpt(box, text(), prompt_cache_options={"ttl": "12h"})
    assert box.prompt_caches.charges[0].use.long_written == 1600
    box.prompt_caches.skip(40_000)
    assert gpt(box, text())[2] == 1600


def test_of_five_marks_only_the_last_ones_count(box):
    parts = [text(f"{number} {LONG}", **POINT) for number in range(5)]
    gpt(box, *parts, prompt_cache_options={"mode": "explicit"})
    assert gpt(box, parts[0], prompt_cache_options={"mode": "explicit"})[2] == 0
    assert gpt(box, *parts[:2], prompt_cache_options={"mode": "explicit"})[2] > 3200


def test_an_older_model_refuses_the_fields_and_caches_on_its_own(box):
    assert "prompt_cache_options" in gpt(box, text(), model=OLD_GPT, prompt_cache_options={"mode": "explicit"})
    assert "prompt_cache_breakpoint" in gpt(box, text(**POINT), model=OLD_GPT)
    assert gpt(box, text(), model=OLD_GPT)[1:] == (0, 0)
    assert gpt(box, text(LONG + " end"), model=OLD_GPT)[2] in range(1280, 1600, 128)


def test_mistral_caches_only_with_a_key(box):
    model = "mistral-small-latest"
    assert [gpt(box, text(), model=model)[2] for _ in range(2)] == [0, 0]
    assert [gpt(box, text(), model=model, prompt_cache_key="k")[2] for _ in range(2)] == [0, 1600]


def test_a_model_that_the_catalog_does_not_know_caches_nothing(box):
    assert gpt(box, text(), model="eliza") == gpt(box, text(), model="eliza")
    assert box.prompt_caches.charges == []


def test_an_entry_can_be_read_once_the_answer_has_begun():
    caches = PromptCaches()
    prompt = Prompt("x/y", [Block("a", 2000, 9.0)])
    response = Response(pieces=[Piece(b"head", "open"), Piece(b"text"), Piece(b"end", "done")], framing="chunked")
    caches.use(prompt).begin(response)
    pieces = iter(response.pieces)
    assert next(pieces).data == b"head"
    assert caches.use(prompt).use == (2000, 0, 2000, 0)
    assert b"".join(piece.data for piece in pieces) == b"textend"
    assert caches.use(prompt).use == (2000, 2000, 0, 0)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_has_ended_can_be_read(box, stream):
    content = [{"role": "user", "content": [text(**MARK)]}]
    body = {"model": CLAUDE, "max_tokens": 9, "messages": content, "stream": stream}
    headers = {"anthropic-version": "2023-06-01"}
    assert requests.post(f"{box.url}/v1/messages", json=body, headers=headers, timeout=9).text
    assert claude(box, text(**MARK))[1:] == (0, 1600)


def test_an_error_stores_nothing(box):
    box.script("server-error")
    assert claude(box, text(**MARK)) == "The server had an error."
    assert claude(box, text(**MARK))[1:] == (1600, 0)
    box.prompt_caches.clear()
    assert box.prompt_caches.charges == []
    assert claude(box, text(**MARK))[1:] == (1600, 0)


def test_a_response_that_a_fault_has_turned_into_an_error_stores_nothing():
    caches = PromptCaches()
    caching = caches.use(Prompt("x/y", [Block("a", 2000, 9.0)]))
    caching.begin(Response(500))
    assert (caches.charges, caches._entries) == ([], {})


def test_a_model_without_a_price_costs_nothing_that_is_known():
    caches = PromptCaches(lambda: 0.0)
    caching = caches.use(Prompt("x/y", [Block("a", 2000, 9.0)], CacheRules(), {"id": "x/y"}))
    caching._store()
    assert caches.charges == [Charge("x/y", caching.use, 0, None)]
    assert caches.cost == 0
