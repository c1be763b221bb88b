"""Every option is in the signature, for `help()`, completion and type checkers, and nothing else is."""

from __future__ import annotations

import inspect
import pydoc
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import aichatkit as ai
from aichatkit import Chat, Client, ConfigurationError
from aichatkit.batch.mapper import map_prompts
from aichatkit.call import signatures
from aichatkit.call.build import build_call
from aichatkit.call.signatures import CallOptions, CheckOptions, MapOptions, SamplingOptions, options_of
from aichatkit.options import CALL_OPTIONS
from aichatkit.params import EFFORTS, PARAMS
from aichatkit.testing import Fake

ROOT = Path(ai.__file__).parent.parent
#: What `map` takes for the whole run.
RUN = (
    "workers",
    "progress",
    "resume",
    "executor",
    "on_error",
    "as_completed",
    "budget",
    "max_tokens_total",
    "batch",
    "wait",
    "late",
    "encoding",
    "delimiter",
    "decide",
    "threshold",
    "emulate",
)
#: Every function that takes options, and those it has in addition to the options of a call.
FACES = {
    "ask": (),
    "stream": (),
    "image": ("size", "quality", "n"),
    "chat": ("history", "trim"),
    "map": RUN,
    "Client.ask": (),
    "Client.stream": (),
    "Client.image": ("size", "quality", "n"),
    "Client.estimate": ("batch", "decide", "threshold", "emulate"),
    "Client.chat": ("history", "trim"),
    "Client.map": RUN,
    "Chat": ("history", "trim"),
    "Chat.ask": (),
    "Chat.stream": (),
    "Chat.show": ("plain",),
}


def find(name):
    found = ai
    for part in name.split("."):
        found = getattr(found, part)
    return found


def keywords(function):
    """Return the keyword parameters of a function, by name."""
    parameters = inspect.signature(function).parameters
    assert not [name for name in parameters if parameters[name].kind is inspect.Parameter.VAR_KEYWORD]
    return {name: value for name, value in parameters.items() if value.kind is value.KEYWORD_ONLY}


@pytest.mark.parametrize(("name", "own"), FACES.items(), ids=FACES)
def test_a_signature_lists_every_option_with_its_type(name, own):
    found = keywords(find(name))
    assert set(found) == {*CALL_OPTIONS, *PARAMS, *own}
    assert [option for option in found if found[option].annotation is inspect.Parameter.empty] == []


def test_a_client_lists_its_options_and_every_sampling_parameter():
    assert set(keywords(Client)) > PARAMS | {"api_key", "base_url", "rate", "cache"}


def test_a_check_lists_what_it_takes():
    tools = {"approve", "max_rounds", "schema", "search", "tool_choice", "tools", "model"}
    assert set(keywords(Client.check)) == {*CALL_OPTIONS, *PARAMS} - tools
    client = Fake("OK.").client()
    for name in tools - {"model"}:
        with pytest.raises(ConfigurationError, match=name):
            client.check("openai", **{name: None})


def test_the_options_are_those_that_calls_accept():
    accepted = {
        name for name, value in inspect.signature(build_call).parameters.items() if value.kind is value.KEYWORD_ONLY
    }
    assert set(options_of(CallOptions)) == accepted | PARAMS
    assert set(options_of(SamplingOptions)) == PARAMS
    assert set(options_of(MapOptions)) == {*options_of(CallOptions), *map_prompts.__kwdefaults__}


def test_the_defaults_are_those_in_force():
    given = {**build_call.__kwdefaults__, **map_prompts.__kwdefaults__}
    listed = {name: value.default for name, value in keywords(ai.map).items()}
    assert listed == {**dict.fromkeys(PARAMS), **given}


@pytest.mark.parametrize("name", sorted(PARAMS))
def test_every_sampling_parameter_is_accepted_by_name(name):
    values = {"response_format": {}, "logit_bias": {}, "reasoning_effort": "low", "verbosity": "low"}
    value = values.get(name, True if name in ("logprobs", "parallel_tool_calls") else "x")
    value = 1 if value == "x" and name not in ("stop", "user") else value
    assert Fake("Yes.").client(**{name: value}).chat(**{name: value}).client is not None


