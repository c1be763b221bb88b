"""How services word the refusal of a parameter: the phrases, and the numbers and values in them."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = [
    "EFFORT_ALONE",
    "FORCED_TOOL",
    "MUST_THINK",
    "NOT_BOTH",
    "NO_ADAPTIVE",
    "NO_PARAMETER",
    "NO_TOOL_PARSER",
    "OUT_OF_RANGE",
    "OWN_EFFORT",
    "PAIRS",
    "REFUSAL_CODES",
    "REFUSES",
    "SCHEMA_WITH_TOOLS",
    "THINKING_NEEDS_STREAM",
    "TOOLS_WITH_EFFORT",
    "TOO_MANY",
    "VALUE_CODES",
    "bounds",
    "clauses",
    "efforts",
    "formats",
    "moved",
    "refused_effort",
    "replacement",
    "straighten",
    "subject",
]


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_NOT = r"(?:not|n't)"
#: A parameter is not accepted.
REFUSES = _any(
    r"\b(?:unsupported|unknown|unrecogni[sz]ed|unexpected|extraneous|incompatible|deprecated|unavailable|forbidden)\b",
    rf"{_NOT} (?:\w+ ){{0,2}}(?:support\w*|permit\w*|allow\w*|enabled|available|accept\w*|recogni[sz]\w*|applicable"
    r"|implemented|compatible|configurable|adjustable|take|handle|valid for this)\b",
    rf"(?:can|could|may|must|should)(?: ?{_NOT}) be (?:\w+ )?(?:set|used|specified|provided|passed|sent|modified"
    r"|changed|overridden|present|combined|enabled|given|included)\b",
    r"\bextra (?:inputs?|fields?|keys?)\b|cannot find field",
    r"not a (?:valid|known|supported) (?:field|param|arg|prop|key|opt)",
    r"additional properties are not|was unexpected|no longer (?:supported|accepted|available)|\bun(?:set|settable)\b",
    r"only (?:the )?default|\bfixed (?:at|to)\b|only [\w.]+ (?:is|are) (?:allowed|supported|accepted|permitted|valid)",
    r"(?:may|can|must) only be|(?:is|are) only (?:\w+ )?(?:allowed|supported|available|valid|accepted|permitted)",
    r"must be (?:set to )?(?:unset|omitted|removed|absent|null|undefined|left out"
    r"|(?:equal to )?(?:0\.\d+|[01](?:\.0)?)(?![\w.]))",
    r"only supports? \w+ ?[=:] ?\d|restricted to|no endpoints found that|\bdoes not work\b|\bhas no effect\b"
    r"|did not expect|\bremove\b",
    r"不支持|不被支持|不支援|未知|无法识别|不允许|不可用|サポートされていません|使用できません|무효|지원하지",
    r"no (?:es compatible|soportad\w|admite)|non supporté|n'est pas (?:pris en charge|supporté)|nicht unterstützt",
)
REFUSAL_CODES = _any(
    r"unsupported_(?:param\w*|value|field|argument)|unknown_(?:param\w*|field|argument)|extra_forbidden"
    r"|value_error\.extra|unrecognized_\w+|param\w*_not_supported|unsupportedparam\w*"
)
VALUE_CODES = _any(
    r"(?:decimal|integer|string|number|array)_(?:above|below|too)\w*|\w+_(?:parsing|type)\b|invalid_type"
)
#: The parameter is accepted, but not this value: the caller's mistake.
OUT_OF_RANGE = _any(
    r">=|<=|[<>] ?-?\d|(?:less|greater|larger|smaller|lower|higher) than(?! or equal to 0\.95)|\bat (?:least|most) \d",
    r"\bbetween\b|\brange\b|\b(?:above|below) m(?:ax|in)|strictly|\bto be an? \w",
    r"valid (?:number|string|integer|boolean)",
    r"must be an? \w|must be positive|\btype\b.{0,30}\b(?:number|string|integer|boolean)|must be in\b|\[-?\d|取值|范围",
)
#: The error is about something else: length, key, schema, history, attachment or model.
NO_PARAMETER = _any(
    r"context (?:length|window|size)|maximum context|(?:prompt|input|messages?) (?:is|are|was) too long|total length of"
    r"|too many (?:prompt |input )(?:tokens|messages)|\+ ?[`'\"]?max_|reduce the length|token limit: ?\d|higher max_"
    r"|input tokens? (?:count|exceed)|api[ _-]?key|authenticat|invalid schema|invalid_json_schema|\bin context=\("
    r"|schema (?:for|of) (?:function|tool|response_format)|prefill|end with a user|output limit was reached"
    r"|max_tokens\W.{0,30}max_completion_tokens.{0,30}(?:same time|together|both)|used with .?max_\w+tokens"
    r"|requires? (?:a )?streaming|must have stream"
    r"|model .{0,60}(?:does not exist|not found|is not available|decommission)|unknown model|\bquota\b|rate limit"
)
#: Two parameters are mutually exclusive.
NOT_BOTH = _any(
    r"(?:cannot|can't|can not|may not|must not|should not) (?:both |be both "
    r"|be (?:specified|used|set|provided|combined|given|sent|passed)"
    r" (?:\w+ )?(?:together|both|at the same time|simultaneously|at once)"
    r"|(?:specify|use|set|combine|provide|pass|send) both)",
    r"at the same time is not|choose (?:only )?one|\bnot both\b|mutually exclusive|only one of",
    r"use only one|(?:specify|set|use|send) either|one or the other",
    r"(?:both|together).{0,60}(?:not (?:supported|allowed|permitted)|unsupported)|不能同时",
)
#: Two parameters that exclude each other, and the one to leave out.
PAIRS = (
    (frozenset({"temperature", "top_p"}), "top_p"),
    (frozenset({"frequency_penalty", "presence_penalty"}), "presence_penalty"),
    (frozenset({"reasoning_effort", "thinking"}), "thinking"),
    (frozenset({"tools", "response_format"}), "response_format"),
)
TOOLS_WITH_EFFORT = _any(
    r"tools?\b.{0,40}\breasoning[_. ]?effort\b.{0,60}\bnot supported",
    r"reasoning[_. ]?effort\b.{0,60}\bnot supported.{0,20}\bwith (?:function )?tool",
    r"\bset [`'\"]?reasoning[_.]?effort[`'\"]? to [`'\"]?none",
)
FORCED_TOOL = _any(
    r"(?:thinking|reasoning).{0,60}(?:forces? tool|tool_?choice|tool choice|forced tool)",
    r"(?:tool_?choice|tool choice|forced tool|forcing tool).{0,120}(?:thinking|reasoning)",
    r"tool[_ ]?choice.{0,60}(?:must be|expected|only).{0,20}\bauto\b",
)
SCHEMA_WITH_TOOLS = _any(
    r"(?:function calling|tools?|tool use).{0,40}(?:response[ _](?:mime[ _]type|format|schema)|json mode).{0,60}"
    r"(?:unsupported|not supported|cannot|not allowed)",
    r"(?:json mode|response[ _]format|structured outputs?).{0,40}"
    r"(?:cannot|can't|can not|not) (?:be )?(?:combined|used|supported).{0,20}\b(?:tools?|function)",
)
THINKING_NEEDS_STREAM = _any(
    r"enable_thinking.{0,60}(?:false|stream)|thinking.{0,30}only.{0,20}stream|(?:non-?stream\w*).{0,40}enable_thinking"
)
MUST_THINK = _any(
    r"(?:reasoning|thinking).{0,40}"
    r"(?:is mandatory|(?:cannot|can't|can not) be (?:disabled|turned off|switched off)|is required|must be enabled)",
    r"only works in thinking mode|restricted to true|(?:cannot|can't) disable (?:thinking|reasoning)",
    r"budget 0 is invalid|non-?thinking|thinking.?type\b.{0,40}\bdisabled\b|thinking_?budget to 0",
)
OWN_EFFORT = _any(
    r"thinking\.type\b.{0,20}should be [`'\"]adaptive|thinking\.type\b.{0,12}enabled.{0,40}not supported"
    r"|\buse [`'\"]?(?:thinking\.type[.= ]*)?adaptive"
)
NO_ADAPTIVE = _any(r"adaptive(?: thinking)?[`'\"]? (?:is )?(?:not|un)[ ]?supported|not support adaptive thinking")
#: The server was started without the options that tool calling needs.
NO_TOOL_PARSER = _any(r"requires? (?:the )?[`'\"]?--(?:enable-auto-tool|jinja|tool-call)")
TOO_MANY = _any(
    r"too (?:long|many)|(?:maximum|max) (?:length|number|items|of \d)|maximum number of items",
    r"(?:up to|at most|no more than|more than|exceed\w*) (?:\w+ ){0,3}\d|limit of|最多",
)
#: An effort is refused without naming its parameter, but the value exists for no other parameter.
EFFORT_ALONE = _any(
    r"[`'\"](?:none|minimal|xhigh)[`'\"].{0,80}(?:unsupported|not supported|not valid|invalid)",
    r"(?:unsupported|invalid|unexpected|unknown) (?:value|variant|level)\W{1,4}(?:none|minimal|xhigh)\b",
    r"\blevel [`'\"]?(?:none|minimal|low|medium|high|xhigh|max)[`'\"]? (?:is )?not supported",
)

_NUMBER = r"[`'\"]?(\d[\d,]*)"
_RANGES = (
    # The third group says whether the upper end is excluded.
    re.compile(r"[\[(] ?(\d[\d,]*) ?, ?(\d[\d,]*) ?([\])])"),
    re.compile(r"from (\d[\d,]*) \(inclusive\) to (\d[\d,]*) \((inclusive|exclusive)\)", re.IGNORECASE),
    re.compile(r"between (\d[\d,]*)()? and (\d[\d,]*)", re.IGNORECASE),
    re.compile(r"\b(\d[\d,]*)()? ?(?:~|-|to|\.\.+) ?(\d[\d,]*)\b"),
)
_AT_MOST = (
    _any(rf"\d ?> ?{_NUMBER}"),
    _any(
        r"(?:exceeds?|above|over|larger than|greater than|beyond) the (?:\w+ ){0,4}"
        rf"(?:limit|maximum)(?: \w+){{0,3}}? {_NUMBER}"
    ),
    _any(
        r"(?:<=|≤|(?:less|lower|smaller) than or equal to|at most|up to|no (?:more|greater|larger|higher) than)"
        rf" ?{_NUMBER}"
    ),
    _any(rf"(?:not|n't) exceed {_NUMBER}|cannot be (?:more|greater|larger|higher) than {_NUMBER}"),
    _any(rf"(?:maximum|max)(?: \w+){{0,5}}?(?: is| of|:| =|\uff1a)? ?\(?{_NUMBER}"),
    _any(rf"limit(?:ed)?(?: of| is| to|:) {_NUMBER}|(?:最大|最多|不能超过|不超过|上限)\D{{0,6}}{_NUMBER}"),
)
_BELOW = _any(rf"(?:(?:less|lower|smaller|fewer) than|<) ?{_NUMBER}")
_AT_LEAST = _any(
    r"(?:>=|≥|greater than or equal to|at least|no less than|not less than"
    rf"|minimum(?: \w+){{0,4}}?(?: is| of|:)?) ?{_NUMBER}"
)


def straighten(text: str) -> str:
    """Return a text with straight quotes, and without URLs and line breaks."""
    text = re.sub(r"[\u2018\u2019\u00b4]", "'", re.sub(r"[\u201c\u201d\u300c\u300d]", '"', text))
    text = re.sub(r"https?://\S+", "", text)
    # An indented line continues the previous one, as in pydantic's messages.
    return re.sub(r"\s*\n\s+", " : ", text).replace("\n", ". ")


def clauses(text: str) -> Iterator[str]:
    """Yield the sentences of a text."""
    yield from filter(str.strip, re.split(r"(?<=[.;!?])\s+|[。\uff1b\uff01]", text))


_ASIDES = _any(
    r"\bdid you (?:mean|want).*",
    r"(?:,|\(| -|;|:)? ?\b(?:expected|expecting|supported|valid|allowed|accepted|available|permitted|known)"
    r" (?:\w+ ){0,2}(?:parameters|fields|keys|arguments|properties|options|values|one of|are|is)\b.*",
    r"\bexpected one of.*",
    r"[,;]? ?\b(?:when|if|unless|once)\b(?! the parameter).*?"
    r"\b(?:is|are|set|using|specified|enabled|present|used)\b[^,;]*",
    r"\bwith (?!(?:this|the|that|your|model|a value)\b)[^,:;]*",
    r"(?<!tool )(?<!function )\b(?:please |instead |try |to )?"
    r"(?:use|using|switch to|try|replaced (?:by|with)|renamed to|moved to|in favou?r of|instead of) .*",
    r"\bto (?:drop|learn|disable|enable|control|get|avoid|fix|see|ignore) .*|\b(?:learn more|see |refer to|consult).*",
    r"\bexample.*|\bdefaults? to .*",
)


def subject(clause: str) -> str:
    """Return a sentence without its conditions and suggestions; "" if it only makes a suggestion.

    >>> subject("property 'store' is unsupported, did you mean 'stop'?")
    "property 'store' is unsupported, "
    """
    if re.match(r"\s*(?:please )?(?:use|try|set|consider|remove the|see|consult|refer)\b", clause, re.IGNORECASE):
        return ""
    return _ASIDES.sub("", clause)


def bounds(text: str) -> tuple[int | None, int | None]:
    """Return the lowest and the highest number that a text allows.

    >>> bounds("the valid range of max_tokens is [1, 8192]"), bounds("max_tokens: 9000 > 8192, which is the maximum")
    ((1, 8192), (None, 8192))
    """
    for pattern in _RANGES:
        match = pattern.search(text)
        if match:
            first, second, third = match.groups()
            low, high, end = (first, third, "") if not second else (first, second, third)
            return _int(low), _int(high) - (end in (")", "exclusive"))
    highest = next(filter(None, (pattern.search(text) for pattern in _AT_MOST)), None)
    lowest = _AT_LEAST.search(text)
    below = None if highest else _BELOW.search(text)
    high = _int(next(filter(None, highest.groups()))) if highest else _int(below.group(1)) - 1 if below else None
    return (_int(lowest.group(1)) if lowest else None), high


def _int(number: str) -> int:
    return int(number.replace(",", "")[:15])


_EFFORTS = r"none|minimal|low|medium|high|xhigh|max|default"
_LIST_START = _any(
    r"(?<!not )(?<!be )\b(?:supported|valid|allowed|available|accepted|permitted|possible|acceptable)(?: \w+){0,3}?"
    r"(?: are| is|:| \[| include)",
    r"(?:must|should|can|has to) be(?: set to)?(?: one of| either)?|\bexpected(?: one of)?|\b(?:choices|options"
    r"|levels|values)(?: are)?:|one of|choose (?:from|between)",
    r"only (?:supports?|accepts?|takes?|allows?)|supports only|supports? (?=[`'\"\w]+,)|expects|取值|可选",
)
_EFFORT_WORD = re.compile(rf"(?<![\w-])({_EFFORTS})(?![\w-])", re.IGNORECASE)
_FORMAT_WORD = re.compile(r"(?<!\w)(json_object|json_schema|text)(?!\w)")


def _listed(text: str, word: re.Pattern[str]) -> tuple[str, ...]:
    for start in _LIST_START.finditer(text):
        tail = re.split(r"(?<=[.;])\s|\b(?:but|received|got|instead)\b", text[start.end() :])[0]
        words = tuple(dict.fromkeys(word.findall(tail)))
        if words:
            return words
    return ()


def efforts(text: str) -> tuple[str, ...]:
    """Return the efforts that a text lists as supported.

    >>> efforts("Unsupported value: 'minimal'. Supported values are: 'low', 'medium', and 'high'.")
    ('low', 'medium', 'high')
    """
    return _listed(text, _EFFORT_WORD)


def formats(text: str) -> tuple[str, ...]:
    """Return the types of `response_format` that a text lists as supported."""
    return _listed(text, _FORMAT_WORD)


def moved(text: str) -> str | None:
    """Return the field that a parameter has moved to, according to a text.

    >>> moved("In the Responses API, this parameter has moved to 'text.format'. Try again with the new parameter.")
    'text.format'
    """
    match = re.search(r"\bmoved to [`'\"]?([a-z_][\w.]*\w)", text)
    return match.group(1) if match else None


def refused_effort(clause: str) -> str | None:
    """Return the effort that a sentence calls unsupported.

    >>> refused_effort("Thinking level MINIMAL is not supported for this model."), refused_effort("effort is unknown")
    ('minimal', None)
    """
    match = _EFFORT_WORD.search(re.sub(r"\bmax_\w+|\bdefault\b", "", clause))
    return match.group(1).lower() if match else None


_REPLACEMENT = _any(
    r"\b(?:use|try|specify|replaced (?:by|with)|renamed to|moved to|in favou?r of|replace \w+ with|switch to"
    r"|did you mean|改用)(?: |(?<=用)|\b)(?:the )?(?:new )?(?:parameter |field )?[`'\"]?([a-z_][\w.]*)"
)


def replacement(text: str) -> str | None:
    """Return the name that a text suggests instead of the refused one.

    >>> replacement("'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
    'max_completion_tokens'
    """
    match = _REPLACEMENT.search(text)
    return match.group(1).rstrip(".") if match else None
