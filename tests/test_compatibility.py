"""What earlier versions wrote is still read, and what is called keeps its signature.

The values here were made by the first version of each format. A test that fails names a break for users: an old journal
would be sent again, an old cache would be empty. Change a value only together with the version of its format.
"""

from __future__ import annotations

import inspect
import json
import sqlite3

import pytest

import aichatkit
from aichatkit import Chat, Client, keys
from aichatkit.messages import ToolCallsMessage, ToolResultMessage
from aichatkit.middleware.fingerprints import fingerprint
from aichatkit.testing import Fake, Replay
from aichatkit.tools.mcp.definitions import parse_tool
from aichatkit.tools.mcp.pins import fingerprint as fingerprint_of_tool

# Files of earlier versions name models of their time.
pytestmark = pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")

MODEL = "openai/gpt-4o"


def stock(article: str) -> int:
    """Count the pieces in stock."""
    return len(article)


#: Prompt and options of a call -> its fingerprint, the key in journals and the basis of that in caches.
FINGERPRINTS = {
    "text": ("Hello", {}, "08acef4ce155dfc480745421063dfe7d033b6412bdcd22b3cf660e1732facaa7"),
    "system prompt and parameters": (
        "Hello",
        {"system": "Be brief.", "temperature": 0.0, "max_tokens": 50, "stop": ["x"]},
        "9f696dd201738538e5165036ffc7e02a29679be7ccee17a8c75f01069c89556a",
    ),
    "history": (
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "ü"}],
        {},
        "281ac9a80b3e13cce46d22ab8bfd345fb1f0f5a4250498f0d7e04f108911d914",
    ),
    "fallbacks": (
        "Hello",
        {"model": [MODEL, "anthropic/claude-3-5-haiku-latest"]},
        "567fb1d674d6ec1f2185371b383cd522cc1ce8a5602d1644f168bb207ab2b7c1",
    ),
    "extra fields": (
        "Hello",
        {"extra": {"b": 1, "a": [True]}},
        "f0226c5d224090def992e3361de2b71394684fe0c3f0043b7b74ad74cc0f518c",
    ),
    "JSON schema": (
        "Hello",
        {"schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
        "8b4f2f757b8eda09dd751d4bdf83abb3f4f5296764b44283c1f528b7f4ea593f",
    ),
    "type": ("Hello", {"schema": int}, "8cfb64f6c69cc8a2289033bbd1cdc0982e5eb7cd7d68608eb2f7f2a653a1c253"),
    "tool": ("Hello", {"tools": [stock]}, "c12595b91b3f4ffaf047e2e171a115be5a5364b86bb3847c887909be615f7eb9"),
    "text file": (
        "Hello",
        {"files": [b"some text"]},
        "060cf9ba9bd966dd8fcd3275d84983d1acca103ddb635713cb5eef8ebd863318",
    ),
    "image": (
        "Hello",
        {"files": [b"\x89PNG\r\n\x1a\n0000"]},
        "844ffceb2fb496bfac9a46e3734dcc2058744fc1b22e394b2182dc18debfb973",
    ),
    "image by URL": (
        "Hello",
        {"files": ["https://example.org/a.png"]},
        "a9ece280523a05955d63327d6f89edf7a5c068c5c0d1de37872e926729f10649",
    ),
}

#: A journal of `map(["a", "b", "a"], model=MODEL)` that was interrupted before its last row.
JOURNAL = """
PRAGMA application_id=1094929153;
CREATE TABLE answers (key BLOB NOT NULL PRIMARY KEY, record TEXT NOT NULL);
INSERT INTO answers VALUES(X'EED65B194DC7E6CB91F3C0F7089CF8D809D7E7120000000000000000', '{"reply": {"text": "re: a",
    "provider": "openai", "model": "gpt-4o", "complete": true, "finish_reason": "stop", "elapsed": 0.5,
    "cost": 2.25e-05, "id": "chatcmpl-1", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}}');
INSERT INTO answers VALUES(X'E384FC540AB9461A23ECBD88FD734AD6C646DC2E0000000000000000', '{"reply": {"text": "re: b",
    "provider": "openai", "model": "gpt-4o", "complete": true, "finish_reason": "stop", "elapsed": 0.5,
    "cost": 2.25e-05, "id": "chatcmpl-2", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}}');
CREATE TABLE claims (key BLOB NOT NULL PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL)
    WITHOUT ROWID;
"""

#: A tool of an MCP server -> its hash, which users keep for `pin=`.
TOOL = {"name": "stock", "description": "Count \u200bthe pieces in stock: ü.", "annotations": {"readOnlyHint": True}}
TOOL["inputSchema"] = {"type": "object", "properties": {"n": {"type": "number", "minimum": 0.5}}, "required": ["n"]}
TOOL_HASH = "c522af20f834d02df91b0b3f92bf7e74ae64bab90cafe82127167f2c99828506"

