"""The rows of data: what each service of OpenAI's protocol does differently, as it was seen on the wire."""

from __future__ import annotations

import base64

import provider_wires as wires
import pytest
from recorded import recording

from aichatkit import Client
from aichatkit.chunks import Citation, Cited, Finish, Picture, ToolCall
from aichatkit.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ContentFilteredError,
    QuotaExceededError,
    RateLimitError,
)
from aichatkit.messages import Message, ToolCallsMessage, ToolResultMessage
from aichatkit.params import PARAMS
from aichatkit.providers.base import Provider
from aichatkit.providers.services import SERVICES
from aichatkit.registry import register, registry

LOCAL = ("llamacpp", "lmstudio", "ollama-v1", "vllm")
CAPITAL = "The capital of France is Paris, la Ville Lumière."


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Forget after a test what it registered."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.mark.parametrize("name", SERVICES)
def test_a_row_holds_only_attributes_a_provider_has(name):
    kind = registry[name]
    assert set(SERVICES[name]) <= {attribute for attribute in dir(kind) if not attribute.startswith("_")}
    assert set(kind.params) <= PARAMS
    assert kind.default_model


def test_no_two_providers_have_the_same_rank():
    ranks = [registry[name].rank for name in registry if registry[name].rank]
    assert len(ranks) == len(set(ranks))


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_server_needs_no_key_takes_its_time_and_is_never_chosen_by_a_key(name):
    kind = registry[name]
    assert (kind.needs_key, kind.read_timeout, kind.rank, kind.direct) == (False, 300.0, 0, True)


def test_a_local_server_that_is_not_running_is_told_with_the_way_to_start_it(policy):
    url = {"ollama-v1": "http://127.0.0.1:9/v1"}
    with Client(model="ollama-v1", base_url=url, retry=0) as client, pytest.raises(ConnectError) as caught:
        client.ask("Hi")
    assert str(caught.value).endswith("Start the server: ollama serve")


@pytest.mark.parametrize("name", [*LOCAL, "groq", "mistral", "openai", "perplexity", "azure"])
def test_every_service_has_its_own_variable_for_the_key(name, monkeypatch):
    variable = registry[name].key_variables()[0]
    monkeypatch.setenv(variable, "sk-found")
    assert registry[name].find_key() == "sk-found"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("mistral", "max_tokens"),
        ("deepseek", "max_tokens"),
        ("openrouter", "max_tokens"),
        ("openai", "max_completion_tokens"),
        ("groq", "max_completion_tokens"),
        ("cerebras", "max_completion_tokens"),
        ("azure", "max_completion_tokens"),
    ],
)
def test_the_number_of_tokens_goes_by_the_name_the_service_heeds(name, field):
    sent = wires.body(name, params={"max_tokens": 9})
    assert sent[field] == 9
    assert {"max_tokens", "max_completion_tokens"} & set(sent) == {field}


@pytest.mark.parametrize("name", ["openai", "groq"])
def test_a_server_behind_base_url_gets_the_older_name_of_the_field(name):
    sent = wires.body(name, base_url="http://127.0.0.1:9/v1", params={"max_tokens": 9})
    assert sent["max_tokens"] == 9
    assert "max_completion_tokens" not in sent


@pytest.mark.parametrize("name", ["mistral", "groq", "zai", "cohere"])
def test_stream_options_are_left_out_where_they_are_refused(name):
    assert "stream_options" not in wires.body(name)


@pytest.mark.parametrize("name", ["openrouter", "together", "cerebras", "fireworks", "azure", "vllm"])
def test_usage_is_asked_for_where_it_comes_only_then(name):
    assert wires.body(name)["stream_options"] == {"include_usage": True}


def test_the_seed_is_called_random_at_mistral():
    assert wires.body("mistral", params={"seed": 7})["random_seed"] == 7


def test_effort_stands_in_an_object_at_openrouter():
    assert wires.body("openrouter", params={"reasoning_effort": "low"})["reasoning"] == {"effort": "low"}


def test_one_stop_word_is_sent_as_a_list():
    assert wires.body("groq", params={"stop": "END"})["stop"] == ["END"]
    assert wires.body("groq", params={"stop": ["A", "B"]})["stop"] == ["A", "B"]


