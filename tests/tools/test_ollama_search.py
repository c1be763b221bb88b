"""Ollama's web search as tools: what is sent, what the model reads, and what the answer cites of it."""

from __future__ import annotations

import json
import pickle

import pytest
import responses

import aichatkit as ai
from aichatkit import AuthenticationError, Client, ConfigurationError, MissingKeyError, ollama_search
from aichatkit.chunks import Citation, Search, Source, ToolCall
from aichatkit.tools.ollama_search import _SiteTool
from aichatkit.tools.sources import RemoteTool

QUESTION = 'call web_search {"query": "tides"}'
SITE = "https://ollama.com/api"
PAGES = [
    {"title": "Ebbe, Übersicht", "url": "https://example.org/a", "content": "Zwölf Stunden 🌙"},
    {"title": "B", "url": "https://example.org/ab", "content": "x" * 5000},
    {"title": "no address", "content": "?"},
]


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", "sk-search")


def answers(web, *texts, calls=(("web_search", {"query": "tides"}),)):
    """Let the model call tools, and then answer with the texts, one for each further round."""
    made = [{"function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    first = {"message": {"role": "assistant", "content": "", "tool_calls": made}, "done": True, "done_reason": "stop"}
    for record in (first, *({"message": {"content": text}, "done": True, "done_reason": "stop"} for text in texts)):
        web.post("http://localhost:11434/api/chat", body=json.dumps({"model": "m", **record}) + "\n")


def ask(prompt="When?", model="ollama/m", **options):
    with Client(model, retry=0) as client:
        return client.ask(prompt, **options)


@pytest.fixture
def web():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.mark.usefixtures("key")
def test_the_sandbox_is_searched_and_the_answer_cites_pages(sandbox):
    search = ollama_search(max_results=2, base_url=sandbox.url)
    with Client("ollama", base_url=sandbox.url) as client:
        reply = client.ask(QUESTION, tools=[search])
    chat, sent, again = sandbox.requests
    assert sent.headers["authorization"] == "Bearer sk-search"
    assert sent.json() == {"query": "tides", "max_results": 2}
    assert [tool["function"]["name"] for tool in chat.json()["tools"]] == ["web_search", "web_fetch"]
    assert again.json()["messages"][-1]["content"].startswith("[1] Ebbe und Flut")
    (search,) = reply.searches
    assert (search.query, len(search.results), search.error) == ("tides", 2, "")
    assert [citation.text for citation in reply.citations] == [
        "[1]",
        reply.citations[1].url,
        "[2]",
        reply.citations[3].url,
    ]
    assert all(reply.text[each.start : each.end] == each.text for each in reply.citations)
    assert not reply.text.isascii()
    assert (reply.usage.searches, reply.cost) == (None, 0.0)


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("model", ["openai/gpt-6-luna", "anthropic", "gemini"])
def test_any_model_that_calls_tools_can_search(sandbox, model):
    bases = {"openai": f"{sandbox.url}/v1", "anthropic": sandbox.url, "gemini": sandbox.url}
    with Client(model, api_key=dict.fromkeys(bases, "k"), base_url=bases) as client:
        reply = client.ask(QUESTION, tools=[ollama_search(base_url=sandbox.url)])
    assert len(reply.searches) == 1
    assert reply.citations
    assert all(reply.text[each.start : each.end] == each.text for each in reply.citations)


@pytest.mark.usefixtures("key")
def test_search_with_ollama_s_models_is_its_own(web):
    web.post(f"{SITE}/web_search", json={"results": PAGES})
    answers(web, "Für Ebbe 🌊 [1], a[1] und [1](x) und [2, 1][9].")
    reply = ask(search={"size": "high", "max_searches": 2})
    sent = web.calls[1].request
    assert json.loads(sent.body) == {"query": "tides", "max_results": 10}
    assert "OLLAMA" not in str(reply)
    a, b = ("https://example.org/a", "Ebbe, Übersicht"), ("https://example.org/ab", "B")
    assert reply.citations == [
        Citation(*a, 11, 14, "[1]"),
        Citation(*b, 36, 42, "[2, 1]"),
        Citation(*a, 36, 42, "[2, 1]"),
    ]
    assert reply.searches == [Search("tides", [Source(*a), Source(*b)])]
    assert reply.sources == [Source(*a), Source(*b)]
    told = json.loads(web.calls[2].request.body)["messages"][-1]["content"]
    assert told.startswith("[1] Ebbe, Übersicht\nhttps://example.org/a\nZwölf Stunden 🌙\n\n[2] B\n")
    assert told.endswith("[cut: the text has 5,000 characters]")


@pytest.mark.usefixtures("key")
def test_web_search_among_functions_and_the_openai_compatible_api(web):
    def stock(article: str) -> int:
        return len(article)

    web.post(
        "http://localhost:11434/api/chat",
        body='{"model": "m", "message": {"content": "Hi"}, "done": true, "done_reason": "stop"}\n',
    )
    ask(tools=["web_search", stock])
    names = [tool["function"]["name"] for tool in json.loads(web.calls[0].request.body)["tools"]]
    assert names == ["stock", "web_search", "web_fetch"]
    web.post(
        "http://localhost:11434/v1/chat/completions",
        json={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]},
    )
    ask(model="ollama-v1/m", search=True, tools=stock)
    assert len(json.loads(web.calls[1].request.body)["tools"]) == 3


@pytest.mark.usefixtures("key")
def test_a_link_in_the_answer_is_a_citation_and_a_longer_one_is_not(web):
    web.post(f"{SITE}/web_search", json={"results": PAGES})
    answers(web, "Siehe https://example.org/ab. Oder https://example.org/abc")
    assert ask(search=True).citations == [Citation("https://example.org/ab", "B", 6, 28, "https://example.org/ab")]


@pytest.mark.usefixtures("key")
def test_a_page_is_read_and_has_a_number(web):
    web.post(f"{SITE}/web_fetch", json={"title": "Flut", "content": "Zwölf", "links": []})
    answers(web, "So [1].", calls=[("web_fetch", {"url": "https://example.org/f"})])
    reply = ask(search=True)
    assert json.loads(web.calls[1].request.body) == {"url": "https://example.org/f"}
    assert json.loads(web.calls[2].request.body)["messages"][-1]["content"] == "[1] Flut\nhttps://example.org/f\nZwölf"
    assert reply.citations == [Citation("https://example.org/f", "Flut", 3, 6, "[1]")]
    assert reply.searches == []


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"json": {"results": []}}, "No pages were found."),
        ({"json": {"error": "x"}}, "Error: ollama search: the answer has no results"),
        ({"body": b"<html>"}, "Error: ollama search: the answer has no results"),
        ({"body": b"[" * 100_000}, "Error: ollama search: the answer has no results"),
        ({"status": 503, "json": {"error": "busy"}}, "Error: ollama search: overloaded (503): busy"),
        ({"body": ConnectionError("sk-search")}, "Error: "),
    ],
)
def test_a_search_that_fails_is_reported_to_the_model_and_in_the_reply(web, options, told):
    if isinstance(options.get("body"), ConnectionError):
        import requests

        options = {"body": requests.ConnectionError("sk-search")}
    web.post(f"{SITE}/web_search", **options)
    answers(web, "I do not know.")
    reply = ask(search=True)
    result = json.loads(web.calls[-1].request.body)["messages"][-1]["content"]
    assert told in result
    assert "sk-search" not in result
    (search,) = reply.searches
    assert (search.query, search.results) == ("tides", [])
    assert bool(search.error) == told.startswith("Error")


