"""When a prompt is marked: what the client has sent before, in which mode, and with what outcome."""

from __future__ import annotations

import pickle

import pytest

from aichatkit.chunks import ToolCall, Usage
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.prompt_caching import memory as memories
from aichatkit.prompt_caching.memory import PromptMemory, Seen
from aichatkit.prompt_caching.plan import HEAD, CachePlan, SharedHead
from aichatkit.prompt_caching.policy import decide, plan_for_job
from aichatkit.prompt_caching.prompts import measure
from aichatkit.prompt_caching.services import rules_of
from aichatkit.providers.base import Options, Tool
from aichatkit.registry import registry
from aichatkit.reply import Reply

LONG = "word " * 4000
SYSTEM, FIRST, ANSWER, SECOND = (
    Message("system", LONG),
    Message("user", "My dog is Rex."),
    Message("assistant", "Noted."),
    Message("user", "His name?"),
)
TURN = [SYSTEM, FIRST]
NEXT_TURN = [*TURN, ANSWER, SECOND]
THIRD_TURN = [*NEXT_TURN, Message("assistant", "Rex."), Message("user", "And his age?")]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Answered:
    """An answer that reports how many tokens were read and written."""

    def __init__(self, read, written):
        self.reply = Reply("Yes.", "anthropic", "claude", usage=Usage(cached_tokens=read, cache_write_tokens=written))

    def when_complete(self, callback):
        callback(self.reply)


class World:
    def __init__(self, name="anthropic", model="claude-sonnet-5-5", mode="auto"):
        self.provider = registry[name]()
        self.model, self.mode = model, mode
        self.clock = Clock()
        self.memory = PromptMemory(self.clock)

    def plan(self, messages, *, read=0, written=0, shared=None, mode=None, **options):
        """Return the plan for a prompt that is then answered."""
        decision = decide(
            self.provider,
            self.model,
            messages,
            Options(**options),
            mode=self.mode if mode is None else mode,
            memory=self.memory,
            shared=shared,
        )
        if decision is None:
            return None
        decision.follow(Answered(read, written))
        return decision.plan


def test_a_conversation_is_marked_from_its_second_turn_on():
    world = World()
    assert world.plan(TURN).marks == []
    assert world.plan(NEXT_TURN, written=5000).marks == [HEAD, 1, 3]
    assert world.plan(THIRD_TURN, read=5000).marks == [HEAD, 3, 5]


def test_after_the_lifetime_a_conversation_begins_again():
    world = World()
    world.plan(TURN)
    world.clock.now = 301
    assert world.plan(NEXT_TURN).marks == []
    assert world.plan(THIRD_TURN).marks == [HEAD, 3, 5]


def test_another_prompt_with_the_same_system_prompt_marks_only_that():
    world = World()
    world.plan(TURN)
    assert world.plan([SYSTEM, SECOND], written=5000).marks == [HEAD]
    assert world.plan([SYSTEM, ANSWER], read=5000).marks == [HEAD]


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [Tool("look", "Look it up.", {})]},
        {"schema": {"type": "object"}},
        {"params": {"reasoning_effort": "low"}},
        {"extra": {"thinking": {"type": "disabled"}}},
    ],
    ids=str,
)
def test_what_changes_the_cache_of_the_service_begins_again(options):
    world = World()
    world.plan(TURN)
    assert world.plan(NEXT_TURN, **options).marks == []


def test_a_temperature_changes_nothing():
    world = World()
    world.plan(TURN)
    assert world.plan(NEXT_TURN, params={"temperature": 0.5}).marks == [HEAD, 1, 3]


def test_writes_that_are_not_read_make_the_next_ones_wait():
    world = World()
    for number in range(3):
        talk = [SYSTEM, Message("user", f"{number} {LONG}")]
        marks = world.plan(talk, read=4000 if number else 0).marks
        assert marks == ([HEAD] if number else [])
        marks = world.plan([*talk, ANSWER, SECOND], read=4000 if number > 1 else 0, written=5000).marks
        assert (3 in marks) == (number == 0)


def test_a_read_ends_the_wait():
    world = World()
    world.plan(TURN)
    world.plan(NEXT_TURN, written=5000)
    world.plan(THIRD_TURN, read=5000)
    world.plan([SYSTEM, ANSWER], read=5000)
    assert world.plan([SYSTEM, ANSWER, FIRST], read=4000).marks == [HEAD, 1, 2]


