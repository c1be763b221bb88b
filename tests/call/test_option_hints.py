"""The words of other SDKs are answered with ours, on every interface, before anything is sent."""

from __future__ import annotations

import pytest

import aichatkit as ai
from aichatkit import Chat, Client, ConfigurationError
from aichatkit.call import other_words
from aichatkit.testing import Fake

HI = [{"role": "user", "content": "Hi"}]


def calls(client, option, value="x"):
    """Return a call of each interface with an option, by its name."""
    given = {option: value}
    chat = client.chat()
    return {
        "ask": lambda: client.ask("Hi", **given),
        "stream": lambda: client.stream("Hi", **given),
        "image": lambda: client.image("Hi", **given),
        "map": lambda: client.map(["Hi"], **given),
        "estimate": lambda: client.estimate(["Hi"], **given),
        "check": lambda: client.check(**given),
        "chat": lambda: client.chat(**given),
        "Chat": lambda: Chat(client, **given),
        "Chat.ask": lambda: chat.ask("Hi", **given),
        "Chat.stream": lambda: chat.stream("Hi", **given),
        "Chat.show": lambda: chat.show("Hi", **given),
        "Client": lambda: Client(**given),
    }


@pytest.mark.parametrize(
    ("option", "by_default", "elsewhere"),
    [
        ("max_retries", "did you mean retry=?", {}),
        ("num_retries", "did you mean retry=?", {}),
        ("numRetries", "did you mean retry=?", {}),
        (
            "api_base",
            "did you mean base_url=? It belongs to the client: Client(base_url=...)",
            {"Client": "did you mean base_url=?"},
        ),
        ("verify_ssl", "Client(verify=...)", {"Client": "did you mean verify=?"}),
        (
            "images",
            "did you mean files=[...]?",
            {"Client": "did you mean files=[...]? It belongs to a call: ask, stream, chat or map"},
        ),
        ("instructions", "did you mean system=, the system prompt?", {}),
        (
            "messages",
            "messages are passed as the prompt, ask(messages)",
            {
                "map": "the prompts come first, map(prompts)",
                "estimate": "the prompts come first, estimate(prompts)",
                "check": "check(...) sends a prompt of its own",
                **dict.fromkeys(("chat", "Chat"), "did you mean history=? A prompt is passed to ask()"),
                "Client": "it belongs to a call: ask(messages)",
            },
        ),
        (
            "question",
            "the prompt comes first, ask(prompt)",
            {
                "map": "the prompts come first",
                "estimate": "the prompts come first",
                "check": "a prompt of its own",
                **dict.fromkeys(("chat", "Chat"), "did you mean history=?"),
                "Client": "it belongs to a call: ask(question)",
            },
        ),
        (
            "stream",
            "to stream an answer, call stream(...)",
            {
                **dict.fromkeys(("ask", "Chat.ask"), "did you mean stream(...) instead of ask(...)?"),
                **dict.fromkeys(("stream", "Chat.stream"), "stream(...) always streams, so leave it out"),
                "Chat.show": "show(...) always streams",
            },
        ),
        (
            "numGenerations",
            "a call gives one answer; for several to one prompt, use map([prompt] * 3)",
            {"image": "did you mean n=?"},
        ),
        ("candidate_count", "use map([prompt] * 3)", {"image": "did you mean n=?"}),
        ("aspect_ratio", "did you mean size=? It belongs to images: image(prompt, size=...)", {"image": "size=?"}),
        (
            "service_tier",
            "extra={'service_tier': ...}",
            {"Client": "in a call: ask(prompt, extra={'service_tier': ...})"},
        ),
        ("max_workers", "did you mean workers=? It belongs to map(...)", {"map": "did you mean workers=?"}),
        ("max_completion_tokens", "did you mean max_tokens=?", {}),
        ("models", "model=[...]", {}),
        ("chat_history", "did you mean history=? It belongs to a conversation", {}),
    ],
)
def test_each_interface_answers_a_foreign_word(option, by_default, elsewhere):
    fake = Fake([])
    for name, call in calls(fake.client(), option).items():
        with pytest.raises(ConfigurationError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(f"unknown option or parameter {option!r}; "), name
        # Where it is an option of the interface, its place need not be said.
        expected = elsewhere.get(name, by_default)
        assert expected.partition("? It")[0] in message, name
        assert elsewhere.get(name, "") in message, name
    assert fake.prompts == []


@pytest.mark.parametrize("word", sorted(other_words._OURS))
def test_every_foreign_word_has_an_answer_everywhere(word):
    for name, call in calls(Fake([]).client(), word).items():
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert str(caught.value).startswith(f"unknown option or parameter {word!r}; "), name


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"input": ["Hi"]}, "the texts come first, embed(texts)"),
        ({"prompt": "Hi"}, "the texts come first, embed(texts)"),
        ({"texts": "Hi", "input_type": "query"}, "did you mean kind=?"),
        ({"texts": "Hi", "taskType": "query"}, "did you mean kind=?"),
        ({"texts": "Hi", "outputDimensionality": 3}, "did you mean dimensions=?"),
        ({"texts": "Hi", "normalize_embeddings": True}, "did you mean normalize=?"),
        ({"texts": "Hi", "store": True}, "extra={'store': ...}"),
    ],
)
def test_embed_answers_words_of_other_libraries(options, hint):
    with pytest.raises(ConfigurationError) as caught:
        Fake([]).client().embed(**options, model="openai")
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"input": "Hi"}, "the text comes first, decide(text, questions)"),
        ({"text": "Hi", "max_retries": 3}, "did you mean retry=?"),
        ({"text": "Hi", "temperature": 0}, "unknown option or parameter 'temperature'"),
    ],
)
def test_decide_answers_words_of_other_libraries(options, hint):
    with pytest.raises(ConfigurationError) as caught:
        Fake([]).client().decide(**options, model="openai")
    assert hint in str(caught.value)


