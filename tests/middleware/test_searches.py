"""Web search from the call to the reply, on every wire of the sandbox: places, pauses, money, and what is kept."""

from __future__ import annotations

import json
import pickle

import pytest

from aichatkit import Chat, Client
from aichatkit.chunks import Citation, Search, Source, ToolCall, Usage
from aichatkit.errors import BadRequestError, BudgetExceededError, ConfigurationError, StreamInterruptedError
from aichatkit.messages import CitedMessage, ToolCallsMessage, ToolResultMessage, parse_messages
from aichatkit.middleware.estimates import highest_cost
from aichatkit.middleware.tool_rounds import combine_replies
from aichatkit.providers.base import Options
from aichatkit.reply import Reply

QUESTION = "When is low tide?"
#: The wires, and the path of each behind the sandbox's address.
WIRES = {
    "openai": "/v1",
    "openai-responses": "/v1",
    "openai/gpt-5-search-api": "/v1",
    "openrouter": "/v1",
    "xai": "/v1",
    "mistral": "/v1",
    "anthropic": "",
    "gemini": "",
    "offline": None,
}


CALL = ToolCall("c1", "weather", {"city": "Oslo"})
CALLED = ToolCallsMessage("assistant", "", (CALL,))


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@pytest.fixture
def searching(sandbox, policy):
    """Make a client of a service that the sandbox plays, with a fault."""
    made = []

    def make(model, fault="", **options):
        path = WIRES[model]
        url = {} if path is None else {"base_url": f"{sandbox.url}{fault and f'/fault/{fault}'}{path}", "api_key": "k"}
        made.append(Client(model, retry=policy, **url, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def check_places(reply):
    """Check that the reply cites two pages in its text, and return the texts that are cited."""
    placed = [citation for citation in reply.citations if citation.start is not None]
    assert len(placed) == 2
    assert all(reply.text[citation.start : citation.end] == citation.text for citation in placed)
    assert not reply.text[: placed[0].start].isascii()
    return [citation.text for citation in placed]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", WIRES)
def test_each_citation_has_its_place_in_the_text(searching, model, stream):
    client = searching(model)
    reply = client.stream(QUESTION, search=True).read() if stream else client.ask(QUESTION, search=True)
    texts = check_places(reply)
    if model == "mistral":
        # A source stands behind the words it is for, and spans none of them.
        before = [reply.text[: citation.start] for citation in reply.citations]
        assert [text.rpartition(" ")[2] for text in before] == ["answer", "🌙"]
    elif model in ("anthropic", "gemini"):
        assert texts == ["zwölf Stunden, so the naïve answer", "der Mond zieht daran 🌙"]
    else:
        assert all(text.startswith("([example.org](https://example.org/") for text in texts)
    assert len(reply.sources) >= 2


def test_mistral_counts_its_searches(searching):
    reply = searching("mistral").ask(QUESTION, search=True)
    (search,) = reply.searches
    assert (search.query, search.results, reply.usage.searches) == ("when is low tide", [], 1)


@pytest.mark.parametrize("model", ["openai", "openai-responses", "xai", "anthropic", "gemini"])
def test_searches_are_reported_and_cost_their_fee(searching, model):
    client = searching(model)
    plain, reply = client.ask(f"{QUESTION} From memory", search=True), client.ask(QUESTION, search=True)
    (search,) = reply.searches
    assert (search.query, search.error) == ("when is low tide", "")
    assert len(search.results) == (3 if model != "xai" else 0)
    assert reply.usage.searches == 1
    assert reply.cost > plain.cost + 0.004


@pytest.mark.parametrize("model", WIRES)
def test_the_model_may_decide_against_a_search(searching, model):
    reply = searching(model).ask(f"{QUESTION} Answer from memory", search=True)
    assert (reply.searches, reply.citations, reply.usage.searches or 0) == ([], [], 0)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("anthropic", ["query_too_long"]),
        ("openai", ["failed"]),
        ("xai", ["failed"]),
        ("gemini", []),
        ("mistral", [""]),
    ],
)
def test_a_search_that_fails_is_told_and_the_answer_kept(searching, model, error):
    reply = searching(model, "search-error,code=query_too_long").ask(QUESTION, search=True)
    assert "nicht möglich" in reply.text
    assert [search.error for search in reply.searches] == error
    assert reply.citations == []


def test_a_pause_is_continued_as_one_reply(searching):
    client = searching("anthropic", "search-pause,times=1")
    whole = searching("anthropic").ask(QUESTION, search=True)
    stream = client.stream(QUESTION, search=True)
    assert "".join(stream) == whole.text
    reply = stream.reply
    assert (reply.text, reply.citations, reply.searches) == (whole.text, whole.citations, whole.searches)
    assert (reply.finish_reason, reply.usage.searches, len(reply.attempts)) == ("stop", 1, 2)
    # The second request has the turn so far as well.
    assert reply.usage.input_tokens > 2 * whole.usage.input_tokens
    assert type(reply.message) is CitedMessage