def test_a_service_that_reports_nothing_is_neither_believed_nor_blamed():
    world = World()
    world.plan(TURN)
    world.plan(NEXT_TURN)
    group = world.memory.group(measure(world.provider, world.model, TURN, Options()).head.digest)
    assert (group.misses, group.unread_tails, group.balance) == (0, 0, 0)


def test_a_prompt_that_the_service_finds_too_short_counts_for_nothing():
    world = World()
    messages = list(TURN)
    for number in range(8):
        world.plan(messages)
        messages += [ANSWER, Message("user", f"Question {number}?")]
    assert world.plan(messages).marks == [HEAD, 15, 17]


def test_a_service_that_reports_no_writes_is_judged_by_its_reads():
    world = World()
    messages = list(TURN)
    for number in range(4):
        world.plan(messages, written=None)
        messages += [ANSWER, Message("user", f"Question {number}?")]
    with pytest.warns(UserWarning, match="were not found in the prompt cache"):
        world.plan(messages, written=None)
    assert world.plan([*messages, ANSWER, SECOND]).marks == []


def test_marking_stops_after_three_misses_in_succession_unless_it_is_wanted_always():
    world = World()
    world.plan(TURN)
    messages = list(TURN)
    for number in range(4):
        messages += [ANSWER, Message("user", f"Question {number}?")]
        if number < 3:
            assert world.plan(messages, written=5000).marks
        else:
            with pytest.warns(UserWarning, match="were not found in the prompt cache"):
                world.plan(messages, written=5000)
    messages += [ANSWER, SECOND]
    assert world.plan(messages).marks == []
    assert world.plan([*messages, ANSWER, FIRST], mode=True, written=9).marks


def test_of_requests_at_the_same_time_one_writes_the_common_beginning():
    world = World()

    def decide_on(question, mode="auto"):
        messages = [SYSTEM, Message("user", question)]
        return decide(world.provider, world.model, messages, Options(), mode=mode, memory=world.memory)

    world.plan(TURN)
    first, second = decide_on("One?"), decide_on("Two?")
    assert (first.plan.marks, second.plan.marks) == ([HEAD], [])
    assert decide_on("Three?", mode=True).plan.marks == [HEAD, 1]
    first.follow(Answered(0, 5000))
    assert decide_on("Four?").plan.marks == [HEAD]


def test_a_request_that_failed_does_not_keep_others_from_writing_for_long():
    world = World()
    world.plan(TURN)
    one, other = ([SYSTEM, Message("user", question)] for question in ("One?", "Two?"))
    decide(world.provider, world.model, one, Options(), mode="auto", memory=world.memory)
    world.clock.now = 61
    assert world.plan(other).marks == [HEAD]


def test_safe_marks_only_what_earlier_savings_cover():
    world = World(mode="safe")
    shared = SharedHead(1, 0, True)
    assert world.plan(TURN, shared=shared, written=5000).marks == [HEAD]
    assert world.plan(NEXT_TURN).marks == []
    world.plan([SYSTEM, SECOND], shared=shared, read=5000)
    assert world.plan(THIRD_TURN, read=5000).marks == [HEAD, 3, 5]
    assert world.plan([SYSTEM, ANSWER], read=5000).marks == [HEAD]


@pytest.mark.parametrize(("mode", "is_long"), [(True, False), ("1h", True)])
def test_always_marks_the_first_request(mode, is_long):
    world = World(mode=mode)
    assert world.plan(TURN) == CachePlan([HEAD, 1], is_long=is_long, key=world.plan(TURN).key)
    world.clock.now = 2000
    assert world.plan(NEXT_TURN).marks == ([HEAD, 1, 3] if is_long else [HEAD, 3])


def test_off_marks_nothing():
    assert World(mode=False).plan(TURN) == CachePlan(is_off=True)
    assert World("openai", "gpt-6-luna", False).plan(TURN) == CachePlan(is_off=True, writes_nothing=True)
    assert World("mistral", "mistral-small-latest", False).plan(TURN) == CachePlan(is_off=True)
    assert World(mode=False).plan([FIRST]) is None


def test_a_shared_beginning_is_marked_whether_or_not_it_was_seen():
    world = World()
    row = Message("user", LONG + "Good?")
    plan = world.plan([row], shared=SharedHead(0, len(LONG), True), written=4000)
    assert (plan.marks, plan.part) == ([], (0, len(LONG)))
    # Without certainty, it is marked when it is seen again.
    world = World()
    shared = SharedHead(0, len(LONG), False)
    assert world.plan([row], shared=shared).has_marks is False
    assert world.plan([Message("user", LONG + "Bad?")], shared=shared).part == (0, len(LONG))