@pytest.mark.parametrize("option", ["threshold", "emulate"])
def test_an_option_of_decisions_is_named_as_such(option):
    for name, call in calls(Fake([]).client(), option).items():
        if name in ("map", "estimate"):
            continue
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert f"it belongs to decisions: decide(text, questions, {option}=...)" in str(caught.value), name


def test_questions_belong_to_map_or_to_a_function_of_their_own():
    with pytest.raises(ConfigurationError, match=r"map\(prompts, decide=...\); for one text, call decide\(text"):
        Fake([]).client().ask("Hi", decide={"a?": bool})


@pytest.mark.parametrize("option", ["dimensions", "kind", "normalize", "truncate"])
def test_an_option_of_embeddings_is_named_as_such(option):
    for name, call in calls(Fake([]).client(), option).items():
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert f"it belongs to embeddings: embed(texts, {option}=...)" in str(caught.value), name


def test_operands_too_many_are_answered_for_what_was_called():
    client = Fake([]).client()
    with pytest.raises(ConfigurationError, match="embed: takes texts, a template, and options by name"):
        client.embed(["Hi"], "{text}", "openai")
    with pytest.raises(ConfigurationError, match="decide: takes a text, questions, "):
        client.decide("Hi", {}, "Is it?", "openai")
    with pytest.raises(ConfigurationError, match="check: takes the model, and options by name"):
        client.check("openai", 5)


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("apiKey", "it belongs to the client: Client(api_key=...)"),
        ("baseURL", "it belongs to the client: Client(base_url=...)"),
        ("serviceTier", "fields of a service go in as they are"),
        ("candidateCount", "a call gives one answer"),
        ("maxRounds", "did you mean max_rounds=?"),
    ],
)
def test_a_name_in_camel_case_is_answered_like_one_in_snake_case(option, hint):
    with pytest.raises(ConfigurationError) as caught:
        Fake([]).client().ask("Hi", **{option: "x"})
    assert hint in str(caught.value)


