"""The AI Power plugin of WordPress from 2.3 on: a page's config -> one JSON answer, or two-step server-sent events.

With events, the prompt is posted first; the key received for it opens the stream, once and within 60 seconds.
The server keeps the turns of a conversation, so each call is a conversation of its own and sends a transcript.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests

from aichatkit import events
from aichatkit.chunks import Finish
from aichatkit.classification import classify
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    ChatError,
    ContentFilteredError,
    QuotaExceededError,
)
from aichatkit.messages import Message, format_prompt
from aichatkit.providers.base import Provider

if TYPE_CHECKING:
    from aichatkit.transport.transport import Transport

__all__ = ["EVENTS", "build_request", "find_config", "parse_event", "prepare"]

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
        "nonce": str(config["nonce"]),
        "bot_id": str(config["botId"]),
        "post_id": str(config.get("postId") or 0),
        "session_id": str(uuid.uuid4()),
        "conversation_uuid": str(uuid.uuid4()),
    }
    if not config.get("streamEnabled", True):
        # The page may come from a cache, with a nonce that has expired.
        tokens["nonce"] = _fresh_nonce(http, tokens, headers) or tokens["nonce"]
    elif messages:
        try:
            tokens["cache_key"] = _post_prompt(provider, http, tokens, messages, headers)
        except BadRequestError:
            # Releases whose config has this key answer without a stream as well.
            if "streamEnabled" not in config:
                raise
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


def parse_event(provider: Provider, event: events.Event, record: Mapping[str, Any]) -> Any:
    """Return what an event of the stream, or the JSON answer, contains; raise for a failure."""
    if event.type == "error" or record.get("success") is False:
        raise _error(provider, record)
    if event.type == "display_form_event":
        raise ContentFilteredError(
            f"{provider.name}: the site asks its visitors to fill in a form before it answers", provider=provider.name
        )
    if event.type == "done":
        return Finish("stop", last=True)
    if "success" in record:
        return [record["data"]["reply"], Finish("stop", last=True)]
    return record.get("delta")


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
    except AuthenticationError:
        nonce = _fresh_nonce(http, tokens, headers)
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
    record = json.loads(body) if complete else None
    if not isinstance(record, dict):
        raise BadResponseError(f"{provider.name}: the answer to the prompt cannot be read", provider=provider.name)
    if record.get("success") is not True:
        raise _error(provider, record)
    return record


def _error(provider: Provider, record: Mapping[str, Any]) -> ChatError:
    if record.get("quota_notice"):
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
            if isinstance(config, dict) and config.get("botId") and config.get("nonce"):
                self.configs[name].append(config)
