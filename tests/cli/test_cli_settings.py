"""Aliases, the default model, and where keys and base URLs of flags go."""

from __future__ import annotations

import pytest

from aichatkit.cli import main

pytestmark = pytest.mark.usefixtures("service")


def test_an_alias_is_a_model_of_its_own(sandbox, capsys):
    assert main(["aliases", "set", "fast", "openai/gpt-6-luna"]) == 0
    assert main(["-m", "fast", "Hi"]) == 0
    assert sandbox.requests[-1].json()["model"] == "gpt-6-luna"
    capsys.readouterr()
    assert main(["aliases", "list"]) == 0
    assert capsys.readouterr().out.split() == ["fast", "openai/gpt-6-luna"]
    assert main(["aliases", "remove", "fast"]) == 0
    assert main(["-m", "fast", "Hi"]) == 2


def test_an_alias_may_be_one_of_the_fallbacks(sandbox):
    main(["aliases", "set", "fast", "openai/gpt-6-luna"])
    assert main(["-m", "fast", "-m", "openai/gpt-6-sol", "Hi"]) == 0
    assert sandbox.requests[-1].json()["model"] == "gpt-6-luna"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["set", "openai", "openai/gpt-6-luna"], "is the name of a provider"),
        (["set", "a b", "openai/gpt-6-luna"], "consists of letters"),
        (["set", "fast", "opnai/x"], "did you mean 'openai'"),
        (["set", "fast", "no-such-model"], "no provider lists the model"),
        (["remove", "fst"], "there is no alias 'fst'; did you mean 'fast'?"),
    ],
)
def test_a_wrong_alias_is_an_error_and_changes_nothing(capsys, words, message):
    main(["aliases", "set", "fast", "offline"])
    assert main(["aliases", *words]) == 2
    assert message in capsys.readouterr().err
    main(["aliases", "list"])
    assert capsys.readouterr().out.split() == ["fast", "offline"]


def test_the_default_model_answers_without_m(sandbox, capsys, monkeypatch):
    main(["aliases", "set", "fast", "openai/gpt-6-luna"])
    assert main(["models", "default", "fast"]) == 0
    assert main(["models", "default"]) == 0
    assert capsys.readouterr().out.splitlines() == ["openai/gpt-6-luna"] * 2
    assert main(["Hi"]) == 0
    assert sandbox.requests[-1].json()["model"] == "gpt-6-luna"
    assert main(["-m", "openai/gpt-6-sol", "Hi"]) == 0
    assert sandbox.requests[-1].json()["model"] == "gpt-6-sol"
    monkeypatch.setenv("AICHATKIT_MODEL", "openai/gpt-6-sol")
    assert main(["Hi"]) == 0
    assert sandbox.requests[-1].json()["model"] == "gpt-6-sol"


def test_offline_as_the_default_is_not_announced(capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["models", "default", "offline"]) == 0
    assert main(["Hi"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["models", "default", "-"]) == 0
    assert "no default model is set" in capsys.readouterr().out
    assert main(["Hi"]) == 0
    assert "the offline ELIZA answers" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["default", "nope/x"], ["openai", "gpt-6-luna"]])
def test_a_wrong_default_is_an_error(words):
    assert main(["models", *words]) == 2


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"aliases": []}', '{"aliases": {"a": 1}}', '{"log": 1}', '{"default_model": 1}']
)
def test_damaged_settings_are_named(tmp_path, capsys, content):
    path = tmp_path / "config" / "aichatkit" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    assert main(["Hi"]) == 2
    assert f"{path} cannot be read" in capsys.readouterr().err


def test_a_base_url_and_a_key_of_flags_are_used(sandbox, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.setenv("WORK_KEY", "sk-work")
    words = ["-m", "openai/gpt-6-luna", "--base-url", f"{sandbox.url}/v1", "--api-key-env", "WORK_KEY"]
    assert main([*words, "Hi"]) == 0
    assert sandbox.requests[-1].headers["Authorization"] == "Bearer sk-work"


def test_a_base_url_goes_with_the_usual_key(sandbox, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert main(["-m", "openai/gpt-6-luna", "--base-url", f"{sandbox.url}/v1", "Hi"]) == 0
    assert sandbox.requests[-1].headers["Authorization"] == "Bearer sk-test"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "openai", "--api-key-env", "NONE_SUCH"], "--api-key-env: the environment variable 'NONE_SUCH'"),
        (["-m", "openai", "-m", "groq", "--api-key-env", "OPENAI_API_KEY"], "--api-key-env: applies to one provider"),
        (["-m", "free", "--base-url", "http://127.0.0.1:9"], "--base-url: applies to one provider"),
    ],
)
def test_flags_for_one_provider_reach_no_other(sandbox, capsys, words, message):
    assert main([*words, "Hi"]) == 2
    assert message in capsys.readouterr().err
    assert sandbox.requests == []


def test_a_base_url_without_any_provider_names_the_flag(sandbox, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["--base-url", "http://127.0.0.1:9/v1", "Hi"]) == 2
    assert "name it with -m" in capsys.readouterr().err


def test_a_chat_that_switches_models_takes_the_key_to_no_other_service(sandbox, monkeypatch, capsys, piped):
    monkeypatch.setenv("GROQ_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("WORK_KEY", "sk-work")
    piped("One\n/model groq/openai/gpt-oss-120b\nTwo\n/model openai/gpt-6-sol\nThree\n")
    words = ["-m", "openai/gpt-6-luna", "--base-url", f"{sandbox.url}/v1", "--api-key-env", "WORK_KEY"]
    assert main(["chat", *words]) == 1
    assert "--api-key-env: was given for openai and is not used for groq" in capsys.readouterr().err
    assert [request.json()["model"] for request in sandbox.requests] == ["gpt-6-luna", "gpt-6-luna", "gpt-6-sol"]


def test_an_unknown_default_model_is_named_with_the_command_that_changes_it(capsys):
    main(["aliases", "set", "fast", "openai/gpt-6-luna"])
    main(["models", "default", "fast"])
    main(["aliases", "remove", "fast"])
    capsys.readouterr()
    assert main(["Hi"]) == 2
    assert "the default model 'fast' (change it with: aichatkit models default): " in capsys.readouterr().err
    assert main(["models", "default", "-"]) == 0
    assert main(["Hi"]) == 0