#: The cache entry of `ask("Capital?", model=MODEL)`.
CACHE_KEY = "07ea5b7d3fd64b00547c81150fafe5bc04fc914d921f6e2b75e849ba7231db44"
CACHE_RECORD = """{"reply": {"text": "Paris", "provider": "openai", "model": "gpt-4o", "complete": true,
"finish_reason": "stop", "reasoning": "Hm.", "elapsed": 0.5, "cost": 3.5e-05, "id": "chatcmpl-3",
"usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5, "cached_tokens": 0, "reasoning_tokens": 1}}}"""

#: A saved conversation, format 2.
CHAT = {
    "aichatkit": 2,
    "saved": "2026-01-02T03:04:05.678+00:00",
    "system": "Be brief.",
    "model": None,
    "options": {"temperature": 0.5, "trim": 1000},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "How many?"},
                {"type": "file", "file": {"filename": "", "file_data": "data:text/plain;base64,c29tZSB0ZXh0"}},
            ],
        },
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "function": {"name": "stock", "arguments": '{"article": "A"}'}}],
        },
        {"role": "tool", "content": "4", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "There are 4."},
    ],
}

#: A recording of `ask("Hello", model=MODEL)`, format 1.
RECORDING = {
    "format": 1,
    "exchanges": [
        {
            "request": {
                "method": "POST",
                "url": "https://api.openai.com/v1/chat/completions",
                "query": {},
                "body": {
                    "model": "gpt-4o",
                    "messages": [{"role": "user", "content": "Hello"}],
                    "stream": True,
                    "stream_options": {"include_usage": True},
                },
            },
            "response": {
                "status": 200,
                "headers": [["Content-Type", "text/event-stream; charset=utf-8"]],
                "pieces": [
                    'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n',
                    'data: {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
                    "data: [DONE]\n\n",
                ],
                "ending": "",
            },
        }
    ],
}

#: Sampling parameters, and the options of `ask` and of every other call.
SAMPLING = (
    "temperature=None, max_tokens=None, top_p=None, top_k=None, min_p=None, stop=None, seed=None,"
    " frequency_penalty=None, presence_penalty=None, repetition_penalty=None, reasoning_effort=None, verbosity=None,"
    " logprobs=None, top_logprobs=None, logit_bias=None, response_format=None, parallel_tool_calls=None, user=None"
)
CHECK = (
    f"files=(), timeout=None, retry=None, headers=None, proxies=None, prompt_cache=None, extra=None, raw=False,"
    f" strict=False, {SAMPLING}"
)
CALL = f"schema=None, tools=(), tool_choice=None, search=False, max_rounds=8, approve=None, {CHECK}"
CONVERSATION = f"model=None, system=None, history=(), trim=None, {CALL}"
ASK = f"model=None, system=None, {CALL}"
IMAGE = f"model=None, system=None, size=None, quality=None, n=1, {CALL}"
MAP = (
    "model=None, system=None, workers=8, progress=None, resume=None, executor=None, on_error='keep',"
    f" as_completed=False, budget=None, max_tokens_total=None, encoding=None, delimiter=None,"
    f" batch=False, wait=True, late='batch', decide=None, threshold=None,"
    f" emulate=None, {CALL}"
)