@pytest.mark.usefixtures("key")
def test_a_page_without_text_and_an_answer_that_is_too_large_are_errors_for_the_model(web, monkeypatch):
    web.post(f"{SITE}/web_fetch", json={"title": "x", "content": ""})
    web.post(f"{SITE}/web_search", json={"results": PAGES})
    monkeypatch.setattr("aichatkit.tools.ollama_search._MAX_BYTES", 10)
    answers(web, "?", calls=[("web_fetch", {"url": "https://a.org"}), ("web_search", {"query": "x"})])
    ask(search=True)
    results = [message["content"] for message in json.loads(web.calls[-1].request.body)["messages"][-2:]]
    assert [result.startswith("Error: ollama search: the ") for result in results] == [True, True]


@pytest.mark.usefixtures("key")
def test_a_refused_key_ends_the_call_and_is_not_shown(web):
    web.post(f"{SITE}/web_search", status=401, json={"error": "unauthorized sk-search"})
    answers(web, "?")
    with pytest.raises(AuthenticationError) as caught:
        ask(search=True)
    assert "sk-search" not in str(caught.value)


@pytest.mark.usefixtures("key")
def test_searches_are_limited_allowed_and_checked(web):
    web.post(f"{SITE}/web_search", json={"results": PAGES})
    twice = [("web_search", {"query": "a"}), ("web_search", {"query": "b"}), ("web_search", {"q": 1})]
    answers(web, "Done.", calls=twice)
    reply = ask(search={"max_searches": 1})
    first, second, third = (message["content"] for message in json.loads(web.calls[-1].request.body)["messages"][-3:])
    assert first.startswith("[1]")
    assert second == "Error: no more searches are allowed; answer with what you have"
    assert third.startswith("Error: the arguments do not fit")
    assert len(reply.searches) == 1
    asked = []
    answers(web, "No.")
    ask(search=True, approve=lambda call: bool(asked.append(call)))
    assert isinstance(asked[0], ToolCall)
    assert (
        json.loads(web.calls[-1].request.body)["messages"][-1]["content"] == "Error: the user did not allow this call"
    )


