"""The examples for older code bases, run as their frameworks run them."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ENVIRONMENT = ("AICHATKIT_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL")


def run(script, *arguments, cwd, **environment):
    """Run an example as a process of its own, as cron would."""
    given = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE)])}
    return subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        cwd=cwd,
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def browser(service):
    """A browser of the Flask application."""
    pytest.importorskip("flask")
    return importlib.import_module("flask_app").app.test_client()


def test_flask_answers(browser, service):
    service.says("Paris.")
    answer = browser.post("/ask", json={"prompt": "Capital of France?"})
    assert answer.get_json() == {"answer": "Paris.", "provider": "openai", "model": "gpt-6-luna"}


def test_flask_streams_piece_by_piece(browser, service):
    service.says("Once upon a time.")
    pieces = list(browser.post("/stream", json={"prompt": "A story?"}).response)
    assert b"".join(pieces) == b"Once upon a time."
    assert len(pieces) > 3


def test_a_browser_that_leaves_flask_frees_the_connection(browser, service):
    service.script("stall")
    answer = browser.post("/stream", json={"prompt": "A story?"})
    assert next(iter(answer.response))
    answer.close()
    assert service.wait_closed()


@pytest.mark.parametrize(("fault", "status", "name"), [("quota", 429, "QuotaExceededError"), ("html", 502, None)])
@pytest.mark.parametrize("page", ["/ask", "/stream"])
def test_flask_turns_errors_into_status_codes(browser, service, page, fault, status, name):
    service.script(fault)
    answer = browser.post(page, json={"prompt": "Hi"})
    assert (answer.status_code, answer.get_json()["error"]) == (status, name or "BadResponseError")


def test_flask_hands_the_hint_on(browser, service):
    service.script("rate-limit,retry_after=90")
    answer = browser.post("/ask", json={"prompt": "Hi"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "90")


@pytest.fixture
def visitor(service):
    """A visitor of the Django site."""
    django = pytest.importorskip("django")
    site = importlib.import_module("django_site")
    django.setup()
    client = importlib.import_module("django.test").Client()
    return lambda page, prompt: client.post(f"/{page}", json.dumps({"prompt": prompt}), "application/json"), site


def test_django_answers(visitor, service):
    visit, _ = visitor
    service.says("Paris.")
    assert visit("ask", "Capital of France?").json()["answer"] == "Paris."


def test_django_streams_piece_by_piece(visitor, service):
    visit, _ = visitor
    service.says("Once upon a time.")
    pieces = list(visit("stream", "A story?"))
    assert b"".join(pieces) == b"Once upon a time."
    assert len(pieces) > 3


def test_a_visitor_who_leaves_django_frees_the_connection(visitor, service):
    visit, _ = visitor
    service.script("stall")
    answer = visit("stream", "A story?")
    assert next(iter(answer))
    answer.close()
    assert service.wait_closed()


def test_django_turns_errors_into_status_codes(visitor, service):
    visit, _ = visitor
    service.script("rate-limit,retry_after=90", "unauthorized")
    limited, refused = visit("ask", "Hi"), visit("ask", "Hi")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "90")
    assert (refused.status_code, refused.json()) == (502, {"error": "AuthenticationError"})


@pytest.fixture
def tasks(service):
    """The Celery tasks, run at once in this process."""
    pytest.importorskip("celery")
    module = importlib.import_module("celery_tasks")
    module.app.conf.task_always_eager = True
    yield module
    module.app.conf.task_always_eager = False


def test_a_celery_task_answers(tasks, service):
    service.says("Short.")
    assert tasks.summarise.delay("A long text.").get(timeout=30)["text"] == "Short."


def test_a_celery_task_that_is_limited_comes_back_later(tasks, service):
    service.says("Short.")
    service.script("rate-limit,retry_after=90")
    assert tasks.summarise.delay("A long text.").get(timeout=30)["text"] == "Short."
    assert len(service.requests) == 2


def test_a_celery_task_without_money_fails_at_once(tasks, service):
    service.script("quota")
    outcome = tasks.summarise.delay("A long text.")
    assert type(outcome.result).__name__ == "QuotaExceededError"
    assert len(service.requests) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Celery has no prefork there")
def test_forked_celery_workers_ask_at_once(service, tmp_path):
    celery = pytest.importorskip("celery")
    queue, results = tmp_path / "queue", tmp_path / "results"
    for folder in (queue, results):
        folder.mkdir()
    places = {
        "CELERY_BROKER_URL": "filesystem://",
        "CELERY_QUEUE": str(queue),
        "CELERY_RESULT_BACKEND": results.as_uri(),
        "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE)]),
        "C_FORCE_ROOT": "1",
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--pool", "prefork", "-c", "2", "-l", "error"],
        cwd=tmp_path,
        env={**os.environ, **places},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        transport = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), str(queue))
        app = celery.Celery(broker=places["CELERY_BROKER_URL"], backend=places["CELERY_RESULT_BACKEND"])
        app.conf.broker_transport_options = transport
        outcomes = [app.send_task("celery_tasks.summarise", [f"Text {number}."]) for number in range(8)]
        found = [outcome.get(timeout=180, interval=0.05) for outcome in outcomes]
    finally:
        worker.terminate()
        worker.wait(120)
    assert all(answer["text"] for answer in found)
    assert worker.pid not in {answer["process"] for answer in found}
    assert len(service.requests) == 8


ROWS = 'id,review\n1,"Lovely, ""really""!"\n2,Never again {sic}\n'


def test_a_cron_job_leaves_a_row_for_each_line_and_prints_nothing(service, tmp_path):
    (tmp_path / "in.csv").write_text(ROWS)
    done = run("cron_report.py", "in.csv", "out.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len((tmp_path / "out.csv").read_text().splitlines()) >= 3


def test_a_cron_job_that_failed_asks_only_for_what_is_missing(service, tmp_path):
    (tmp_path / "in.csv").write_text(ROWS)
    service.script("bad-request")
    failed = run("cron_report.py", "in.csv", "out.csv", cwd=tmp_path)
    assert failed.returncode == 1
    assert "BadRequestError" in failed.stderr or "row" in failed.stderr
    again = run("cron_report.py", "in.csv", "out.csv", cwd=tmp_path)
    assert (again.returncode, len(service.requests)) == (0, 3)


def test_a_cron_job_that_cannot_work_says_so(service, tmp_path):
    done = run("cron_report.py", "nothing.csv", "out.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing.csv" in done.stderr


def test_greenlets_ask_side_by_side(service, tmp_path):
    pytest.importorskip("gevent")
    service.says("Hello.")
    done = run("gevent_pool.py", *[f"Question {number}" for number in range(30)], cwd=tmp_path)
    assert (done.stdout.splitlines(), done.stderr) == (["Hello."] * 30, "")


def check_types(*files, cwd):
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", *files],
        cwd=cwd,
        env={**os.environ, "MYPYPATH": str(HERE.parent.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_code_of_users_passes_a_strict_type_checker_and_its_mistakes_do_not(tmp_path):
    pytest.importorskip("mypy")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import aichatkit\n"
        "reply = aichatkit.ask('Hi')\n"
        "length: int = reply.text\n"
        "reply.txt\n"
        "aichatkit.Client(modle='openai/x', timeout='soon')\n"
    )
    done = check_types(str(HERE / "user_code.py"), str(wrong), cwd=tmp_path)
    # The package itself is checked with what it is checked with; here it is somebody's dependency.
    own = f"{HERE.parent.parent / 'aichatkit'}{os.sep}"
    found = [
        line.split(": ")[0] for line in done.stdout.splitlines() if ": error: " in line and not line.startswith(own)
    ]
    assert [place.rpartition("wrong.py:")[2] for place in found] == ["3", "4", "5", "5"], done.stdout
