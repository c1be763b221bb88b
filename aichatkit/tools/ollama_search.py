"""Ollama's web search as tools: searches and pages for the model, and the pages that its answer cites."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from aichatkit._dataclasses import replace
from aichatkit._surrogates import repair
from aichatkit.chunks import Citation, Search, Source, ToolCall, dict_or_empty, dicts_in
from aichatkit.errors import AuthenticationError, BadResponseError, ChatError, ConfigurationError, MissingKeyError
from aichatkit.params import is_integer
from aichatkit.providers.base import Tool, ToolSource, WebSearch
from aichatkit.structured.fit import fit_arguments
from aichatkit.structured.validation import find_errors
from aichatkit.tools.sources import Approve, Findings, RemoteTool
from aichatkit.transport.authorization import Authorization
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Deadline, Timeout
from aichatkit.transport.transport import Transport

__all__ = ["OllamaSearch", "ollama_search", "search_with"]

_NAME, _URL, _KEY = "ollama search", "https://ollama.com", "OLLAMA_API_KEY"
_TIMEOUT = Timeout(10, 60, 90)
_MAX_BYTES = 4 << 20
#: The most characters of a page in a list of results, and of one that is read: local models have short contexts.
_MAX_RESULT, _MAX_PAGE = 4_000, 40_000
_MAX_RESULTS = 10
#: How many results a search has for the `size` of `search=`.
_SIZES = {"low": 3, "": 5, "medium": 5, "high": 10}
#: Numbers in brackets that refer to pages: no index of a variable, and no text of a link.
_MARKS = re.compile(r"(?<!\w)\[(\d{1,3}(?:, ?\d{1,3})*)\](?!\()")
_SEARCH = Tool(
    "web_search",
    "Search the web. The results are numbered. In the answer, cite those that you use by their numbers, such as [1].",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
_FETCH = Tool(
    "web_fetch",
    "Read a web page. Cite it in the answer by the number in the result, such as [1].",
    {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
)


def ollama_search(
    api_key: str | None = None,
    *,
    max_results: int = 5,
    max_searches: int | None = None,
    fetch: bool = True,
    base_url: str = _URL,
) -> OllamaSearch:
    """Return Ollama's web search for `tools=`, with any model that calls tools; nothing happens before its first use.

    The model gets the tools `web_search` and `web_fetch`. The queries and URLs are sent to ollama.com.

    >>> ollama_search("a-key", max_searches=3)
    <OllamaSearch of https://ollama.com>

    Args:
        api_key: a key of your Ollama account; without it the environment variable OLLAMA_API_KEY is read.
        max_results: pages for a search, at most 10.
        max_searches: searches for an answer; by default as many as `max_rounds` allows.
        fetch: whether the model may read whole pages as well.

    Raises:
        ConfigurationError: an argument is invalid.
    """
    if api_key is not None and (not isinstance(api_key, str) or not api_key.strip() or not api_key.isprintable()):
        raise ConfigurationError("ollama_search: api_key must be a non-empty string")
    if not is_integer(max_results, minimum=1) or max_results > _MAX_RESULTS:
        raise ConfigurationError(f"ollama_search: max_results must be from 1 to {_MAX_RESULTS}, got {max_results!r}")
    if max_searches is not None and not is_integer(max_searches, minimum=1):
        raise ConfigurationError(f"ollama_search: max_searches must be at least 1, got {max_searches!r}")
    if not isinstance(base_url, str) or not base_url.startswith(("https://", "http://")):
        raise ConfigurationError(f"ollama_search: base_url must be a URL, got {base_url!r:.100}")
    return OllamaSearch(api_key, max_results, max_searches, fetch=fetch, base_url=base_url.rstrip("/"))


def search_with(search: WebSearch) -> OllamaSearch:
    """Return the tools for `search=` with Ollama's own models."""
    return ollama_search(max_results=_SIZES[search.size], max_searches=search.max_searches)


class OllamaSearch(ToolSource):
    """Ollama's web search; made by `ollama_search`."""

    name = _NAME
    rename_hint = "give the other one another name"

    def __init__(
        self, api_key: str | None, max_results: int, max_searches: int | None, *, fetch: bool, base_url: str
    ) -> None:
        self._api_key = api_key
        self.max_results = max_results
        self.max_searches = max_searches
        self.fetch = fetch
        self.base_url = base_url

    def open_tools(self, connections: Connections | None = None) -> Sequence[RemoteTool]:
        """Return the tools of one call; raise MissingKeyError if there is no key."""
        key = self._api_key or os.environ.get(_KEY, "").strip()
        if not key:
            raise MissingKeyError(
                f"{_NAME}: it needs a key of an Ollama account, from https://ollama.com/settings/keys; set {_KEY}, or "
                "pass tools=[ollama_search(api_key)]",
                provider=_NAME,
            )
        site = _Site(self.base_url, key, connections or Connections())
        pages = _Pages()
        tools: list[RemoteTool] = [_SearchTool(site, pages, self.max_results, self.max_searches)]
        return [*tools, _FetchTool(site, pages)] if self.fetch else tools

    def __getstate__(self) -> dict[str, Any]:
        # As the keys of a client: the process that loads this reads its own environment.
        return {**vars(self), "_api_key": None}

    def __repr__(self) -> str:
        return f"<OllamaSearch of {self.base_url}>"


