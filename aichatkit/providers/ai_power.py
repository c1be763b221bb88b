"""The AI Power plugin of WordPress from 2.3 on: a page's config -> one JSON answer, or two-step server-sent events.

With events, the prompt is posted first; the key received for it opens the stream, once and within 60 seconds.
The server keeps the turns of a conversation, so each call is a conversation of its own and sends a transcript.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests

from aichatkit import events
from aichatkit.chunks import Citation, Finish, dict_or_empty, dicts_in
from aichatkit.classification import classify
from aichatkit.classification.classify import Rule
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    ChatError,
    ContentFilteredError,
    PermissionDeniedError,
    QuotaExceededError,
    TokenNotFoundError,
)
from aichatkit.messages import Message, format_prompt
from aichatkit.providers.base import Provider

if TYPE_CHECKING:
    from aichatkit.transport.transport import Transport

__all__ = ["EVENTS", "FOREIGN", "UNKNOWN", "build_request", "find_config", "parse_event", "prepare"]

#: Types of events that only this plugin sends; a piece of text has none.
EVENTS = frozenset(
    {
        *("citations", "display_form_event", "done", "error", "google_interaction_id", "grounding_metadata"),
        *("message_start", "openai_response_id", "status", "warning"),
    }
)
_INLINE, _POPUP = "aipkit_chat_container", "aipkit_popup_wrapper"
#: What the plugin puts before the words of the model's own service.
_PREFIXES = ("API Error:", "Connection Error:")
_MAX_ANSWER = 1 << 20
#: WordPress' answer to an action that no plugin has registered.
UNKNOWN = (
    "the site does not know this request",
    "its plugin may have been updated since its page was cached; try again later, or ask another provider",
)
#: The codes of refusals that are not about the nonce.
FOREIGN = ("cors_denied", "embed_not_available")


def find_config(page: str, bot_id: str = "") -> dict[str, Any]:
    r"""Return the config of the first chat on a page, inline before popup, or of the bot of that number; empty if none.

    >>> find_config("<div class='aipkit_chat_container' data-config='{\"botId\": 7, \"nonce\": \"0a1b\"}'>")
    {'botId': 7, 'nonce': '0a1b'}
    """
    finder = _ConfigFinder()
    finder.feed(page.replace("<![", "<!"))
    finder.close()
    found = [*finder.configs[_INLINE], *finder.configs[_POPUP]]
    return next((config for config in found if not bot_id or str(config.get("botId")) == bot_id), {})


def prepare(
    provider: Provider,
    http: Transport,
    config: Mapping[str, Any],
    messages: Sequence[Message],
    headers: Mapping[str, str],
) -> dict[str, str]:
    """Return the tokens of a call; if the site streams, the prompt is posted for them."""
    tokens = {
        "ajax_url": urljoin(f"{provider.url}/", str(config.get("ajaxUrl") or provider.api_endpoint)),
        "nonce": str(config.get("nonce") or ""),
        "bot_id": str(config["botId"]),
        "post_id": str(config.get("postId") or 0),
        "session_id": str(uuid.uuid4()),
        "conversation_uuid": str(uuid.uuid4()),
    }
    # A page from a cache may be older than the site, which then knows nothing but streams.
    is_unknown = isinstance(http.refused, BadRequestError)
    streams = bool(config.get("streamEnabled", True)) or is_unknown
    if not tokens["nonce"] or not streams:
        # The page may come from a cache, with a nonce that has expired.
        tokens["nonce"] = _fresh_nonce(http, tokens, headers) or tokens["nonce"]
    if not tokens["nonce"]:
        raise TokenNotFoundError(f"{provider.name}: neither the page nor the site gave a nonce", provider=provider.name)
    if streams and messages:
        try:
            tokens["cache_key"] = _post_prompt(provider, http, tokens, messages, headers)
        except BadRequestError as error:
            # Releases whose config has this key answer without a stream as well.
            # Only the rule for an unknown action has this one.
            if error.action != "next" or is_unknown or "streamEnabled" not in config:
                raise
    elif messages:
        http.add_rule(Rule(400, "^0$", BadRequestError, "refresh", UNKNOWN))
    return tokens


def build_request(
    messages: Sequence[Message], tokens: Mapping[str, str], headers: Mapping[str, str]
) -> requests.Request:
    """Return the request for the answer."""
    fields = {name: tokens[name] for name in ("bot_id", "session_id", "conversation_uuid")}
    if tokens["post_id"] != "0":
        fields["post_id"] = tokens["post_id"]
    if "cache_key" not in tokens:
        data = {"action": "aipkit_frontend_chat_message", "_ajax_nonce": tokens["nonce"], **fields}
        data["message"] = format_prompt(messages)
        return requests.Request("POST", tokens["ajax_url"], data=data, headers=dict(headers))
    query = {"action": "aipkit_frontend_chat_stream", "cache_key": tokens["cache_key"], **fields}
    query.update(_ts=str(int(time.time() * 1000)), _ajax_nonce=tokens["nonce"])
    return requests.Request("GET", tokens["ajax_url"], params=query, headers={**headers, "Accept": "text/event-stream"})


def parse_event(provider: Provider, event: events.Event, record: Any) -> Any:
    """Return what an event of the stream, or the JSON answer, contains; raise for a failure."""
    fields = record if isinstance(record, Mapping) else {event.type: record}
    if event.type == "error" or fields.get("success") is False:
        raise _error(provider, fields)
    if event.type == "display_form_event":
        raise ContentFilteredError(
            f"{provider.name}: the site asks its visitors to fill in a form before it answers", provider=provider.name
        )
    if event.type == "done":
        return [*_iter_citations(fields), Finish("stop", last=True)]
    if event.type in EVENTS:
        return [*_iter_citations(fields if event.type in fields else {event.type: record})]
    if "success" in fields:
        data = fields["data"]
        return [data["reply"], *_iter_citations(data), Finish("stop", last=True)]
    return fields.get("delta")


def _iter_citations(fields: Mapping[str, Any]) -> Iterator[Citation]:
    """Yield the sources of an answer, which the site lists itself or as Google does."""
    chunks = dict_or_empty(fields.get("grounding_metadata")).get("groundingChunks")
    webs = [dict_or_empty(chunk.get("web")) for chunk in dicts_in(chunks)]
    for source in (*dicts_in(fields.get("citations")), *webs):
        url = source.get("url") or source.get("uri")
        if isinstance(url, str) and url:
            yield Citation(url, str(source.get("title") or ""))


def _post_prompt(
    provider: Provider,
    http: Transport,
    tokens: dict[str, str],
    messages: Sequence[Message],
    headers: Mapping[str, str],
) -> str:
    """Post the prompt and return the key for its stream; a nonce that is refused is replaced once."""
    form = {"action": "aipkit_cache_sse_message", "message": format_prompt(messages), "bot_id": tokens["bot_id"]}
    try:
        record = _post(provider, http, {**form, "_ajax_nonce": tokens["nonce"]}, tokens, headers)
    except (AuthenticationError, BlockedError, PermissionDeniedError) as error:
        # The site's own script does so as well if it cannot read why it was refused.
        nonce = "" if error.status != 403 or error.code in FOREIGN else _fresh_nonce(http, tokens, headers)
        if not nonce:
            # The next attempt loads the page again.
            raise
        tokens["nonce"] = nonce
        record = None
    if record is None:
        record = _post(provider, http, {**form, "_ajax_nonce": tokens["nonce"]}, tokens, headers)
    return str(record["data"]["cache_key"])


def _fresh_nonce(http: Transport, tokens: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Return a nonce that no page cache has kept, or an empty string from a site before 2.3.41."""
    form = {"action": "aipkit_get_frontend_chat_nonce", "bot_id": tokens["bot_id"]}
    response = http.send(requests.Request("POST", tokens["ajax_url"], data=form, headers=dict(headers)))
    if response.status != 200:
        response.close()
        return ""
    body, _ = response.read_body(_MAX_ANSWER)
    try:
        return str(json.loads(body)["data"]["nonce"])
    except (ValueError, LookupError, TypeError):
        return ""