def test_a_shared_beginning_of_a_message_with_files_is_left_out():
    world = World()
    picture = {"type": "file", "file": File("image", "image/png", data=b"dot")}
    row = Message("user", [{"type": "text", "text": LONG}, picture])
    assert world.plan([row], shared=SharedHead(0, 99, True)).has_marks is False


def test_newer_models_of_openai_write_only_what_continues():
    world = World("openai", "gpt-6-luna")
    plan = world.plan(TURN)
    assert (plan.writes_nothing, plan.has_marks, len(plan.key)) == (True, False, 32)
    plan = world.plan(NEXT_TURN)
    assert (plan.writes_nothing, plan.marks) == (False, [HEAD, 1, 3])
    assert world.plan([SYSTEM, ANSWER]).writes_nothing


@pytest.mark.parametrize(("name", "model"), [("openai", "gpt-5.4"), ("xai", "grok-4.3"), ("openai", "gpt-99")])
def test_services_without_a_fee_get_a_key(name, model):
    plan = World(name, model).plan(TURN)
    assert plan == CachePlan(key=plan.key)
    assert World(name, model).plan(NEXT_TURN).key == plan.key
    assert World(name, model).plan([FIRST]) is None


def test_prompts_without_a_head_share_a_key_by_their_first_message():
    long = Message("user", LONG)
    same = [long], [long, ANSWER, FIRST], [Message("user", LONG + "Another question")]
    one, other, third = (World("openai", "gpt-5.4").plan(messages).key for messages in same)
    assert one == other == third != World("openai", "gpt-5.4").plan([Message("user", "!" + LONG)]).key


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-6-luna"])
def test_rows_with_the_same_template_share_a_key(model):
    world = World("openai", model)
    prompts = [[Message("user", f"{LONG}Is {row} good?")] for row in range(3)]
    shared = SharedHead(0, len(LONG), True)
    assert len({world.plan(prompt, shared=shared).key for prompt in prompts}) == 1


def test_many_rows_a_minute_use_several_keys():
    world = World("openai", "gpt-5.4")
    shared = SharedHead(1, 0, True)
    keys = []
    for _ in range(1000):
        keys.append(world.plan(TURN, shared=shared).key)
        world.clock.now += 0.25
    # 240 a minute for keys of 15 each, and at most one new key for 50 rows.
    assert set(keys[:50]) == {keys[0]}
    assert len(set(keys[:200])) == 4
    assert len(set(keys)) == 17
    assert {key[:32] for key in keys} == {keys[0]}
    assert max(keys[-240:].count(key) for key in set(keys)) <= 15


def test_slow_rows_keep_one_key():
    world = World("openai", "gpt-5.4")
    keys = set()
    for row in range(300):
        keys.add(world.plan(TURN, shared=SharedHead(1, 0, True)).key)
        world.clock.now += 5.0 if row != 200 else 500.0
    assert len(keys) == 1


@pytest.mark.parametrize(("name", "model"), [("xai", "grok-4.3"), ("openai", "gpt-6-luna")])
def test_other_rows_have_one_key(name, model):
    world = World(name, model)
    keys = {getattr(world.plan(TURN, shared=SharedHead(1, 0, True)), "key", "") for _ in range(120)}
    assert len(keys) == 1
    chats = World("openai", "gpt-5.4")
    assert len({chats.plan(TURN).key for _ in range(120)}) == 1


@pytest.mark.parametrize("field", ["cache_control", "prompt_cache_key", "prompt_cache_options", "messages"])
def test_callers_who_control_the_cache_get_nothing_added(field):
    assert World(mode=True).plan(TURN, extra={field: {}}) is None
    assert plan_for_job(registry["openai"](), "gpt-6-luna", TURN, Options(extra={field: {}})) is None


def test_rows_of_jobs_are_not_marked_and_write_nothing():
    plan = plan_for_job(registry["openai"](), "gpt-6-luna", TURN, Options())
    assert plan == CachePlan(writes_nothing=True)
    assert plan_for_job(registry["openai"](), "gpt-6-luna", [FIRST], Options()) is None
    assert plan_for_job(registry["anthropic"](), "claude-sonnet-5-5", TURN, Options()) is None


