"""The progress line of terminals without tqdm."""

from __future__ import annotations

import pytest

from aichatkit.batch.text_bar import TextBar


@pytest.fixture
def shown(monkeypatch, capsys):
    """Return what has been written to a terminal of 40 columns."""
    monkeypatch.setenv("COLUMNS", "40")
    return lambda: capsys.readouterr().err


@pytest.mark.parametrize(
    ("total", "elapsed", "line"),
    [
        (4, 30.0, "1/4 rows, 1:30 left, failed=0"),
        (1001, 10.0, "1/1001 rows, 2:46:40 left, failed=0"),
        (4, 0.0, "1/4 rows, failed=0"),
        (None, 30.0, "1 rows, failed=0"),
    ],
)
def test_the_line_shows_what_is_done_and_the_time_left(shown, total, elapsed, line):
    times = [0.0]
    bar = TextBar(total=total, unit="row", clock=lambda: times[-1])
    times.append(elapsed)
    bar.update(1)
    bar.set_postfix({"failed": 0}, refresh=False)
    assert shown() == f"\r{line}"


def test_the_line_is_not_redrawn_for_each_row(shown):
    times = [0.0]
    bar = TextBar(total=None, unit="row", clock=lambda: times[-1])
    for time in (0.0, 0.05, 0.09, 0.2):
        times.append(time)
        bar.update(1)
        bar.set_postfix({}, refresh=False)
    assert shown() == "\r1 rows\r4 rows"
    bar.update(1)
    bar.set_postfix({}, refresh=True)
    assert shown().endswith("\r5 rows")


def test_a_shorter_line_covers_a_longer_one_and_none_is_wider_than_the_terminal(shown):
    bar = TextBar(total=None, unit="row", clock=lambda: 0.0)
    bar.set_postfix({"pause": "x" * 100}, refresh=True)
    bar.set_postfix({}, refresh=True)
    bar.close()
    _, long, short, last = shown().split("\r")
    assert (len(long), len(short), last) == (39, 39, "0 rows\n")
