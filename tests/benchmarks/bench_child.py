"""One measurement of one client, in a process of its own: `bench_child.py CLIENT MEASURE URL JSON` prints JSON."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import threading
import time
import urllib.request
from typing import Any, Callable

from bench_clients import CLIENTS
from bench_wires import Case


def main() -> None:
    """Take the measurement the command line names."""
    name, measure, url, told = sys.argv[1:5]
    found = MEASURES[measure](CLIENTS[name], url, json.loads(told))
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def measure_stream(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """CPU and wall time for an event of one stream at full speed, and memory before and after it."""
    case = Case(**told)
    _drain(kind, url, case._replace(events=50))
    client, before = kind(url, case), _peak()
    cpu, wall = time.process_time(), time.perf_counter()
    count = characters = 0
    for text in client.stream():
        count += 1
        characters += len(text)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    _check(count, characters, case)
    each = 1e6 / case.events
    return {"cpu us/event": cpu * each, "wall us/event": wall * each, "MB ready": before, "MB after": _peak()}


def measure_delay(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """How long after it was sent each text of a paced stream is in hand."""
    case = Case(**told)
    _drain(kind, url, case._replace(events=2))
    delays = []
    cpu = time.process_time()
    for text in kind(url, case).stream():
        delays.append(time.monotonic() - float(text))
    cpu = time.process_time() - cpu
    assert len(delays) == case.events, len(delays)
    delays = sorted(delays[1:])
    return {
        "p50 us": statistics.median(delays) * 1e6,
        "p99 us": delays[int(len(delays) * 0.99)] * 1e6,
        "cpu us/event": cpu * 1e6 / case.events,
    }


def measure_pair(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """What a client adds to the delay of a bare socket: both take turns in one process, so that they share its luck."""
    turns = told.pop("turns")
    case = Case(**told)
    bare, client = CLIENTS["socket"](url, case), kind(url, case)
    added: dict[str, list[float]] = {"p50 us": [], "p99 us": []}
    for _ in range(turns):
        alone, with_client = _delays(bare), _delays(client)
        for name, place in (("p50 us", 0.5), ("p99 us", 0.99)):
            added[name].append(_quantile(with_client, place) - _quantile(alone, place))
    return {name: statistics.median(found) * 1e6 for name, found in added.items()}


def measure_short(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """Short streams on a kept client: time to the first text, CPU, and connections opened for each."""
    calls = told.pop("calls")
    case = Case(**told)
    client = kind(url, case)
    _read(client, case)
    opened, firsts, cpu = _connections(url), [], time.process_time()
    for _ in range(calls):
        began = time.perf_counter()
        texts = client.stream()
        next(texts)
        firsts.append(time.perf_counter() - began)
        # A `for` loop to the end: what comes after the last text is the client's own business.
        assert sum(1 for _ in texts) == case.events - 1
    cpu = time.process_time() - cpu
    return {
        "first text ms": statistics.median(firsts) * 1e3,
        "cpu ms/stream": cpu * 1e3 / calls,
        "connections/stream": (_connections(url) - opened) / calls,
    }


def measure_new(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """Short streams, each by a client of its own: what a new connection costs once the CA file is known."""
    calls = told.pop("calls")
    case = Case(**told)
    _drain(kind, url, case)
    firsts = []
    for _ in range(calls):
        client = kind(url, case)
        began = time.perf_counter()
        texts = client.stream()
        next(texts)
        firsts.append(time.perf_counter() - began)
        assert sum(1 for _ in texts) == case.events - 1
    return {"first text ms": statistics.median(firsts) * 1e3}


def measure_call(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """Whole short answers on a kept connection."""
    calls = told.pop("calls")
    case = Case(**told)
    client = kind(url, case)
    for _ in range(5):
        assert len(client.call()) == len(case.words[0])
    opened, walls, cpu = _connections(url), [], time.process_time()
    for _ in range(calls):
        began = time.perf_counter()
        client.call()
        walls.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    return {
        "p50 ms": statistics.median(walls) * 1e3,
        "cpu ms/call": cpu * 1e3 / calls,
        "connections/call": (_connections(url) - opened) / calls,
    }


def measure_construct(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """One more client in a process that has one."""
    case = Case(**told)
    kept = [kind(url, case)]
    cpu = []
    for _ in range(20):
        began = time.process_time()
        kept.append(kind(url, case))
        cpu.append(time.process_time() - began)
    return {"cpu us": statistics.median(cpu) * 1e6}


def measure_threads(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """Many streams at once over one client, at full speed."""
    threads, streams = told.pop("threads"), told.pop("streams", 1)
    case = Case(**told)
    client = kind(url, case)
    _read(client, case)
    cpu, wall = time.process_time(), time.perf_counter()
    _together(threads, lambda: [_read(client, case) for _ in range(streams)])
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    each = 1e6 / case.events / threads / streams
    return {"cpu us/event": cpu * each, "wall us/event": wall * each, "MB": _peak()}


def measure_crowd(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """Many paced streams at once over one client: how late its texts are, and whether it keeps up."""
    threads = told.pop("threads")
    case = Case(**told)
    client = kind(url, case)
    _drain(kind, url, case._replace(events=2))
    delays: list[float] = []

    def read() -> None:
        delays.extend([time.monotonic() - float(text) for text in client.stream()])

    wall = time.perf_counter()
    _together(threads, read)
    wall = time.perf_counter() - wall
    assert len(delays) == threads * case.events, len(delays)
    delays.sort()
    return {
        "p50 ms": statistics.median(delays) * 1e3,
        "p99 ms": delays[int(len(delays) * 0.99)] * 1e3,
        "wall/ideal": wall / (case.events * case.pace),
    }


def measure_leave(kind: Any, url: str, told: dict[str, Any]) -> dict[str, float]:
    """How long it takes to leave a stream early."""
    calls = told.pop("calls")
    case = Case(**told)
    client = kind(url, case)
    walls = []
    for _ in range(calls):
        texts = client.stream()
        next(texts)
        began = time.perf_counter()
        texts.close()
        walls.append(time.perf_counter() - began)
    return {"ms": statistics.median(walls) * 1e3}


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    name[len("measure_") :]: function for name, function in list(globals().items()) if name.startswith("measure_")
}


def _drain(kind: Any, url: str, case: Case) -> None:
    for _ in kind(url, case).stream():
        continue


def _read(client: Any, case: Case) -> None:
    count = characters = 0
    for text in client.stream():
        count += 1
        characters += len(text)
    _check(count, characters, case)


def _check(count: int, characters: int, case: Case) -> None:
    """Nobody wins by losing text; one leading space less is tolerated."""
    assert count == case.events, (count, case)
    assert abs(characters - case.events * len(case.words[0])) <= 1, (characters, case)


def _together(threads: int, work: Callable[[], Any]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
            raise

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not failures, failures[0]


def _delays(client: Any) -> list[float]:
    """How long after it was sent each text of a stream was in hand, the first left out: it came with the head."""
    return sorted([time.monotonic() - float(text) for text in client.stream()][1:])


def _quantile(values: list[float], place: float) -> float:
    return values[min(int(len(values) * place), len(values) - 1)]


def _connections(url: str) -> int:
    # The counts are told on the plain port also where the answers come over TLS.
    plain = f"http://127.0.0.1:{sys.argv[5]}" if url.startswith("https") else url
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(plain + "/stats", timeout=10) as answer:
        return int(json.load(answer)["connections"])


def _peak() -> float:
    """The most memory this process has held, in MB; what `getrusage` tells includes the parent's before the start."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
