"""Tools that services run, web search and the choice of tools, as each protocol writes them."""

from __future__ import annotations

import provider_wires as wires
import pytest

from aichatkit import Client
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Options, Tool, ToolChoice, WebSearch
from aichatkit.providers.routes import OpenAIModelsOnResponses, XAIResponses
from aichatkit.providers.search_fields import check_search
from aichatkit.registry import registry

LIMITS = WebSearch(("a.org",), ("b.org",), 3, "DE", "NRW", "Köln", "Europe/Berlin", "low")
PLACE = {"country": "DE", "region": "NRW", "city": "Köln", "timezone": "Europe/Berlin"}
NAMED = ToolChoice("function", "weather")


def stock(article: str) -> int:
    """Count an article."""
    return len(article)


@pytest.mark.parametrize(
    ("name", "search", "fields"),
    [
        (
            "openai-responses",
            LIMITS,
            {
                "tools": [
                    {
                        "type": "web_search",
                        "user_location": {"type": "approximate", **PLACE},
                        "filters": {"allowed_domains": ["a.org"], "blocked_domains": ["b.org"]},
                        "search_context_size": "low",
                    }
                ],
                "include": ["web_search_call.action.sources"],
                "max_tool_calls": 3,
            },
        ),
        (
            "openai-responses",
            WebSearch(),
            {"tools": [{"type": "web_search", "user_location": {"type": "approximate"}}]},
        ),
        (
            "anthropic",
            LIMITS._replace(blocked_domains=(), size=""),
            {
                "tools": [
                    {
                        "type": "web_search_20250305",
                        "name": "web_search",
                        "max_uses": 3,
                        "allowed_domains": ["a.org"],
                        "user_location": {"type": "approximate", **PLACE},
                    }
                ]
            },
        ),
        ("anthropic", WebSearch(), {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("gemini", WebSearch(), {"tools": [{"google_search": {}}]}),
        (
            "openrouter",
            LIMITS,
            {
                "tools": [
                    {
                        "type": "openrouter:web_search",
                        "parameters": {
                            "max_uses": 3,
                            "allowed_domains": ["a.org"],
                            "excluded_domains": ["b.org"],
                            "search_context_size": "low",
                            "user_location": {"type": "approximate", **PLACE},
                        },
                    }
                ]
            },
        ),
        ("openrouter", WebSearch(), {"tools": [{"type": "openrouter:web_search"}]}),
        ("groq", WebSearch(), {"tools": [{"type": "browser_search"}]}),
        (
            "openai",
            WebSearch(country="DE", size="high"),
            {
                "web_search_options": {
                    "search_context_size": "high",
                    "user_location": {"type": "approximate", "approximate": {"country": "DE"}},
                }
            },
        ),
        ("openai", WebSearch(), {"web_search_options": {}}),
        (
            "perplexity",
            WebSearch(("a.org",), size="low", country="DE", city="Köln"),
            {
                "tools": [
                    {
                        "type": "web_search",
                        "filters": {"search_domain_filter": ["a.org"]},
                        "search_context_size": "low",
                        "user_location": {"country": "DE", "city": "Köln"},
                    }
                ]
            },
        ),
        (
            "perplexity",
            WebSearch(blocked_domains=("b.org",)),
            {"tools": [{"type": "web_search", "filters": {"search_domain_filter": ["-b.org"]}}]},
        ),
    ],
)
def test_each_service_is_asked_to_search_in_its_own_way(name, search, fields):
    body = wires.body(name, search=search)
    assert {field: body[field] for field in fields} == fields


def test_a_system_of_groq_s_that_searches_takes_settings():
    body = wires.body("groq", model="groq/compound", search=WebSearch(("a.org",), ("b.org",), country="DE"))
    assert body["search_settings"] == {"include_domains": ["a.org"], "exclude_domains": ["b.org"], "country": "DE"}
    assert "search_settings" not in wires.body("groq", model="groq/compound", search=WebSearch())


def test_xai_searches_through_its_responses():
    request = XAIResponses().build_request(
        [], "grok-4.3", options=Options(search=WebSearch(blocked_domains=("b.org",)))
    )
    assert request.url == "https://api.x.ai/v1/responses"
    assert request.json["tools"] == [{"type": "web_search", "filters": {"excluded_domains": ["b.org"]}}]


@pytest.mark.parametrize(
    ("model", "routed"),
    [
        ("openai/gpt-6-luna", OpenAIModelsOnResponses),
        ("openai/gpt-5-search-api", None),
        ("xai/grok-4.3", XAIResponses),
        ("groq/openai/gpt-oss-120b", None),
        ("anthropic/claude-sonnet-5-5", None),
    ],
)
def test_tools_of_a_service_go_to_the_endpoint_that_has_them(model, routed):
    name, _, model = model.partition("/")
    assert registry[name].for_service_tools(model) is routed


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("openai", {"type": "function", "function": {"name": "weather"}}),
        ("openai-responses", {"type": "function", "name": "weather"}),
        ("anthropic", {"type": "tool", "name": "weather"}),
    ],
)
def test_a_function_is_chosen_in_the_form_of_the_protocol(name, sent):
    assert wires.body(name, tools=[wires.WEATHER], tool_choice=NAMED)["tool_choice"] == sent


