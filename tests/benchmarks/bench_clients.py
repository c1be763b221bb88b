"""The clients that are compared: each asks the same server in its own usual words, and yields texts.

Nothing is imported before it is used, so that each can be measured in an environment that holds it alone.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import urlsplit

from bench_wires import PATHS, Case

MESSAGES = [{"role": "user", "content": "Hi"}]
_LIMIT = 64


class Bare:
    """A socket, `split` and `json.loads`: what cannot be beaten in plain Python without care for framing."""

    wires = tuple(PATHS)

    def __init__(self, url: str, case: Case) -> None:
        self.case, self.parts = case, urlsplit(url)

    def stream(self) -> Iterator[str]:
        with socket.create_connection((self.parts.hostname, self.parts.port)) as sock:
            body = json.dumps({"model": "bench", "messages": MESSAGES, "stream": True})
            path = self.case.path + PATHS[self.case.wire]
            sock.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            take, mark = TAKERS[self.case.wire]
            rest = b""
            while True:
                block = sock.recv(65536)
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    # The sizes of chunks and the head are lines too; those of records begin in one way.
                    if line.startswith(mark) and line[len(mark) : len(mark) + 1] == b"{":
                        text = take(json.loads(line[len(mark) :]))
                        if text:
                            yield text
                if not block or _is_last(lines):
                    return


class Requests:
    """What people write by hand with requests: `iter_lines` and `json.loads`."""

    wires = tuple(PATHS)
    module = "requests"

    def __init__(self, url: str, case: Case) -> None:
        self.case, self.url = case, url + case.path + PATHS[case.wire]
        self.session = import_module("requests").Session()
        self.body = {"model": "bench", "messages": MESSAGES}

    def stream(self) -> Iterator[str]:
        take, mark = TAKERS[self.case.wire]
        with self.session.post(self.url, json={**self.body, "stream": True}, stream=True, timeout=60) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if not line.startswith(mark):
                    continue
                data = line[len(mark) :]
                if data == b"[DONE]":
                    return
                text = take(json.loads(data))
                if text:
                    yield text

    def call(self) -> str:
        response = self.session.post(self.url, json={**self.body, "stream": False}, timeout=60)
        response.raise_for_status()
        return str(response.json()["choices"][0]["message"]["content"])


class RequestsPost(Requests):
    """The same by hand with `requests.post`, which makes a Session and a connection for each call."""

    def __init__(self, url: str, case: Case) -> None:
        super().__init__(url, case)
        self.session = import_module("requests")


class RequestsStreamed(Requests):
    """The same by hand where the answer is streamed and read to the end of its body, so that its connection is kept."""

    def call(self) -> str:
        take, mark = TAKERS[self.case.wire]
        texts = []
        with self.session.post(self.url, json={**self.body, "stream": True}, stream=True, timeout=60) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line.startswith(mark) and not line.endswith(b"[DONE]"):
                    texts.append(take(json.loads(line[len(mark) :])) or "")
        return "".join(texts)


class HttpClient:
    """The same by hand with `http.client` and one kept connection, which both requests and this package stand on."""

    wires = ("openai",)
    module = "http.client"

    def __init__(self, url: str, case: Case) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self.path = case.path + PATHS[case.wire]

    def stream(self) -> Iterator[str]:
        take, mark = TAKERS["openai"]
        for line in self._post(stream=True):
            if line.startswith(mark) and not line.startswith(b"data: [DONE]"):
                text = take(json.loads(line[len(mark) :]))
                if text:
                    yield text

    def call(self) -> str:
        return str(json.load(self._post(stream=False))["choices"][0]["message"]["content"])

    def _post(self, *, stream: bool) -> http.client.HTTPResponse:
        body = json.dumps({"model": "bench", "messages": MESSAGES, "stream": stream})
        self.connection.request("POST", self.path, body, {"Content-Type": "application/json"})
        return self.connection.getresponse()


class Aichatkit:
    """This package."""

    wires = tuple(PATHS)
    module = "aichatkit"
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, url: str, case: Case) -> None:
        made: Any = import_module("aichatkit")
        self.client = made.Client(model=f"{case.wire}/bench", api_key="sk-bench-key", base_url=url + case.path)
        if case.events * case.text > 1_000_000:
            # Beyond the bound of one answer, which is there for accidents.
            self.client.providers[case.wire].max_answer = 1 << 40

    def stream(self) -> Iterator[str]:
        return iter(self.client.stream("Hi", **self.options))

    def call(self) -> str:
        return str(self.client.ask("Hi").text)


class AichatkitRaw(Aichatkit):
    """This package, asked to keep every record as well."""

    options: ClassVar[dict[str, Any]] = {"raw": True}


class Openai:
    """The openai package."""

    wires = ("openai",)
    module = "openai"

    def __init__(self, url: str, case: Case) -> None:
        self.client = import_module("openai").OpenAI(api_key="sk-bench-key", base_url=url + case.path, max_retries=0)

    def stream(self) -> Iterator[str]:
        return _deltas(self.client.chat.completions.create(model="bench", messages=MESSAGES, stream=True))

    def call(self) -> str:
        answer = self.client.chat.completions.create(model="bench", messages=MESSAGES)
        return str(answer.choices[0].message.content)


class Anthropic:
    """The anthropic package."""

    wires = ("anthropic",)
    module = "anthropic"

    def __init__(self, url: str, case: Case) -> None:
        made = import_module("anthropic")
        self.client = made.Anthropic(api_key="sk-bench-key", base_url=url + case.path, max_retries=0)

    def stream(self) -> Iterator[str]:
        for event in self.client.messages.create(model="bench", max_tokens=_LIMIT, messages=MESSAGES, stream=True):
            if event.type == "content_block_delta":
                yield event.delta.text


class Litellm:
    """The litellm package."""

    wires = ("openai",)
    module = "litellm"

    def __init__(self, url: str, case: Case) -> None:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        self.completion = import_module("litellm").completion
        self.options = {"model": "openai/bench", "api_key": "sk-bench-key", "api_base": url + case.path}

    def stream(self) -> Iterator[str]:
        return _deltas(self.completion(**self.options, messages=MESSAGES, stream=True))

    def call(self) -> str:
        return str(self.completion(**self.options, messages=MESSAGES).choices[0].message.content)


class Aisuite:
    """The aisuite package."""

    wires = ("openai",)
    module = "aisuite"

    def __init__(self, url: str, case: Case) -> None:
        options = {"openai": {"api_key": "sk-bench-key", "base_url": url + case.path}}
        self.client = import_module("aisuite").Client(provider_configs=options)

    def stream(self) -> Iterator[str]:
        return _deltas(self.client.chat.completions.create(model="openai:bench", messages=MESSAGES, stream=True))

    def call(self) -> str:
        answer = self.client.chat.completions.create(model="openai:bench", messages=MESSAGES)
        return str(answer.choices[0].message.content)


class Lm15:
    """The lm15 package, which speaks HTTP over its own sockets."""

    wires = ("openai",)
    module = "lm15"

    def __init__(self, url: str, case: Case) -> None:
        self.made: Any = import_module("lm15")
        self.client = self.made.OpenAIChatLM(api_key="sk-bench-key", base_url=url + case.path)

    def stream(self) -> Iterator[str]:
        for event in self.client.stream(self._request()):
            if event.type == "delta" and event.delta.type == "text":
                yield event.delta.text

    def call(self) -> str:
        return str(self.client.complete(self._request()).text)

    def _request(self) -> Any:
        return self.made.Request(model="bench", messages=(self.made.Message.user("Hi"),))


class Ollama:
    """The ollama package."""

    wires = ("ollama",)
    module = "ollama"

    def __init__(self, url: str, case: Case) -> None:
        self.client = import_module("ollama").Client(host=url + case.path)

    def stream(self) -> Iterator[str]:
        for part in self.client.chat(model="bench", messages=MESSAGES, stream=True):
            if part.message.content:
                yield part.message.content


class G4f:
    """The g4f package."""

    wires = ("openai",)
    module = "g4f"

    def __init__(self, url: str, case: Case) -> None:
        self.client = import_module("g4f.client").Client(base_url=url + case.path, api_key="sk-bench-key")

    def stream(self) -> Iterator[str]:
        return _deltas(self.client.chat.completions.create(model="bench", messages=MESSAGES, stream=True))

    def call(self) -> str:
        return str(self.client.chat.completions.create(model="bench", messages=MESSAGES).choices[0].message.content)


CLIENTS: dict[str, Any] = {
    "socket": Bare,
    "requests": Requests,
    "requests.post": RequestsPost,
    "requests streamed": RequestsStreamed,
    "http.client": HttpClient,
    "aichatkit": Aichatkit,
    "aichatkit raw": AichatkitRaw,
    "openai": Openai,
    "anthropic": Anthropic,
    "litellm": Litellm,
    "aisuite": Aisuite,
    "lm15": Lm15,
    "ollama": Ollama,
    "g4f": G4f,
}

#: How a hand-written client finds the text in a record, and how a record begins on the line.
TAKERS: dict[str, Any] = {
    "openai": (lambda record: record["choices"][0]["delta"].get("content"), b"data: "),
    "anthropic": (lambda record: record.get("delta", {}).get("text"), b"data: "),
    "ollama": (lambda record: record["message"]["content"], b""),
    "gemini": (lambda record: record["candidates"][0]["content"]["parts"][0]["text"], b"data: "),
}


def _deltas(parts: Any) -> Iterator[str]:
    for part in parts:
        if part.choices and part.choices[0].delta.content:
            yield part.choices[0].delta.content


def _is_last(lines: list[bytes]) -> bool:
    end = b"".join(lines[-8:])
    return b"[DONE]" in end or b"message_stop" in end or b'"done":true' in end or b'"STOP"' in end