def test_without_a_key_nothing_is_sent(web, monkeypatch):
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    with pytest.raises(MissingKeyError, match="set OLLAMA_API_KEY, or pass tools="):
        ask(search=True)
    assert not web.calls


@pytest.mark.usefixtures("key")
def test_what_it_cannot_do_is_an_error_that_says_who_can(web):
    with pytest.raises(ConfigurationError, match=r"search=\{'domains': \.\.\.\} is not possible there; .*anthropic"):
        ask(search={"domains": ["example.org"]})
    with pytest.raises(ai.AllProvidersFailedError, match=r"tools that run here.*pass tools=\[ollama_search\(\)\]"):
        Client(["ollama/m", "deepseek"], api_key={"deepseek": "k"}).ask("Hi", search=True)
    with pytest.raises(ConfigurationError, match=r"With tools=\[ollama_search\(\)\]"):
        Client("deepseek", api_key="k").ask("Hi", search=True)

    def web_search(query: str) -> str:
        return query

    with pytest.raises(ConfigurationError, match="a tool named 'web_search', and so has another; give the other one"):
        ask(search=True, tools=[web_search])
    assert not web.calls


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"api_key": " "}, "api_key must be a non-empty string"),
        ({"api_key": 5}, "api_key must be a non-empty string"),
        ({"max_results": 0}, "max_results must be from 1 to 10"),
        ({"max_results": 11}, "max_results must be from 1 to 10"),
        ({"max_searches": 0}, "max_searches must be at least 1"),
        ({"base_url": "ollama.com"}, "base_url must be a URL"),
    ],
)
def test_arguments_are_checked(options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        ollama_search(**options)


def test_a_function_of_yours_with_that_name_is_no_search_of_the_service(sandbox):
    def web_search(query: str) -> str:
        return query

    with Client("anthropic", api_key="k", base_url=sandbox.url) as client:
        reply = client.ask(QUESTION, tools=[web_search])
    assert (reply.searches, reply.citations) == ([], [])


def test_other_sources_find_nothing():
    assert RemoteTool().findings("[1]") == ((), ())
    with pytest.raises(NotImplementedError):
        _SiteTool(None, None)._answer()


@pytest.mark.usefixtures("key")
def test_the_site_of_the_sandbox_takes_what_ollama_takes(sandbox):
    import requests

    def post(path, body, key="k"):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        response = requests.post(f"{sandbox.url}/api/{path}", json=body, headers=headers, timeout=5)
        return response.status_code, response.json()

    assert post("web_search", {"query": "x"}, key="")[0] == 401
    assert [post("web_search", body)[0] for body in ({}, {"query": 5}, {"query": "x", "max_results": 11})] == [400] * 3
    assert post("web_search", {"query": "from memory"}) == (200, {"results": []})
    assert post("web_fetch", {"url": "example.org"})[0] == 400
    assert post("web_fetch", {"url": "https://example.org"})[1]["content"] == "Alle zwölf Stunden 🌙"


def test_the_key_is_neither_shown_nor_pickled(monkeypatch):
    search = ollama_search("sk-own", max_results=3, fetch=False)
    assert repr(search) == "<OllamaSearch of https://ollama.com>"
    copy = pickle.loads(pickle.dumps(search))
    assert copy.max_results == 3
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    with pytest.raises(MissingKeyError):
        copy.open_tools()
    (tool,) = search.open_tools()
    assert tool.definition.name == "web_search"
    assert b"sk-own" not in pickle.dumps(search)


def test_it_is_a_name_of_the_package():
    assert ai.ollama_search is ollama_search