def test_words_are_chosen_in_the_form_of_the_protocol():
    def sent(name, mode):
        return wires.body(name, tools=[wires.WEATHER], tool_choice=ToolChoice(mode)).get("tool_choice")

    modes = ("auto", "none", "required")
    assert [sent("openai", mode) for mode in modes] == [*modes]
    assert [sent("openai-responses", mode) for mode in modes] == [*modes]
    assert [sent("anthropic", mode) for mode in modes] == [{"type": "auto"}, {"type": "none"}, {"type": "any"}]
    assert [sent("cohere", mode) for mode in modes] == [None, "NONE", "REQUIRED"]
    assert sent("ollama", "auto") is None


def test_gemini_names_the_functions_that_may_be_called():
    config = wires.body("gemini", tools=[wires.WEATHER], tool_choice=NAMED)["toolConfig"]
    assert config == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}
    config = wires.body("gemini", tools=[wires.WEATHER], tool_choice=ToolChoice("none"))["toolConfig"]
    assert config == {"functionCallingConfig": {"mode": "NONE"}}


@pytest.mark.parametrize(
    ("name", "model"), [("gemini", "gemini-3.5-flash-lite"), ("groq", "groq/compound"), ("openai", "gpt-5-search-api")]
)
def test_without_functions_there_is_nothing_to_choose_from(name, model):
    def body(mode, **options):
        return wires.body(name, model=model, search=WebSearch(), tool_choice=ToolChoice(mode), **options)

    assert not {"toolConfig", "tool_choice"} & body("auto").keys()
    for mode in ("none", "required"):
        with pytest.raises(ConfigurationError, match=f"tool_choice='{mode}' is not possible with {model} and no"):
            body(mode)


def test_functions_in_extra_may_be_chosen():
    extra = {"tools": [{"functionDeclarations": []}]}
    body = wires.body("gemini", search=WebSearch(), tool_choice=ToolChoice("none"), extra=extra)
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}}


def test_tools_of_a_service_go_out_beside_functions_as_they_are():
    code = {"type": "code_execution_20250825", "name": "code_execution"}
    tools = wires.body("anthropic", tools=[wires.WEATHER], service_tools=[code])["tools"]
    assert [tool["name"] for tool in tools] == ["weather", "code_execution"]
    assert tools[1] == code
    tools = wires.body("gemini", tools=[wires.WEATHER], service_tools=[{"url_context": {}}])["tools"]
    assert [next(iter(tool)) for tool in tools] == ["functionDeclarations", "url_context"]


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("anthropic", {"type": "web_fetch_20250910", "name": "web_fetch", "citations": {"enabled": True}}),
        ("gemini", {"url_context": {}}),
    ],
)
def test_pages_are_read_by_the_tool_of_the_service(name, tool):
    assert wires.body(name, "Read https://a.example", service_tools=({"type": "web_fetch"},))["tools"] == [tool]


def test_tools_in_extra_are_added_to_the_others():
    extra = {"tools": [{"type": "web_search"}], "tool_choice": "auto"}
    body = wires.body("openai-responses", tools=[wires.WEATHER], extra=extra)
    assert [tool["type"] for tool in body["tools"]] == ["function", "web_search"]
    assert wires.body("openai-responses", extra=extra)["tools"] == [{"type": "web_search"}]


