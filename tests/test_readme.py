"""Every example of the README runs, and every table in it is true."""

from __future__ import annotations

import inspect
import re
import runpy
import shutil
import signal
import subprocess
from pathlib import Path

import odd_records
import pytest
from mistakes import MISTAKES
from pages import blocks_of

import aichatkit
from aichatkit import Client
from aichatkit.catalog.layers import shipped
from aichatkit.limits.retries import RetryPolicy
from aichatkit.params import PARAMS

TESTS = Path(__file__).parent
README = (TESTS.parent / "README.md").read_text(encoding="utf-8")
PARAMETERS = (TESTS.parent / "docs" / "parameters.md").read_text(encoding="utf-8")
RELIABILITY = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
BLOCKS = blocks_of(README)
PYTHON = [block.code for block in BLOCKS if block.language == "python"]
COMMANDS = [line for block in BLOCKS if block.language == "bash" for line in block.code.splitlines()]
SERVER = [line for line in COMMANDS if line.startswith("aichatkit sandbox")]
MAPS = [line for line in COMMANDS if line.startswith("aichatkit map")]
QUESTIONS = [line for line in COMMANDS if line.startswith(("aichatkit", "cat ")) and line not in [*SERVER, *MAPS]]
INSTALLS = [line for line in COMMANDS if "pip install" in line]

pytestmark = pytest.mark.usefixtures("reader")


def first_line(block):
    return next(line for line in block.splitlines() if line and not line.startswith(("import", "from")))


def table(heading, text):
    """Return the rows of the table whose first columns are named `heading`."""
    rows = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)[1]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()]


# Examples.


@pytest.mark.parametrize("block", PYTHON, ids=first_line)
def test_an_example_runs(block):
    exec(compile(block, "README.md", "exec", dont_inherit=True), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sh") is None, reason="the commands are for a shell")
@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("command", QUESTIONS)
def test_a_command_answers(command):
    done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sh") is None, reason="the commands are for a shell")
@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("command", MAPS)
def test_a_file_is_mapped(command, tmp_path):
    done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert "1 of 1 rows answered" in done.stderr
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("text,answer,")


@pytest.mark.skipif(shutil.which("sh") is None, reason="the commands are for a shell")
@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("command", SERVER)
def test_the_sandbox_serves_until_it_is_stopped(command):
    command = re.sub(r"--port \d+", "--port 0", command)
    server = subprocess.Popen(["sh", "-c", f"exec {command}"], stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://[\d.:]+", server.stdout.readline())[0]
        with Client(model="openai", base_url={"openai": f"{url}/v1"}) as client:
            assert client.ask("Hello!").provider == "openai"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=20) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_there_are_examples_of_each_kind():
    assert len(PYTHON) >= 10
    assert len(QUESTIONS) >= 4
    assert (len(SERVER), len(INSTALLS)) == (1, 2)


def test_every_command_shown_is_run_here_or_in_ci():
    assert {*COMMANDS} == {*QUESTIONS, *MAPS, *SERVER, *INSTALLS}


def test_the_test_command_follows_its_marker_and_needs_nothing_but_python():
    command = re.search(r"^<!-- test command -->\n\n?```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[1]
    assert command == INSTALLS[1] + "\n"
    assert re.match(r'python3 -m venv \.venv && \.venv/bin/pip install .*"\.\[dev\]" && .*pytest$', command.strip())


def test_installing_and_asking_is_one_line():
    assert re.match(r'python3 -m venv \.venv && \.venv/bin/pip install -q \. && \.venv/bin/aichatkit "', INSTALLS[0])


# Tables.


def test_the_table_of_options_is_that_of_the_client():
    options = [name for name in inspect.signature(Client).parameters if name not in PARAMS]
    assert [row[0].strip("`") for row in table(r"option \| default", PARAMETERS)] == options


@pytest.mark.parametrize(
    ("option", "per_call"), [(row[0].strip("`"), row[3]) for row in table(r"option \| default", PARAMETERS)]
)
def test_the_table_tells_which_options_a_call_takes(option, per_call):
    with Client(model="offline") as client:
        if per_call == "yes":
            client.ask("Hi", **{option: None})
        else:
            with pytest.raises(aichatkit.ConfigurationError, match="unknown option"):
                client.ask("Hi", **{option: None})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "fault", "requests"),
    [
        ("the rate is limited, and the service says for how long", "rate-limit,retry_after=7", 3),
        ("the rate is limited without a hint", "rate-limit", 3),
        ("the wait asked for is above 60 seconds", "rate-limit,retry_after=61", 1),
        ("a quota or the money is used up", "quota", 1),
        ("the key is wrong", "unauthorized", 1),
        ("the request is wrong", "bad-request", 1),
        ("the service is overloaded", "overloaded", 3),
        ("an HTML page arrives instead of an answer", "html", 1),
        ("a bot check arrives instead of an answer", "challenge-200", 1),
        ("the answer is empty", "empty", 3),
        ("a stream breaks off after its first text", "cut", 1),
        ("a stream ends without its end marker", "no-end-marker", 1),
        ("a stream falls silent after its first text", "stall", 1),
        ("no answer begins", "slow-head", 2),
        ("the service redirects", "redirect", 1),
    ],
)
def test_the_table_of_reliability_names_the_error_that_comes(sandbox, policy, when, fault, requests):
    told = dict(table("when", RELIABILITY))
    # What is silent is left soon; all else has the time a busy machine may need.
    timeout = 1.5 if fault in ("stall", "slow-head") else 20
    client = Client(model="openai", base_url=f"{sandbox.url}/fault/{fault}/v1", retry=policy, timeout=timeout)
    with client, pytest.raises(aichatkit.ChatError) as caught:
        client.ask("Tell me a story.")
    named = re.search(r"`(\w+Error)`", told[when])[1]
    assert (named, len(sandbox.requests)) == (type(caught.value).__name__, requests)
    assert bool(caught.value.partial) == ("`partial`" in told[when])


