"""CPU, time and memory of `embed`, next to a plain loop of threads over requests that keeps the vectors as floats.

    python tests/benchmarks/embeddings.py --quick      a minute: fewer texts
    python tests/benchmarks/embeddings.py              100,000 texts
    python tests/benchmarks/embeddings.py --width 256  other vectors

The server answers from memory, in a process of its own. Each number is taken in a new process; the ways take turns, and
a ratio is the median over rounds of way / requests in the same round. Exit code 1 if `embed` takes more than it may.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import random
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

#: The most that `embed` may take of the CPU and the time of the loop by hand.
LIMIT = 1.15
#: The most that a text may take in memory in addition to its vector, in bytes.
MEMORY_LIMIT = 500
#: Texts of a request, as `embed` sends them to OpenAI.
BATCH = 512
_MIB = 1 << 20
_WORDS = ("red fox", "grey wolf", "stock market", "river stone", "winter apple", "bread and butter", "garden window")


def texts(count: int) -> Iterator[str]:
    """Yield different short texts one by one."""
    for number in range(count):
        yield f"{number} {' '.join(_WORDS[number % 5 :])}"


def with_embed(url: str, count: int, workers: int, **options: Any) -> int:
    """Embed with the client; return the bytes of the vectors."""
    from aichatkit import Client

    with Client(model="openai", api_key="sk-test", base_url=url) as client:
        vectors = client.embed(texts(count), model="openai/bench", workers=workers, **options)
    assert len(vectors) == count
    return count * vectors.dimensions * 4


def with_journal(url: str, count: int, workers: int) -> int:
    """Embed with a journal: each vector is on disk before the next batch is sent."""
    with tempfile.TemporaryDirectory() as folder:
        return with_embed(url, count, workers, resume=f"{folder}/vectors.sqlite")


def with_requests(url: str, count: int, workers: int) -> int:
    """Embed with what one writes by hand: no checks, no retries, nothing kept on disk."""
    import requests

    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=workers))
    session.headers["Authorization"] = "Bearer sk-test"

    def send(batch: list[str]) -> list[array[float]]:
        body = {"model": "bench", "input": batch, "encoding_format": "float"}
        answer = session.post(f"{url}/embeddings", json=body, timeout=60)
        answer.raise_for_status()
        entries = sorted(answer.json()["data"], key=lambda entry: entry["index"])
        return [array("f", entry["embedding"]) for entry in entries]

    everything = list(texts(count))
    batches = [everything[start : start + BATCH] for start in range(0, count, BATCH)]
    with ThreadPoolExecutor(workers) as pool:
        vectors = [vector for part in pool.map(send, batches) for vector in part]
    assert len(vectors) == count
    return count * len(vectors[0]) * 4


WAYS = {"requests": with_requests, "embed": with_embed, "embed, journal": with_journal}


def measure(way: str, url: str, count: str, workers: str) -> None:
    """Take the numbers of one way in this process, and write them."""
    # What is loaded and made on first use is not a cost of a text.
    WAYS[way](url, 2, int(workers))
    before, started = time.process_time(), time.perf_counter()
    size = WAYS[way](url, int(count), int(workers))
    taken = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - before}
    # In bytes on macOS, and in KiB elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    json.dump({**taken, "peak": peak, "size": size}, sys.stdout)


def serve(width: str) -> None:
    """Answer each request with as many vectors as it has texts, until the standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    answers = _Answers(int(width))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/v1\n")
    sys.stdout.flush()
    threading.Thread(target=_accept, args=(listener, answers), daemon=True).start()
    sys.stdin.read()