def test_extra_fields_go_in_unchanged_and_into_the_objects_that_are_there():
    sent = wires.body("openai", extra={"stream_options": {"x": 1}, "n": 2, "metadata": {"a": {"b": 1}}})
    assert sent["stream_options"] == {"include_usage": True, "x": 1}
    assert (sent["n"], sent["metadata"]) == (2, {"a": {"b": 1}})


def test_extra_fields_do_not_change_what_the_caller_holds():
    extra = {"reasoning": {"exclude": True}}
    wires.body("openrouter", params={"reasoning_effort": "low"}, extra=extra)
    assert extra == {"reasoning": {"exclude": True}}


def test_openrouter_is_told_who_asks():
    assert wires.request("openrouter").headers["X-Title"] == "aichatkit"


def test_the_organisation_and_project_of_the_environment_go_into_headers(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    for name in ("openai", "openai-responses"):
        headers = wires.request(name).headers
        assert (headers["OpenAI-Organization"], headers["OpenAI-Project"]) == ("org-1", "proj-1")


def test_the_role_of_a_developer_is_kept_only_where_it_is_known():
    turns = [Message("developer", "Be brief."), Message("user", "Hi")]
    assert wires.body("openai", turns)["messages"][0]["role"] == "developer"
    assert wires.body("mistral", turns)["messages"][0]["role"] == "system"


def test_tools_and_their_results_go_out_as_turns():
    sent = wires.body("groq", wires.ROUND, tools=[wires.WEATHER])
    assert sent["tools"][0]["function"] == {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": wires.WEATHER.parameters,
    }
    _, asked, first, second = sent["messages"]
    assert asked["content"] is None
    assert asked["tool_calls"][0] == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
    }
    assert first == {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
    assert second["tool_call_id"] == "call_2"
    assert "reasoning_content" not in asked


def test_a_call_that_another_service_gave_no_id_goes_by_its_name():
    call = ToolCall("", "weather")
    turns = [Message("user", "Hi"), ToolCallsMessage("assistant", "", (call,)), ToolResultMessage("tool", "rain", call)]
    _, asked, result = wires.body("openai", turns)["messages"]
    assert asked["tool_calls"][0]["id"] == result["tool_call_id"] == "weather"


@pytest.mark.parametrize("name", ["deepseek", "moonshot"])
def test_thoughts_go_back_with_the_results_of_tools_where_they_are_wanted(name):
    assert wires.body(name, wires.ROUND)["messages"][1]["reasoning_content"] == "Two cities."


def test_text_beside_the_calls_of_tools_is_kept():
    asked = ToolCallsMessage("assistant", "I look.", (wires.CALL,))
    assert wires.body("groq", [Message("user", "Rain?"), asked])["messages"][1]["content"] == "I look."


@pytest.mark.parametrize(("schema", "strict"), [(wires.STRICT, True), (wires.WEATHER.parameters, False)])
def test_a_schema_is_held_strictly_where_it_can_be(schema, strict):
    answer = wires.body("openai", schema=schema)["response_format"]
    assert answer["type"] == "json_schema"
    assert (answer["json_schema"]["schema"], answer["json_schema"]["strict"]) == (schema, strict)


def test_an_answer_to_a_schema_is_not_streamed_where_that_is_refused():
    assert wires.body("groq", schema=wires.STRICT)["stream"] is False
    assert wires.body("together", schema=wires.STRICT)["stream"] is True


@pytest.mark.parametrize("name", ["dashscope", "deepseek", "meta", "minimax", "moonshot", "nvidia", "zai"])
def test_a_service_without_schemas_says_so(name):
    assert not registry[name].takes_schema


def test_files_go_out_as_parts():
    def part(file):
        return wires.body("openai", wires.with_file(file))["messages"][0]["content"][1]

    data = base64.b64encode(wires.PNG).decode()
    assert part(wires.PICTURE) == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    assert part(wires.PICTURE_URL)["image_url"]["url"] == "https://example.org/dot.png"
    assert part(wires.NOTE) == {"type": "text", "text": "note.txt:\nRemember."}
    assert part(wires.SOUND)["input_audio"] == {"data": "SUQz", "format": "mp3"}
    assert part(wires.PAPER)["file"] == {"filename": "paper.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}


def test_parts_in_the_protocol_s_own_words_are_left_alone():
    own = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}]
    assert wires.body("openai", [Message("user", own)])["messages"][0]["content"] == own


