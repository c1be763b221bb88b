"""Which providers are asked, in which order, for which model, with which key."""

from __future__ import annotations

import traceback

import pytest

import aichatkit as ai
from aichatkit import Client, ConfigurationError, MissingKeyError, UnknownModelError, UnknownProviderError, register
from aichatkit.call.targets import find_targets, named_providers
from aichatkit.registry import GROUPS, registry
from aichatkit.sandbox import Sandbox

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Forget after a test what it registered."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


def names(model, **options):
    return [f"{target.provider.name}/{target.model}" for target in find_targets(model, **options)]


# Names of models.


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        ("openai/gpt-6-sol", ["openai/gpt-6-sol"]),
        ("openai/ft:gpt-6-sol:me::1/2", ["openai/ft:gpt-6-sol:me::1/2"]),
        ("openai", ["openai/gpt-6-luna"]),
        ("offline", ["offline/eliza"]),
        ("aichats/dalle", ["aichats/dalle"]),
        (["openai/gpt-6.1-sol", "aichats"], ["openai/gpt-6.1-sol", "aichats/gpt-4"]),
        (("openai", "openai", "offline"), ["openai/gpt-6-luna", "offline/eliza"]),
        ("free/gpt-4", ["aichats/gpt-4", "chatgptt/gpt-4"]),
        ("free/gpt-4o-mini", ["aichatonline/gpt-4o-mini", "chatgptt/gpt-4o-mini"]),
        (["aichat", "free/gpt-4"], ["aichat/gpt-3.5-turbo", "aichats/gpt-4", "chatgptt/gpt-4"]),
    ],
)
def test_a_model_stands_for_its_providers_in_order(model, targets):
    assert names(model) == targets


def test_free_is_the_five_sites_in_order():
    assert [target.provider.name for target in find_targets("free")] == [
        "aichats",
        "aichatonline",
        "aichat",
        "aichatfree",
        "chatgptt",
    ]


def test_only_the_first_slash_parts_a_name(sandbox):
    register("open-router", url=f"{sandbox.url}/v1")
    with Client(model="open-router/meta-llama/llama-3:free") as client:
        client.ask("Hi")
    assert sandbox.requests[-1].json()["model"] == "meta-llama/llama-3:free"


def test_the_service_gets_the_model_without_its_provider(client, sandbox):
    client.ask("Hi", model="openai/gpt-6-sol")
    assert sandbox.requests[-1].json()["model"] == "gpt-6-sol"


def test_a_bare_model_goes_to_the_provider_that_lists_it_and_has_a_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert names("gpt-6-sol") == ["openai/gpt-6-sol"]


def test_a_key_given_by_hand_counts_as_one(sandbox):
    urls = {"openai": f"{sandbox.url}/v1"}
    with Client(model="gpt-6-sol", api_key={"openai": KEY}, base_url=urls) as client:
        assert client.ask("Hi").provider == "openai"