def test_behind_another_address_only_known_models_are_marked():
    elsewhere = registry["anthropic"]("https://gateway.example")
    assert rules_of(elsewhere, "claude-sonnet-5-5", {"in": 2, "read": 0.1}).read == 0.05
    assert rules_of(elsewhere, "claude-sonnet-5-5", {}) is None
    assert rules_of(registry["anthropic"](), "claude-sonnet-9", {}).minimum == 1024
    assert rules_of(registry["anthropic"](), "house-model", {}) is None
    assert rules_of(registry["azure"](), "gpt-6-luna", {"in": 2}) is None


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-sonnet-5-5", 512),
        ("claude-opus-5", 512),
        ("claude-fable-5-1", 512),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-4-6", 1024),
        ("claude-opus-4-8", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-3-5-haiku-20241022", 2048),
        ("claude-3.5-haiku", 2048),
        ("claude-haiku-4-5", 4096),
        ("claude-opus-4-6", 4096),
    ],
)
def test_each_model_has_its_shortest_prompt(model, minimum):
    assert rules_of(registry["anthropic"](), model, {}).minimum == minimum
    assert rules_of(registry["openrouter"](), f"anthropic/{model}", {}).minimum == minimum


@pytest.mark.parametrize(
    ("model", "minimum"),
    [("gemini-2.5-flash", 2048), ("gemini-3.8-flash", 4096), ("gemini-pro-latest", 4096), ("gemini-4-argon", 6144)],
)
def test_the_shortest_prompts_of_gemini_are_known(model, minimum):
    assert rules_of(registry["gemini"](), model, {}).minimum == minimum


def test_a_prompt_is_measured_with_tools_calls_and_files():
    call = ToolCall("1", "look", {"city": "Oslo"})
    messages = [
        Message("user", [{"type": "text", "text": "word " * 40}, {"type": "file", "file": File("image", "image/png")}]),
        Message("user", [{"type": "file", "file": File("text", "text/plain", data=b"word " * 40)}, {"type": "odd"}]),
        ToolCallsMessage("assistant", "", [call]),
        ToolResultMessage("tool", "fair", call),
    ]
    tools = [Tool("look", "word " * 40, {})]
    prompt = measure(registry["openai"](), "m", messages, Options(tools=tools))
    assert prompt.head.tokens == pytest.approx(50, abs=20)
    assert [each.place for each in prompt.messages] == [0, 1, 2, 3]
    assert prompt.tokens == pytest.approx(50 + 1050 + 50 + 20, abs=30)
    assert measure(registry["openai"](), "m", [SYSTEM], Options()).tokens == 5000


def test_an_empty_conversation_has_only_a_head():
    world = World(mode=True)
    assert world.plan([SYSTEM]).marks == [HEAD]


def test_the_oldest_beginning_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(memories, "_MAX_SIGHTS", 2)
    memory = PromptMemory(Clock())
    for digest in (b"a", b"b", b"a", b"c"):
        memory.note_sent(digest, 1, 300)
    assert memory.find([b"a", b"b", b"c"]) == [Seen(1), Seen(), Seen(1)]


def test_another_process_begins_with_an_empty_memory():
    memory = PromptMemory()
    memory.note_sent(b"a", 1, 300)
    assert pickle.loads(pickle.dumps(memory)).find([b"a"]) == [Seen()]


def test_questions_about_one_document_mark_what_they_have_in_common():
    world = World()
    ask = [[Message("user", f"{LONG}\n\nQuestion {number}?")] for number in range(4)]
    assert world.plan(ask[0]).has_marks is False
    plan = world.plan(ask[1], written=4000)
    assert (plan.marks, plan.part) == ([], (0, 16_379))
    assert world.plan(ask[2], read=4000).part == plan.part
    # A longer common part was not written, so it could not be read.
    longer = Message("user", f"{LONG}{LONG}")
    assert world.plan([longer], read=4000).part == plan.part
    plan = world.plan([longer], read=4000)
    assert (plan.marks, plan.part) == ([0], (0, 16_379))


def test_safe_marks_no_document():
    world = World(mode="safe")
    assert not any(world.plan([Message("user", f"{LONG}{number}")]).has_marks for number in range(3))


def test_a_part_ends_with_a_word_if_there_is_one():
    def parts(text):
        return [each.length for each in measure(registry["openai"](), "m", [Message("user", text)], Options()).parts]

    assert parts("x" * 9000) == [4096, 8192]
    assert parts("word " * 1800) == [4094, 8189]
    assert parts("word\n" * 820) == [4094]
    assert parts("word " * 819) == []
    assert parts("x" * 100_000)[14:] == [61_440, 65_536, 81_920, 98_304]
