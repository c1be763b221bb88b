"""Pictures, models, providers, saved conversations and completion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

import aichatkit
from aichatkit import BadResponseError, Chat, Client, ImageResponse
from aichatkit.cli import key_store as keys
from aichatkit.cli import main
from aichatkit.cli.conversations import chats_folder
from aichatkit.cli.stored_templates import templates_folder
from aichatkit.images import data_uri
from aichatkit.registry import registry
from aichatkit.sandbox.pictures import png

pytestmark = pytest.mark.usefixtures("service")

# Pictures.


def test_a_picture_is_saved_and_its_path_printed(sandbox, tmp_path, capsys):
    assert main(["image", "a", "cat", "-m", "openai/gpt-image-2.5-flare", "--out", "cat.png"]) == 0
    assert capsys.readouterr().out == "cat.png\n"
    assert (tmp_path / "cat.png").read_bytes().startswith(b"\x89PNG")
    assert sandbox.requests[-1].json()["prompt"] == "a cat"


def test_pictures_have_size_quality_and_number(sandbox, tmp_path, capsys):
    options = ["--size", "1024x1536", "--quality", "low", "-n", "2"]
    assert main(["image", "a", "cat", "-m", "openai/gpt-image-2.5-flare", "--out", "cat.png", *options]) == 0
    assert capsys.readouterr().out == "cat.png\ncat-2.png\n"
    asked = {"size": "1024x1536", "quality": "low", "n": 2}
    assert {name: sandbox.requests[-1].json()[name] for name in asked} == asked


def test_a_picture_is_edited(sandbox, tmp_path, capsys):
    (tmp_path / "old.png").write_bytes(png("old"))
    assert main(["image", "bluer", "-m", "openai/gpt-image-2.5-flare", "-f", "old.png", "--out", "new.png"]) == 0
    assert sandbox.requests[-1].path.endswith("/images/edits")
    assert b'filename="old.png"' in sandbox.requests[-1].body
    assert main(["image", "bluer", "-m", "openai/gpt-image-2.5-flare", "-f", "absent.png"]) == 2
    assert "cannot read 'absent.png'" in capsys.readouterr().err


def test_pictures_are_saved_although_some_are_missing(tmp_path, capsys, monkeypatch):
    def image(self, prompt, **options):
        raise BadResponseError("1 of 2", partial=ImageResponse([data_uri(png("x"))]))

    monkeypatch.setattr(Client, "image", image)
    assert main(["image", "cat", "-m", "openai/gpt-image-2.5-flare", "-n", "2", "--out", "cat.png"]) == 1
    assert capsys.readouterr().out == "cat.png\n"
    assert (tmp_path / "cat.png").read_bytes() == png("x")


def test_a_picture_needs_a_model_that_draws(sandbox, capsys):
    assert main(["image", "a cat"]) == 2
    assert "-m openai/gpt-image-2.5-flare" in capsys.readouterr().err
    assert sandbox.requests == []


def test_a_picture_is_not_requested_if_it_cannot_be_saved(sandbox, capsys):
    assert main(["image", "a cat", "-m", "openai/gpt-image-2.5-flare", "--out", "absent/cat.png"]) == 2
    assert "there is no folder 'absent'" in capsys.readouterr().err
    assert sandbox.requests == []


def test_a_model_that_only_talks_is_an_error(sandbox, capsys):
    assert main(["image", "a cat", "-m", "openai/gpt-6-sol"]) == 1
    assert "only text and no image" in capsys.readouterr().err


# Models and providers.


def test_the_models_of_a_service_are_those_it_tells(capsys):
    assert main(["models", "openai"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out
    with Client(model="openai") as client:
        assert out == [f"openai/{name}" for name in client.models("openai")]


@pytest.mark.parametrize("words", [["models"], ["models", "free"]])
def test_known_models_are_listed_without_a_request(sandbox, capsys, words):
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert "aichats/gpt-4" in out
    assert all(line.partition("/")[0] in registry for line in out)
    assert sandbox.requests == []


def test_an_unknown_provider_has_code_2(capsys):
    assert main(["models", "opnai"]) == 2
    assert "opnai" in capsys.readouterr().err


def test_providers_tell_whether_a_key_is_there_and_never_the_key(monkeypatch, capsys):
    monkeypatch.setattr(keys, "_keyring", lambda: None)
    monkeypatch.setenv("GROQ_API_KEY", "sk-secret")
    keys.store("mistral", "sk-stored")
    assert main(["providers"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert "key set" in rows["groq"]
    assert "key stored" in rows["mistral"]
    assert "set ANTHROPIC_API_KEY" in rows["anthropic"]
    assert "no key needed" in rows["offline"]
    assert "OLLAMA_API_KEY if it needs one" in rows["ollama"]
    assert "known to be down" in rows["aichats"]
    assert rows["free"].split()[1] == "aichats,"
    assert not [secret for secret in ("sk-secret", "sk-stored", "sk-test") if secret in out]
    assert set(registry) <= set(rows)


# Saved conversations.


@pytest.fixture
def talked(service, sandbox, capsys, tmp_path):
    """Two conversations, the second one newer."""
    sandbox.says("Rex is a **dog**.")
    main(["--chat", "dogs", "Who is Rex?"])
    # Some file systems tell times apart by several milliseconds only.
    os.utime(tmp_path / "data" / "aichatkit" / "chats" / "dogs.json", (1, 1))
    main(["--chat", "cats", "Who is Tom?"])
    capsys.readouterr()


@pytest.mark.usefixtures("talked")
def test_conversations_are_listed_the_newest_first(capsys):
    assert main(["chats", "list"]) == 0
    lines = [line.split(None, 4) for line in capsys.readouterr().out.splitlines()]
    assert [(line[2], line[3], line[4]) for line in lines] == [
        ("cats", "2", "Who is Tom?"),
        ("dogs", "2", "Who is Rex?"),
    ]


@pytest.mark.usefixtures("talked")
def test_conversations_are_found_by_their_words(capsys):
    assert main(["chats", "search", "rex?", "WHO"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "dogs" in out
    assert main(["chats", "search", "unicorn"]) == 1
    assert capsys.readouterr().err == "aichatkit: nothing was found\n"


def test_no_conversation_is_no_error(capsys):
    assert main(["chats", "list"]) == 0
    assert "there is no saved conversation" in capsys.readouterr().err


@pytest.mark.usefixtures("talked")
def test_a_conversation_is_shown(capsys):
    assert main(["chats", "show", "dogs"]) == 0
    assert capsys.readouterr().out == "## User\n\nWho is Rex?\n\n## Assistant\n\nRex is a **dog**.\n"
    assert main(["chats", "show"]) == 0
    assert "Tom" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "dgos"], "there is no saved conversation 'dgos'; did you mean 'dogs'?"),
        (["export", "dogs", "dogs.pdf"], "must end in .md or .json"),
    ],
)
@pytest.mark.usefixtures("talked")
def test_what_cannot_be_shown_has_code_2(capsys, words, told):
    assert main(["chats", *words]) == 2
    assert told in capsys.readouterr().err


def test_nothing_to_show_has_code_2(capsys):
    assert main(["chats", "show"]) == 2
    assert "there is no saved conversation" in capsys.readouterr().err


@pytest.mark.usefixtures("talked")
def test_a_conversation_is_exported(tmp_path, client):
    assert main(["chats", "export", "dogs", "dogs.md"]) == 0
    assert "Who is Rex?" in (tmp_path / "dogs.md").read_text(encoding="utf-8")
    assert main(["chats", "export", "dogs", "dogs.json"]) == 0
    assert len(Chat.load(tmp_path / "dogs.json", client=client).history) == 2
    assert json.loads((tmp_path / "dogs.json").read_text(encoding="utf-8"))["system"] is None


@pytest.mark.usefixtures("talked")
def test_conversations_are_deleted(capsys):
    assert main(["chats", "delete", "dogs", "dgos"]) == 2
    assert "did you mean 'dogs'" in capsys.readouterr().err
    assert main(["chats", "show", "dogs"]) == 0
    assert main(["chats", "delete", "dogs", "dogs"]) == 0
    assert "deleted dogs" in capsys.readouterr().err
    assert main(["chats", "show", "dogs"]) == 2


# Completion.


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["ma"], {"map"}),
        (["chats", "s"], {"search", "show"}),
        (["--us"], {"--usage"}),
        (["-m", "ope"], {"openai", "openai-responses", "openrouter"}),
        (["-m", "fas"], {"fast"}),
        (["models", "anth"], {"anthropic"}),
        (["-f", "rep"], {"report.txt"}),
        (["map", "rep"], {"report.txt"}),
    ],
)
def test_bash_completes(tmp_path, capsys, typed, completed):
    pytest.importorskip("shtab")
    main(["aliases", "set", "fast", "offline"])
    assert main(["completion", "bash"]) == 0
    (tmp_path / "completion.bash").write_text(capsys.readouterr().out, encoding="utf-8")
    (tmp_path / "report.txt").write_text("text", encoding="utf-8")
    script = f"""
        source completion.bash
        COMP_WORDS=(aichatkit {" ".join(typed)}); COMP_CWORD={len(typed)}
        complete -p aichatkit | grep -q -- '-F _shtab_aichatkit'
        _shtab_aichatkit aichatkit "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.strip() for line in done.stdout.splitlines()} == completed


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["--chat", "ho"], {"holiday\\ plans"}),
        (["chat", "--chat", "holiday\\ p"], {"holiday\\ plans"}),
        (["chats", "show", ""], {"holiday\\ plans", "work"}),
        (["chats", "delete", "work", "w"], {"work"}),
        (["-t", "sh"], {"shorten", "shopping.txt"}),
        (["map", "in.csv", "--prompt", "sho"], {"shorten", "shopping.txt"}),
        (["templates", "show", "$"], {"$(touch owned)"}),
        (["aliases", "remove", "w"], set()),
    ],
)
def test_bash_completes_what_is_stored_now(tmp_path, capsys, monkeypatch, typed, completed):
    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "completion.bash").write_text(capsys.readouterr().out, encoding="utf-8")
    for name in ("holiday plans", "work"):
        aichatkit.chat(model="offline").save(_made(chats_folder()) / f"{name}.json")
    for name in ("shorten", "$(touch owned)"):
        (_made(templates_folder()) / f"{name}.txt").write_text("{text}", encoding="utf-8")
    (tmp_path / "shopping.txt").write_text("text", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = " ".join(f"'{word}'" for word in typed)
    script = f"""
        source completion.bash
        COMP_WORDS=(aichatkit {words}); COMP_CWORD={len(typed)}
        _shtab_aichatkit aichatkit "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {line for line in done.stdout.splitlines() if line} == completed
    assert not (tmp_path / "owned").exists()


def test_the_names_that_are_stored_are_listed_for_the_shell(capsys):
    for name in ("work", "a b"):
        aichatkit.chat(model="offline").save(_made(chats_folder()) / f"{name}.json")
    for name in ("shorten", "two\nlines"):
        (_made(templates_folder()) / f"{name}.md").write_text("{text}", encoding="utf-8")
    assert main(["completion", "chats"]) == 0
    assert capsys.readouterr().out == "a b\nwork\n"
    assert main(["completion", "templates"]) == 0
    assert capsys.readouterr().out == "shorten\n"


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_script(capsys, shell):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "aichatkit completion chats" in script
    assert "aichatkit completion templates" in script


def test_the_commands_in_its_help_can_be_copied(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        main(["completion", "--help"])
    shown = capsys.readouterr().out
    assert "aichatkit completion bash > ~/.local/share/bash-completion/completions/aichatkit\n" in shown


def test_completion_without_its_extra_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'aichatkit[completion]'" in capsys.readouterr().err
