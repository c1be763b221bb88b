"""What a page does: it runs in a browser, where `origin` is the address of its server, and ends with the results."""

import json
import sys
import warnings

sys.path.insert(0, "/site")

import requests

import aichatkit as ai
from aichatkit.testing import Fake

origin = globals()["origin"]
results = {"python": sys.version.split()[0], "platform": sys.platform}


def outcome(act):
    try:
        return act()
    except ai.ChatError as error:
        return f"{type(error).__name__}: {error}"


def double(number: int) -> int:
    return 2 * number


def stream(client):
    pieces = []
    for piece in client.stream("Hello"):
        if not pieces:
            # The server holds the rest back until it hears of the first piece.
            requests.post(f"{origin}/seen", timeout=30)
        pieces.append(piece)
    return pieces


with (
    warnings.catch_warnings(record=True) as caught,
    ai.Client("openai", api_key="sk-browser", base_url=f"{origin}/v1", retry=1) as client,
):
    warnings.simplefilter("always")
    chat = client.chat()
    results["stream"] = outcome(lambda: stream(client))
    results["ask"] = outcome(lambda: client.ask("What is 2 + 2?").text)
    results["chat"] = outcome(lambda: [chat.ask("I am Ada.").text, len(chat)])
    results["schema"] = outcome(lambda: client.ask("How many legs has a cat?", schema=int).data)
    results["tool"] = outcome(lambda: client.ask('Please call double {"number": 4}', tools=[double]).text)
    results["image"] = outcome(lambda: client.image("A cat", model="openai/gpt-image-2.5-flare").bytes()[:4].hex())
    results["vectors"] = outcome(lambda: len(client.embed(["fox"], model="openai/text-embedding-3-small")[0]))
    results["map"] = outcome(lambda: client.map(["a", "b"], progress=False).text)
    results["resume"] = outcome(lambda: client.map(["a"], resume="/tmp/run.sqlite", progress=False).text)
    results["limited"] = outcome(lambda: client.ask("limited").text)
    results["broken"] = outcome(lambda: client.ask("broken").text)
    results["warnings"] = [str(warning.message) for warning in caught]
results["elsewhere"] = outcome(
    lambda: ai.Client("openai", api_key="k", base_url="http://127.0.0.1:9/v1", retry=0).ask("x")
)
results["offline"] = outcome(lambda: ai.Client("offline").ask("x"))
results["fake"] = outcome(lambda: Fake(["Hello!"]).client().ask("x").text)

json.dumps(results)