SIGNATURES = {
    "Cache.close": "(self)",
    "Chat": f"(client=None, *, {CONVERSATION})",
    "Chat.ask": f"(self, prompt, *, {ASK})",
    "Chat.export": "(self, path)",
    "Chat.fork": "(self)",
    "Chat.load": "(path, *, client=None)",
    "Chat.save": "(self, path)",
    "Chat.show": f"(self, prompt, *, plain=False, {ASK})",
    "Chat.stream": f"(self, prompt, *, {ASK})",
    "Chat.to_markdown": "(self)",
    "Chat.undo": "(self)",
    "Client": "(model=None, *, system=None, api_key=None, auth=None, base_url=None, session=None, proxies=None,"
    " verify=None, cert=None, headers=None, timeout=None, retry=None, rate=None, prices=None, catalog=None,"
    " budget=None, cache=None, prompt_cache='auto',"
    f" hooks=None, log=None, telemetry=None, {SAMPLING})",
    "Client.ask": f"(self, prompt, *, {ASK})",
    "Client.chat": f"(self, *, {CONVERSATION})",
    "Client.check": f"(self, model=None, *, system=None, {CHECK})",
    "Client.close": "(self)",
    "Client.estimate": "(self, prompts, template=None, *, batch=False, model=None, system=None, decide=None,"
    f" threshold=None, emulate=None, {CALL})",
    "Client.image": f"(self, prompt, *, {IMAGE})",
    "Client.map": f"(self, prompts, template=None, *, {MAP})",
    "Client.models": "(self, provider=None, *, details=False)",
    "Client.stream": f"(self, prompt, *, {ASK})",
    "ImageResponse.bytes": "(self, index=0)",
    "ImageResponse.save": "(self, path)",
    "Message": "(role, content)",
    "Rate": "(requests=None, tokens=None, concurrent=None, storage=None)",
    "Reply.json": "(self)",
    "Results.close": "(self)",
    "Results.finish": "(self)",
    "Results.save": "(self, path, *, escape_formulas=False, bom=False)",
    "Results.to_frame": "(self)",
    "RetryPolicy": "(attempts=3, base=0.5, cap=8.0, max_wait=60.0, ambiguous=1, budget=100, sleep=None, clock=None,"
    " random=None)",
    "Stream.cancel": "(self)",
    "Stream.close": "(self)",
    "Stream.read": "(self)",
    "Stream.show": "(self, *, plain=False)",
    "Stream.when_complete": "(self, callback)",
    "Telemetry": "(*, content=False, tracer_provider=None, meter_provider=None)",
    "Timeout": "(connect=None, read=None, total=None)",
    "ask": f"(prompt, *, {ASK})",
    "chat": f"(*, {CONVERSATION})",
    "image": f"(prompt, *, {IMAGE})",
    "map": f"(prompts, template=None, *, {MAP})",
    "models": "(provider=None, *, details=False)",
    "register": "(provider, *, url=None, api_key_env=(), default_model='', replace=False, catalog=(), **row)",
    "search_saved": "(folder, words='')",
    "stream": f"(prompt, *, {ASK})",
}


@pytest.mark.parametrize(("prompt", "options", "expected"), FINGERPRINTS.values(), ids=FINGERPRINTS)
def test_the_fingerprint_of_a_call_stays(prompt, options, expected):
    call = Client(model=MODEL)._build_call(prompt, 1, **options)
    assert fingerprint(call).hex() == expected


# What was written then names a model of then.
@pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")
def test_an_earlier_journal_is_resumed(tmp_path):
    path = tmp_path / "journal.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(JOURNAL)
    connection.close()
    fake = Fake(["new"])
    results = fake.client(model=MODEL).map(["a", "b", "a"], resume=path, progress=False)
    assert results.text == ["re: a", "re: b", "new"]
    assert fake.prompts == ["a"]
    assert results[1].reply.id == "chatcmpl-2"


def test_an_earlier_cache_entry_is_found():
    fake, cache = Fake([]), {CACHE_KEY: CACHE_RECORD}
    reply = fake.client(model=MODEL, cache=cache).ask("Capital?")
    assert (reply.text, reply.reasoning, reply.cached, reply.usage.total_tokens) == ("Paris", "Hm.", True, 5)


def test_a_tool_that_was_pinned_earlier_is_the_same():
    assert fingerprint_of_tool(parse_tool(TOOL, "shop_")) == TOOL_HASH


def test_an_earlier_conversation_is_loaded_and_saved_the_same(tmp_path):
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(CHAT), encoding="utf-8")
    client = Client(model=MODEL)
    chat = Chat.load(path, client=client)
    question, call, result, answer = chat.history
    assert chat.system == "Be brief."
    assert question.content[1]["file"].data == b"some text"
    assert isinstance(call, ToolCallsMessage)
    assert isinstance(result, ToolResultMessage)
    assert (result.call.name, result.call.arguments) == ("stock", {"article": "A"})
    assert answer.content == "There are 4."
    chat.save(path)
    assert {**json.loads(path.read_text(encoding="utf-8")), "saved": CHAT["saved"]} == CHAT


# What was written then names a model of then.
@pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")
def test_an_earlier_recording_is_played(tmp_path):
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(RECORDING), encoding="utf-8")
    with Replay(path, mode="none").installed():
        assert Client(model=MODEL).ask("Hello").text == "Hi"


def test_earlier_stored_keys_are_found(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    path.write_text('{\n  "openai": "sk-1"\n}\n', encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setattr(keys, "file_path", lambda: path)
    assert keys.stored("openai") == "sk-1"


@pytest.mark.parametrize(("name", "expected"), SIGNATURES.items(), ids=SIGNATURES)
def test_the_signature_stays(name, expected):
    function = aichatkit
    for part in name.split("."):
        function = getattr(function, part)
    signature = inspect.signature(function)
    parameters = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    assert str(signature.replace(parameters=parameters, return_annotation=signature.empty)) == expected
