"""Perplexity's Agent API: the Responses protocol with its own fields for schemas, usage and search results.

Chat completions ended on 2026-09-27. Models are named `vendor/model`, such as `perplexity/sonar`; presets, which choose
the model themselves, are `preset/fast`, `preset/low`, `preset/medium` and `preset/high`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import requests

from aichatkit._dataclasses import replace
from aichatkit.chunks import Cited, SearchPart, dict_or_empty, dicts_in
from aichatkit.classification import classify
from aichatkit.errors import ModelNotFoundError
from aichatkit.events import Event
from aichatkit.messages import Message
from aichatkit.providers import search_results
from aichatkit.providers.base import NO_OPTIONS, Options
from aichatkit.providers.odd_events import parse_unreadable
from aichatkit.providers.openai_compatible import OpenAICompatible
from aichatkit.providers.openai_responses import OpenAIResponses
from aichatkit.structured import dialects

_PRESET = "preset/"
#: The model that answers from the web; others search only if `extra` passes the tool.
_SEARCHING = "perplexity/sonar"
#: Models of the chat completions API -> what the vendor names as the successor.
_ENDED = {
    "sonar": _SEARCHING,
    "sonar-pro": f"{_PRESET}low",
    "sonar-reasoning": f"{_PRESET}medium",
    "sonar-reasoning-pro": f"{_PRESET}medium",
    "sonar-deep-research": f"{_PRESET}high",
}
_RESULTS = ("response.reasoning.search_results", "search_results")


class Perplexity(OpenAIResponses):
    """Chat with Perplexity's models through the Agent API; `perplexity/sonar` searches the web for every answer."""

    name = "perplexity"
    url = "https://api.perplexity.ai"
    version = "/v1"
    path = "/v1/responses"
    models_path = "/v1/models"
    priced_as = ""
    cache_style = ""
    default_model = _SEARCHING
    models = (_SEARCHING, "perplexity/glm-5.3-flash", "openai/gpt-6-luna", "google/gemini-3.8-flash", "xai/grok-4.3")
    api_key_env = ("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY")
    base_url_env = ""
    settings_env: ClassVar[Mapping[str, str]] = {}
    rank = 17
    takes_files = frozenset({"image", "text"})
    takes_result_files = frozenset()
    params: ClassVar[Mapping[str, str]] = {
        "max_tokens": "max_output_tokens",
        "reasoning_effort": "reasoning.effort",
        "response_format": "response_format",
        "temperature": "temperature",
        "top_p": "top_p",
    }
    # Summaries of the reasoning are OpenAI's own.
    effort_style = ""
    search_style = "perplexity"

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        if model in _ENDED:
            if self.url == type(self).url:
                raise _ended_error(model)
            # A gateway may still answer for it.
            return _PerplexityChat(self.url).build_request(messages, model, options=options)
        request = super().build_request(messages, model, options=replace(options, schema=None))
        payload: dict[str, Any] = request.json  # type: ignore[assignment]
        if model.startswith(_PRESET):
            del payload["model"]
            payload["preset"] = model[len(_PRESET) :]
        elif model == _SEARCHING:
            _add_search(payload, options)
        if options.schema is not None:
            strict = dialects.strict(options.schema)
            schema = {"name": "answer", "schema": strict or options.schema, "strict": strict is not None}
            payload["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def parse_event(self, event: Event) -> Any:
        try:
            record = event.json()
        except ValueError:
            return parse_unreadable(self, event)
        if isinstance(record, dict) and "choices" in record:
            return _CHAT.parse_event(event)
        parsed = super().parse_event(event)
        if parsed.__class__ is str:
            return parsed
        if record.get("type") == "response.cancelled":
            raise classify.event_error({**record, "type": "response.failed"}, provider=self.name, rules=self.rules)
        return [*_parse_sources(record), *(parsed or ())]

    def _build_items(self, message: Message) -> Iterator[dict[str, Any]]:
        for item in super()._build_items(message):
            # The type is required, and the parts of an assistant's message are not accepted.
            if "role" in item and item["role"] == "assistant":
                item = {**item, "content": message.text}
            yield {"type": "message", **item}


class _PerplexityChat(OpenAICompatible):
    """The chat completions that Perplexity had, as gateways may still speak them."""

    name = Perplexity.name
    url = Perplexity.url


_CHAT = _PerplexityChat()


def _add_search(payload: dict[str, Any], options: Options) -> None:
    if "tools" in options.extra:
        return
    if options.search is None:
        payload["tools"] = [*payload.get("tools", ()), {"type": "web_search"}]
    # Otherwise the model decides whether to search, as it must if there are functions to call.
    if not options.tools:
        payload.setdefault("tool_choice", "required")


def _ended_error(model: str) -> ModelNotFoundError:
    error = ModelNotFoundError(
        f"perplexity: the chat completions model {model!r} was retired on 2026-09-27; "
        f"its successor in the Agent API is 'perplexity/{_ENDED[model]}'",
        provider="perplexity",
        model=model,
    )
    error.successor = _ENDED[model]
    return error


def _parse_sources(record: Any) -> Iterator[Any]:
    """Yield the search results in an event, in the item it reports, or in the items of a complete response."""
    items = [record, dict_or_empty(record.get("item")), *dicts_in(record.get("output"))]
    for item in items:
        if item.get("type") in _RESULTS:
            queries = item.get("queries")
            query = "; ".join(map(str, queries)) if isinstance(queries, list) else ""
            results = search_results.parse_results(item.get("results"))
            if query or results:
                yield SearchPart(str(item.get("id") or query), query, results)
            for number, result in enumerate(dicts_in(item.get("results")), 1):
                # Marks in the text refer to the sources by number.
                id = result.get("id")
                yield Cited(
                    result.get("url") or "",
                    result.get("title") or "",
                    "number",
                    number=id if id.__class__ is int else number,
                )
