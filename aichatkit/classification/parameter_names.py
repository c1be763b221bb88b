"""The names of request parameters, as each service spells them, and their positions in a text.

Services write a parameter as a field (`max_completion_tokens`, `presencePenalty`), as a path into the body
(`generation_config.top_k`, `body -> stop`), or in words ("thinking level").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["MAX_TOKENS", "canonical", "find_names", "is_foreign", "split_path"]

MAX_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict")

#: The package's name -> all names of the parameter, in lower case without underscores.
_ALIASES = {
    "cache_control": "cachecontrol",
    "frequency_penalty": "frequencypenalty",
    "logit_bias": "logitbias",
    "logprobs": "logprobs responselogprobs",
    "max_tokens": "maxtokens maxcompletiontokens maxoutputtokens maxnewtokens numpredict",
    "min_p": "minp",
    "parallel_tool_calls": "paralleltoolcalls disableparalleltooluse",
    "penalty": "penalty penalties",
    "presence_penalty": "presencepenalty",
    "reasoning_effort": "reasoningeffort effort thinkinglevel outputconfig",
    "repetition_penalty": "repetitionpenalty repeatpenalty",
    "response_format": (
        "responseformat textformat outputformat format jsonschema responseschema responsejsonschema responsemimetype"
    ),
    "seed": "seed randomseed",
    "stop": "stop stopsequences stopsequence stopwords",
    "stream_options": "streamoptions includeusage",
    "temperature": "temperature",
    "thinking": (
        "thinking think reasoning thinkingconfig thinkingbudget budgettokens enablethinking includethoughts"
        " reasoningformat thinkingtokens"
    ),
    "tool_choice": "toolchoice toolconfig functioncallingconfig",
    "tools": "tools functions functiondeclarations",
    "top_k": "topk k",
    "top_logprobs": "toplogprobs",
    "top_p": "topp p",
    "user": "user userid safetyidentifier",
    "verbosity": "verbosity",
}
_CANONICAL = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}

#: First parts of a path that only wrap the parameters; the field comes after them.
_SHELL_NAMES = (
    "body request generationconfig inferenceconfig parameters parameter params options extrabody outputconfig"
    " generatecontentrequest chatcompletionrequest root"
)
#: Parts that contain the conversation, tools or a schema: a field inside them is not a request parameter.
_FOREIGN_NAMES = (
    "messages message input contents content history system systeminstruction tools functions functiondeclarations"
    " properties schema defs items attachments documents prompt header headers query"
)
_SHELLS, _FOREIGN = frozenset(_SHELL_NAMES.split()), frozenset(_FOREIGN_NAMES.split())

#: Parameters written in words: a pattern, and the parameter it refers to.
_PHRASES: tuple[tuple[str, str], ...] = (
    (r"parallel (?:tool|function)[ -](?:calls?|calling|use)", "parallel_tool_calls"),
    (r"tool[ -]choice", "tool_choice"),
    (r"(?:tool|function)[ -](?:use|calls?|calling)|tools|functions", "tools"),
    (r"presence penalty", "presence_penalty"),
    (r"frequency penalty", "frequency_penalty"),
    (r"repetition penalty", "repetition_penalty"),
    (r"penalty|penalties", "penalty"),
    (r"top[ -]log ?prob(?:abilitie)?s", "top_logprobs"),
    (r"log ?prob(?:abilitie)?s", "logprobs"),
    (r"(?:thinking|reasoning)[ -](?:level|effort)(?: (?:parameter|level|value))?", "reasoning_effort"),
    (r"(?:thinking|reasoning)[ -](?:budget|tokens)", "thinking"),
    (r"think value", "reasoning_effort"),
    (r"max(?:imum)? (?:(?:output|completion|new|number of) )*tokens", "max_tokens"),
    (r"stop[ -](?:sequences?|words?|tokens?)", "stop"),
    (r"response (?:format|mime type|schema)|structured outputs?|json[ _-](?:mode|schema|object)", "response_format"),
    (r"stream options", "stream_options"),
    (r"top[ -]p", "top_p"),
    (r"top[ -]k", "top_k"),
    (r"logit bias", "logit_bias"),
    (r"(?:does not|doesn't|not) support (?:thinking|reasoning)|(?:thinking|reasoning)(?= (?:is|are) not)", "thinking"),
)
_PHRASE = re.compile("|".join(rf"\b(?P<p{i}>{text})\b" for i, (text, _) in enumerate(_PHRASES)), re.IGNORECASE)
#: An identifier or a path of them.
_NAME = re.compile(r"(?:\*+\.)?[A-Za-z_$][A-Za-z0-9_$]*(?:(?:\.|\[\w*\]\.?| ?-> ?)[A-Za-z0-9_$]+)*(?:\[\w*\])?")
#: Names that are also ordinary words; they only count if the text marks them as names.
_WORDS = frozenset(
    {"user", "stop", "seed", "k", "p", "think", "thinking", "reasoning", "format", "effort", "functions"}
)
_SET_APART = re.compile(
    r"(?:^\W*|[`'\":\[(>=,]\s?|(?:param(?:eter)?s?|fields?|arguments?|args?|propert(?:y|ies)|keys?|names?|options?|and|or"
    r"|allow|accept|take|supported|support|recognized|unsupported|specify|inputs?)(?:\(s\))?\W{1,3}|[^\x00-\x7f]\W?)$",
    re.IGNORECASE,
)
_NOUN_AFTER = re.compile(
    r"\s+(?:messages?|roles?|contents?|inputs?|turns?|prompts?|images?|files?|only|mode|the)\b", re.I
)


def canonical(name: str) -> str | None:
    """Return the package's name of a parameter, by a service's name or path for it; None for anything else.

    >>> canonical("generationConfig.topK"), canonical("presencePenalty"), canonical("***.effort"), canonical("store")
    ('top_k', 'presence_penalty', 'reasoning_effort', None)
    """
    parts = split_path(name)
    return next((_CANONICAL[key] for key in ("".join(parts[-2:]), *parts[-1:]) if key in _CANONICAL), None)


def is_foreign(path: str) -> bool:
    """Return whether a path leads into the conversation, a tool or a schema.

    >>> is_foreign("messages.1.user.stop"), is_foreign("body -> stop"), is_foreign("tools")
    (True, False, False)
    """
    parts = split_path(path)
    return len(parts) > 1 and any(part in _FOREIGN for part in parts)


def split_path(path: str) -> list[str]:
    """Return the parts of a path in lower case, without underscores, indexes and mere wrappers."""
    parts = [re.sub(r"[^a-z]", "", part) for part in re.split(r"[.\[\]]+|\s*->\s*|/", path.lower())]
    parts = [part for part in parts if part]
    while len(parts) > 1 and parts[0] in _SHELLS:
        parts.pop(0)
    return parts


def find_names(clause: str) -> Iterator[tuple[int, str]]:
    """Yield the position and the package's name of each parameter that a clause mentions."""
    spans: list[tuple[int, int]] = []
    for match in _PHRASE.finditer(clause):
        spans.append(match.span())
        yield match.start(), _PHRASES[int(str(match.lastgroup)[1:])][1]
    for match in _NAME.finditer(clause):
        name = canonical(match.group())
        if name is None or any(start <= match.start() < end for start, end in spans):
            continue
        if match.group().lower() not in _WORDS or _is_set_apart(clause, match):
            yield match.start(), name


def foreign_paths(clause: str) -> Sequence[str]:
    """Return the paths in a clause that lead into the conversation, a tool or a schema."""
    return [match.group() for match in _NAME.finditer(clause) if is_foreign(match.group())]


def _is_set_apart(clause: str, match: re.Match[str]) -> bool:
    before, after = clause[: match.start()][-24:], clause[match.end() : match.end() + 16]
    is_noted = _SET_APART.search(before) is not None and _NOUN_AFTER.match(after) is None
    return is_noted or re.match(r"\s+(?:param|field|argument|property)", after, re.IGNORECASE) is not None
