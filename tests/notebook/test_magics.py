"""`%chat` and `%%chat` in an IPython of the test's own process."""

from __future__ import annotations

import pytest
from notebook_shell import drop_shell, make_shell

import aichatkit
from aichatkit import Chat, Client, ConfigurationError, RateLimitError, Reply, StreamInterruptedError
from aichatkit.sandbox import Sandbox

pytest.importorskip("IPython")


@pytest.fixture
def shell(tmp_path, monkeypatch, client):
    """A notebook with the magics loaded, whose default client is that of the sandbox."""
    monkeypatch.setattr("aichatkit.api._default", [client])
    shell = make_shell(tmp_path)
    shell.kernel = object()
    shell.run_line_magic("load_ext", "aichatkit")
    yield shell
    drop_shell(shell)


def run(shell, code):
    """Run a cell, raise what it raises, and return the Markdown it shows."""
    shell.outputs.shown.clear()
    done = shell.run_cell(code)
    if done.error_in_exec is not None:
        raise done.error_in_exec
    return shell.outputs.markdown


def last_body(sandbox):
    return sandbox.requests[-1].json()


def test_a_line_asks_and_shows(shell, sandbox):
    sandbox.says("**Well**.")
    assert run(shell, "%chat What's {up}, $doc?") == ["**Well**."]
    assert last_body(sandbox)["messages"] == [{"role": "user", "content": "What's {up}, $doc?"}]


@pytest.mark.parametrize(
    "line", ["%chat Capital of France?", "%chat -o x Really??  ", "if True:\n    %chat What's up?\n"]
)
def test_a_question_mark_ends_a_question_and_does_not_ask_for_help(shell, sandbox, line):
    run(shell, line)
    question = last_body(sandbox)["messages"][0]["content"]
    assert question in ("Capital of France?", "Really??", "What's up?")


def test_help_and_other_cells_are_left_alone(shell, sandbox, capsys, tmp_path):
    run(shell, "%chat?")
    assert "--template" in capsys.readouterr().out
    run(shell, f"%%writefile {tmp_path / 'a.txt'}\n%chat Really?\n")
    assert (tmp_path / "a.txt").read_text() == "%chat Really?\n"
    assert sandbox.requests == []


def test_a_cell_asks_with_options_and_braces_in_it_are_safe(shell, sandbox):
    run(
        shell, "%%chat openai/gpt-6-sol -o answer -s 'Be {brief}.' -p temperature=0.5\nIs {this} $safe?\n\nYes: `{x!r}`"
    )
    body = last_body(sandbox)
    assert body["messages"] == [
        {"role": "system", "content": "Be {brief}."},
        {"role": "user", "content": "Is {this} $safe?\n\nYes: `{x!r}`"},
    ]
    assert (body["model"], body["temperature"]) == ("gpt-6-sol", 0.5)
    assert isinstance(shell.user_ns["answer"], Reply)
    assert shell.user_ns["answer"].complete is True


def test_each_cell_is_asked_by_itself(shell, sandbox):
    run(shell, "%chat One")
    run(shell, "%chat Two")
    assert len(last_body(sandbox)["messages"]) == 1


def test_a_named_conversation_goes_on_in_a_variable(shell, sandbox):
    run(shell, "%%chat openai/gpt-6-sol -c talk -s 'Be brief.'\nMy dog is Rex.")
    run(shell, "%chat -c talk His name?")
    body = last_body(sandbox)
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["model"] == "gpt-6-sol"
    talk = shell.user_ns["talk"]
    assert isinstance(talk, Chat)
    assert len(talk.history) == 4
    run(shell, "%%chat openai -c talk -s 'Be long.'\nAnd now?")
    assert last_body(sandbox)["messages"][0]["content"] == "Be long."
    assert (talk.system, talk.model) == ("Be brief.", "openai/gpt-6-sol")


def test_a_conversation_is_begun_anew_with_its_client(shell, sandbox):
    other = Client(model="openai", api_key="sk-other", base_url={"openai": f"{sandbox.url}/v1"})
    shell.user_ns["mine"] = other
    run(shell, "%chat -c talk --client mine One")
    run(shell, "%chat -c talk --reset Two")
    assert len(last_body(sandbox)["messages"]) == 1
    assert shell.user_ns["talk"].client is other
    with pytest.raises(ConfigurationError, match="talk has its client"):
        run(shell, "%chat -c talk --client mine Three")
    run(shell, "%chat -c talk --client mine --reset Three")
    run(shell, "%chat --client mine Four")
    assert sandbox.requests[-1].headers["authorization"] == "Bearer sk-other"
    other.close()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%chat -c text Hi", "-c wants a variable that holds a Chat; 'text' is a str"),
        ("%chat -c text --reset Hi", "'text' is a str"),
        ("%chat --client none Hi", "--client wants a variable that holds a Client; 'none' is not there"),
        ("%chat -t Translate {txet}", "finds no variable 'txet'; did you mean 'text'"),
        ("%chat -t {nothing}", "is empty here"),
        ("%chat -f no-such-file.png Look", "no-such-file.png"),
        ("%chat --modle x Hi", "did you mean '--model'"),
    ],
)
def test_what_cannot_be_asked_is_an_error_before_anything_is_sent(shell, sandbox, line, told):
    shell.user_ns.update(text="a text", nothing=None)
    with pytest.raises(ConfigurationError, match=told):
        run(shell, line)
    assert sandbox.requests == []
    assert shell.user_ns["text"] == "a text"


