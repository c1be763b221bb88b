"""Name -> provider class: the folder, packages of others, and what users register."""

from __future__ import annotations

import re
import sys

import pytest

from aichatkit import Client, ConfigurationError, UnknownProviderError, register
from aichatkit.call import other_words
from aichatkit.providers.base import Provider
from aichatkit.providers.openai_compatible import OpenAICompatible
from aichatkit.registry import GROUPS, Registry, provider_suggestion, registry

PLUGIN = '''
from aichatkit.providers.openai_compatible import OpenAICompatible

class Plugged(OpenAICompatible):
    """Chat with a service that another package knows."""

    name = "plugged"
    url = "http://127.0.0.1:9/v1"
    default_model = "plugged-small"
    needs_key = False
'''


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Forget after a test what it registered."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """Install a package that brings a provider, and one whose own requirement is missing."""
    (tmp_path / "example_plugin.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "broken_plugin.py").write_text("import a_package_nobody_has", encoding="utf-8")
    information = tmp_path / "example_plugin-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: example-plugin\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[aichatkit.providers]\nplugged = example_plugin:Plugged\nbroken = broken_plugin:Broken\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_plugins", None)
    yield
    sys.modules.pop("example_plugin", None)


def test_it_is_a_mapping_of_names_to_classes():
    client = Client()
    assert client.providers is registry
    assert len(registry) == len(list(registry)) >= 8
    assert {name: registry[name].name for name in registry} == {name: name for name in registry}
    assert dict(registry)["offline"] is registry["offline"]


def test_names_are_sorted():
    assert list(registry) == sorted(registry)


@pytest.mark.parametrize("name", ["openai", "offline", *GROUPS["free"]])
def test_what_users_ask_by_name_is_there(name):
    assert name in registry
    assert issubclass(registry[name], Provider)


@pytest.mark.parametrize("name", ["base", "openai-compatible", "free", "OpenAI", "", None, 5])
def test_what_is_no_provider_is_not_there(name):
    assert name not in registry


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownProviderError, match=r"there is no provider 'opnai'; did you mean 'openai'"):
        registry["opnai"]


@pytest.mark.parametrize(
    "name", ["chatgpt", "aichat5", "chatgpt1", "free1", "aichatfre", "aichatonlin", "aichat-online"]
)
def test_no_hint_leads_to_a_free_site(name):
    sites = {*GROUPS, *GROUPS["free"], "aichatonline-classic"}
    assert {repr(site) for site in sites} & set(re.findall("'[^']*'", provider_suggestion(name))) == set()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("google", "gemini"),
        ("Claude", "anthropic"),
        ("chatgpt", "openai"),
        ("gpt", "openai"),
        ("grok", "xai"),
        ("claude-sonnet-9", "anthropic/claude-sonnet-9"),
        ("grok-code-9", "xai/grok-code-9"),
        ("OpenAi", "openai"),
        ("mistrl", "mistral"),
    ],
)
def test_the_name_of_a_model_or_firm_leads_to_its_provider(name, hint):
    assert provider_suggestion(name, []) == f"; did you mean {hint!r}?"
    assert provider_suggestion("qqqqq") == ""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("vertex_ai", "vertex"),
        ("together_ai", "together"),
        ("azure_ai", "azure"),
        ("Claude-3", "anthropic"),
        ("llama3.1", "ollama"),
        ("meta-llama", "openrouter/meta-llama"),
    ],
)
def test_what_other_sdks_put_before_a_slash_leads_to_a_provider(name, hint):
    assert provider_suggestion(name) == f"; did you mean {hint!r}?"


def test_every_name_used_elsewhere_leads_to_a_provider():
    leads = {provider.partition("/")[0] for provider in other_words._NAMES.values()}
    assert all(name in registry for name in leads)
    assert not leads & {*GROUPS, *GROUPS["free"], "aichatonline-classic", "offline"}
    assert all(registry[name].working for name in leads)
    assert set(other_words._NAMES) & set(registry) == set()
    assert len(other_words._NAMES) == sum(len(words.split()) for words in other_words._PROVIDERS.values())


def test_the_error_is_a_lookup_error_so_that_get_works_as_with_any_mapping():
    with pytest.raises(LookupError):
        registry["nope"]


def test_a_service_is_made_known_in_one_line(sandbox, monkeypatch):
    register("my-gateway", url=f"{sandbox.url}/v1/", api_key_env="MY_GATEWAY_KEY", default_model="small")
    monkeypatch.setenv("MY_GATEWAY_KEY", "sk-gateway")
    with Client(model="my-gateway") as client:
        reply = client.ask("Hi", temperature=0.5)
    request = sandbox.requests[-1]
    assert (reply.provider, request.json()["model"]) == ("my-gateway", "small")
    assert request.headers["Authorization"] == "Bearer sk-gateway"


def test_a_service_may_look_up_several_variables(monkeypatch):
    kind = register("two-keys", url="https://example.org/v1", api_key_env=("FIRST_KEY", "SECOND_KEY"))
    monkeypatch.setenv("SECOND_KEY", "sk-second")
    assert kind.find_key() == "sk-second"
    assert "FIRST_KEY, SECOND_KEY" in str(kind.missing_key())


def test_a_service_without_a_variable_needs_no_key(sandbox):
    register("open-gateway", url=f"{sandbox.url}/v1", default_model="small")
    with Client(model="open-gateway") as client:
        assert client.ask("Hi").provider == "open-gateway"


def test_the_class_made_for_a_service_has_a_name_and_a_docstring():
    kind = register("my-gateway.eu", url="https://example.org/v1")
    assert (kind.__name__, kind.__doc__) == ("MyGatewayEu", "The OpenAI-compatible service my-gateway.eu.")


def test_a_class_is_made_known_and_returned_so_that_register_decorates():
    @register
    class Example(OpenAICompatible):
        """Chat with an example."""

        name = "example"
        url = "https://example.org/v1"

    assert registry["example"] is Example


def test_a_registered_class_may_take_the_place_of_a_known_one():
    class Mine(OpenAICompatible):
        """Chat with OpenAI through a gateway of one's own."""

        name = "openai"
        url = "https://example.org/v1"

    for name in (None, "groq"):
        with pytest.raises(ConfigurationError, match=r"there is a provider .* already; .*replace=True"):
            register(Mine) if name is None else register(name, url="https://example.org/v1")
    register(Mine, replace=True)
    assert registry["openai"] is Mine