def test_a_pause_sends_the_turn_back_unchanged_with_the_same_tool(searching, sandbox):
    searching("anthropic", "search-pause,times=1").ask(QUESTION, search={"domains": "example.org", "max_searches": 3})
    first, second = (request.json() for request in sandbox.requests)
    assert second["messages"][:1] == first["messages"]
    (turn,) = second["messages"][1:]
    assert turn["role"] == "assistant"
    assert [block["type"] for block in turn["content"]] == ["text", "server_tool_use"]
    assert turn["content"][1]["input"] == {"query": "when is low tide"}
    assert second["tools"][0]["allowed_domains"] == ["example.org"]
    assert (first["tools"][0]["max_uses"], second["tools"][0]["max_uses"]) == (3, 2)


def test_an_answer_that_pauses_for_ever_is_given_up_with_its_text(searching, sandbox):
    with pytest.raises(StreamInterruptedError, match="paused 11 times") as caught:
        searching("anthropic", "search-pause").ask(QUESTION, search=True)
    assert caught.value.partial.startswith("Ich suche 🔎. Noch nicht. ")
    assert len(sandbox.requests) == len(caught.value.attempts) == 11


def test_a_pause_goes_on_at_the_service_that_paused(searching, sandbox, policy):
    urls = {"anthropic": f"{sandbox.url}/fault/search-pause,times=1", "openai": f"{sandbox.url}/v1"}
    keys = dict.fromkeys(urls, "k")
    with Client(["anthropic", "openai"], api_key=keys, base_url=urls, retry=policy) as client:
        assert client.ask(QUESTION, search=True).provider == "anthropic"


def test_a_search_works_beside_functions(searching, sandbox):
    reply = searching("anthropic").ask('Please call weather {"city": "Oslo"}', tools=["web_search", weather])
    check_places(reply)
    assert [message.role for message in reply.turn] == ["assistant", "tool", "assistant"]
    names = [tool["name"] for tool in sandbox.requests[0].json()["tools"]]
    assert names == ["weather", "web_search"]