def test_an_effort_may_be_what_the_parameter_accepts():
    assert (
        typing.get_args(eval(options_of(SamplingOptions)["reasoning_effort"].split(" |")[0], vars(typing))) == EFFORTS
    )


@pytest.mark.parametrize("name", [name for name in FACES if "." not in name and name != "Chat"])
def test_the_functions_of_the_package_have_the_signatures_of_the_client(name):
    own, method = inspect.signature(find(name)), inspect.signature(getattr(Client, name))
    assert list(own.parameters.values()) == list(method.parameters.values())[1:]


@pytest.mark.skipif(sys.version_info < (3, 10), reason="older Pythons cannot evaluate `str | None`")
@pytest.mark.parametrize("name", ["ask", "stream", "chat", "image", "map"])
def test_the_types_can_be_evaluated(name):
    hints = typing.get_type_hints(find(name))
    assert hints["temperature"] == typing.Optional[float]
    assert set(hints) == {*inspect.signature(find(name)).parameters, "return"}


@pytest.mark.parametrize("name", FACES)
def test_help_shows_every_option(name):
    text = pydoc.plain(pydoc.render_doc(find(name)))
    assert [option for option in (*CALL_OPTIONS, *PARAMS) if f"{option}: " not in text] == []


@pytest.mark.parametrize("name", [name for name in FACES if name != "Chat"])
def test_the_source_shown_is_that_of_the_function(name):
    kind = name.rpartition(".")[2]
    assert f"def {kind}(" in inspect.getsource(find(name))


def test_a_signature_binds_what_a_call_takes():
    signature = inspect.signature(ai.ask)
    assert signature.bind("Hi", temperature=0.2).arguments == {"prompt": "Hi", "temperature": 0.2}
    with pytest.raises(TypeError, match="temprature"):
        signature.bind("Hi", temprature=0.2)


def test_methods_without_options_are_left_as_they_are():
    assert not hasattr(Client.close, "__wrapped__")
    assert not hasattr(Chat.load, "__wrapped__")


def test_the_function_that_is_inspected_cannot_be_called_by_mistake():
    for function in (ai.ask, Client.ask):
        with pytest.raises(TypeError, match="only declares a signature and cannot be called"):
            inspect.unwrap(function)(*["Hi"] * (2 if "self" in inspect.signature(function).parameters else 1))


def test_options_stay_in_order():
    names = list(keywords(ai.ask))
    assert names[:2] == ["model", "system"]
    assert set(names[-len(PARAMS) :]) == PARAMS
    assert next(iter(options_of(CheckOptions))) == "system"


@pytest.fixture
def completions(tmp_path_factory):
    """Complete a line as a notebook does."""
    pytest.importorskip("IPython")
    from IPython.core.completer import provisionalcompleter
    from notebook_shell import drop_shell, make_shell

    shell = make_shell(tmp_path_factory.mktemp("ipython"))
    client = Client(model="offline")
    shell.user_ns.update(ai=ai, ask=ai.ask, Client=Client, Chat=Chat, client=client, conversation=client.chat())

    def complete(line, *, jedi):
        shell.Completer.use_jedi = jedi
        with provisionalcompleter():
            return [found.text for found in shell.Completer.completions(line, len(line))]

    yield complete
    client.close()
    drop_shell(shell)


@pytest.mark.parametrize("jedi", [True, False])
@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("ask(temper", "temperature="),
        ("ai.ask('Hi', max_t", "max_tokens="),
        ("ai.stream('Hi', reas", "reasoning_effort="),
        ("ai.chat(tri", "trim="),
        ("ai.image('a cat', mod", "model="),
        ("ai.map([], workers=3, prog", "progress="),
        ("client.ask('Hi', sch", "schema="),
        ("client.map([], on_e", "on_error="),
        ("conversation.ask('Hi', too", "tools="),
        ("conversation.stream('Hi', fil", "files="),
        ("Client(telem", "telemetry="),
        ("Client(top_l", "top_logprobs="),
        ("Chat(client, hist", "history="),
    ],
)
def test_a_notebook_completes_options(completions, line, option, jedi):
    assert option in completions(line, jedi=jedi)