def test_a_name_of_ones_own_may_be_registered_again():
    for url in ("https://one.example/v1", "https://two.example/v1"):
        register("gateway-of-mine", url=url)
    assert registry["gateway-of-mine"].url == "https://two.example/v1"


class Nameless(OpenAICompatible):
    """A provider that forgot its name."""

    url = "https://example.org/v1"


class Homeless(Provider):
    """A provider that forgot its address."""

    name = "homeless"


@pytest.mark.parametrize("given", [5, None, str, Nameless, Homeless, OpenAICompatible])
def test_what_is_no_provider_cannot_be_registered(given):
    with pytest.raises(ConfigurationError, match="register: "):
        register(given)


@pytest.mark.parametrize("name", ["My-Gateway", "my_gateway", "", "-x", "a/b", "a b", "free"])
def test_a_name_that_users_could_not_ask_for_is_refused(name):
    with pytest.raises(ConfigurationError, match="register: the name"):
        register(name, url="https://example.org/v1")


@pytest.mark.parametrize("url", [None, "", "example.org/v1"])
def test_a_service_needs_an_address(url):
    with pytest.raises(ConfigurationError, match="pass url="):
        register("my-gateway", url=url)


@pytest.mark.parametrize("options", [{"url": "https://x"}, {"api_key_env": "X"}, {"default_model": "x"}])
def test_a_class_brings_its_own_attributes(options):
    with pytest.raises(ConfigurationError, match="go with a name, not with a class"):
        register(registry["offline"], **options)


def test_a_module_must_define_what_it_is_named_after(monkeypatch):
    fresh = Registry()
    monkeypatch.setattr("aichatkit.registry._find_module", {"astray": "aichatkit.providers.openai"}.get)
    with pytest.raises(UnknownProviderError, match=r"aichatkit\.providers\.openai defines no provider named 'astray'"):
        fresh["astray"]


@pytest.mark.usefixtures("plugged")
def test_a_provider_of_another_package_is_found():
    assert "plugged" in registry
    assert "plugged" in list(registry)
    assert registry["plugged"].default_model == "plugged-small"


@pytest.mark.usefixtures("plugged")
def test_a_provider_of_another_package_can_be_asked(sandbox):
    with Client(model="plugged", base_url=f"{sandbox.url}/v1") as client:
        assert client.ask("Hi").provider == "plugged"


@pytest.mark.usefixtures("plugged")
def test_a_package_is_not_imported_before_its_provider_is_asked():
    assert "plugged" in registry
    assert "example_plugin" not in sys.modules


@pytest.mark.usefixtures("plugged")
def test_a_package_that_cannot_be_imported_is_told_by_name():
    with pytest.raises(ConfigurationError, match=r"'broken'.*a_package_nobody_has"):
        registry["broken"]


@pytest.mark.usefixtures("plugged")
def test_a_package_that_cannot_be_imported_does_not_stop_the_others(monkeypatch, sandbox):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    with Client() as client:
        assert client.ask("Hi").provider == "openai"
        assert "openai/gpt-6-sol" in client.models()


def test_a_service_may_say_what_it_does_differently(sandbox):
    register("odd", url=f"{sandbox.url}/v1", default_model="m", params={"seed": "random_seed"}, models=("m", "n"))
    with Client(model="odd") as client:
        client.ask("Hi", seed=7)
        assert "odd/n" in client.models()
    assert sandbox.requests[-1].json()["random_seed"] == 7


def test_a_misspelt_difference_is_refused_with_the_nearest():
    with pytest.raises(ConfigurationError, match="no 'stream_usge'; did you mean 'stream_usage'"):
        register("odd", url="https://example.org/v1", stream_usge=False)