def test_a_bare_model_that_only_the_catalog_knows_goes_to_its_service(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    # Azure's deployments have names of their own: the catalog's names are no use there.
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    assert names("gpt-5.4-2026-03-05") == ["openai/gpt-5.4-2026-03-05"]
    assert names("ministral-8b-latest") == ["mistral/ministral-8b-latest"]
    assert named_providers("ministral-8b-latest") == ["mistral"]


def test_a_bare_model_never_goes_to_a_site():
    with pytest.raises(UnknownModelError):
        find_targets("gemini-1.5-pro-of-a-site")
    with pytest.raises(MissingKeyError):
        find_targets("gpt-4")


@pytest.mark.parametrize(
    ("model", "error", "told"),
    [
        ("opnai", UnknownModelError, "no provider lists the model 'opnai'; did you mean 'openai'"),
        ("opnai/gpt-6-sol", UnknownProviderError, "there is no provider 'opnai'; did you mean 'openai'"),
        ("opnai/gpt-4", UnknownProviderError, "did you mean 'openai'"),
        ("OpenAI/gpt-6-sol", UnknownProviderError, "there is no provider 'OpenAI'"),
        ("gpt-6-soll", UnknownModelError, "did you mean 'gpt-6-sol'.*name its provider as 'provider/gpt-6-soll'"),
        (
            "chatgptt/gpt-4o-mni",
            UnknownModelError,
            "chatgptt has no model 'gpt-4o-mni'; did you mean 'gpt-4o-mini'.*has",
        ),
        ("free/gpt-5", UnknownModelError, "no provider of 'free' lists 'gpt-5'; did you mean 'gpt-4'.*they list dalle"),
        ("gpt-6-sol", MissingKeyError, "no key for 'gpt-6-sol'; set one of .*OPENAI_API_KEY.* or pass api_key="),
        ("openai/gpt-6-sol", MissingKeyError, "openai: no key; set OPENAI_API_KEY in the environment or pass api_key="),
        ([], ConfigurationError, "list is empty"),
        ("", ConfigurationError, "not ''"),
        (" ", ConfigurationError, "not ' '"),
        (["openai", None], ConfigurationError, "not None"),
        (5, ConfigurationError, "a name or a list of names, not int"),
        ("openai/gpt\n4", ConfigurationError, "control character"),
    ],
)
def test_a_model_that_cannot_be_asked_is_told_what_to_do(model, error, told):
    with pytest.raises(error, match=told), Client() as client:
        client.ask("Hi", model=model)


@pytest.mark.parametrize("model", [[], "", " ", ["openai", None], 5, "openai/gpt\n4"])
def test_a_client_refuses_what_cannot_be_a_model(model):
    with pytest.raises(ConfigurationError, match=r"^model: "):
        Client(model=model)


def test_a_provider_without_a_default_model_wants_one_named(sandbox):
    register("gateway", url=f"{sandbox.url}/v1")
    with Client(model="gateway") as client, pytest.raises(UnknownModelError, match="name one as 'gateway/model'"):
        client.ask("Hi")


# Nothing chosen.


def test_without_model_and_key_every_variable_is_told():
    with Client() as client, pytest.raises(ConfigurationError) as caught:
        client.ask("Hi")
    ranked = [kind for kind in registry.values() if kind.rank and kind.chosen_by_key]
    wanted = ["AICHATKIT_MODEL", "model='offline'", *(name for kind in ranked for name in kind.key_variables())]
    assert [name for name in wanted if name not in str(caught.value)] == []


def test_aichatkit_model_comes_before_keys(monkeypatch):
    monkeypatch.setenv("AICHATKIT_MODEL", "offline/eliza-mini")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert names(None) == ["offline/eliza-mini"]


def test_else_the_first_mainstream_provider_with_a_key_is_asked(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert names(None) == ["openai/gpt-6-luna"]


def test_a_token_that_people_have_for_other_reasons_chooses_nothing_but_is_told_of(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", KEY)
    with Client() as client, pytest.raises(ConfigurationError, match="once you pass model='huggingface'"):
        client.ask("Hi")
    assert names(None, keys={"huggingface": KEY}) == names("huggingface")


def test_a_key_given_by_hand_chooses_as_well(monkeypatch):
    assert names(None, keys={"openai": KEY}) == ["openai/gpt-6-luna"]


def test_an_empty_variable_is_no_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("AICHATKIT_MODEL", "")
    with pytest.raises(ConfigurationError, match="no model was chosen"):
        find_targets(None)


def test_the_lowest_rank_is_asked_first(monkeypatch):
    first = register("first", url="http://127.0.0.1:9/v1", api_key_env="FIRST_API_KEY", default_model="m")
    first.rank = -1
    monkeypatch.setenv("FIRST_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert names(None) == ["first/m"]


def test_neither_sites_nor_offline_are_ever_chosen():
    assert [name for name in (*GROUPS["free"], "offline") if registry[name].rank] == []


# Keys.


def test_the_key_is_read_from_the_environment_at_the_first_call(monkeypatch, sandbox):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    with Client(model="openai") as client:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        client.ask("Hi")
    assert sandbox.requests[-1].headers["Authorization"] == f"Bearer {KEY}"


def test_a_key_given_by_hand_wins_over_the_environment(monkeypatch, client, sandbox):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    client.ask("Hi")
    assert sandbox.requests[-1].headers["Authorization"] == "Bearer sk-test"


BAD_KEYS = [f"{KEY}\n", f"\n{KEY}", f"{KEY} ", f"{KEY}\t", f"{KEY}\N{EN DASH}", f"{KEY}\x00", f"{KEY}\x7f", b"sk-b"]


@pytest.mark.parametrize("key", [*BAD_KEYS, "", 5, True])
@pytest.mark.parametrize("given", [lambda key: key, lambda key: {"openai": key}])
def test_a_key_that_cannot_be_sent_is_refused_at_construction(key, given):
    with pytest.raises(ConfigurationError, match="api_key"):
        Client(model="openai", api_key=given(key))


@pytest.mark.parametrize("key", BAD_KEYS[:-1])
def test_a_refused_key_is_shown_nowhere(key):
    with pytest.raises(ConfigurationError) as caught:
        Client(model="openai", api_key=key)
    error = caught.value
    shown = "".join([str(error), repr(error), str(vars(error)), *traceback.format_exception(None, error, None)])
    assert KEY not in shown


def test_a_bad_key_in_the_environment_is_told_without_showing_it(monkeypatch, sandbox):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with Client(model="openai", base_url=f"{sandbox.url}/v1") as client, pytest.raises(ConfigurationError) as caught:
        client.ask("Hi")
    assert "api_key for openai" in str(caught.value)
    assert KEY not in str(caught.value)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("model", "providers"),
    [
        (["openai", "offline"], {"openai"}),
        (["offline", "openai/gpt-6-luna", "openai"], {"openai"}),
        ("offline", {"offline"}),
    ],
)
def test_a_key_goes_to_those_of_a_list_that_take_one(model, providers):
    with Client(model=model, api_key=KEY) as client:
        assert client._context.keys == {name: [KEY] for name in providers}


@pytest.mark.parametrize("option", ["api_key", "base_url"])
@pytest.mark.parametrize("model", [["openai", "groq", "offline"], "free", ["openai/gpt-6-sol", "free/gpt-4"]])
def test_one_value_for_several_providers_is_refused(option, model):
    with pytest.raises(ConfigurationError, match=f"{option}: one value cannot serve .*pass a dict by provider"):
        Client(model=model, **{option: "https://example.org"})


@pytest.mark.parametrize("model", [None, "gpt-nobody-lists"])
def test_one_value_without_a_provider_is_refused(model):
    with pytest.raises(ConfigurationError, match="api_key: pass a model that names its provider"):
        Client(model=model, api_key=KEY)


def test_a_misspelt_provider_is_told_before_its_key():
    with pytest.raises(UnknownProviderError, match="did you mean 'openai'"):
        Client(model="opnai/gpt-6-sol", api_key=KEY)


@pytest.mark.parametrize("option", ["api_key", "base_url"])
def test_a_dict_with_an_unknown_provider_is_refused_with_the_nearest(option):
    with pytest.raises(UnknownProviderError, match=f"{option}: there is no provider 'opnai'; did you mean 'openai'"):
        Client(**{option: {"opnai": "https://example.org"}})


def test_a_model_that_several_services_list_wants_one_named_before_it_takes_a_key():
    register("second", url="https://example.org/v1", models=("gpt-6-sol",), rank=99)
    with pytest.raises(ConfigurationError, match=r"one value cannot serve openai, .*second.*'provider/model'"):
        Client(model="gpt-6-sol", api_key=KEY)


def test_a_list_of_keys_for_one_provider_is_checked_key_by_key():
    Client(model="openai", api_key=[KEY, f"{KEY}-2"]).close()
    for keys, told in (([], "the list is empty"), ([KEY, f"{KEY}\n"], "copy the key again")):
        with pytest.raises(ConfigurationError, match=told):
            Client(model="openai", api_key=keys)


def test_one_key_may_serve_several_models_of_one_provider():
    Client(model=["openai/gpt-6-sol", "openai/gpt-6.1-sol"], api_key=KEY).close()


def test_a_dict_gives_each_provider_its_own_key(sandbox, policy):
    for name in ("one", "two"):
        register(name, url=f"{sandbox.url}/v1", api_key_env=f"{name.upper()}_API_KEY", default_model="m")
    sandbox.script("quota")
    with Client(model=["one", "two"], api_key={"one": "sk-one", "two": "sk-two"}, retry=policy) as client:
        assert client.ask("Hi").provider == "two"
    assert [request.headers["Authorization"] for request in sandbox.requests] == ["Bearer sk-one", "Bearer sk-two"]


def test_a_key_never_reaches_another_provider(monkeypatch, policy):
    with Sandbox() as first, Sandbox() as second:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        urls = {"openai": f"{first.url}/v1", **dict.fromkeys(GROUPS["free"], second.url)}
        first.script(*["quota"] * 2)
        second.script(*["challenge"] * 10)
        for key in ({}, {"openai": KEY}):
            client = Client(model=["openai", "free"], base_url=urls, api_key=key, retry=policy)
            with client, pytest.raises(ai.AllProvidersFailedError):
                client.ask("Hi")
    assert [KEY in str(request.headers) for request in first.requests] == [True, True]
    assert second.requests
    assert [
        request.path for request in second.requests if KEY in f"{request.headers}{request.target}{request.body}"
    ] == []


def test_a_missing_key_lets_the_next_provider_answer():
    with Client(model=["openai", "offline"]) as client:
        reply = client.ask("Hi")
    assert reply.provider == "offline"


def test_a_server_of_one_s_own_needs_no_key(sandbox):
    with Client(model="openai", base_url=f"{sandbox.url}/v1") as client:
        client.ask("Hi")
    assert "Authorization" not in sandbox.requests[-1].headers


# Addresses.


@pytest.mark.parametrize("url", ["example.org", "ftp://example.org", "", "https://example.org/\nx", 5])
def test_an_address_that_is_none_is_refused_at_construction(url):
    with pytest.raises(ConfigurationError, match="base_url"):
        Client(base_url={"openai": url})


def test_a_slash_at_the_end_of_an_address_does_no_harm(sandbox):
    with Client(model="openai", base_url=f"{sandbox.url}/v1/") as client:
        client.ask("Hi")
    assert sandbox.requests[-1].path == "/v1/chat/completions"


def test_an_address_given_by_hand_wins_over_the_environment(monkeypatch, sandbox):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with Client(model="openai", base_url=f"{sandbox.url}/v1") as client:
        assert client.ask("Hi").provider == "openai"


def test_an_error_about_the_model_of_the_environment_names_the_variable_in_its_arguments_too(monkeypatch):
    monkeypatch.setenv("AICHATKIT_MODEL", "nosuch/model")
    with pytest.raises(ConfigurationError) as caught:
        find_targets(None)
    assert caught.value.args == (caught.value.message,)
    assert caught.value.message.startswith("AICHATKIT_MODEL: ")
