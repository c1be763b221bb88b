"""What is measured: each row is a measurement, a case, and the clients that take turns at it."""

from __future__ import annotations

from typing import Any, NamedTuple

#: The clients every row compares, and those that are installed for the comparison only.
OWN = ("requests", "aichatkit")
PEERS = ("openai", "anthropic", "litellm", "aisuite", "ollama", "g4f", "lm15")
HEAVY = ("litellm", "aisuite", "g4f")


class Row(NamedTuple):
    """One line of the suite; `told` goes to the measurement, `rounds` is how often the clients take turns."""

    title: str
    measure: str
    told: dict[str, Any]
    clients: tuple[str, ...]
    rounds: int = 5
    tls: bool = False
    timeout: float = 120.0


def suite(*, quick: bool, megabytes: int) -> list[Row]:
    """Return every row; the quick suite has smaller bodies and fewer clients."""
    rows = [*_throughput(quick), *_waiting(quick), *_calls(quick), *_starting(), *_threads(quick)]
    return rows if quick else [*rows, *_growth(megabytes)]


def _throughput(quick: bool) -> list[Row]:
    few, many = (10_000, 20_000) if quick else (20_000, 100_000)
    everyone = ("socket", *OWN, "aichatkit raw", "openai", "g4f", "lm15")
    rows = [Row("stream, chunked", "stream", {"events": few}, everyone)]
    rows += [
        Row(f"stream, {framing}", "stream", {"events": few, "framing": framing}, OWN)
        for framing in ("length", "close", "big", "gzip")
    ]
    rows.append(Row("stream, chunked, TLS", "stream", {"events": few}, OWN, tls=True))
    for wire, peers in (("anthropic", ("anthropic",)), ("ollama", ("ollama",)), ("gemini", ())):
        rows.append(Row(f"stream, {wire}", "stream", {"events": few, "wire": wire}, ("socket", *OWN, *peers)))
    if not quick:
        rows.append(Row("stream, slow peers", "stream", {"events": 2_000}, (*OWN, "litellm", "aisuite"), rounds=3))
        rows.append(Row("stream, 5 x as long", "stream", {"events": many}, OWN, rounds=3))
    return rows


def _waiting(quick: bool) -> list[Row]:
    case = {"events": 60 if quick else 200, "pace": 0.005}
    rows = [Row("delay at 5 ms", "delay", case, ("socket", *OWN, "openai", *(() if quick else HEAVY)))]
    pair = {**case, "turns": 2 if quick else 4}
    rows.append(Row("delay added to a bare socket's", "pair", pair, (*OWN, "openai")))
    for framing in ("two", "length", "close", "gzip"):
        rows.append(Row(f"delay at 5 ms, {framing}", "delay", {**case, "framing": framing}, OWN, rounds=2))
    return rows


def _calls(quick: bool) -> list[Row]:
    calls = 60 if quick else 300
    whole = {"calls": calls, "events": 1, "text": 10}
    peers = ("openai", "lm15") if quick else ("openai", "lm15", *HEAVY)
    return [
        Row("short stream", "short", {"calls": calls}, (OWN[0], "requests.post", "http.client", OWN[1], *peers)),
        Row("short stream, TLS", "short", {"calls": calls // 3}, (*OWN, "openai", "lm15"), tls=True),
        Row("short stream, TLS, new client", "new", {"calls": 20}, (*OWN, "openai", "lm15"), tls=True),
        Row("short call", "call", whole, (OWN[0], "requests.post", "requests streamed", "http.client", OWN[1], *peers)),
        Row("leave early", "leave", {"calls": 20, "events": 2000, "pace": 0.02}, OWN, rounds=2),
    ]


def _starting() -> list[Row]:
    everyone = (*OWN, *PEERS)
    return [
        Row("construct", "construct", {}, everyone, rounds=3),
        # A process starts now fast, now slowly.
        Row("import", "import", {}, (OWN[0], "aichatkit package", OWN[1], *PEERS), rounds=15),
        Row("installed", "installed", {}, everyone, rounds=1),
        Row("first text of a process", "cold", {}, (*OWN, "openai", "litellm", "lm15"), rounds=15),
    ]


def _threads(quick: bool) -> list[Row]:
    rows = []
    clients = (*OWN, "openai", "lm15")
    for threads in (16, 64) if quick else (1, 16, 64, 256):
        events = 20_000 // threads if quick else 40_000 // threads
        rows.append(Row(f"{threads} threads", "threads", {"threads": threads, "events": events}, clients, rounds=3))
    crowd = {"threads": 64, "events": 50 if quick else 100, "pace": 0.02}
    rows.append(Row("64 threads, 50 events/s", "crowd", crowd, clients, rounds=2))
    short = {"threads": 64, "streams": 5, "events": 20}
    rows.append(Row("64 threads, 5 short TLS streams", "threads", short, clients, rounds=2, tls=True))
    return rows


def _growth(megabytes: int) -> list[Row]:
    """Twice the size must take twice the time, and no more memory than the text itself."""
    rows = [
        Row(f"{events:,} events", "stream", {"events": events}, OWN, rounds=1)
        for events in (125_000, 250_000, 500_000, 1_000_000)
    ]
    for size in (1, 10):
        # By hand the time grows with the square: `iter_lines` puts a line together from pieces of 512 bytes.
        clients = OWN if size == 1 else OWN[1:]
        rows.append(Row(f"a line of {size} MB", "stream", {"events": 5, "text": size * 50_000}, clients, rounds=2))
    for size in (megabytes // 2, megabytes):
        told = {"events": size * 10, "text": 5_000}
        rows.append(Row(f"an answer of {size} MB", "stream", told, OWN, rounds=1, timeout=300.0))
    return rows
