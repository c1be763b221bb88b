"""What ends the command from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from aichatkit.cli import main
from aichatkit.cli.signals import exit_on_signals

pytestmark = pytest.mark.usefixtures("service")


@pytest.fixture
def started():
    """Start the command and end it after the test."""
    running = []

    def start(*words):
        command = [sys.executable, "-m", "aichatkit", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, bufsize=0, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_being_told_to_end_keeps_the_text_that_came_and_ends_its_line(sandbox, started, number, code):
    sandbox.says("one two three four")
    sandbox.script("stall,after=2")
    process = started("Hi")
    first = process.stdout.read(1)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, b"")
    assert (first + out).endswith(b"\n")
    assert b"one two three four".startswith((first + out).strip())


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with exit_on_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_is_not_held_up():
    with exit_on_signals(), pytest.raises(SystemExit) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    with exit_on_signals():
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_it_may_run_in_any_thread(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["-m", "offline", "--no-save", "Hello"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert capsys.readouterr().out.strip()