@pytest.mark.parametrize(
    ("model", "options", "problem"),
    [
        ("cohere", {"search": True}, "cohere: it has no web search of its own; services that do: anthropic, gemini"),
        ("ollama", {"search": True}, "ollama search: it needs a key"),
        ("deepseek", {"search": True}, "deepseek: it has no web search of its own"),
        ("gemini", {"search": {"domains": "a.org"}}, "'domains'.* there; services that take it: anthropic, groq"),
        ("groq", {"search": {"domains": "a.org"}}, "'domains'.* is not possible with openai/gpt-oss"),
        ("xai", {"search": {"max_searches": 2}}, "'max_searches'.*: anthropic, ollama, openai, openrouter$"),
        ("xai", {"search": {"domains": [f"{n}.org" for n in range(6)]}}, "at most 5 domains"),
        ("xai", {"search": {"blocked_domains": [f"{n}.org" for n in range(6)]}}, "at most 5 domains"),
        ("xai", {"search": {"domains": "a.org", "blocked_domains": "b.org"}}, "not both"),
        ("anthropic", {"search": {"domains": "a.org", "blocked_domains": "b.org"}}, "not both"),
        ("perplexity", {"search": {"domains": "a.org", "blocked_domains": "b.org"}}, "not both"),
        ("perplexity", {"search": {"domains": [f"{n}.org" for n in range(21)]}}, "at most 20 domains"),
        ("perplexity", {"search": {"timezone": "Europe/Berlin"}}, "'timezone'.* not possible there"),
        ("gemini/gemini-2.0-pro", {"search": True, "tools": [stock]}, "cannot search and call functions in one"),
        ("groq/llama-9", {"search": True}, "llama-9 cannot search; openai/gpt-oss-120b"),
        ("groq/groq/compound", {"search": True, "tools": [stock]}, "takes no tools= of yours"),
        ("openai/gpt-5-search-api", {"search": True, "tools": [stock]}, "takes no tools="),
        ("openai", {"tools": ["web_fetch"]}, "openai reads no web pages .* that do: anthropic, gemini"),
        ("cohere", {"tools": [{"type": "web_search"}]}, r"takes only functions in tools=.*\(web_search\)"),
        ("ollama", {"tools": [{"google_search": {}}]}, r"\(google_search\)"),
        ("cohere", {"tools": [stock], "tool_choice": stock}, "cohere takes no tool_choice='stock'; services that do"),
        ("ollama", {"tools": [stock], "tool_choice": "required"}, "ollama takes no tool_choice='required'"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")
def test_what_a_service_cannot_do_is_an_error_before_anything_is_sent(model, options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        Client(model, api_key="k").ask("Hi", **options)


def test_a_search_with_the_least_reasoning_is_refused():
    options = Options(search=WebSearch(), params={"reasoning_effort": "minimal"})
    with pytest.raises(ConfigurationError, match="does not work with reasoning_effort='minimal'"):
        check_search(registry["openai-responses"](), "m", options)


def test_a_function_of_the_name_of_the_search_is_refused():
    def web_search(query: str) -> str:
        """Search."""
        return query

    with pytest.raises(ConfigurationError, match="give it another name"):
        Client("anthropic", api_key="k").ask("Hi", search=True, tools=[web_search])


@pytest.mark.parametrize("name", ["anthropic", "openai-responses", "gemini", "groq"])
def test_what_a_service_can_do_is_not_refused(name):
    options = Options(search=WebSearch(), tools=[Tool("a", "", {})] * (name != "groq"))
    check_search(registry[name](), registry[name].default_model, options)


def test_a_system_of_groq_s_searches_without_tools():
    check_search(registry["groq"](), "groq/compound", Options(search=WebSearch(("a.org",))))
    check_search(registry["openai"](), "gpt-5-search-api", Options(search=WebSearch()))
    check_search(registry["xai"](), "grok-4.3", Options(search=WebSearch(("a.org",))))


def test_a_search_describes_the_schema_where_a_json_answer_cannot_cite():
    searching = Options(search=WebSearch())
    assert not registry["anthropic"]().takes_schema_for("claude-sonnet-5-5", searching)
    assert registry["anthropic"]().takes_schema_for("claude-sonnet-5-5", Options())
    assert not registry["gemini"]().takes_schema_for("gemini-2.0-pro", searching)
    assert registry["gemini"]().takes_schema_for("gemini-3.8-flash", searching)