class _Site:
    """The API at ollama.com."""

    def __init__(self, url: str, key: str, connections: Connections) -> None:
        self._url = url
        self._key = key
        self._connections = connections

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a request and return the document that answers it."""
        transport = Transport(
            self._connections,
            provider=_NAME,
            base_url=self._url,
            timeout=_TIMEOUT,
            deadline=Deadline(_TIMEOUT.total),
            authorization=Authorization("Authorization", f"Bearer {self._key}"),
            secrets=[self._key],
        )
        try:
            response = transport.send(requests.Request("POST", f"{self._url}/api/{path}", json=dict(body)))
            if response.status != 200:
                raise transport.refusal(response)
            document, complete = response.read_body(_MAX_BYTES)
            return _parse(document) if complete else None
        except ChatError as error:
            transport.scrub(error)
            failure = error
        raise failure


class _Pages:
    """The pages that the model has seen in a call, by their numbers, and the searches that found them."""

    def __init__(self) -> None:
        self.searches: list[Search] = []
        self._numbers: dict[str, int] = {}
        self._sources: dict[int, Source] = {}

    def add(self, url: str, title: str) -> int:
        """Return the number of a page."""
        number = self._numbers.setdefault(url, len(self._numbers) + 1)
        self._sources.setdefault(number, Source(url, title))
        return number

    def citations(self, text: str) -> Iterator[Citation]:
        """Yield the places of an answer that refer to pages: by their numbers, or by their URLs."""
        places: list[tuple[int, int, Source]] = []
        for mark in _MARKS.finditer(text):
            found = (self._sources.get(int(number)) for number in mark[1].split(","))
            places += [(mark.start(), mark.end(), source) for source in found if source is not None]
        for source in self._sources.values():
            for link in re.finditer(re.escape(source.url) + r"(?![\w/?#&=%-])", text):
                places.append((link.start(), link.end(), source))
        for start, end, source in sorted(places, key=lambda place: place[:2]):
            yield Citation(source.url, source.title, start, end, text[start:end])


class _SiteTool(RemoteTool):
    """A tool that asks the site; what fails is reported to the model, except a key that is refused."""

    def __init__(self, site: _Site, pages: _Pages) -> None:
        self._site = site
        self._pages = pages

    def run(self, call: ToolCall, approve: Approve | None) -> str:
        """Run a call and return its result as text, or an error message for the model."""
        parameters = self.definition.parameters
        fields = fit_arguments(call.arguments, parameters)
        errors = find_errors(fields, parameters)
        if errors:
            return f"Error: the arguments do not fit: {'; '.join(errors)}"
        if approve is not None and not approve(replace(call, arguments=fields)):
            return "Error: the user did not allow this call"
        try:
            return repair(self._answer(**fields))
        except AuthenticationError:
            raise
        except ChatError as error:
            self._note_failure(fields, error)
            return f"Error: {error.message}"

    def _answer(self, **fields: Any) -> str:
        raise NotImplementedError

    def _note_failure(self, fields: Mapping[str, Any], error: ChatError) -> None:
        """Note that a call failed."""


class _SearchTool(_SiteTool):
    definition = _SEARCH

    def __init__(self, site: _Site, pages: _Pages, max_results: int, max_searches: int | None) -> None:
        super().__init__(site, pages)
        self._max_results = max_results
        self._max_searches = max_searches

    def findings(self, text: str) -> Findings:
        return Findings(list(self._pages.searches), list(self._pages.citations(text)))

    def _answer(self, query: str = "", **others: Any) -> str:
        searches = self._pages.searches
        if self._max_searches is not None and len(searches) >= self._max_searches:
            return "Error: no more searches are allowed; answer with what you have"
        document = self._site.post("web_search", {"query": query, "max_results": self._max_results})
        results = dict_or_empty(document).get("results")
        if not isinstance(results, list):
            raise BadResponseError(f"{_NAME}: the answer has no results", provider=_NAME)
        lines, sources = [], []
        for result in dicts_in(results):
            url, title, content = (_text(result.get(name)) for name in ("url", "title", "content"))
            if url:
                lines.append(f"[{self._pages.add(url, title)}] {title}\n{url}\n{_cut(content, _MAX_RESULT)}")
                sources.append(Source(url, title))
        searches.append(Search(repair(query), sources))
        return "\n\n".join(lines) or "No pages were found."

    def _note_failure(self, fields: Mapping[str, Any], error: ChatError) -> None:
        code = error.code or (str(error.status) if error.status else type(error).__name__)
        self._pages.searches.append(Search(repair(str(fields.get("query"))), [], code))


class _FetchTool(_SiteTool):
    definition = _FETCH

    def _answer(self, url: str = "", **others: Any) -> str:
        page = dict_or_empty(self._site.post("web_fetch", {"url": url}))
        title, content = _text(page.get("title")), _text(page.get("content"))
        if not content:
            raise BadResponseError(f"{_NAME}: the page has no text", provider=_NAME)
        return f"[{self._pages.add(url, title)}] {title}\n{url}\n{_cut(content, _MAX_PAGE)}"


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return repair(value) if isinstance(value, str) else ""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}\n[cut: the text has {len(text):,} characters]"