def _post(
    provider: Provider,
    http: Transport,
    form: Mapping[str, str],
    tokens: Mapping[str, str],
    headers: Mapping[str, str],
) -> Any:
    response = http.send(requests.Request("POST", tokens["ajax_url"], data=dict(form), headers=dict(headers)))
    if response.status != 200:
        raise http.refusal(response)
    body, complete = response.read_body(_MAX_ANSWER)
    text = body.decode("utf-8", "replace")
    record = _parse_object(text) if complete else None
    if record is not None and record.get("success") is True:
        return record
    if record is not None:
        raise _error(provider, record)
    if classify.is_html(response.headers.get("Content-Type", ""), body[:1024]):
        raise classify.response_error(
            response.status, response.headers, body, provider=provider.name, rules=provider.rules
        )
    raise BadResponseError(
        f"{provider.name}: the answer to the prompt cannot be read: {text[:100]!r}", provider=provider.name
    )


def _parse_object(text: str) -> dict[str, Any] | None:
    # PHP may print its warnings before it.
    start = text.find('{"success"')
    try:
        record = json.loads(text[start:] if start >= 0 else text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _error(provider: Provider, record: Mapping[str, Any]) -> ChatError:
    if record.get("quota_notice") not in (None, False):
        return QuotaExceededError(
            f"{provider.name}: the limit for visitors is reached ({record.get('error', '')}); ask another provider",
            provider=provider.name,
            status=200,
        )
    data = record.get("data")
    text = record.get("error") or (data.get("message") if isinstance(data, dict) else None)
    for prefix in _PREFIXES:
        text = text[len(prefix) :].strip() if isinstance(text, str) and text.startswith(prefix) else text
    return classify.event_error({"error": text} if text else record, provider=provider.name, rules=provider.rules)


class _ConfigFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.configs: dict[str, list[Any]] = {_INLINE: [], _POPUP: []}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        for name in {*(values.get("class") or "").split()} & {*self.configs}:
            try:
                config = json.loads(values.get("data-config") or "")
            except ValueError:
                continue
            if isinstance(config, dict) and config.get("botId"):
                self.configs[name].append(config)
