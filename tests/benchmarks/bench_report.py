"""Samples -> medians and ratios -> Markdown and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

BASE = "requests"


class Result(NamedTuple):
    """The samples of one row: for each client one dict of figures for each round."""

    title: str
    samples: dict[str, list[dict[str, float]]]

    def median(self, client: str, figure: str) -> float | None:
        """Return the median of a figure over the rounds."""
        values = [sample[figure] for sample in self.samples.get(client, ()) if figure in sample]
        return statistics.median(values) if values else None

    def ratio(self, client: str, figure: str, base: str = BASE) -> float | None:
        """Return the median over the rounds of client / base in the same round."""
        pairs = zip(self.samples.get(client, ()), self.samples.get(base, ()))
        values = [one[figure] / other[figure] for one, other in pairs if other.get(figure) and figure in one]
        return statistics.median(values) if values else None


class Target(NamedTuple):
    """A figure of aichatkit over a base, or by itself without one: `bar` must hold, `goal` is what can be had."""

    what: str
    row: str
    figure: str
    bar: float
    goal: float
    client: str = "aichatkit"
    base: str = BASE


TARGETS = (
    Target("CPU for an event, chunked", "stream, chunked", "cpu us/event", 1.2, 0.85),
    Target("CPU for an event, chunked, x openai", "stream, chunked", "cpu us/event", 1 / 12, 1 / 20, base="openai"),
    Target("CPU for an event, x litellm", "stream, slow peers", "cpu us/event", 1 / 60, 1 / 100, base="litellm"),
    Target("CPU for an event, length", "stream, length", "cpu us/event", 0.7, 0.45),
    Target("CPU for an event, close", "stream, close", "cpu us/event", 0.7, 0.45),
    Target("CPU for an event, records kept", "stream, chunked", "cpu us/event", 2.0, 1.3, client="aichatkit raw"),
    # The whole delay: what a bare socket takes is as large as the difference, and too unsteady to be taken off.
    Target("delay of a text, p50, a bare socket's included", "delay at 5 ms", "p50 us", 1.2, 0.9),
    Target("delay added to a bare socket's, p50", "delay added to a bare socket's", "p50 us", 1.2, 0.7),
    Target("first text, kept client", "short stream", "first text ms", 0.7, 0.45),
    Target("connections for a finished stream", "short stream", "connections/stream", 0.0, 0.0, base=""),
    Target("first text over TLS, kept client", "short stream, TLS", "first text ms", 0.06, 0.03),
    Target("first text over TLS, new client", "short stream, TLS, new client", "first text ms", 0.2, 0.11),
    Target("short call, x streamed by hand", "short call", "cpu ms/call", 0.75, 0.55, base="requests streamed"),
    Target("short call, x openai", "short call", "cpu ms/call", 0.5, 0.33, base="openai"),
    # The bar is that of the first text above, told in what openai took when the bars were set.
    Target("first text, kept client, x openai", "short stream", "first text ms", 0.42, 0.3, base="openai"),
    Target("first text over TLS, x openai", "short stream, TLS", "first text ms", 0.3, 0.15, base="openai"),
    Target("short call, x by hand, not streamed", "short call", "cpu ms/call", 0.75, 0.55),
    Target("short call, p50, x by hand, not streamed", "short call", "p50 ms", 0.75, 0.55),
    Target("first text, kept client, x requests.post", "short stream", "first text ms", 0.3, 0.2, base="requests.post"),
    Target("short call, x requests.post", "short call", "cpu ms/call", 0.4, 0.2, base="requests.post"),
    Target("leave early, ms", "leave early", "ms", 5.0, 1.0, base=""),
    Target("one more client, us", "construct", "cpu us", 500.0, 50.0, base=""),
    Target("import of the package", "import", "cpu ms", 0.4, 0.15, client="aichatkit package"),
    Target("import and make a client", "import", "cpu ms", 1.2, 1.08),
    Target("process to first text", "first text of a process", "cpu ms", 1.2, 1.08),
    Target("memory after a stream", "stream, chunked", "MB after", 1.10, 1.03),
    Target("64 threads, wall for an event", "64 threads", "wall us/event", 1.6, 1.1),
    Target("64 threads, wall for an event, x openai", "64 threads", "wall us/event", 1 / 8, 1 / 8, base="openai"),
    Target("64 threads, 50 events/s, wall / ideal", "64 threads, 50 events/s", "wall/ideal", 1.1, 1.1, base=""),
    Target("64 threads, 50 events/s, p99", "64 threads, 50 events/s", "p99 ms", 2.0, 1.2),
    Target("64 threads, 5 short TLS streams", "64 threads, 5 short TLS streams", "wall us/event", 0.12, 0.06),
    Target(
        "64 threads, 5 short TLS streams, x openai",
        "64 threads, 5 short TLS streams",
        "wall us/event",
        0.2,
        0.2,
        base="openai",
    ),
    Target("installed with what it needs, MB", "installed", "MB", 5.0, 4.0, base=""),
    Target("installed packages", "installed", "packages", 7, 7, base=""),
)


def as_markdown(results: Sequence[Result], machine: dict[str, Any]) -> str:
    """Return the verdict on each target, then a table for each row."""
    told = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines = ["# Benchmarks", "", f"{told}. B is requests with iter_lines and json, in the same round.", ""]
    lines += _targets({result.title: result for result in results})
    for result in results:
        if result.samples:
            lines += ["", f"## {result.title}", "", *_table(result)]
    return "\n".join([*lines, ""])


def draw(results: Sequence[Result], path: Path) -> bool:
    """Draw the figures people ask for; False without matplotlib."""
    try:
        import matplotlib as drawing
    except ImportError:
        return False
    drawing.use("Agg")
    from matplotlib import pyplot

    wanted = {
        "stream, chunked": "cpu us/event",
        "delay at 5 ms": "p50 us",
        "short call": "cpu ms/call",
        "import": "cpu ms",
    }
    found = [(result, wanted[result.title]) for result in results if result.title in wanted and result.samples]
    if not found:
        return False
    figure, axes = pyplot.subplots(1, len(found), figsize=(4 * len(found), 4), squeeze=False)
    for axis, (result, name) in zip(axes[0], found):
        rows = [(client, result.ratio(client, name)) for client in result.samples]
        rows = sorted([(client, ratio) for client, ratio in rows if ratio], key=lambda row: -row[1])
        bars = axis.barh([client for client, _ in rows], [ratio for _, ratio in rows])
        axis.bar_label(bars, fmt="%.2g", padding=2)
        axis.set(title=f"{result.title}: {name}", xlabel="x requests by hand", xscale="log")
        axis.margins(x=0.2)
        # The bars are labelled; between powers of ten the marks would be written over each other.
        axis.minorticks_off()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


def _targets(results: dict[str, Result]) -> list[str]:
    lines = ["| target | measured | bar | goal | |", "| --- | ---: | ---: | ---: | --- |"]
    for target in TARGETS:
        result = results.get(target.row)
        if result is None:
            continue
        if target.base:
            value = result.ratio(target.client, target.figure, target.base)
        else:
            value = result.median(target.client, target.figure)
        if value is not None:
            verdict = "goal" if value <= target.goal else "bar" if value <= target.bar else "missed"
            lines.append(f"| {target.what} | {value:.3g} | {target.bar:.3g} | {target.goal:.3g} | {verdict} |")
    return lines


def _table(result: Result) -> list[str]:
    figures = list(dict.fromkeys(name for samples in result.samples.values() for name in samples[0]))
    heads = [head for name in figures for head in (name, "x B")]
    lines = [f"| client | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    for client in result.samples:
        cells = []
        for name in figures:
            value, ratio = result.median(client, name), result.ratio(client, name)
            cells += ["" if value is None else f"{value:.3g}", "" if ratio is None else f"{ratio:.2f}"]
        lines.append(f"| {client} | {' | '.join(cells)} |")
    return lines
