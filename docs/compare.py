"""Make the table of the page on reliability: the same faults on a real socket, read by several packages.

python docs/compare.py      needs openai, litellm, llm and chatlas in the same environment; about five minutes
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


def with_llm(url: str) -> Iterator[str]:
    """Stream with the Python API of llm."""
    from llm.default_plugins.openai_models import Chat

    yield from Chat("gpt-6-luna", model_name="gpt-6-luna", api_base=url).prompt(PROMPT[0]["content"], key="any")


def with_chatlas(url: str) -> Iterator[str]:
    """Stream as the documentation of chatlas shows."""
    from chatlas import ChatOpenAICompletions

    chat = ChatOpenAICompletions(model="gpt-6-luna", base_url=url, api_key="any", kwargs={"timeout": SILENCE})
    yield from chat.stream(PROMPT[0]["content"])


READERS: dict[str, Callable[[str], Iterable[str]]] = {
    "aichatkit": with_aichatkit,
    "openai": with_openai,
    "litellm": with_litellm,
    "llm": with_llm,
    "chatlas": with_chatlas,
}


def outcome(read: Callable[[str], Iterable[str]], fault: str) -> str:
    """Return the result in words: the name of the error or the text that was returned, and what it took."""
    result, text, started = "", "", time.monotonic()
    with Sandbox() as sandbox:
        try:
            for piece in read(f"{sandbox.url}/fault/{fault}/v1"):
                text += piece
        except Exception as error:  # noqa: BLE001 - this is what is measured
            result = f"`{type(error).__name__}`"
            result += " with the text so far" if getattr(error, "partial", "") else ""
        result = result or (f"**{len(text)} characters as a finished answer**" if text else "**an empty answer**")
        requests = len(sandbox.requests)
    seconds = time.monotonic() - started
    return f"{result}; {requests} request{'s' * (requests != 1)}" + (
        f", {seconds:.0f} s" if seconds > 2 * SILENCE else ""
    )


def main(names: Any) -> None:
    """Print the table as Markdown."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    chosen = names or list(READERS)
    print_row(["what happens", *(f"{name} {version(name)}" for name in chosen)])
    print_row(["---"] * (len(chosen) + 1))
    for name in chosen:
        # The first use also imports the package.
        outcome(READERS[name], "hang-up")
    for what, fault in FAULTS.items():
        print_row([what, *(outcome(READERS[name], fault) for name in chosen)])


def print_row(cells: list[str]) -> None:
    """Print a row."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
