"""Error responses -> error types: the tables that `decide` walks; the first matching row wins.

Structured codes come before wording, and wording before the bare status. Codes and messages are matched in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Container
from itertools import product

from aichatkit._dataclasses import NamedTuple
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    ChatError,
    ContentFilteredError,
    ContextTooLongError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)

__all__ = [
    "BY_STATUS",
    "CHALLENGE",
    "DESCRIPTIONS",
    "EXPLANATION",
    "FAULT_CODES",
    "NOTICE_CONTINUATION",
    "NOTICE_STARTS",
    "ROWS",
    "WRONG_ADDRESS",
    "Row",
]


class Row(NamedTuple):
    """One row of the table: the error type for a response with one of `statuses` that matches `pattern`.

    `match_on` says what the pattern is matched against:

    * "flag": a property of the response found beforehand, such as "page" (full match)
    * "code": any code in the body (full match)
    * "message": anywhere in the body's message
    * "claim": as "message", but ignored if a code or parameter names another fault: the message may echo the prompt
    * "status": nothing; the status alone decides

    Patterns are only compiled when the first error occurs, so that importing the table stays cheap.
    """

    statuses: Container[int]
    match_on: str
    pattern: str
    error: type[ChatError]
    action: str | None = None


# The status of an error inside a 200 that names none.
_IN_BAND = 0
_ANY = range(600)
_CLIENT_ERRORS = frozenset({_IN_BAND, *range(400, 500)})
_SERVER_ERRORS = range(500, 600)
_LIMITED = frozenset({_IN_BAND, 429})
_INVALID = frozenset({_IN_BAND, 400, 422})
_NOT_FOUND = frozenset({404, 410})

#: First words of the limit notices that free sites send instead of an answer.
NOTICE_STARTS: tuple[str, ...] = (
    *(
        " ".join(words)
        for words in product(
            ("you have", "you've", "sorry, you have", "sorry, you've"),
            ("reached", "hit", "exceeded"),
            ("your", "the"),
            tuple(
                f"{scope}limit"
                for scope in ("", "daily ", "hourly ", "monthly ", "free ", "usage ", "rate ", "request ", "token ")
            ),
        )
    ),
    *(
        f"{article}{scope} limit {ending}"
        for article, scope, ending in product(
            ("", "the ", "your "),
            ("request", "rate", "daily", "usage", "daily request", "free", "message"),
            ("for today has been reached", "has been reached", "reached", "exceeded", "has been exceeded"),
        )
    ),
    *("limit reached", "limit exceeded", "your limit has been reached", "the limit has been reached"),
    "429 too many requests",
    "error 429",
    "too many requests",
    "quota exceeded",
    "you exceeded your current quota",
    "请求过于频繁",
    "您的请求过于频繁",
    "今日请求次数已达上限",
)

_NOTICE = rf"^\W*(?:error:\s*)?(?:{'|'.join(map(re.escape, NOTICE_STARTS))})"

# Words that may precede the key phrase of a short message; no quotes, since a quoted sentence is an echo.
_LEAD_IN = (
    r"^[^\w'\"`]*(?:(?:error|sorry|oops|you(?:'ve)?|your|the|this|our|has|have|had|is|been|sent|made|account|api|key|daily"
    r"|current|request|user|429)\b[^\w'\"`]*){0,8}(?:您的|你的|您)?"
)
_QUOTA = (
    r"(?:quota (?:is |has been |limit )?(?:exceeded|exhausted|reached|used up)"
    r"|exceeded (?:your|the|its) (?:\w+ ){0,3}quota"
    r"|insufficient (?:account )?(?:quota|credits?|funds|balance)|not enough (?:credits?|balance)|out of credits?"
    r"|(?:credits?|balance) (?:is |are |has been |have been )?(?:exhausted|used up|depleted|too low|insufficient))"
)
_BALANCE = (
    r"credit balance is too low|used all available credits|monthly spending limit|monthly included credits"
    r"|can only afford|budget has been exceeded|insufficient balance|余额不足|账户欠费|配额不足"
)
_PERIOD = r"(?:daily|weekly|monthly) (?:\w+ ){0,3}(?:limit|quota|credits?|allowance)|(?:/ ?|per |a |this )month\b"
_RATE = (
    r"(?:rate[ -]?limit|too many requests|requests? (?:is |are )?too (?:fast|frequent|many)|sending requests too"
    r"|请求过于频繁|请求太频繁|操作过于频繁|访问过于频繁"
    r"|リクエストが多すぎ|demasiadas solicitudes|trop de requêtes|zu viele anfragen"
    r"|слишком много запросов)"
)
_CONTEXT = (
    r"maximum context|context (?:length|window|size)|prompt is too long|input is too long|input token count"
    r"|too many (?:\w+ )?tokens|range of input length|exceeded model token limit|reduce the length|max_new_tokens"
)
# Local servers use a 5xx for these. Naming the context is not enough here: loading a model may fail because of it.
_EXCEEDED_CONTEXT = (
    r"maximum context length|prompt is too long|input is too long|exceeded model token limit|range of input length"
    r"|exceed\w*\b.{0,60}\bcontext (?:length|window|size)|context (?:length|window|size)\b.{0,40}\bexceed"
    r"|(?:longer|larger|too (?:long|large|many \w+))\b.{0,60}\b(?:context (?:length|window|size)|maximum model length)"
    r"|input token count\b.{0,40}\bexceed|reduce the length"
)
#: How servers report an unknown path.
WRONG_ADDRESS = (
    r"unexpected endpoint|(?:invalid|unknown) (?:url|path|route|endpoint) ?\(|cannot (?:post|get) /"
    r"|no route (?:matches|for)|(?:path|route|endpoint) (?:is |was )?not found|unknown request url"
)
_MODEL = r"\bmodels?\b.{0,200}(?:not[ _](?:found|exist)|does not exist|decommissioned)|unknown model|invalid model"

#: Codes that blame a specific part of the request.
FAULT_CODES = re.compile(
    r"invalid_(?!(?:request(?:_error)?|argument|parameter\w*)$)\w+|unsupported_\w+|unknown_\w+|missing_\w+"
    r"|extra_forbidden|string_too_\w+|value_error"
)

_AUTH_CODES = (
    r"(?:invalid|incorrect|expired|missing)_(?:x_)?api_?key|api_key_(?:invalid|expired)|authentication(?:_error)?"
    r"|invalid_authentication(?:_error)?|unauthenticated|unauthorized"
)
_QUOTA_CODES = (
    r"insufficient_(?:user_)?(?:quota|balance|credits?|funds)|credit_balance_exhausted|not_enough_(?:balance|credits?)"
    r"|billing_(?:error|hard_limit_reached|not_active)|\w*(?:spend|spending|usage|budget)_limit_(?:reached|exceeded)"
    r"|exceeded_current_quota_error|quota_?exceeded|dailylimitexceeded|budget_exceeded|arrearage"
    r"|openrouter_(?:credits|key_limit)|err_conversation_limit|\S*perday\S*"
)
_RATE_CODES = (
    r"rate_?limit\w*|too_?many_?requests\w*|slow_down|ramp_limit_exceeded|resource_exhausted|throttl\w+"
    r"|limit_requests|limit_burst_rate"
)
_OVERLOAD_CODES = (
    r"\w*overloaded(?:_error)?|service_?unavailable(?:_error)?|unavailable|\w*capacity_(?:exceeded|exhausted)"
)
_CONTEXT_CODES = (
    r"\w*context_(?:length|window)_exceeded|exceed_context_size_error|request_too_large|string_above_max_length"
    r"|(?:prompt|input)_too_long|too_many_prompt_tokens"
)
_FILTER_CODES = (
    r"content_filter\w*|content_policy\w*|responsibleaipolicyviolation|moderation\w*|data_?inspection_?failed"
    r"|prohibited_content"
)
_MODEL_CODES = (
    r"model_?(?:not_?found|not_?available|not_?supported|decommissioned)\w*|deployment_?not_?found|unknown_model"
    r"|invalid_model\w*|no_such_model"
)

ROWS: tuple[Row, ...] = (
    Row(_ANY, "flag", "challenge", BlockedError),
    # A web page instead of an API.
    Row({403}, "flag", "page", BlockedError),
    Row(
        frozenset(range(400, 500)) - {401, 402, 403, 407, 408, 409, 413, 418, 424, 425, 429, 451, 498},
        "flag",
        "page",
        BadResponseError,
    ),
    # Authentication.
    Row({401}, "status", "", AuthenticationError),
    Row(_CLIENT_ERRORS, "code", _AUTH_CODES, AuthenticationError),
    Row({403}, "message", "reported as leaked", AuthenticationError),
    # LiteLLM's proxy without a database knows only its own key.
    Row({400}, "code", "no_db_connection", AuthenticationError),
    # Balance and quota, by code.
    Row(_ANY, "code", _QUOTA_CODES, QuotaExceededError),
    Row({402}, "code", "openrouter_in_flight_budget", RateLimitError),
    Row({402}, "flag", "retry-after header", RateLimitError),
    Row({402}, "status", "", QuotaExceededError),
    # Z.ai: 1302 and 1305 are temporary, 1113 and 1308 to 1321 mean balance or plan.
    Row(_LIMITED, "code", "1113|130[89]|131[0-9]|132[01]", QuotaExceededError),
    # Gemini: a free tier with no quota for this model still sends a delay, which must be ignored.
    Row(_LIMITED, "message", r"\blimit: 0\b|perday|free-models-per-day", QuotaExceededError),
    # A single request larger than the limit itself.
    Row(_LIMITED, "flag", "oversized", ContextTooLongError),
    Row({413}, "status", "", ContextTooLongError),
    # Other codes.
    Row(_ANY, "code", _CONTEXT_CODES, ContextTooLongError),
    Row(_ANY, "code", _FILTER_CODES, ContentFilteredError),
    Row({403}, "flag", "moderated", ContentFilteredError),
    Row(_CLIENT_ERRORS, "code", _MODEL_CODES, ModelNotFoundError),
    Row(_ANY, "code", "unsupported_country\\w*|err_bn_limit", BlockedError),
    Row(_ANY, "code", "err_challenge", BlockedError, "refresh"),
    Row({_IN_BAND, 429, 503}, "message", r"capacity exceeded|experiencing high demand", OverloadedError),
    Row(_ANY, "code", _OVERLOAD_CODES, OverloadedError),
    Row(_ANY, "code", _RATE_CODES, RateLimitError),
    Row(_LIMITED, "code", "1302|1305|1300", RateLimitError),
    # Quota wording. Together with a delay, the vaguer wording means a per-minute limit.
    Row({_IN_BAND, 400, 403, 429, *_SERVER_ERRORS}, "claim", _BALANCE, QuotaExceededError),
    Row(_LIMITED, "claim", _PERIOD, QuotaExceededError),
    Row({429}, "flag", "delay", RateLimitError),
    Row({_IN_BAND, 429, *_SERVER_ERRORS}, "claim", _QUOTA, QuotaExceededError),
    Row({400, 403, 422}, "claim", _LEAD_IN + _QUOTA, QuotaExceededError),
    Row({_IN_BAND, 400}, "claim", _LEAD_IN + _RATE, RateLimitError),
    Row({_IN_BAND}, "claim", _NOTICE, RateLimitError, "next"),
    # Other wording.
    Row(_INVALID, "message", r"maximum context length (?:is|of) [0-9]|prompt is too long: [0-9]", ContextTooLongError),
    Row({403}, "message", r"tokens?\b.*\b(?:context|max_(?:new_)?tokens)", ContextTooLongError),
    Row({*_INVALID, 403}, "claim", _CONTEXT, ContextTooLongError),
    Row(_SERVER_ERRORS, "claim", _EXCEEDED_CONTEXT, ContextTooLongError),
    # LM Studio reports it with a 200.
    Row({_IN_BAND}, "message", WRONG_ADDRESS, BadRequestError, "next"),
    Row(
        {*_INVALID, 403},
        "claim",
        r"our safety system|content management policy|content policy violation|violat\w+ (?:our |the )?content polic"
        r"|content exists risk|usage policies|inappropriate content",
        ContentFilteredError,
    ),
    Row(
        {400, 403},
        "claim",
        r"location is not supported|(?:country|region)\b.{0,60}not (?:supported|available)"
        r"|not (?:supported|available) in your (?:country|region)|unsupported (?:country|region)|unusual activity",
        BlockedError,
    ),
    Row({_IN_BAND, 400, 403}, "claim", r"captcha\b", BlockedError),
    Row({400}, "claim", _LEAD_IN + r"(?:incorrect|invalid|expired|missing) api[ -]?key", AuthenticationError),
    Row({400}, "code", "failed_precondition|permission_\\w+|organization_on_hold", PermissionDeniedError),
    Row(_INVALID, "claim", _MODEL, ModelNotFoundError),
    # OpenRouter: the model exists, but none of its hosts supports a feature of the request.
    Row({404}, "message", r"no endpoints found that (?:can )?(?:support|handle)", BadRequestError, "next"),
    Row(_NOT_FOUND, "code", r"not_?found(?:_error)?", ModelNotFoundError),
    Row(_NOT_FOUND, "message", r"model|deployment|not[ _]?found|not exist|no endpoints", ModelNotFoundError),
    # The type that an error inside a 200 names, if nothing more specific matched.
    Row({_IN_BAND}, "code", r"invalid_(?:request(?:_error)?|argument)|badrequesterror", BadRequestError),
    Row({_IN_BAND}, "code", r"permission_(?:error|denied)|forbidden", PermissionDeniedError),
    Row({_IN_BAND}, "code", r"not_?found(?:_error)?", ModelNotFoundError),
)

#: The error type for a bare status, and an action if it differs from the type's own.
BY_STATUS: dict[int, tuple[type[ChatError], str | None]] = {
    _IN_BAND: (ServerError, None),
    403: (PermissionDeniedError, None),
    # Not found here; another provider may have it.
    404: (BadRequestError, "next"),
    407: (BlockedError, None),
    408: (ServerError, None),
    409: (ServerError, None),
    410: (BadRequestError, "next"),
    418: (BlockedError, None),
    424: (ServerError, "next"),
    425: (ServerError, None),
    429: (RateLimitError, None),
    451: (BlockedError, None),
    498: (OverloadedError, None),
    503: (OverloadedError, None),
    529: (OverloadedError, None),
}

#: What happened, and what to do about it; `{model}` becomes a space and the model's name, if known.
DESCRIPTIONS: dict[type[ChatError], tuple[str, str]] = {
    RateLimitError: ("rate limit reached", "waiting helps"),
    QuotaExceededError: (
        "quota used up",
        "waiting does not help: check the plan and billing of the account, or ask another provider",
    ),
    OverloadedError: ("overloaded", "it has no capacity right now; try again later"),
    ServerError: ("the service failed on its side", "try again later"),
    AuthenticationError: ("the key was refused", "check the API key of this provider"),
    PermissionDeniedError: ("permission denied", "the key may not do this; check what the account is allowed to use"),
    BlockedError: ("blocked before the service", "it does not serve this address; ask another provider"),
    ContextTooLongError: ("too long for the model{model}", "shorten the messages or ask a model with a larger window"),
    ContentFilteredError: ("stopped by a content filter", "change the prompt"),
    ModelNotFoundError: ("model{model} not found", "check the model's name"),
    BadRequestError: ("bad request", "check the request: its address, model and parameters"),
    BadResponseError: ("the answer cannot be read", "check base_url"),
    ChatError: ("refused", "see the service's message"),
}

#: What may follow the start of a limit notice; followed by anything else, it is an ordinary answer.
NOTICE_CONTINUATION = re.compile(
    r"\W*(?:$|[请您稍]|(?:for|today|please|try|wait|upgrade|sign|log|come|you|we|until|too|quota|rate|and|by|on|with|retry)\b)"
)

#: Words of a text that explains limits rather than reporting one.
EXPLANATION = re.compile(
    r"\b(?:means?|meaning|is an?|is the|are an?|occurs?|happens?|appears?|indicates?|refers?|status code|when an?"
    r"|(?:this|the|an) error|usually|typically|for example|http(?!:))\b"
)

#: Text of a bot check; any page with a 403 counts as one anyway.
CHALLENGE = re.compile(
    r"<title[^>]*>\s*(?:just a moment|attention required|access denied \| |checking your browser|ddos-guard"
    r"|[^<]{0,60}(?:captcha\b|robot check|are you (?:a )?(?:human|robot)|(?:that )?you(?:'re| are) (?:a )?human"
    r"|human verification))"
    r"|cf-(?:spinner-)?please-wait|unusual activity has been detected"
)
