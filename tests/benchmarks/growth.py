"""How the cost of large things grows: twice the size may cost at most 2.2 times as much.

    python tests/benchmarks/growth.py                full sizes: chats of 10,000 turns, journals of a million rows
    python tests/benchmarks/growth.py --part 0.01    a hundredth of them
    python tests/benchmarks/growth.py --only chat    the cases with this in their titles

Everything happens in one process, without a network: the client's Session has an adapter with a canned answer. The cost
is the CPU time of this process, the least of several turns. Exit code 1 if one of them grows faster.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, NamedTuple
from unittest.mock import patch

import requests

from aichatkit import Client
from aichatkit.batch import run as batch_run
from aichatkit.registry import registry

#: The most that twice the size may cost.
BOUND = 2.2
_PIECE = 100
#: How many rows are sent before they are written to a journal.
_TOGETHER = 64
_MEMORY = "/dev/shm"
_DONE: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}


class Case(NamedTuple):
    """Something that grows: `prepare(client, adapter, size)` returns what is measured; `size` is the larger one."""

    title: str
    unit: str
    size: int
    light: int
    prepare: Callable[[Client, Canned, int], Callable[[], Any]]


class Canned(requests.adapters.BaseAdapter):
    """An adapter that answers every request with the same body; `folder` is for files."""

    body = b""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        response = requests.Response()
        response.status_code, response.url, response.request = 200, str(request.url), request
        response.headers["Content-Type"] = "text/event-stream"
        response.raw = io.BytesIO(self.answer(request))
        return response

    def answer(self, request: requests.PreparedRequest) -> bytes:
        """Return the body for a request."""
        return self.body

    def close(self) -> None:
        """Nothing is open."""

    def says(self, *deltas: dict[str, Any]) -> None:
        """Answer with these pieces."""
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        records = [json.dumps({"choices": [choice]}) for choice in (*choices, _DONE)]
        self.body = "".join(f"data: {record}\n\n" for record in (*records, "[DONE]")).encode()


def chat_turn(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """One more turn of a long conversation, which is sent as a whole."""
    adapter.says({"content": "Hi"})
    turn = [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Then it went on."}]
    chat = client.chat(history=turn * size)
    return lambda: chat.ask("And then?")


def tool_arguments(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """A tool call whose arguments arrive in small pieces."""
    function = {"index": 0, "id": "c1", "function": {"name": "save", "arguments": '{"text": "'}}
    piece = {"index": 0, "function": {"arguments": "x" * _PIECE}}
    last = {"index": 0, "function": {"arguments": '"}'}}
    adapter.says(*({"tool_calls": [call]} for call in (function, *[piece] * (size // _PIECE), last)))
    tool = {"type": "function", "function": {"name": "save", "parameters": {"type": "object"}}}
    return lambda: len(client.ask("Save it", tools=[tool]).tool_calls[0].arguments["text"]) == size or _fail()


def reasoning(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """Reasoning that arrives in small pieces before a short answer."""
    adapter.says(*[{"reasoning_content": "x" * _PIECE}] * (size // _PIECE), {"content": "Hi"})
    return lambda: len(client.ask("Think").reasoning) == size or _fail()


def tools(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """A call with many tools."""
    adapter.says({"content": "Hi"})
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    given = [
        {"type": "function", "function": {"name": f"tool_{number}", "description": "A tool.", "parameters": schema}}
        for number in range(size)
    ]
    return lambda: client.ask("Hi", tools=given)


def schema_fields(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """An answer that must fit a schema with many fields."""
    names = [f"field_{number}" for number in range(size)]
    adapter.says({"content": json.dumps(dict.fromkeys(names, 1))})
    properties = {name: {"type": "integer", "description": "A number."} for name in names}
    schema = {"type": "object", "properties": properties, "required": names}
    return lambda: len(client.ask("Hi", schema=schema).data) == size or _fail()


def partial_text(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """A long text of structured output, looked at after each piece."""
    return _partial(client, adapter, "x" * size)


def partial_items(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """A long list of structured output, looked at after each piece."""
    return _partial(client, adapter, [{"number": number, "name": f"row {number}"} for number in range(size // 40)])


def partial_key(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """A long name of a field in structured output, looked at after each piece."""
    return _partial(client, adapter, {"x" * size: 1})


def _partial(client: Client, adapter: Canned, value: Any) -> Callable[[], Any]:
    text = json.dumps({"data": value})
    adapter.says(*({"content": text[start : start + _PIECE]} for start in range(0, len(text), _PIECE)))

    def read() -> None:
        with client.stream("Hi", schema={"type": "object"}) as stream:
            for _ in stream:
                assert stream.partial_data is not None
        assert stream.partial_data == {"data": value}

    return read


class Inline(ThreadPoolExecutor):
    """An executor that runs everything in the thread that calls it, which is the one that is measured."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def journal_rows(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """A run whose rows are all in the journal already."""
    adapter.says({"content": "Hi"})
    path = adapter.folder / "run.sqlite"

    def run(**options: Any) -> None:
        rows = client.map((f"row {n}" for n in range(size)), resume=path, as_completed=True, progress=False, **options)
        assert sum(1 for _ in rows) == size

    reply = client.ask("row 0")
    # Asking for every row would take longer than all that is measured.
    with patch.object(batch_run, "answer_row", lambda *_: reply):
        run(executor=Inline(1), workers=_TOGETHER)
    return lambda: run(workers=2)


def embeddings(client: Client, adapter: Canned, size: int) -> Callable[[], Any]:
    """Texts that become vectors, batch by batch."""

    def answer(request: requests.PreparedRequest) -> bytes:
        texts = json.loads(request.body or b"")["input"]
        data = [{"index": index, "embedding": [0.5] * 64} for index in range(len(texts))]
        return json.dumps({"data": data, "usage": {"prompt_tokens": len(texts)}}).encode()

    adapter.answer = answer  # type: ignore[method-assign]
    return lambda: client.embed(
        (f"text {number}" for number in range(size)), model="openai/bench", executor=Inline(1), workers=1
    )


CASES = (
    Case("one more turn of a chat", "turns", 10_000, 400, chat_turn),
    Case("a tool call with long arguments", "bytes", 10_000_000, 40_000, tool_arguments),
    Case("reasoning before an answer", "bytes", 50_000_000, 40_000, reasoning),
    Case("tools", "tools", 1_000, 100, tools),
    Case("fields of a schema", "fields", 2_000, 200, schema_fields),
    Case("a partial text of structured output", "bytes", 10_000_000, 40_000, partial_text),
    Case("a partial list of structured output", "bytes", 4_000_000, 40_000, partial_items),
    Case("a partial name in structured output", "bytes", 10_000_000, 40_000, partial_key),
    Case("texts that are embedded", "texts", 200_000, 4_096, embeddings),
    Case("rows found in a journal", "rows", 1_000_000, 100, journal_rows),
)


@contextmanager
def prepared(case: Case, size: int) -> Iterator[Callable[[], Any]]:
    """Give what is measured, with everything made that is not."""
    provider: Any = registry["openai"]
    limit = provider.max_answer
    # The limit of an answer is there for accidents.
    provider.max_answer = 1 << 40
    # In memory if possible: writing a journal is not measured.
    memory = _MEMORY if os.path.isdir(_MEMORY) else None
    try:
        with tempfile.TemporaryDirectory(dir=memory) as folder, requests.Session() as session:
            adapter = Canned(Path(folder))
            session.mount("https://", adapter)
            with Client(model="openai/bench", api_key="sk-bench-key", session=session, retry=0) as client:
                yield case.prepare(client, adapter, size)
    finally:
        provider.max_answer = limit


def cpu_of(case: Case, size: int, rounds: int = 5, enough: float = 1.0) -> float:
    """Return the least CPU time of several runs, in seconds; a long one runs twice, and without one to warm up."""
    with prepared(case, size) as work:
        taken: list[float] = []
        gc.collect()
        while len(taken) < 2 or (len(taken) < rounds and sum(taken) < enough):
            started = time.process_time()
            work()
            taken.append(time.process_time() - started)
        return min(taken)


def main() -> int:
    """Measure each case at half its size and at its size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", type=float, default=1.0, help="how much of the full sizes, such as 0.1")
    parser.add_argument("--only", default="", help="cases with this in their titles")
    options = parser.parse_args()
    found = []
    sys.stdout.write("| what grows | size | CPU ms | half of it | growth |\n|---|---:|---:|---:|---:|\n")
    for case in CASES:
        if options.only not in case.title:
            continue
        size = int(case.size * options.part)
        half, whole = cpu_of(case, size // 2), cpu_of(case, size)
        found.append(whole / half)
        cells = (case.title, f"{size:,} {case.unit}", f"{whole * 1e3:,.1f}", f"{half * 1e3:,.1f}", f"{found[-1]:.2f}")
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
        sys.stdout.flush()
    return 0 if max(found, default=0.0) <= BOUND else 1


def _fail() -> None:
    raise AssertionError("the answer is not what was sent")


if __name__ == "__main__":
    sys.exit(main())
