"""Request -> the marks that pay: those of a prompt whose beginning was sent before, or is certain to be sent again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit._warnings import warn_user
from aichatkit.chunks import Usage
from aichatkit.prompt_caching.memory import MAX_MISSES, Outcome, PromptMemory
from aichatkit.prompt_caching.misses import Trace, explain, trace_of
from aichatkit.prompt_caching.plan import HEAD, CachePlan, RowHead, SharedHead
from aichatkit.prompt_caching.prompts import Beginning, MeasuredPrompt, measure
from aichatkit.prompt_caching.services import CacheRules, rules_of
from aichatkit.providers.base import Options, Provider
from aichatkit.reply import Reply

if TYPE_CHECKING:
    from aichatkit.call.answer import Answer
    from aichatkit.messages import Message

__all__ = ["CacheDecision", "decide", "plan_for_job"]

#: Fields of `extra` with which callers control the cache themselves; then nothing is added.
_OWN_FIELDS = frozenset(
    ("cache_control", "prompt_cache_options", "prompt_cache_key", "prompt_cache_retention", "messages", "input")
)
#: By how much an estimated length must exceed the shortest prompt that is cached.
_MARGIN = 1.1
#: A prompt this many times shorter than that, by the estimate, is certainly not cached.
_CERTAINLY_SHORT = 4
#: For how many more repetitions marks wait at most, however many writes were not read before.
_MAX_PATIENCE = 3


def decide(
    provider: Provider,
    model: str,
    messages: Sequence[Message],
    options: Options,
    *,
    mode: Any,
    memory: PromptMemory,
    shared: SharedHead | None = None,
) -> CacheDecision | None:
    """Return how a request uses the prompt cache, None if there is nothing to say about it."""
    rules = None if _OWN_FIELDS & options.extra.keys() else rules_of(provider, model, options.record)
    if rules is None:
        return CacheDecision(CachePlan(is_off=True)) if mode is False else None
    prompt = measure(provider, model, messages, options, shared)
    if prompt.tokens * _CERTAINLY_SHORT < rules.minimum:
        return None
    decision = _decide(provider, model, prompt, rules, mode=mode, memory=memory, shared=shared)
    trace = trace_of(model, messages, options, prompt, memory.now())
    decision.history = History(trace, memory.trace(provider.url, trace), rules, rules.lifetime_of(mode))
    return decision


def _decide(
    provider: Provider,
    model: str,
    prompt: MeasuredPrompt,
    rules: CacheRules,
    *,
    mode: Any,
    memory: PromptMemory,
    shared: SharedHead | None,
) -> CacheDecision:
    if mode is False:
        return CacheDecision(CachePlan(is_off=True, writes_nothing=rules.style == "breakpoints"))
    if rules.style == "key":
        shares = shared is not None and provider.cache_style == "openai"
        return CacheDecision(CachePlan(key=memory.share_of(prompt.key) if shares else prompt.key))
    if rules.style == "none":
        return CacheDecision(None)
    return MarkDecision(f"{provider.name}: {model}", rules, mode, prompt, memory, shared)


def plan_for_job(
    provider: Provider, model: str, messages: Sequence[Message], options: Options, head: RowHead | None = None
) -> CachePlan | None:
    """Return how a row of a batch job uses the cache: not at all, unless a job before it writes `head` for it."""
    rules = None if _OWN_FIELDS & options.extra.keys() else rules_of(provider, model, options.record)
    if rules is not None and rules.style == "blocks" and head is not None:
        shared = head.place_in(messages)
        part = (shared.place, shared.length) if shared.length else None
        return CachePlan(() if part else (HEAD,), part, is_long=True)
    if rules is None or rules.style != "breakpoints":
        return None
    is_short = measure(provider, model, messages, options).tokens * _CERTAINLY_SHORT < rules.minimum
    return None if is_short else CachePlan(writes_nothing=True)


class History(NamedTuple):
    """A request, those before it, and how long its service keeps prompts."""

    trace: Trace
    earlier: Sequence[Trace]
    rules: CacheRules
    lifetime: float


class CacheDecision:
    """The plan for a request that needs no marks; None if nothing is sent for the cache."""

    history: History | None = None

    def __init__(self, plan: CachePlan | None) -> None:
        self.plan = plan

    def follow(self, answer: Answer) -> None:
        """Learn from the answer."""
        answer.explain_miss = self.explain

    def explain(self, usage: Usage) -> str:
        """Return why what was sent before was not read from the cache; "" if it was, or if there is nothing to say."""
        history = self.history
        if history is None or not history.earlier:
            return ""
        trace, earlier, rules, lifetime = history
        if rules.omits_zero and usage.input_tokens is not None:
            usage = replace(usage, cached_tokens=usage.cached_tokens or 0)
        return explain(trace, earlier, usage, rules=rules, lifetime=lifetime, why=self._unmarked(usage))

    def _unmarked(self, usage: Usage) -> str:
        """Return why the prompt could not be read; "" if it was marked, or needs no mark."""
        return "prompt_cache=False" if self.plan is not None and self.plan.is_off else ""


class MarkDecision(CacheDecision):
    """The marks of one request, and what is expected of them."""

    def __init__(
        self,
        subject: str,
        rules: CacheRules,
        mode: Any,
        prompt: MeasuredPrompt,
        memory: PromptMemory,
        shared: SharedHead | None,
    ) -> None:
        self._subject = subject
        self._rules = rules
        self._mode = mode
        self._prompt = prompt
        self._memory = memory
        self._group = memory.group(prompt.head.digest)
        self._beginnings = [each for each in (prompt.head, prompt.shared, *prompt.messages, *prompt.parts) if each]
        self._seen = dict(zip(self._beginnings, memory.find([each.digest for each in self._beginnings])))
        shortest = rules.minimum * _MARGIN
        is_certain = shared is not None and shared.is_certain
        chosen = dict.fromkeys(self._choose(is_certain=is_certain))
        marked = [beginning for beginning in chosen if beginning.tokens >= shortest]
        unwritten = [beginning.digest for beginning in marked if not self._seen[beginning].is_cached]
        if not (is_certain or self._is_always or memory.claim(unwritten)):
            # Another thread is about to write one of them, and one surcharge is enough.
            marked = [beginning for beginning in marked if self._seen[beginning].is_cached]
        self._marked = marked
        super().__init__(self._make_plan())

    def follow(self, answer: Answer) -> None:
        """Note that the prompt was sent, and learn from what the answer read and wrote."""
        super().follow(answer)
        lifetime = self._rules.lifetime_of(self._mode)
        prompt = self._prompt
        for beginning in dict.fromkeys((prompt.head, prompt.shared, *prompt.messages[-1:], *prompt.parts)):
            if beginning is not None:
                self._memory.note_sent(beginning.digest, self._seen[beginning].streak + 1, lifetime)
        if self._marked:
            # What is written can be read from now on.
            self._memory.note_cached([each.digest for each in self._marked], lifetime)
            answer.when_complete(self._learn)

    def _unmarked(self, usage: Usage) -> str:
        if any(self._seen[each].is_cached for each in self._marked):
            return ""
        if usage.cache_write_tokens:
            return "it was not in the cache yet; this request wrote it"
        stopped = "is no longer marked for the cache, as it was not found there" if self._group.is_stopped else ""
        return f"a prompt with this beginning {stopped or 'was not marked for the cache yet'}"

    @property
    def _is_always(self) -> bool:
        return self._mode is True or self._mode == "1h"

    @property
    def _has_tail(self) -> bool:
        return bool(self._prompt.messages) and self._prompt.messages[-1] in self._marked

    def _make_plan(self) -> CachePlan:
        part = next((each for each in self._marked if each.length), None)
        return CachePlan(
            marks=[each.place for each in self._marked if not each.length],
            part=None if part is None else (part.place, part.length),
            is_long=self._mode == "1h",
            writes_nothing=self._rules.style == "breakpoints" and not self._has_tail,
            key=self._prompt.key,
        )

    def _choose(self, *, is_certain: bool) -> Iterator[Beginning]:
        """Yield the beginnings to mark, those too short for it included."""
        prompt, tails = self._prompt, self._prompt.messages
        always = self._is_always
        if self._group.is_stopped and not always:
            return
        head = prompt.head if prompt.shared is None else prompt.shared
        if is_certain or always or self._is_worth(head, self._group.unread_heads):
            yield head
        # The last turn that was sent before: after it, this prompt goes on.
        previous = next((each for each in reversed(tails) if self._seen[each].streak), None)
        if previous is not None and (always or self._is_worth(previous, self._group.unread_tails, until=tails[-1])):
            yield from (head, previous, tails[-1])
        elif always and tails and not is_certain:
            yield tails[-1]
        if not always and (previous is None or previous is tails[-1]):
            # A part that is in the cache can be read only if the prompt is marked there again.
            parts = [each for each in prompt.parts if self._seen[each].is_cached] or prompt.parts
            yield from [each for each in parts if self._is_worth(each, self._group.unread_heads)][-1:]

    def _is_worth(self, beginning: Beginning, unread: int, *, until: Beginning | None = None) -> bool:
        """Return whether a beginning that was sent before is likely to be sent again."""
        seen = self._seen[beginning]
        if self._mode == "safe":
            unread_tokens = (until or beginning).tokens - (beginning.tokens if seen.is_cached else 0)
            return bool(seen.streak) and self._group.balance >= (self._rules.write - 1.0) * unread_tokens
        return seen.is_cached or seen.streak > min(unread, _MAX_PATIENCE)

    def _learn(self, reply: Reply) -> None:
        read, written = reply.usage.cached_tokens or 0, reply.usage.cache_write_tokens or 0
        was_expected = any(self._seen[each].is_cached for each in self._marked)
        if not read and reply.usage.cache_write_tokens == 0:
            # The service did not cache it, as it does if a prompt is too short, and charged nothing for the mark.
            self._memory.note_cached([each.digest for each in self._marked], 0.0)
            return
        write = self._rules.long_write if self._mode == "1h" else self._rules.write
        gain = (1.0 - self._rules.read) * read - (write - 1.0) * written
        if self._memory.settle(self._group, Outcome(read, gain, was_expected, self._has_tail)):
            warn_user(
                f"{self._subject}: {MAX_MISSES} prompts in succession were not found in the prompt cache, so prompts "
                "with this beginning are no longer marked for it; reply.cache_miss says why"
            )