def test_the_figures_told_are_those_of_the_tests():
    rows = runpy.run_path(str(TESTS / "faults" / "test_matrix.py"))["ROWS"]
    assert f"{len(rows)} rows of such faults" in README
    assert f"A matrix of {len(rows)} faults" in RELIABILITY
    assert f"makes {len(MISTAKES)} mistakes" in README
    assert f"the tests catch all {len(MISTAKES)}." in README
    assert f"makes {len(MISTAKES)} mistakes" in RELIABILITY
    wires = [*odd_records.RECORD_WIRES, *odd_records.CALL_WIRES]
    answers = sum(len(odd_records.places(wire.records)) for wire in wires) * (len(odd_records.ODD_VALUES) + 1)
    services = {wire.provider for wire in wires}
    assert (
        f"{answers:,} answers with one odd field, in every field of the records of {len(services)} services"
        in RELIABILITY
    )


@pytest.mark.parametrize("row", table("deviation", RELIABILITY), ids=lambda row: row[0])
def test_the_tests_of_odd_answers_are_there(row):
    assert (TESTS.parent / row[2].strip("`")).is_file()


def test_the_date_of_the_prices_is_told():
    assert f"list prices of {shipped().as_of}" in README


def test_the_numbers_told_are_the_defaults():
    policy = RetryPolicy()
    assert "Retried, twice by default" in README
    assert (policy.attempts, policy.ambiguous, policy.max_wait) == (3, 1, 60.0)


@pytest.mark.parametrize("name", sorted({*re.findall(r"`(\w+Error)`", README)} - {"TypeError"}))
def test_every_error_named_exists(name):
    assert issubclass(getattr(aichatkit, name), aichatkit.ChatError)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^):#]+)[^):]*\)", README))
def test_links_lead_somewhere(target):
    root = TESTS.parent
    if not (root / ".github").exists():
        pytest.skip("an sdist has no .github")
    assert (root / target).exists()


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 350


def test_sources_have_one_sentence_per_line():
    prose = re.sub(r"^(```.*?^```|\|.*?)$", "", README, flags=re.DOTALL | re.MULTILINE)
    assert [line for line in prose.splitlines() if re.search(r"[a-z]\. [A-Z]", line)] == []
