"""Model -> the reasoning efforts it takes, and what is sent for an effort that it does not take.

What the catalog does not know is assumed from the model's name, and else from the newest models of its service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aichatkit.catalog.layers import Record
from aichatkit.params import EFFORTS

__all__ = ["budget_for", "clamp", "fit_budget", "with_effort"]

#: Tokens that a thinking budget leaves for the answer, and the smallest budget that services accept.
_ANSWER_TOKENS, _MIN_BUDGET = 1024, 1024
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
#: Budgets of other services; a level that is missing has none, so the model's own maximum applies.
_SERVICE_BUDGETS: Mapping[str, Mapping[str, int]] = {
    "gemini": {**_BUDGETS, "low": 1024},
    "dashscope": {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576},
    "fireworks": {**_BUDGETS, "low": 1024},
}

_ALL = " ".join(EFFORTS)
_NO_EFFORT: Record = {"effort": ""}
_THREE: Record = {"effort": "low medium high"}
_FOUR: Record = {"effort": "none low medium high"}
_SWITCH: Record = {"thinking": "switch", "effort": "none high"}
_BUDGET: Record = {"thinking": "budget", "effort": "none minimal low medium high xhigh"}
_NEVER_OFF: Record = {"thinking": "always", "effort": "low medium high xhigh max", "hides_thoughts": True}

_THINKS_ON_OLLAMA = (
    r"qwen[34]|deepseek-(r|v3\.|v[4-9])|magistral|glm-|kimi-k(2\.|[3-9])|minimax-m|nemotron-3|gemma4|think"
)
#: Services that run other vendors' models.
_HOSTS = ("bedrock", "deepinfra", "fireworks", "huggingface", "nebius", "nvidia", "sambanova", "together", "vllm")
#: Model families -> fields of their records: the services, a pattern for the lower-case name, the fields.
_FAMILIES: tuple[tuple[str, str, Record], ...] = (
    (
        "openai",
        r"^(ft:)?(gpt-[34]|chatgpt|o1-(mini|preview)|gpt-(audio|image)|dall-e)|^gpt-5.*(chat|search)",
        _NO_EFFORT,
    ),
    ("openai", r"^(ft:)?o[134](-|$)", _THREE),
    ("openai", r"^(ft:)?gpt-5(-|:|$)", {"effort": "minimal low medium high"}),
    ("openai", r"^(ft:)?gpt-5\.1(-|:|$)", _FOUR),
    ("openai", r"^(ft:)?gpt-5\.", {"effort": "none low medium high xhigh"}),
    ("anthropic", r"claude-(instant|[12]|3-(5|opus|sonnet|haiku))", _NO_EFFORT),
    ("anthropic", r"claude-(3-7|(sonnet|opus)-4(-[01]|-2\d{7})?$)", _BUDGET),
    # Other vendors' servers that speak this protocol know thinking budgets only.
    ("anthropic", r"^(?!.*claude)", _BUDGET),
    ("gemini", r"gemini-(1|2\.0)|gemma-[23]|learnlm|imagen|lyria|-image|-tts", _NO_EFFORT),
    ("gemini", r"gemini-2\.5-pro", {**_BUDGET, "effort": "minimal low medium high xhigh", "budgets": {"minimal": 128}}),
    ("gemini", r"gemini-2\.5", {**_BUDGET, "effort": "none minimal low medium high"}),
    ("xai", r"^grok-(2|3(?!-mini)|4(-0709|-latest|[-.]?1?-fast.*)?$|4\.20(?!.*multi-agent)|code|build)", _NO_EFFORT),
    ("xai", r"^grok-3-mini", {"effort": "low high"}),
    ("deepseek", r"^deepseek-(chat|coder|reasoner|r1|v3)", _NO_EFFORT),
    (
        "mistral",
        r"magistral|stral-(tiny|nemo|large-(2|3|latest))|codestral|ministral|pixtral|voxtral|mixtral",
        _NO_EFFORT,
    ),
    ("groq", r"qwen", {**_SWITCH, "effort_map": dict.fromkeys(EFFORTS[1:], "default")}),
    ("groq", r"llama|compound|kimi|whisper|guard", _NO_EFFORT),
    ("moonshot", r"moonshot-v1|kimi-(latest|thinking)|kimi-k2(?!\.)", _NO_EFFORT),
    ("moonshot", r"kimi-k2\.[56]", _SWITCH),
    ("zai", r"glm-4(v|-|\.[0-4]|$)", _NO_EFFORT),
    ("dashscope", r"instruct|coder|qwen2|qwen-(max|image|vl|omni)|kimi", _NO_EFFORT),
    ("dashscope", r"thinking|qwq", {"effort": "low medium high xhigh max"}),
    ("cerebras meta", r"llama", _NO_EFFORT),
    ("cohere", r"^command-(a-0|a-vision|a-translate|r|light|nightly)|aya", _NO_EFFORT),
    ("fireworks", r"qwen3(p|\.)6", {"thinking": "budget", "effort": _ALL}),
    ("ollama ollama-v1", r"gpt-oss", _THREE),
    ("ollama ollama-v1", r"coder|instruct|embed", _NO_EFFORT),
    ("ollama", _THINKS_ON_OLLAMA, _SWITCH),
    ("ollama-v1", _THINKS_ON_OLLAMA, _FOUR),
    ("ollama ollama-v1", r"llama|llava|gemma[23]?($|:|-)|mi[sx]tral|phi|qwen[12]?($|:|\.|-)|command", _NO_EFFORT),
    (" ".join((*_HOSTS, "groq", "cerebras")), r"gpt-oss", _THREE),
    (" ".join(_HOSTS), r"kimi-k3", {"effort": "low high max"}),
    (" ".join(_HOSTS), r"llama|instruct|coder|mi[sx]tral|gemma-[23]|phi-|nova-|command-r|nemo-|qwen2", _NO_EFFORT),
)
#: Assumed for any other model of a service: what its newest ones take; a refusal reports the accepted efforts.
_NEWEST: Mapping[str, Record] = {
    "anthropic": _NEVER_OFF,
    "gemini": {"thinking": "level", "effort": "minimal low medium high xhigh"},
    "moonshot": {"thinking": "level", "effort": _ALL},
    "dashscope": {"effort": "none low medium high xhigh max"},
    "cohere": _BUDGET,
    "ollama": {"effort": "none low medium high max"},
    **dict.fromkeys(("minimax", "nvidia", "sambanova", "lmstudio", "llamacpp"), _NO_EFFORT),
}
#: Services whose records list what the models can do: what is missing there, the model cannot.
_LISTED = frozenset(
    ("anthropic", "cerebras", "cohere", "dashscope", "gemini", "groq", "meta", "mistral", "moonshot", "openai", "xai")
)


def with_effort(record: Record, service: str, model: str) -> Record:
    """Return the record with the efforts that the model takes: `effort` is empty if it takes none.

    >>> with_effort({}, "groq", "openai/gpt-oss-120b")
    {'effort': 'low medium high'}
    """
    if "effort" in record:
        return record
    name = model.lower()
    for services, pattern, fields in _FAMILIES:
        if service in services.split() and re.search(pattern, name):
            return {**record, **fields}
    if service in _LISTED and "caps" in record and "reasoning" not in record["caps"].split():
        return {**record, **_NO_EFFORT}
    return {**record, **_NEWEST.get(service, {"effort": _ALL})}


def clamp(effort: str, record: Record) -> str:
    """Return the effort that is sent: the same or the next lower one that the model takes, else its lowest.

    "none" switches reasoning off, so it is never chosen for another effort, except for "minimal" if the only other one
    is "high".

    >>> clamp("max", {"effort": "low medium high"}), clamp("none", {"effort": "low medium high"})
    ('high', 'low')
    """
    efforts = record["effort"].split()
    replaced = record.get("effort_map", {}).get(effort)
    if replaced is not None or effort in efforts:
        return str(replaced or effort)
    if effort == "minimal" and efforts == ["none", "high"] and record.get("thinking") != "switch":
        return "none"
    levels = [name for name in efforts if name != "none"] or efforts
    lower = [name for name in levels if EFFORTS.index(name) < EFFORTS.index(effort)]
    return str(lower[-1] if lower else levels[0])


def budget_for(effort: str, record: Record, service: str) -> int | None:
    """Return the thinking budget of an effort in tokens: 0 is off, None leaves it to the model.

    >>> budget_for("high", {}, "anthropic"), budget_for("minimal", {"budgets": {"minimal": 128}}, "gemini")
    (24576, 128)
    """
    if effort == "none":
        return 0
    budgets: Mapping[str, Any] = {**_SERVICE_BUDGETS.get(service, _BUDGETS), **record.get("budgets", {})}
    return budgets.get(effort)


def fit_budget(budget: int, max_tokens: int | None) -> int:
    """Return the budget, or the smaller one that leaves room for the answer, or 0 if that would be too small.

    >>> fit_budget(8192, 100_000), fit_budget(8192, 4096), fit_budget(8192, 1500)
    (8192, 3072, 0)
    """
    if max_tokens is None or budget <= max_tokens - _ANSWER_TOKENS:
        return budget
    return max_tokens - _ANSWER_TOKENS if max_tokens - _ANSWER_TOKENS >= _MIN_BUDGET else 0
