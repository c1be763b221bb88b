"""The command line: the answer to standard output, everything else to standard error, and exit codes."""

from __future__ import annotations

import io
import os
import runpy
import signal
import subprocess
import sys

import pytest

import aichatkit
from aichatkit import Client
from aichatkit.cli import main
from aichatkit.cli.commands import COMMANDS

#: By its path: modules that pytest itself loads, which is those of packages with a plugin, `runpy` cannot find by name.
MAIN = aichatkit.__file__.replace("__init__", "__main__")


@pytest.fixture(autouse=True)
def service(monkeypatch, sandbox, tmp_path):
    """A service with a key, which is the sandbox, and nobody who types."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(aichatkit.__file__)), prepend=os.pathsep)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "stdin", None)


def run(*words, piped=b"", **options):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "aichatkit", *words]
    return subprocess.run(command, input=piped, capture_output=True, timeout=60, check=False, **options)


def asked(sandbox):
    """Return role and content of each message of the last request."""
    return [(turn["role"], turn["content"]) for turn in sandbox.requests[-1].json()["messages"]]


# Answers.


def test_the_answer_goes_to_standard_output_and_ends_its_line(sandbox, capsys):
    sandbox.says("Paris.")
    assert main(["Capital of France?"]) == 0
    assert tuple(capsys.readouterr()) == ("Paris.\n", "")


def test_an_answer_that_ends_its_line_gets_no_second_end(sandbox, capsys):
    sandbox.says("Paris.\n")
    main(["Capital of France?"])
    assert capsys.readouterr().out == "Paris.\n"


def test_several_words_need_no_quotes(sandbox):
    main(["Capital", "of", "France?"])
    assert asked(sandbox) == [("user", "Capital of France?")]


def test_the_answer_is_written_as_it_comes(sandbox, monkeypatch):
    written = []
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "flush", lambda: written.append(sys.stdout.getvalue()))
    sandbox.says("one two three")
    main(["Hi"])
    assert len(written) > 2
    assert written[-1] == "one two three\n"


def test_no_stream_writes_the_whole_answer_at_once(sandbox, monkeypatch):
    written = []
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "flush", lambda: written.append(sys.stdout.getvalue()))
    sandbox.says("one two three")
    assert main(["--no-stream", "Hi"]) == 0
    assert written == ["one two three\n"]


def test_a_system_message_is_sent(sandbox):
    main(["-s", "Be brief.", "Hi"])
    assert asked(sandbox)[0] == ("system", "Be brief.")


def test_a_model_is_asked_for(sandbox):
    main(["-m", "openai/gpt-6-sol", "Hi"])
    assert sandbox.requests[-1].json()["model"] == "gpt-6-sol"


def test_more_models_are_fallbacks_in_their_order(sandbox, capsys):
    sandbox.script("quota")
    assert main(["-m", "openai/gpt-6-sol", "-m", "offline", "Hi"]) == 0
    assert [request.json()["model"] for request in sandbox.requests] == ["gpt-6-sol"]
    assert capsys.readouterr().out


def test_aichatkit_model_is_asked_where_no_model_is_given(sandbox, monkeypatch, capsys):
    monkeypatch.setenv("AICHATKIT_MODEL", "openai/gpt-6.1-sol")
    assert main(["Hi"]) == 0
    assert sandbox.requests[-1].json()["model"] == "gpt-6.1-sol"
    assert capsys.readouterr().err == ""


def test_without_key_and_model_the_offline_eliza_answers_and_says_so(monkeypatch, sandbox, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["Hello!"]) == 0
    out, err = capsys.readouterr()
    assert out.strip()
    assert "offline ELIZA" in err
    assert sandbox.requests == []


def test_a_wait_is_told_on_standard_error(sandbox, capsys):
    sandbox.script("rate-limit,retry_after_ms=5")
    assert main(["Hi"]) == 0
    assert "aichatkit: rate limited by openai, retrying at once\n" in capsys.readouterr().err


# What comes through a pipe.


def test_a_pipe_is_the_question(sandbox):
    assert run(piped=b"Capital of France?\n").returncode == 0
    assert asked(sandbox) == [("user", "Capital of France?")]


def test_with_a_question_the_pipe_is_the_document(sandbox):
    assert run("Main", "points?", piped="Grüße\n".encode()).returncode == 0
    assert asked(sandbox) == [("user", "Main points?\n\nGrüße")]


def test_a_redirected_file_is_read_like_a_pipe(sandbox, tmp_path, monkeypatch):
    (tmp_path / "report.txt").write_text("A report.", encoding="utf-8")
    with open(tmp_path / "report.txt", encoding="utf-8") as report:
        monkeypatch.setattr(sys, "stdin", report)
        main(["Main points?"])
    assert asked(sandbox) == [("user", "Main points?\n\nA report.")]


def test_what_is_neither_pipe_nor_file_is_left_alone(sandbox, monkeypatch):
    with open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        monkeypatch.setattr(nothing, "read", None, raising=False)
        assert main(["Hi"]) == 0


def test_a_pipe_that_holds_nothing_changes_nothing(sandbox):
    assert run("Hi", piped=b" \n").returncode == 0
    assert asked(sandbox) == [("user", "Hi")]


def test_bytes_that_are_no_text_are_refused(sandbox):
    done = run("Hi", piped=b"\xff \xfe report", env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 2
    assert done.stderr.startswith(b"aichatkit: the piped input is neither UTF-8 text")
    assert sandbox.requests == []


def test_a_character_the_terminal_does_not_have_does_not_end_it(sandbox):
    sandbox.says("caf\N{LATIN SMALL LETTER E WITH ACUTE}!")
    done = run("Hi", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout.split()) == (0, [b"caf?!"])


# Exit codes.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "there is no question"),
        ([" "], "there is no question"),
        (["-m", "opnai/gpt-6-sol", "Hi"], "there is no provider 'opnai'; did you mean 'openai'"),
        (["-m", "gpt-6-soll", "Hi"], "did you mean 'gpt-6-sol'"),
        (["-m", "free/gpt-5", "Hi"], "no provider of 'free' lists"),
        (["-s", " ", "Hi"], "system"),
        (["--timeout", "0", "Hi"], "positive number of seconds"),
        (["--retry", "-1", "Hi"], "retry: must be a number"),
    ],
)
def test_wrong_usage_is_told_in_one_line_with_code_2(sandbox, capsys, words, told):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, sandbox.requests) == ("", [])
    assert told in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("aichatkit: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [
        ["--nope"],
        ["--timeout", "soon", "Hi"],
        ["--retry", "x", "Hi"],
        ["-m"],
        ["sandbox", "--port", "99999"],
        ["sandbox", "--port", "http"],
    ],
)
def test_options_that_cannot_be_read_are_told_by_the_parser_with_code_2(capsys, words):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: aichatkit" in capsys.readouterr().err


def test_a_missing_key_has_code_2_and_names_the_variable(monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert main(["-m", "openai", "Hi"]) == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["quota", "unauthorized", "content-filter", "html", "challenge"])
def test_a_call_that_fails_is_told_in_one_line_with_code_1(sandbox, capsys, fault):
    sandbox.script(fault)
    assert main(["--retry", "0", "Hi"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aichatkit: openai")
    assert err.count("\n") == 1
    assert "sk-test" not in err


def test_retry_0_asks_once(sandbox):
    sandbox.script("overloaded", "overloaded")
    assert main(["--retry", "0", "Hi"]) == 1
    assert len(sandbox.requests) == 1


def test_a_timeout_ends_a_silent_answer(sandbox, capsys):
    sandbox.script("stall,after=1")
    assert main(["--timeout", "1", "--retry", "0", "Hi"]) == 1
    assert "silent" in capsys.readouterr().err


def test_text_that_came_before_a_failure_is_written_and_its_line_ended(sandbox, capsys):
    sandbox.says("one two three four")
    sandbox.script("cut,after=2")
    assert main(["Hi"]) == 1
    out, err = capsys.readouterr()
    assert "one two three four".startswith(out.strip())
    assert out.strip()
    assert out.endswith("\n")
    assert err.startswith("aichatkit: openai")


@pytest.mark.parametrize("moment", ["stream", "ask"])
def test_ctrl_c_has_code_130_and_no_traceback(monkeypatch, capsys, moment):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, moment, stop)
    assert main(["Hi"] if moment == "stream" else ["--no-stream", "Hi"]) == 130
    assert tuple(capsys.readouterr()) == ("", "\n")


def test_a_real_ctrl_c_keeps_the_text_that_came(sandbox):
    sandbox.says("one two three four")
    sandbox.script("stall,after=2")
    command = [sys.executable, "-m", "aichatkit", "Hi"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, bufsize=0, **pipes)
    try:
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, b"\n")
    assert b"one two three four".startswith((first + out).strip())


class Gone(io.StringIO):
    """Standard output whose reader has left."""

    def __init__(self, file):
        super().__init__()
        self._file = file

    def write(self, text):
        raise BrokenPipeError

    def fileno(self):
        return self._file.fileno()


def test_a_reader_that_has_left_ends_it_quietly(monkeypatch, tmp_path, capsys):
    with open(tmp_path / "out", "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdout", Gone(file))
        assert main(["Hi"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("output", "told"), [(">/dev/full", "No space left on device"), (">&-", "standard output is closed")]
)
def test_output_that_cannot_be_written_is_told_in_one_line_with_code_1(output, told):
    command = ["sh", "-c", f'"$0" -m aichatkit -m offline Hi {output}', sys.executable]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert told in done.stderr


def test_head_may_leave_in_the_middle_of_an_answer(sandbox):
    sandbox.says("words " * 50_000)
    command = [sys.executable, "-m", "aichatkit", "Hi"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.read(5) == b"words"
        process.stdout.close()
        assert process.wait(timeout=20) == 1
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.stderr.close()


def test_a_bug_of_ours_is_not_hidden(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(Client, "stream", broken)
    with pytest.raises(ZeroDivisionError):
        main(["Hi"])


# Around it.


def test_the_words_come_from_the_process_unless_given(sandbox, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["aichatkit", "Hi"])
    assert main() == 0
    assert asked(sandbox) == [("user", "Hi")]


def test_python_m_aichatkit_is_the_same(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["aichatkit", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(MAIN, run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"aichatkit {aichatkit.__version__}\n"


def test_importing_main_runs_nothing():
    runpy.run_path(MAIN, run_name="elsewhere")


def test_help_tells_the_commands_and_the_exit_codes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in out] == []
    assert "exit codes: 0 answered" in out
    assert out.count("\n") < 90


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_its_options(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: aichatkit")


def test_the_version_is_told_without_loading_what_asks():
    code = "import sys\nfrom aichatkit.cli import main\nmain(['--version'])\nassert 'requests' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0


def test_a_first_word_that_is_no_command_begins_a_question(sandbox):
    main(["mapping", "is", "what?"])
    assert asked(sandbox) == [("user", "mapping is what?")]


@pytest.mark.parametrize("words", [["ask", "map", "of", "Europe"], ["--", "map", "of", "Europe"], ["map of Europe"]])
def test_a_question_may_begin_with_the_name_of_a_command(sandbox, words):
    assert main(words) == 0
    assert asked(sandbox) == [("user", "map of Europe")]


@pytest.mark.parametrize("words", [["--timeout", "0", "Hi"], ["-m", "", "Hi"], ["--retry", "-1", "Hi"]])
def test_the_offline_eliza_is_not_announced_where_nothing_is_asked(monkeypatch, capsys, words):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(words) == 2
    assert "ELIZA" not in capsys.readouterr().err


# The sandbox.


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--fault", "nope"], 2, "there is no fault 'nope'"),
        (["--fault", "rate-limt"], 2, "did you mean 'rate-limit'"),
        (["--fault", "cut,x=1"], 2, "the fault 'cut' takes"),
        (["--fault", "cut,times=x"], 2, "--fault: "),
        (["--host", "192.0.2.1"], 1, "assign"),
    ],
)
def test_a_sandbox_that_cannot_start_is_told(words, code, told, capsys):
    assert main(["sandbox", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert err.count("\n") == 1


def test_the_sandbox_gets_its_options_and_tells_its_address(monkeypatch, capsys):
    served = []

    def serve(port, *, announce, **options):
        served.append((port, options))
        announce("http://127.0.0.1:8000")

    monkeypatch.setattr("aichatkit.cli.sandbox.serve", serve)
    assert main(["sandbox", "--port", "8000", "--delay", "0.1", "--seed", "3", "--fault", "quota"]) == 0
    assert served == [(8000, {"host": "127.0.0.1", "delay": 0.1, "seed": 3, "fault": "quota"})]
    assert "http://127.0.0.1:8000/v1" in capsys.readouterr().out


def test_a_real_sandbox_answers_until_ctrl_c():
    command = [sys.executable, "-m", "aichatkit", "sandbox", "--fault", "quota"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        url = process.stdout.readline().decode().split()[4]
        with Client(model="openai", base_url=f"{url}/v1") as client, pytest.raises(aichatkit.QuotaExceededError):
            client.ask("Hi")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[1] == b""
    finally:
        process.kill()
    assert process.returncode == 0


def test_without_any_output_it_fails_quietly(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["-m", "offline", "Hello"]) == 1


# Nearly right.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--temperature", "0.2"], "as in -o temperature=0.2"),
        (["--temperature=0.7"], "as in -o temperature=0.7"),
        (["--max-tokens", "5"], "as in -o max_tokens=200"),
        (["--max_completion_tokens=5"], "as in -o max_tokens=5"),
        (["--min-p", "1"], "as in -o min_p=VALUE"),
        (["--sytem", "x"], "did you mean '--system'?"),
        (["--no-steam"], "did you mean '--no-stream'?"),
        (["--api-key", "x"], "aichatkit keys set SERVICE"),
        (["--key=x"], "aichatkit keys set SERVICE"),
        (["--base-ur", "x"], "did you mean '--base-url'?"),
        (["--attachment", "x"], "attached with -f"),
        (["--stream"], "unless there is --no-stream"),
        (["--format", "json"], "use --json or --schema"),
        (["--max-retries", "1"], "set with --retry"),
        (["--num_retries=1"], "set with --retry"),
        (["--instructions", "x"], "set with --system"),
        (["--effort", "low"], "as in -o reasoning_effort=low"),
        (["--qqqqqq"], "unrecognized arguments: --qqqqqq\n"),
        (["--retry", "x"], "argument --retry: must be a whole number, not 'x'"),
        (["--timeout", "x"], "argument --timeout: must be a number, not 'x'"),
    ],
)
def test_a_wrong_flag_leads_to_the_right_one(sandbox, capsys, words, told):
    with pytest.raises(SystemExit) as caught:
        main([*words, "Hi"])
    assert caught.value.code == 2
    assert told in capsys.readouterr().err
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["map", "in.csv", "--out", "out.csv", "--concurrency", "3"], "set with --workers"),
        (["map", "in.csv", "--out", "out.csv", "--worker", "3"], "did you mean '--workers'?"),
        (["map", "in.csv", "--out", "out.csv", "--temperature", "3"], "as in -o temperature="),
        (["image", "cat", "-o", "cat.png"], "; the output file is set with --out"),
        (["map", "in.csv", "--out", "out.csv", "-p", "{text}"], "; the prompt is set with --template"),
        (["models", "-p", "x"], "unrecognized arguments: -p\n"),
        (["chats", "lst"], "; did you mean 'list'?"),
        (["map", "in.csv", "--out", "-", "--format", "json"], "; did you mean 'jsonl'?"),
        (["sandbox", "--prt", "3"], "did you mean '--port'?"),
        (["sandbox", "--threads", "3"], "unrecognized arguments: --threads 3\n"),
        (["chats", "show", "--plan"], "did you mean '--plain'?"),
    ],
)
def test_other_commands_lead_to_their_flags_only(capsys, words, told):
    with pytest.raises(SystemExit):
        main(words)
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "meant"),
    [("mdoels", "models"), ("Models", "models"), ("docter", "doctor"), ("help", "--help"), ("Version", "--version")],
)
def test_a_word_close_to_a_command_is_asked_with_a_note(sandbox, capsys, word, meant):
    assert main([word]) == 0
    assert asked(sandbox) == [("user", word)]
    assert f"aichatkit: {word!r} is sent as a question; the command is: aichatkit {meant}\n" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("words", [["Hello"], ["ask", "models"], ["mdoels", "please"], ["Paris?"]])
def test_other_questions_get_no_note(capsys, words):
    assert main(words) == 0
    assert capsys.readouterr().err == ""


def test_a_missing_key_is_told_as_on_a_command_line(monkeypatch, sandbox, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    for words in (["-m", "openai", "Hi"], ["chat", "-m", "openai"]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert "set OPENAI_API_KEY in the environment, or store it with: aichatkit keys set openai" in err
        assert "api_key=" not in err
        assert err.count("OPENAI_API_KEY") == 1
    assert sandbox.requests == []


def test_a_missing_key_of_a_model_s_name_is_told_so_too(monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["-m", "gpt-6-luna", "Hi"]) == 2
    err = capsys.readouterr().err
    assert "in the environment, or store it with: aichatkit keys set SERVICE" in err
    assert "api_key=" not in err


@pytest.mark.parametrize(
    "command",
    [["Hi"], ["chat"], ["map", "in.csv", "-t", "{text}", "--out", "out.csv"], ["map", "in.csv", "--out", "o.csv"]],
)
@pytest.mark.parametrize("model", ["nix", "opnai/x", "free/nope", "openai/gpt-6-luna,offline", " "])
def test_the_variable_of_a_wrong_model_is_named(monkeypatch, tmp_path, sandbox, capsys, command, model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("text\na\n", encoding="utf-8")
    monkeypatch.setenv("AICHATKIT_MODEL", model)
    assert main(command) == 2
    err = capsys.readouterr().err
    assert "aichatkit: AICHATKIT_MODEL: " in err
    assert ("repeat -m" in err) is ("," in model)
    assert sandbox.requests == []


def test_several_models_in_one_flag_are_refused(sandbox, capsys):
    assert main(["-m", "openai/gpt-6-luna,offline", "Hi"]) == 2
    assert "-m: takes the name of one model, not 'openai/gpt-6-luna,offline'; for fallbacks repeat -m" in (
        capsys.readouterr().err
    )
    assert sandbox.requests == []


@pytest.mark.parametrize("words", [["Hi"], ["--no-stream", "Hi"], ["-m", "openai", "-m", "openai/gpt-6-luna", "Hi"]])
def test_where_there_is_no_network_the_doctor_is_named(monkeypatch, capsys, words):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert main(["--retry", "1", *words]) == 1
    err = capsys.readouterr().err
    assert "offline or behind a proxy" in err
    assert err.endswith("aichatkit doctor openai\n")
    assert "ConnectError" not in err


def test_a_chat_and_a_map_without_a_network_name_the_doctor_too(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("text\na\n", encoding="utf-8")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n"))
    for words in (["chat"], ["map", "in.csv", "--out", "out.csv"]):
        assert main([*words, "--retry", "0"]) == 1
        assert "aichatkit doctor openai" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--model=", "--schema=", "--chat=", "-m", "-o", "-t"])
def test_dashes_are_no_value(capsys, flag):
    assert main(["Hi", f"{flag}--"]) == 2
    assert capsys.readouterr().err.strip().endswith(f"{flag.rstrip('=')}: -- is not a value")


def test_after_dashes_everything_is_the_question(capsys):
    assert main(["--no-save", "-m", "offline", "--", "--model=--"]) == 0
    assert capsys.readouterr().out