@pytest.mark.parametrize("option", ["api_key", "base_url", "verify", "session"])
def test_what_belongs_to_the_client_is_said_on_every_interface(option):
    client = Fake([]).client()
    for name, call in calls(client, option).items():
        if name == "Client":
            continue
        with pytest.raises(ConfigurationError, match=rf"it belongs to the client: Client\({option}=...\)"):
            call()


def test_a_response_format_that_is_a_type_leads_to_schema():
    client = Fake([]).client()
    for call in calls(client, "response_format", int).values():
        with pytest.raises(ConfigurationError, match="for a class or a JSON schema, use schema="):
            call()


def test_the_advice_for_several_answers_works():
    results = Fake(["one", "two", "three"]).client().map(["Hi"] * 3, workers=1, progress=False)
    assert results.text == ["one", "two", "three"]


def test_messages_are_taken_as_the_prompt():
    fake = Fake(["one", "two", "three", "four", "five"])
    client = fake.client()
    assert client.ask(messages=HI, max_tokens=5).text == "one"
    assert client.stream(messages=HI).read().text == "two"
    assert client.chat().ask(messages=HI).text == "three"
    with fake.installed():
        assert ai.ask(messages="Hi", model="openai").text == "four"
        assert ai.stream(messages=HI, model="openai").read().text == "five"
    assert fake.prompts == ["Hi"] * 5


def test_a_client_takes_the_model_as_its_first_argument():
    assert repr(Client("openai/gpt-6-luna")) == repr(Client(model="openai/gpt-6-luna"))
    with Client("offline", seed=1) as client:
        assert client.ask("Hello!").provider == "offline"


def test_a_chat_without_a_client_uses_the_default_one(monkeypatch):
    client = Client(model="offline")
    monkeypatch.setattr("aichatkit.api._default", [client])
    chat = Chat(model="offline/eliza", system="Be brief.")
    assert chat.client is client
    assert chat.ask("Hello!").model == "eliza"


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnopqrst",
        "sk-ant-api03-abcdefghijkl",
        "gsk_abcdefghijklmnopqrst",
        "AIzaSyAbcdefghijklmnopqrst",
        "xai-abcdefghijklmnopqrst",
        "hf_abcdefghijklmnopqrst",
    ],
)
def test_a_key_in_place_of_a_model_is_refused_without_showing_it(key):
    with pytest.raises(ConfigurationError, match="this looks like an API key; pass it as api_key=") as caught:
        Client(key)
    assert key not in str(caught.value)
    with pytest.raises(ConfigurationError, match="this looks like an API key"):
        Client("offline").ask("Hi", model=["openai", key])


def test_a_url_in_place_of_a_model_leads_to_base_url():
    with pytest.raises(ConfigurationError, match="this is a URL; pass it as base_url="):
        Client("https://gateway.example/v1")


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("chatgpt", "openai"),
        ("gpt", "openai"),
        ("claude", "anthropic"),
        ("google", "gemini"),
        ("llama3", "ollama/llama3"),
        ("llama3.1:8b", "ollama/llama3.1:8b"),
        ("qwen2.5", "ollama/qwen2.5"),
        ("GPT-6-Sol", "gpt-6-sol"),
        ("gpt6-sol", "gpt-6-sol"),
        ("Mistral", "mistral"),
        ("mixtral", "mistral"),
        ("vertex_ai", "vertex"),
        ("local", "ollama"),
    ],
)
def test_a_model_s_other_name_leads_to_what_can_be_passed(model, hint):
    with pytest.raises(ConfigurationError) as caught:
        Client(model).ask("Hi")
    assert str(caught.value) == f"no provider lists the model {model!r}; did you mean {hint!r}?"


def test_a_service_named_in_place_of_a_model_asks_for_its_key_only(monkeypatch):
    for name in ("gemini", "mistral"):
        with pytest.raises(ConfigurationError, match=f"{name}: no key; set {name.upper()}_API_KEY"):
            Client(name).ask("Hi")