@pytest.mark.parametrize(("name", "file"), [("cerebras", wires.PICTURE), ("groq", wires.PAPER)])
def test_a_file_that_a_service_does_not_take_moves_on_to_the_next(name, file):
    with pytest.raises(ConfigurationError, match=f"{name} takes no files of the kind") as caught:
        wires.body(name, wires.with_file(file))
    assert caught.value.action == "next"


def test_a_sound_known_by_its_address_alone_cannot_be_sent():
    sound = wires.File("audio", "audio/wav", url="https://example.org/a.wav")
    with pytest.raises(ConfigurationError, match="by its address"):
        wires.body("openai", wires.with_file(sound))


@pytest.mark.parametrize("name", ["groq", "moonshot", "mistral", "openrouter", "perplexity", "minimax", "xai"])
def test_the_last_word_on_usage_counts_wherever_it_stands(name):
    told = wires.usage(wires.chunks(name, recording(name)))
    expected = {"groq": 53, "moonshot": 25, "mistral": 20, "openrouter": 26, "perplexity": 18, "minimax": 188}
    assert told["total_tokens"] == expected.get(name, 172)


@pytest.mark.parametrize(
    ("name", "thoughts"),
    [
        ("groq", "Capital city."),
        ("deepseek", "The capital is Paris."),
        ("mistral", "A question of geography."),
        ("zai", "The user asks about France."),
    ],
)
def test_thoughts_are_kept_apart_from_the_answer(name, thoughts):
    found = wires.chunks(name, recording(name))
    assert (wires.thoughts(found), wires.text(found)) == (thoughts, CAPITAL)


@pytest.mark.parametrize(
    ("name", "cached", "reasoning"), [("moonshot", 4, None), ("xai", 151, 80), ("deepseek", 0, 19), ("zai", 2, None)]
)
def test_cached_and_reasoning_tokens_are_told_as_each_service_tells_them(name, cached, reasoning):
    told = wires.usage(wires.chunks(name, recording(name)))
    assert (told.get("cached_tokens"), told.get("reasoning_tokens")) == (cached, reasoning)


def test_deepseek_s_own_word_for_cached_tokens_is_known():
    answer = wires.event({"choices": [], "usage": {"prompt_tokens": 9, "prompt_cache_hit_tokens": 5}})
    assert wires.usage(wires.chunks("deepseek", answer))["cached_tokens"] == 5


def test_minimax_repeats_the_whole_message_at_the_end_and_it_is_said_once():
    assert wires.text(wires.chunks("minimax", recording("minimax"))) == CAPITAL


def test_minimax_that_does_not_stream_is_read_as_well():
    whole = b'{"choices":[{"finish_reason":"stop","message":{"content":"Hello"}}],"base_resp":{"status_code":0}}'
    assert wires.text(wires.chunks("minimax", whole)) == "Hello"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1002, RateLimitError),
        (1004, AuthenticationError),
        (1008, QuotaExceededError),
        (1026, ContentFilteredError),
    ],
)
def test_minimax_tells_failures_by_numbers_of_its_own(code, kind):
    answer = wires.event({"choices": None, "base_resp": {"status_code": code, "status_msg": "no"}})
    with pytest.raises(kind):
        wires.chunks("minimax", answer)


def test_a_source_that_gets_its_title_later_is_one_source(asks, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-p")
    url = "https://example.org/"
    usage = {"prompt_tokens": 1}
    first = {"choices": [{"delta": {"content": "Hi"}}], "citations": [url], "usage": usage}
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}], "search_results": [{"url": url, "title": "T"}]}
    reply = asks("openrouter", b"".join(map(wires.event, (first, first, last))))
    assert reply.citations == [Citation(url, "T")]


def test_sources_in_annotations_are_citations():
    source = {"url": "https://example.org/", "title": "Example"}
    for note in ({"type": "url_citation", "url_citation": source}, {"type": "url_citation", **source}, {"type": "x"}):
        answer = wires.event({"choices": [{"delta": {"content": "", "annotations": [note]}}]})
        expected = [Cited("https://example.org/", "Example", "marker")] if note["type"] == "url_citation" else []
        assert wires.of_kind(wires.chunks("openrouter", answer), Cited) == expected


