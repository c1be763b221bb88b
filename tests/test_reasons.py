"""The reason of an error: how an exception becomes one line, and that every step outside the network sets it."""

from __future__ import annotations

import csv
import io
import sys
import types
import zlib
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import IncompleteRead

import pytest

from aichatkit import Client
from aichatkit._reasons import reason_of
from aichatkit.attachments import load_file
from aichatkit.batch import tables
from aichatkit.batch.journal import Journal
from aichatkit.batch.progress import _import_tqdm
from aichatkit.batch.rows import read_rows
from aichatkit.batch.workers import BoundAsk
from aichatkit.chats.chat import Chat
from aichatkit.cli import completion, schema_option, stdin, stored_templates
from aichatkit.errors import ChatError
from aichatkit.messages import parse_messages
from aichatkit.middleware.telemetry import Telemetry
from aichatkit.registry import registry
from aichatkit.reply import Reply
from aichatkit.storage.archive import read_chat, write_chat
from aichatkit.storage.sqlite import Database
from aichatkit.structured.forms import Form
from aichatkit.structured.schemas import Field, hints_of, object_schema
from aichatkit.testing import Replay
from aichatkit.tools.functions import Toolbox


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionResetError(104, "reset by peer"), "ConnectionResetError: [Errno 104] reset by peer"),
        (ValueError(), "ValueError"),
        (KeyError("id"), "KeyError: 'id'"),
        (ValueError("one\n  two\tthree\x1b[31m\u2028four\ud800"), "ValueError: one two three [31m four"),
        (IncompleteRead(b"", 7), "IncompleteRead(0 bytes read, 7 more expected)"),
        (zlib.error("Error -3"), "zlib.error: Error -3"),
        (csv.Error("line contains NUL"), "csv.Error: line contains NUL"),
        (OSError("<http.Connection object at 0x7f3aBC>: gone"), "OSError: <http.Connection object>: gone"),
        (OSError("proxy http://me:hunter2@host:80/ is down"), "OSError: proxy http://host:80/ is down"),
        (OSError("proxy me:hunter2@host:80 is down"), "OSError: proxy host:80 is down"),
        (OSError("http://me:hun@ter2://@host/ is down"), "OSError: http://host/ is down"),
        (OSError("http://me:hunt?er2@host/ is down"), "OSError: http://host/ is down"),
        (OSError("no answer of https://host/v1?key=hunter2 yet"), "OSError: no answer of https://host/v1 yet"),
        (OSError("no answer of https://host/v1?hunter2"), "OSError: no answer of https://host/v1"),
        (OSError("exceeded with url: /v1?key=hunter2 (Caused"), "OSError: exceeded with url: /v1 (Caused"),
        (OSError("is it there? write to me@host"), "OSError: is it there? write to me@host"),
    ],
)
def test_an_exception_becomes_one_line_without_secrets_and_addresses(error, reason):
    assert reason_of(error) == reason


def test_a_reason_is_bounded_however_long_the_message_is():
    assert reason_of(ValueError("x" * 501)) == f"ValueError: {'x' * 488}"
    assert len(reason_of(ValueError(":" * 10_000_000))) == 500


class Unresolvable:
    """A class whose annotation is none."""

    x: NotThere  # type: ignore[name-defined]  # noqa: F821


class Figure:
    """A figure that cannot be saved."""

    def savefig(self, buffer, **options):
        raise OSError(28, "No space left on device")


class Here:
    """An executor that breaks at once, or whose rows end with an exception."""

    def __init__(self, *, broken=None, spoil=None):
        self.broken, self.spoil = broken, spoil

    def submit(self, fn, *args):
        if self.broken is not None:
            raise self.broken
        future = Future()
        future.set_exception(self.spoil)
        return future


@dataclass
class Year:
    """A value that checks itself."""

    year: int

    def __post_init__(self):
        raise AssertionError("not a leap year")


def closed(file):
    file.close()
    return file


def written(path, content):
    path.write_bytes(content)
    return path


def nowhere(folder):
    """Return a path at which nothing can be written, even by root: its folder is a file."""
    return written(folder / "file", b"") / "inner"


def closed_rows(folder, patch):
    def refuse(self, *args, **options):
        raise PermissionError(13, "Permission denied")

    path = written(folder / "a.csv", b"a\n")
    patch.setattr("pathlib.Path.open", refuse)
    return read_rows(path)


def map_with(executor):
    with Client(model="offline") as client:
        return client.map(["Hi"], executor=executor, progress=False)


def map_and_return_error(executor):
    (error,) = map_with(executor).errors
    raise error


def shut_down():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    return pool


def plugin_that_breaks(patch):
    def load():
        raise ImportError("libfoo.so is missing")

    patch.setattr(type(registry), "_entry_points", lambda self: {"odd": types.SimpleNamespace(load=load)})
    return registry["odd"]


def saved_chat(path, **fields):
    record = {"system": None, "messages": [], "model": "offline", "options": {}, **fields}
    return write_chat(path, record)


def tool_call(arguments):
    return [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}]


def without(patch, name):
    patch.setitem(sys.modules, name, None)