def test_a_template_is_filled_from_variables_once(shell, sandbox):
    shell.user_ns.update(text="{braces}", language="Polish")
    run(shell, "%%chat -t -s 'Into {language}.'\nTranslate {text}, as {{json}}")
    system, user = last_body(sandbox)["messages"]
    assert (system["content"], user["content"]) == ("Into Polish.", "Translate {braces}, as {json}")
    run(shell, "%%chat -t\nNothing to fill")
    assert last_body(sandbox)["messages"] == [{"role": "user", "content": "Nothing to fill"}]


def test_files_go_with_the_question(shell, sandbox, tmp_path):
    (tmp_path / "note one.txt").write_text("Of cats.", encoding="utf-8")
    run(shell, f"%%chat -f '{tmp_path / 'note one.txt'}'\nWhat is it about?")
    assert "Of cats." in str(last_body(sandbox)["messages"])


def test_several_models_are_asked_in_order(shell, sandbox):
    sandbox.script("quota")
    run(shell, "%%chat openai -m offline -o answer\nHi")
    assert [attempt.provider for attempt in shell.user_ns["answer"].attempts] == ["openai", "offline"]


def test_without_a_stream_it_is_shown_once_at_the_end(shell, sandbox):
    sandbox.says("a " * 50)
    run(shell, "%chat --no-stream Hi")
    assert shell.outputs.updates == 0
    assert shell.outputs.markdown == ["a " * 50]


def test_plain_text_is_printed(shell, sandbox, capsys):
    sandbox.says("**Well**.")
    assert run(shell, "%chat --plain Hi") == []
    assert capsys.readouterr().out == "**Well**.\n"


def test_of_an_answer_that_breaks_off_the_variable_keeps_what_came(shell, sandbox):
    sandbox.says("one two three four five six")
    sandbox.script("cut,after=3")
    shell.user_ns["answer"] = "old"
    with pytest.raises(StreamInterruptedError):
        run(shell, "%%chat -o answer -c talk\nCount.")
    answer = shell.user_ns["answer"]
    assert (answer.text.startswith("one"), answer.complete, answer.provider) == (True, False, "openai")
    assert shell.outputs.markdown == [f"{answer.text}\n\n*(broken off)*"]
    assert shell.user_ns["talk"].history == []


def test_a_refusal_leaves_no_old_answer_behind(shell, sandbox):
    sandbox.script(*["rate-limit,retry_after=1000"] * 3)
    shell.user_ns["answer"] = "old"
    with pytest.raises(RateLimitError):
        run(shell, "%chat -o answer Hi")
    answer = shell.user_ns["answer"]
    assert (answer.text, answer.complete, answer.provider, answer.model) == ("", False, "openai", "gpt-6-luna")


def test_an_interrupt_keeps_what_came_and_the_history_whole(shell, sandbox, monkeypatch):
    sandbox.says("one two three")

    def interrupted(self, chunk):
        self.shown = getattr(self, "shown", "") + chunk
        if "two" in self.shown:
            raise KeyboardInterrupt

    monkeypatch.setattr("aichatkit.display.screen.NotebookScreen.add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(shell, "%chat -o answer -c talk Hi")
    assert "one" in shell.user_ns["answer"].text
    assert shell.user_ns["answer"].complete is False
    assert shell.user_ns["talk"].history == []
    assert sandbox.wait_closed(5)


def test_an_interrupt_before_the_answer_keeps_nothing(shell, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(shell, "%chat -o answer Hi")
    assert shell.user_ns["answer"] == Reply("", "", "", complete=False)


def test_its_help_tells_every_option(shell):
    told = shell.find_line_magic("chat").__doc__
    assert all(option in told for option in ("--model", "--out", "--template", "--client", "--no-stream", "--reset"))


def test_the_magics_can_be_taken_away_and_loaded_again(shell):
    shell.run_line_magic("load_ext", "aichatkit.notebook.magics")
    shell.run_line_magic("unload_ext", "aichatkit")
    assert shell.transform_cell("%chat Really?\n") == "get_ipython().run_line_magic('pinfo', 'Really')\n"
    assert shell.find_line_magic("chat") is shell.find_cell_magic("chat") is None
    shell.run_line_magic("load_ext", "aichatkit")
    shell.run_line_magic("reload_ext", "aichatkit")
    assert shell.find_cell_magic("chat") is not None


def test_what_ipython_asks_for_is_not_public():
    assert callable(aichatkit.load_ipython_extension)
    assert "load_ipython_extension" not in dir(aichatkit)


def test_the_terminal_s_ipython_prints(shell, capsys):
    with Sandbox() as other, Client(model="openai", api_key="k", base_url={"openai": f"{other.url}/v1"}) as client:
        other.says("**Well**.")
        shell.user_ns["mine"] = client
        shell.kernel = None
        run(shell, "%chat --client mine Hi")
    assert capsys.readouterr().out == "**Well**.\n"
