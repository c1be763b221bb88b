"""Make the table of the page on reliability: the same faults on a real socket, read by several packages.

python docs/compare.py      needs openai and litellm installed beside aichatkit; about two minutes
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any, Callable

from aichatkit import Client, Timeout
from aichatkit.sandbox import Sandbox

#: What happens, and the faults of the sandbox that make it happen.
FAULTS = {
    "the connection breaks in the middle of the answer": "cut",
    "the answer ends early, in good order": "no-end-marker",
    "a web page with status 200": "html",
    "a bot check with status 200": "challenge-200",
    "an error object with status 200": "error-200",
    "success without any text": "empty",
    "an error in the middle of the stream": "error-event,after=2",
    "silence after the first text": "stall,seconds=20",
    "a used-up quota": "quota",
    "a rate limit that asks for 61 seconds": "rate-limit,retry_after=61",
    "a redirect to another host": "redirect",
}
SILENCE = 2.0
PROMPT = [{"role": "user", "content": "Tell me a long story of a dog and a cat."}]


def with_aichatkit(url: str) -> Iterator[str]:
    """Stream with this package."""
    with Client(model="openai/gpt-6-luna", base_url=url, api_key="any", timeout=Timeout(5, SILENCE)) as client:
        yield from client.stream(PROMPT)


def with_openai(url: str) -> Iterator[str]:
    """Stream as the documentation of openai shows."""
    from openai import OpenAI

    with OpenAI(base_url=url, api_key="any", timeout=SILENCE) as client:
        for chunk in client.chat.completions.create(model="gpt-6-luna", messages=PROMPT, stream=True):
            yield (chunk.choices[0].delta.content or "") if chunk.choices else ""


def with_litellm(url: str) -> Iterator[str]:
    """Stream as the documentation of litellm shows."""
    import litellm

    litellm.suppress_debug_info = True
    options = {"api_base": url, "api_key": "any", "timeout": SILENCE, "stream": True}
    for chunk in litellm.completion(model="openai/gpt-6-luna", messages=PROMPT, **options):
        yield chunk.choices[0].delta.content or ""


READERS: dict[str, Callable[[str], Iterable[str]]] = {
    "aichatkit": with_aichatkit,
    "openai": with_openai,
    "litellm": with_litellm,
}


def outcome(read: Callable[[str], Iterable[str]], fault: str) -> str:
    """Return in words what came of it: the error's name or what was taken for the answer, and what it took."""
    told, text, started = "", "", time.monotonic()
    with Sandbox() as sandbox:
        try:
            for piece in read(f"{sandbox.url}/fault/{fault}/v1"):
                text += piece
        except Exception as error:  # noqa: BLE001 - whatever comes is what is measured
            told = f"`{type(error).__name__}`"
            kept = getattr(error, "partial", "")
            told += ", text kept in it" if kept else ""
        told = told or (f"**taken for an answer** of {len(text)} characters" if text else "**an empty answer**")
        asked = len(sandbox.requests)
    took = time.monotonic() - started
    return f"{told}; asked {'once' if asked == 1 else f'{asked} times'}" + (
        f", {took:.0f} s" if took > 2 * SILENCE else ""
    )


def main(names: Any) -> None:
    """Print the table as Markdown."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    chosen = names or list(READERS)
    tell(["what happens", *(f"{name} {version(name)}" for name in chosen)])
    tell(["---"] * (len(chosen) + 1))
    for name in chosen:
        # What the first use costs is not the fault's.
        outcome(READERS[name], "hang-up")
    for what, fault in FAULTS.items():
        tell([what, *(outcome(READERS[name], fault) for name in chosen)])


def tell(cells: list[str]) -> None:
    """Print a row."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