MISTAKES = """\
import aichatkit as ai
from aichatkit import Chat, Client
client = Client(model="offline")
chat = client.chat()
ai.ask("Hi", temprature=0.2)
ai.ask("Hi", temperature="hot")
ai.stream("Hi", max_tokens=1.5)
ai.chat(trimm="auto")
ai.image("a cat", modle="openai")
ai.map(["a"], worker=2)
ai.map(["a"], on_error="ignore")
client.ask("Hi", max_retries=3)
client.ask("Hi", reasoning_effort="hihg")
client.stream("Hi", top_p=[1])
client.map(["a"], workers="2")
client.estimate(["a"], max_token=1)
client.estimate(["a"], decide={"a?": bool}, treshold=0.9)
client.decide("Hi", {"a?": bool}, treshold=0.9)
client.decide("Hi", bool, "Urgent?").value.upper()
ai.decide("Hi", {"a?": bool})["a"].value.upper()
client.check("openai", tools=[len])
client.image("a cat", timeout="soon")
chat.ask("Hi", stop=5)
chat.stream("Hi", attachments=["a.png"])
chat.show("Hi", plain="yes")
Chat(client, histroy=[])
Client(temprature=0.2)
Client(seed="x")
"""
CORRECT = """\
import aichatkit as ai
from aichatkit import Chat, Client, RetryPolicy, Timeout
client = Client(model=["openai", "groq"], temperature=0.2, stop=["END"], reasoning_effort="low")
settings = {"temperature": 0.5, "top_p": 0.9}
prompt = ai.ask(prompt="Hi", timeout=Timeout(total=5), retry=RetryPolicy(attempts=2), files=["a.png"]).text
ai.stream("Hi", tools=[len], max_rounds=2, approve=lambda call: call.name == "len", schema=int)
ai.chat(trim="auto", history=[{"role": "user", "content": "Hi"}], system="Be brief.")
ai.image("a cat", model="openai/gpt-image-2.5-flare", extra={"size": "1024x1024"})
client.map(["a"], "Say {text}", workers=2, progress=None, on_error="raise", resume="run.sqlite", max_tokens=5)
client.estimate(["a"], model="openai", max_tokens=5)
client.check("openai", retry=0)
chat = Chat(client, trim=1000, model=None, temperature=None)
chat.ask("Hi", stop="END", raw=True, strict=True)
Chat(model="offline").clear()
total: float | None = Client("openai/gpt-6-luna").chat().cost
count: int | None = chat.usage.total_tokens
chat.show("Hi", plain=True, proxies="http://proxy.example:3128")
"""


@pytest.mark.slow
def test_a_type_checker_finds_every_misspelt_and_mistyped_option(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    (tmp_path / "correct.py").write_text(CORRECT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "mistakes.py", "correct.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = re.findall(r"^(mistakes|correct)\.py:(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    expected = [str(number) for number, line in enumerate(MISTAKES.splitlines(), 1) if number > 4]
    # An overloaded function is reported twice.
    lines = list(dict.fromkeys((name, line) for name, line, _ in found))
    assert lines == [("mistakes", line) for line in expected], done.stdout
    assert found[0][2] == 'Unexpected keyword argument "temprature" for "ask"; did you mean "temperature"?  [call-arg]'


def test_what_declares_a_signature_cannot_be_called():
    # The second is the function whose code the first has, under another name and place.
    for call in (lambda: ai.ask.__wrapped__("Hi"), signatures._declaration):
        with pytest.raises(TypeError, match="only declares a signature and cannot be called"):
            call()