def test_pictures_in_an_answer_are_pictures():
    images = [
        {"type": "image_url", "image_url": {"url": url}} for url in ("data:image/png;base64,AA==", "https://x/a.png")
    ]
    answer = wires.event({"choices": [{"delta": {"content": "", "images": images}}]})
    found = wires.of_kind(wires.chunks("openrouter", answer), Picture)
    assert found == [Picture(data="data:image/png;base64,AA=="), Picture(url="https://x/a.png")]


def test_only_the_first_of_several_choices_is_the_answer():
    pieces = [(0, "a"), (1, "b"), (0, "c"), (1, "d")]
    answer = b"".join(wires.event({"choices": [{"index": i, "delta": {"content": text}}]}) for i, text in pieces)
    assert wires.text(wires.chunks("openai", answer)) == "ac"


def test_a_bridge_that_sends_no_reason_has_ended_with_done():
    found = wires.chunks("ollama-v1", recording("ollama-v1"))
    assert wires.of_kind(found, Finish) == [Finish(last=True)]


def test_a_picture_model_is_asked_where_pictures_are_made():
    request = wires.request(
        "openai", "one red dot", model="gpt-image-2.5-flare", params={"user": "me"}, extra={"size": "auto"}
    )
    assert request.url == "https://api.openai.com/v1/images/generations"
    sent = wires.body(
        "openai", "one red dot", model="gpt-image-2.5-flare", params={"user": "me"}, extra={"size": "auto"}
    )
    assert sent == {"model": "gpt-image-2.5-flare", "prompt": "one red dot", "user": "me", "size": "auto"}


def test_a_picture_model_takes_no_sampling():
    with pytest.raises(ConfigurationError, match="temperature"):
        wires.body("openai", model="gpt-image-2.5-sunburst", params={"temperature": 1})


# The sandbox sends addresses for names that begin as those of the older models did.
@pytest.mark.parametrize("model", ["dall-e-of-old", "gpt-image-2.5-flare"])
def test_a_picture_comes_by_its_address_or_as_data(client, model):
    image = client.image("a cat", model=f"openai/{model}")
    assert image.bytes().startswith(wires.PNG)
    assert bool(image.urls) is (model == "dall-e-of-old")


def test_a_picture_tells_its_tokens():
    data = base64.b64encode(wires.PNG).decode()
    answer = f'{{"data":[{{"b64_json":"{data}"}}],"usage":{{"input_tokens":5,"output_tokens":9,"total_tokens":14}}}}'
    found = wires.chunks("openai", answer.encode())
    assert wires.usage(found) == {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}
    assert (found[0], found[-1]) == (Picture(data=f"data:image/png;base64,{data}"), Finish("stop", last=True))


def test_a_row_of_one_s_own_takes_every_attribute():
    kind = register("row-gateway", url="https://row.example/v1/", stream_usage=False, headers={"X-Team": "a"})
    assert kind.url == "https://row.example/v1"
    assert "stream_options" not in wires.body("row-gateway")
    assert wires.request("row-gateway").headers["X-Team"] == "a"


def test_a_misspelt_attribute_of_a_row_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'stream_usage'"):
        register("row-misspelt", url="https://row.example/v1", stream_usag=False)


def test_attributes_go_with_a_name_and_not_with_a_class():
    with pytest.raises(ConfigurationError, match="go with a name"):
        register(Provider, stream_usage=False)


def test_a_list_of_models_may_be_a_bare_list(web, monkeypatch):
    monkeypatch.setenv("TOGETHER_API_KEY", "sk-t")
    web.get("https://api.together.xyz/v1/models", json=[{"id": "b"}, {"id": "a"}])
    with Client(retry=0) as client:
        assert client.models("together") == ["a", "b"]


def test_a_service_that_shows_no_end_may_say_so_and_then_nothing_is_called_complete(asks):
    register("row-bridge", url="https://bridge.example/v1", requires_end=False)
    unended = wires.event({"choices": [{"delta": {"content": "Hi"}, "finish_reason": None}]})
    assert asks("row-bridge/m", unended).complete is None
    ended = wires.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert asks("row-bridge/m", unended + ended).complete is True