#: What fails -> how the reason begins.
STEPS = {
    "file": (lambda folder, patch: load_file(folder / "none.txt"), "FileNotFoundError: [Errno "),
    "file name": (lambda folder, patch: load_file("a\0b"), "ValueError: embedded null"),
    "open file": (lambda folder, patch: load_file(closed(io.BytesIO())), "ValueError: I/O operation on closed file"),
    "data URI": (lambda folder, patch: load_file("data:;base64,x"), "binascii.Error: "),
    "figure": (lambda folder, patch: load_file(Figure()), "OSError: [Errno 28] No space left on device"),
    "tool call": (lambda folder, patch: parse_messages(tool_call("{")), "JSONDecodeError: Expecting property name"),
    "thoughts": (
        lambda folder, patch: parse_messages([{**tool_call("{}")[0], "thoughts": [[]]}]),
        "TypeError: ",
    ),
    "body": (
        lambda folder, patch: Client(model="openai", api_key="sk-test").ask("Hi", extra={"x": {1}}),
        "TypeError: Object of type set is not JSON serializable",
    ),
    "saved chat": (
        lambda folder, patch: read_chat(written(folder / "a.json", b"{")),
        "JSONDecodeError: Expecting property name",
    ),
    "chat to save": (
        lambda folder, patch: saved_chat(folder / "a.json", system={1}),
        "TypeError: Object of type set is not JSON serializable",
    ),
    "loaded chat": (
        lambda folder, patch: Chat.load(saved_chat(folder / "a.json", messages=tool_call("{"))),
        "JSONDecodeError: Expecting property name",
    ),
    "sqlite": (
        lambda folder, patch: Journal(written(folder / "a.sqlite", b"no database" * 100)),
        "DatabaseError: file is not a database",
    ),
    "sqlite folder": (
        lambda folder, patch: Journal(folder / "none" / "a.sqlite"),
        "OperationalError: unable to open database file",
    ),
    "json lines": (
        lambda folder, patch: list(read_rows(written(folder / "a.jsonl", b"{\n")).rows),
        "JSONDecodeError: Expecting property name",
    ),
    "rows": (lambda folder, patch: closed_rows(folder, patch), "PermissionError: [Errno 13] Permission denied"),
    "table": (lambda folder, patch: tables.save(nowhere(folder) / "a.csv", list), "NotADirectoryError: [Errno "),
    "pandas": (lambda folder, patch: without(patch, "pandas") or tables._pandas(), "ModuleNotFoundError: import of"),
    "tqdm": (
        lambda folder, patch: without(patch, "tqdm.auto") or _import_tqdm(required=True),
        "ModuleNotFoundError: ",
    ),
    "shtab": (
        lambda folder, patch: without(patch, "shtab") or completion._import_shtab(),
        "ModuleNotFoundError: import of",
    ),
    "opentelemetry": (
        lambda folder, patch: without(patch, "opentelemetry") or Telemetry(),
        "ModuleNotFoundError: import of",
    ),
    "pickle": (
        lambda folder, patch: BoundAsk(lambda: None, {}).__reduce__(),
        ("AttributeError: Can't ", "PicklingError: Can't "),
    ),
    "broken executor": (
        lambda folder, patch: map_with(Here(broken=BrokenExecutor("a process died"))),
        "BrokenExecutor: a process died",
    ),
    "closed executor": (
        lambda folder, patch: map_with(shut_down()),
        "RuntimeError: cannot schedule new futures after shutdown",
    ),
    "lost row": (lambda folder, patch: map_with(Here(spoil=KeyError("id"))), "KeyError: 'id'"),
    "killed row": (
        lambda folder, patch: map_and_return_error(Here(spoil=BrokenExecutor("died"))),
        "BrokenExecutor: died",
    ),
    "plugin": (lambda folder, patch: plugin_that_breaks(patch), "ImportError: libfoo.so is missing"),
    "annotation": (lambda folder, patch: hints_of(Unresolvable), "NameError: name 'NotThere' is not defined"),
    "schema value": (
        lambda folder, patch: Form.of(Year).parse(Reply('{"year": 1900}', "openai", "m")),
        "AssertionError: not a leap year",
    ),
    "signature": (lambda folder, patch: Toolbox([max]), "ValueError: no signature found"),
    "replay": (
        lambda folder, patch: Replay(written(folder / "a.json", b"{")).install(),
        "JSONDecodeError: Expecting property name",
    ),
    "template": (
        lambda folder, patch: stored_templates.load_template(str(folder / "none.txt")),
        "FileNotFoundError: [Errno ",
    ),
    "schema file": (
        lambda folder, patch: schema_option._read_file(str(folder / "none.json")),
        "FileNotFoundError: [Errno ",
    ),
    "schema text": (lambda folder, patch: schema_option._read_json("{", "x"), "JSONDecodeError: Expecting property"),
    "stdin": (
        lambda folder, patch: patch.setattr(sys, "stdin", None) or stdin.read_stdin(explicit=True),
        "AttributeError: 'NoneType' object has no attribute 'fileno'",
    ),
}


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize("step", STEPS)
def test_what_failed_below_is_the_reason_of_the_error(step, tmp_path, monkeypatch):
    fail, reason = STEPS[step]
    with pytest.raises(ChatError) as caught:
        fail(tmp_path, monkeypatch)
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize(
    "fail",
    [
        lambda: load_file(3),
        lambda: schema_option._read_json("[]", "x"),
        lambda: parse_messages(tool_call("[]")),
        lambda: Form.of(int).parse(Reply("none", "openai", "m")),
        lambda: Database("", "", name="cache").damage_error(),
    ],
)
def test_where_nothing_failed_below_there_is_no_reason(fail):
    with pytest.raises(ChatError) as caught:
        raise fail()
    assert caught.value.reason == ""


def refuse(schema):
    raise ValueError("no")


def test_the_reason_of_a_field_is_that_of_its_class():
    pydantic = pytest.importorskip("pydantic")
    odd = pydantic.create_model("Odd", x=(object, pydantic.Field(json_schema_extra=refuse)))
    fields = [Field("odd", odd, False)]
    with pytest.raises(ChatError) as caught:
        object_schema(fields, owner="Outer")
    assert str(caught.value).startswith("Outer.odd: ")
    assert caught.value.reason == "ValueError: no"