def test_gemini_gets_the_parts_of_its_search_back_with_the_result_of_a_function(searching, sandbox):
    client = searching("gemini")
    reply = client.ask('Please call weather {"city": "Oslo"}', tools=["web_search", weather])
    check_places(reply)
    first, second = (request.json() for request in sandbox.requests)
    assert first["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert [next(iter(part)) for part in second["contents"][1]["parts"]] == ["toolCall", "toolResponse", "functionCall"]
    assert second["contents"][1]["parts"][0]["thoughtSignature"] == "c2VhcmNo"
    with pytest.raises(BadRequestError, match="missing a thought_signature"):
        client.ask(["Hi", CALLED, ToolResultMessage("tool", "rain", CALL)], tools=["web_search", weather])


@pytest.mark.parametrize(
    ("model", "extra", "problem"),
    [
        ("gemini-2.0-pro", {"toolConfig": {"includeServerSideToolInvocations": True}}, "cannot be combined"),
        ("gemini-3.8-flash", {}, "include_server_side_tool_invocations"),
    ],
)
def test_gemini_refuses_a_search_beside_functions_unless_it_is_asked(searching, model, extra, problem):
    extra = {"tools": [{"google_search": {}}], **extra}
    with pytest.raises(BadRequestError, match=problem):
        searching("gemini").ask("Hi", model=f"gemini/{model}", tools=[weather], extra=extra)


def test_a_search_tool_in_extra_is_continued_too(searching):
    extra = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    assert len(check_places(searching("anthropic", "search-pause,times=1").ask(QUESTION, extra=extra))) == 2


def test_a_dict_tool_of_the_service_goes_to_the_endpoint_that_runs_it(searching, sandbox):
    reply = searching("openai").ask(QUESTION, tools=[{"type": "web_search"}, weather])
    assert reply.usage.searches == 1
    assert sandbox.requests[0].path == "/v1/responses"


def test_citations_survive_everything_that_keeps_a_reply(searching, tmp_path):
    client = searching("anthropic")
    reply = client.ask(QUESTION, search=True)
    assert pickle.loads(pickle.dumps(reply)).citations == reply.citations
    record = json.loads(json.dumps(reply.to_dict()))
    assert record["citations"][0]["text"] == reply.text[record["citations"][0]["start"] : record["citations"][0]["end"]]
    assert record["searches"][0]["results"][0]["url"] == reply.searches[0].results[0].url
    path = tmp_path / "run.sqlite"
    for _run in range(2):
        results = client.map([QUESTION], search=True, resume=path, progress=False)
        assert (results[0].reply.citations, results[0].reply.searches) == (reply.citations, reply.searches)


def test_a_saved_conversation_keeps_its_citations(searching, tmp_path):
    chat = searching("anthropic").chat()
    reply = chat.ask(QUESTION, search=True)
    assert chat.history[-1].citations == tuple(reply.citations)
    chat.save(tmp_path / "chat.json")
    loaded = Chat.load(tmp_path / "chat.json", client=chat.client)
    assert loaded.history == chat.history
    assert loaded.ask("And then?").text


def test_citations_of_a_saved_conversation_may_be_of_another_version():
    saved = {"role": "assistant", "content": "Hi", "citations": [{"url": "u", "mood": 1}, "https://example.org"]}
    (message,) = parse_messages([saved])
    assert message.citations == (Citation("u"), Citation("https://example.org"))
    (plain,) = parse_messages([{**saved, "citations": "x"}])
    assert type(plain) is not CitedMessage


def test_a_search_is_not_answered_from_the_cache(searching, sandbox):
    client = searching("anthropic", cache={})
    for _ask in range(2):
        client.ask(QUESTION, search=True)
    assert len(sandbox.requests) == 2


def test_rows_with_and_without_a_search_are_not_confused(searching, tmp_path):
    client = searching("anthropic")
    path = tmp_path / "run.sqlite"
    client.map([QUESTION], resume=path, progress=False)
    assert client.map([QUESTION], search=True, resume=path, progress=False)[0].reply.citations


def test_a_batch_job_does_not_search(tmp_path):
    with pytest.raises(ConfigurationError, match="search: batch jobs do not search the web"):
        Client("anthropic", api_key="k").map([QUESTION], search=True, batch=True, resume=tmp_path / "run.sqlite")


def test_a_tool_is_forced_only_once(searching, sandbox):
    reply = searching("openai").ask("Hello", tools=[weather], tool_choice="required")
    assert reply.text.startswith("The tool says")
    assert [request.json().get("tool_choice") for request in sandbox.requests] == ["required", None]


@pytest.mark.parametrize("model", ["openai", "openai-responses", "anthropic", "gemini", "xai"])
def test_a_choice_of_tools_arrives(searching, model):
    client = searching(model)

    def other() -> str:
        """Do nothing."""
        return "nothing"

    chosen = client.ask("Hello", tools=[other, weather], tool_choice=weather, max_rounds=8)
    assert "rain in" in chosen.text
    assert "nothing" in client.ask("Hello", tools=[other, weather], tool_choice="other").text


def test_an_answer_in_json_is_described_where_it_cannot_cite(searching, sandbox):
    with pytest.raises(Exception, match="JSON"):
        searching("anthropic").ask(QUESTION, search=True, schema={"type": "object", "properties": {}})
    assert "output_config" not in sandbox.requests[0].json()


def test_the_older_search_of_xai_is_refused_by_the_service(searching):
    with pytest.raises(Exception, match="deprecated"):
        searching("xai").ask(QUESTION, extra={"search_parameters": {"mode": "on"}})


@pytest.mark.parametrize(
    ("model", "extra", "problem"),
    [
        ("openai", {"web_search_options": {}}, "not supported with this model"),
        ("openai", {"tools": [{"type": "web_search"}]}, "Supported values are"),
        ("openai-responses", {"tools": [{"type": "web_search"}], "reasoning": {"effort": "minimal"}}, "cannot be used"),
        ("gemini", {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_declarations"),
        (
            "anthropic",
            {
                "tools": [{"type": "web_search_20250305", "name": "web_search"}],
                "output_config": {"format": {"type": "json_schema", "schema": {}}},
            },
            "not compatible",
        ),
        (
            "anthropic",
            {"tools": [{"type": "web_search_1", "name": "w", "allowed_domains": ["a"], "blocked_domains": ["b"]}]},
            "Only one of",
        ),
        ("anthropic", {"tools": [{"type": "web_search_1", "name": "w"}] * 2}, "must be unique"),
    ],
)
@pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")
def test_the_sandbox_refuses_what_the_services_refuse(searching, model, extra, problem):
    with pytest.raises(BadRequestError, match=problem):
        searching(model).ask(QUESTION, extra=extra, model=f"{model}/gpt-5-mini" if "reasoning" in extra else None)


SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
RESULT = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"encrypted_content": "short"}]}


@pytest.mark.parametrize(
    ("block", "tools", "problem"),
    [
        ({**SEARCH, "input": {}}, "web_search", "query: Field required"),
        (RESULT, "web_search", "Invalid `encrypted_content`"),
        (SEARCH, (), "without the tool"),
    ],
)
def test_the_sandbox_refuses_blocks_that_were_changed(searching, block, tools, problem):
    turn = ToolCallsMessage("assistant", "Hm.", (), blocks=(block,), origin="anthropic")
    with pytest.raises(BadRequestError, match=problem):
        searching("anthropic").ask(["Hi", turn, "And?"], tools=tools)