class _Answers:
    """Bodies of answers by the number of their vectors."""

    def __init__(self, width: int) -> None:
        # Two hundred different vectors, in the digits that services send.
        numbers = random.Random(1)
        rows = [[numbers.uniform(-0.1, 0.1) for _ in range(width)] for _ in range(200)]
        rows = [list(struct.unpack(f"<{width}f", struct.pack(f"<{width}f", *row))) for row in rows]
        self._rows = [json.dumps(row) for row in rows]
        self._texts = [json.dumps(base64.b64encode(struct.pack(f"<{width}f", *row)).decode()) for row in rows]
        self._bodies: dict[tuple[int, bool], bytes] = {}
        self._lock = threading.Lock()

    def of(self, count: int, *, is_base64: bool) -> bytes:
        with self._lock:
            if (count, is_base64) not in self._bodies:
                rows = self._texts if is_base64 else self._rows
                entries = ", ".join(
                    f'{{"object": "embedding", "index": {index}, "embedding": {rows[index % len(rows)]}}}'
                    for index in range(count)
                )
                usage = f'{{"prompt_tokens": {count * 9}, "total_tokens": {count * 9}}}'
                body = f'{{"object": "list", "model": "bench", "data": [{entries}], "usage": {usage}}}'.encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                self._bodies[count, is_base64] = head.encode() + body
            return self._bodies[count, is_base64]


def _accept(listener: socket.socket, answers: _Answers) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection, answers), daemon=True).start()


def _answer(connection: socket.socket, answers: _Answers) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb") as requests_file, contextlib.suppress(OSError):
        while requests_file.readline():
            length = 0
            for line in iter(requests_file.readline, b"\r\n"):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            record = json.loads(requests_file.read(length))
            connection.sendall(answers.of(len(record["input"]), is_base64=record["encoding_format"] == "base64"))


@contextlib.contextmanager
def serving(width: int) -> Iterator[str]:
    """Run the server in a process of its own, and yield its URL."""
    command = [sys.executable, __file__, "serve", str(width)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait(30)
        server.stdout.close()


def take(way: str, url: str, count: int, workers: int) -> dict[str, float]:
    """Return the numbers of one way in a process of its own: seconds, CPU, peak memory and the size of the vectors."""
    command = [sys.executable, __file__, "measure", way, url, str(count), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def growth_of(whole: dict[str, float], part: dict[str, float], texts_between: int) -> float:
    """Return how many bytes a text takes in addition to its vector: the peak of all texts against that of some."""
    return ((whole["peak"] - whole["size"]) - (part["peak"] - part["size"])) / texts_between


def main() -> int:
    """Measure each way; return 1 if `embed` takes too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10,000 texts, in three rounds")
    parser.add_argument("--width", type=int, default=1536, help="numbers of a vector (default 1536)")
    parser.add_argument("--texts", type=int, help="how many texts (default 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way takes its turn (default 3)")
    parser.add_argument("--workers", type=int, default=8, help="requests in progress at once (default 8)")
    options = parser.parse_args()
    count = options.texts or (10_000 if options.quick else 100_000)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with serving(options.width) as url:
        for turn in range(options.rounds):
            for way in WAYS if turn % 2 == 0 else reversed(WAYS):
                found[way].append(take(way, url, count, options.workers))
        parts = {way: take(way, url, count // 10, options.workers) for way in WAYS}
    heads = ("", "CPU s", "x requests", "s", "x requests", "peak MiB", "bytes/text beside its vector")
    _say(f"{count:,} texts, vectors of {options.width}, {options.workers} workers\n")
    _say(f"| {' | '.join(heads)} |\n|---|" + "---:|" * 6)
    ratios, extra = {}, {}
    for way, taken in found.items():
        cpu, seconds = (
            statistics.median(one[name] / base[name] for one, base in zip(taken, found["requests"]))
            for name in ("cpu", "seconds")
        )
        ratios[way] = (cpu, seconds)
        extra[way] = growth_of(min(taken, key=lambda one: one["peak"]), parts[way], count - count // 10)
        best_cpu, best_seconds, peak = (min(one[name] for one in taken) for name in ("cpu", "seconds", "peak"))
        cells = (way, f"{best_cpu:.1f}", f"{cpu:.2f}", f"{best_seconds:.1f}", f"{seconds:.2f}", f"{peak / _MIB:.0f}")
        _say(f"| {' | '.join(cells)} | {extra[way]:.0f} |")
    too_much = max(ratios["embed"]) > LIMIT or max(extra["embed"], extra["embed, journal"]) > MEMORY_LIMIT
    return int(too_much)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    elif sys.argv[1:2] == ["measure"]:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
        measure(*sys.argv[2:])
    else:
        sys.exit(main())