def test_the_sandbox_takes_blocks_that_were_not_changed(searching):
    result = {**RESULT, "content": [{"encrypted_content": "0" * 64}] * 2}
    turn = ToolCallsMessage("assistant", "Hm.", (), blocks=(SEARCH, result), origin="anthropic")
    assert searching("anthropic").ask(["Hi", turn, "And?"], tools="web_search").citations


def test_blocks_of_a_service_are_not_sent_to_another():
    turn = ToolCallsMessage("assistant", "Hm.", (), blocks=(SEARCH,), origin="anthropic")
    assert (turn.blocks_for("anthropic"), turn.blocks_for("bedrock")) == ((SEARCH,), ())


def reply_of(text, **fields):
    return Reply(text, "anthropic", "m", usage=Usage(1, 1, 2), **fields)


def test_citations_of_rounds_move_with_their_text():
    first = reply_of("Ab", citations=[Citation("u", "", 0, 1, "A"), Citation("v")])
    last = reply_of("Cd", citations=[Citation("u", "", 1, 2, "d")])
    both = combine_replies(last, [first, last], "Ab\n\nCd", [], [0, 4])
    assert [(citation.url, citation.start) for citation in both.citations] == [("u", 0), ("v", None), ("u", 5)]
    replaced = combine_replies(last, [first, last], "Cd", [])
    assert [(citation.url, citation.start) for citation in replaced.citations] == [("u", None), ("v", None), ("u", 1)]


def test_a_search_that_a_pause_interrupts_is_one():
    page = Source("u")
    paused = reply_of("", searches=[Search("tides")], finish_reason="pause_turn")
    results = [
        reply_of("", searches=[Search("", [page]), Search("moon")]),
        reply_of("", searches=[]),
        reply_of("", searches=[Search("moon", [page])]),
    ]
    expected = [
        [Search("tides", [page]), Search("moon")],
        [Search("tides")],
        [Search("tides"), Search("moon", [page])],
    ]
    for result, searches in zip(results, expected):
        assert combine_replies(result, [paused, result], "", []).searches == searches


def test_a_chat_completion_that_is_not_streamed_has_its_citations(searching):
    reply = searching("openai/gpt-5-search-api").ask(
        QUESTION, search=True, extra={"stream": False, "stream_options": None}
    )
    check_places(reply)


def test_only_one_of_two_kinds_of_domains_is_checked_for_each_tool(searching):
    tools = [{"type": "web_search_1", "name": "w", "allowed_domains": ["example.org"]}, {"type": "code", "name": "c"}]
    assert searching("anthropic").ask(QUESTION, extra={"tools": tools}).citations


def test_options_are_told_about_tools():
    assert not Options().has_tool_fields
    assert Options(service_tools=[{"type": "x"}]).has_tool_fields


# Money before the answer.


@pytest.mark.parametrize(
    "options",
    [
        {"search": True},
        {"search": {"max_searches": 3}},
        {"tools": ["web_search"]},
        {"tools": [{"type": "web_search"}]},
        {"extra": {"tools": [{"type": "web_search"}]}},
    ],
)
def test_an_estimate_has_the_fee_of_a_search(searching, options):
    client = searching("openai")
    plain, searched = client.estimate([QUESTION]).cost, client.estimate([QUESTION], **options).cost
    # What the tool adds to the prompt costs a little as well.
    assert 0.01 <= searched - plain < 0.0101


def test_a_budget_below_the_fee_sends_nothing(searching, sandbox):
    client = searching("openai", budget=0.009)
    with pytest.raises(BudgetExceededError):
        client.ask(QUESTION, search=True)
    results = searching("openai").map([QUESTION] * 3, search=True, budget=0.009, progress=False)
    assert isinstance(results.stopped, BudgetExceededError)
    assert results.cost == 0.0
    assert sandbox.requests == []


def test_the_most_that_a_search_may_cost_is_its_limit_or_ten_searches(searching):
    client = searching("anthropic")
    costs = [
        highest_cost(client._build_call(QUESTION, 0, search=search, max_tokens=10))
        for search in (False, {"max_searches": 2}, True)
    ]
    assert costs[1] - costs[0] == pytest.approx(0.02, abs=0.001)
    assert costs[2] - costs[0] == pytest.approx(0.10, abs=0.001)


def test_a_budget_for_searches_whose_fee_is_not_known_says_what_to_pass(policy):
    client = Client("mistral", api_key="k", retry=policy, budget=1.0)
    with client, pytest.raises(ConfigurationError, match=r"fee for a search by mistral/.* is not known.*per_search"):
        client.ask(QUESTION, search=True)
