"""Functions as tools: their definitions, and how calls to them are run."""

from __future__ import annotations

import datetime
import functools
import json
import math
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Optional, TypedDict

import pytest

from aichatkit import ConfigurationError
from aichatkit.chunks import ToolCall
from aichatkit.tools.functions import Toolbox

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers


class Unit(Enum):
    CELSIUS = "c"
    KELVIN = "k"


@dataclass
class Place:
    """Where it is."""

    city: str
    zip_code: str = ""


class Window(TypedDict):
    start: int
    end: int


def weather(
    place: Place,
    unit: Unit = Unit.CELSIUS,
    days: int = 1,
    mood: Optional[str] = None,  # noqa: UP045 - read at run time
    window: Optional[Window] = None,  # noqa: UP045
    kind: Literal["short", "long"] = "short",
    tags: Annotated[list[str], "Words to look for."] = (),
):
    """Tell the weather.

    It is made up.

    Args:
        place: the place to look at,
            with its city.
        days (int): how many days: at least 1.
        tags: not this text.

    Returns:
        A sentence.
    """
    return f"{place.city} {unit.name} {days} {mood} {window} {kind} {tags}"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def definition_of(tool):
    return Toolbox([tool]).tools[0]


def run(function, approve=None, /, **arguments):
    return Toolbox([function], approve).run(ToolCall("1", getattr(function, "__name__", "add"), arguments))


def test_a_docstring_is_the_description_without_its_sections():
    tool = definition_of(weather)
    assert (tool.name, tool.description) == ("weather", "Tell the weather.\n\nIt is made up.")


def test_arguments_are_described():
    properties = definition_of(weather).parameters["properties"]
    assert properties["place"]["description"] == "Where it is."
    assert properties["days"] == {"type": "integer", "description": "how many days: at least 1.", "default": 1}
    assert properties["tags"]["description"] == "Words to look for."


def test_a_description_goes_on_below_its_first_line():
    def look(place: str):
        """Args:
            place: the place to look at,
                with its city,
                city: the bigger one.

                And more.
            nothing of a parameter
        Note: no more.
            other: not a parameter
        """  # fmt: skip

    tool = definition_of(look)
    assert tool.description == ""
    assert tool.parameters["properties"]["place"]["description"].startswith(
        "the place to look at, with its city, city: the bigger one. And more."
    )
    assert list(tool.parameters["properties"]) == ["place"]


@pytest.mark.parametrize(
    "text", ["Look.", "Look.\n\nArgs:\n", "Look.\n\nArgs:\n    words alone", "Look.\n\nReturns: a place."]
)
def test_a_docstring_without_parameters_is_fine(text):
    def look(place: str): ...

    look.__doc__ = text
    assert definition_of(look).description == "Look."


def test_annotations_and_defaults_are_the_schema():
    parameters = definition_of(weather).parameters
    assert parameters["required"] == ["place"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["unit"] == {"type": "string", "enum": ["c", "k"]}
    assert parameters["properties"]["mood"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert parameters["properties"]["kind"] == {"type": "string", "enum": ["short", "long"], "default": "short"}
    assert parameters["properties"]["place"]["required"] == ["city"]


def test_a_default_of_none_takes_null():
    def look(place: str, days: int = None, *, other=None): ...  # noqa: RUF013

    properties = definition_of(look).parameters["properties"]
    assert properties["days"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert properties["other"] == {}


def test_no_annotations_at_all_are_fine():
    def look(place, days=2):
        return f"{place}{days}"

    assert definition_of(look).parameters["properties"] == {"place": {}, "days": {"default": 2}}
    assert run(look, place="Oslo") == "Oslo2"


def test_arguments_become_their_types():
    window = {"start": 1, "end": 2}
    answer = run(weather, place={"city": "Oslo"}, unit="k", window=window, tags=["a"])
    assert answer == f"Oslo KELVIN 1 None {window} short ['a']"


def test_methods_partials_and_decorated_functions_are_tools():
    class Shop:
        def add(self, a: int, b: int) -> int:
            """Add in the shop."""
            return a + b

    def logged(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return function(*args, **kwargs)

        return inner

    fixed = functools.partial(add, b=2)
    for tool in (Shop().add, logged(add), functools.lru_cache(add)):
        assert run(tool, a=1, b=2) == "3"
        assert list(definition_of(tool).parameters["properties"]) == ["a", "b"]
    assert definition_of(fixed).name == "add"
    assert definition_of(fixed).description == "Add two numbers."
    assert list(definition_of(fixed).parameters["properties"]) == ["a"]
    assert run(fixed, a=1) == "3"
    assert list(definition_of(functools.partial(add, 1)).parameters["properties"]) == ["b"]


def test_recursive_types_and_pydantic_models_find_their_definitions():
    pydantic = pytest.importorskip("pydantic")

    class Inner(pydantic.BaseModel):
        n: int

    class Outer(pydantic.BaseModel):
        inner: Inner

    def look(outer, more=None):
        return outer.inner.n

    look.__annotations__ = {"outer": Outer, "more": Outer}
    parameters = definition_of(look).parameters
    assert set(parameters["$defs"]) == {"Inner"}
    assert run(look, outer={"inner": {"n": 5}}) == "5"
    assert run(look, outer={"inner": {"n": "x"}}).startswith("Error: the arguments do not fit: outer.inner.n")


def star(*places: str): ...


def stars(**places: str): ...


def only(place: str, /): ...


def unresolved(place: OnlyForCheckers): ...


def wrong(place: 5): ...


def foreign(place: Toolbox): ...


async def later(place: str): ...


async def laters(place: str):
    yield place


class Named:
    __name__ = "named"

    def __call__(self, place: str):
        return f"in {place}"


@pytest.mark.parametrize("tool", [Named(), functools.partial(Named()), functools.lru_cache(Named())])
def test_an_object_with_a_name_that_can_be_called_is_a_tool_with_its_annotations(tool):
    toolbox = Toolbox([tool])
    assert toolbox.tools[0].parameters["properties"] == {"place": {"type": "string"}}


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (lambda place: place, "'<lambda>' cannot name a tool"),
        (star, r"star takes \*places"),
        (stars, r"stars takes \*\*places"),
        (only, "parameter 'place' of only is positional-only"),
        (unresolved, "unresolved: the annotation of 'place' cannot be read .*OnlyForCheckers"),
        (wrong, "wrong.*place.* 5"),
        (foreign, "foreign.place: schema: Toolbox"),
        (later, "later is async"),
        (laters, "laters is async"),
        (Place, "not Place"),
        (object(), "not object"),
        (functools.partial(Named), "not Named"),
        (max, "max"),
        (functools.lru_cache(max), "max"),
        (math.hypot, "hypot"),
        ({}, 'needs a "name"'),
        ({"type": "web_search"}, 'needs a "name"'),
        ({"name": "two words"}, 'needs a "name"'),
        ({"function": "x"}, 'needs a "name"'),
        ({"name": "x", "parameters": [1]}, 'the "parameters" of x'),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_a_reason(tool, message):
    with pytest.raises(ConfigurationError, match=message):
        Toolbox([tool])


@pytest.mark.parametrize("tools", ["weather", 5, None])
def test_tools_come_in_a_list(tools):
    with pytest.raises(ConfigurationError, match="must be a list"):
        Toolbox(tools)


def test_a_single_tool_needs_no_list():
    assert [tool.name for tool in Toolbox(add).tools] == ["add"]
    assert [tool.name for tool in Toolbox({"name": "x"}).tools] == ["x"]


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="two tools named 'add'"):
        Toolbox([add, {"name": "add"}])


def test_approve_must_be_callable():
    with pytest.raises(ConfigurationError, match="approve"):
        Toolbox([add], True)


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "x", "description": "d", "parameters": {"type": "object", "properties": {"a": {}}}},
        {"function": {"name": "x", "description": "d", "parameters": {"type": "object", "properties": {"a": {}}}}},
        {"name": "x", "description": "d", "input_schema": {"type": "object", "properties": {"a": {}}}},
    ],
)  # fmt: skip
def test_dict_tools_come_in_every_usual_form(tool):
    read = definition_of(tool)
    assert (read.name, read.description, list(read.parameters["properties"])) == ("x", "d", ["a"])


def test_a_dict_tool_needs_no_parameters():
    assert definition_of({"name": "x"}).parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("calls", "runnable"),
    [(["add"], True), (["add", "invented"], True), (["add", "left"], False), (["left"], False), ([], False)],
)
def test_calls_of_a_dict_tool_are_the_caller_s_with_all_beside_them(calls, runnable):
    assert Toolbox([add, {"name": "left"}]).can_run([ToolCall("1", name) for name in calls]) is runnable


def test_without_functions_every_call_is_the_caller_s():
    assert not Toolbox([{"name": "left"}]).can_run([ToolCall("1", "invented")])
    assert not Toolbox()


def fails(place: str):
    raise KeyError(place)


def endless(place: str):
    yield place
    raise RuntimeError("it broke")


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (fails, {"place": "Oslo"}, "Error: KeyError: 'Oslo'"),
        (endless, {"place": "Oslo"}, "Error: RuntimeError: it broke"),
        (add, {"a": 1}, "Error: the arguments do not fit: b: is missing"),
        (add, {"a": 1, "b": "x"}, "Error: the arguments do not fit: b: must be integer, not a string"),
        (add, {"a": 1, "b": 2, "c": 3}, "Error: the arguments do not fit: c: is not a field"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(function, arguments, result):
    assert run(function, **arguments) == result


def test_a_value_its_type_refuses_is_told_to_the_model():
    def until(day: datetime.date): ...

    assert run(until, day="soon").startswith("Error: ValueError")


def test_an_unknown_tool_is_told_to_the_model():
    assert Toolbox([add]).run(ToolCall("1", "sub")) == "Error: there is no tool 'sub'; there are: add"


def test_a_call_that_is_not_approved_does_not_run():
    asked = []
    assert run(fails, lambda call: asked.append(call), place="Oslo") == "Error: the user did not allow this call"
    assert asked == [ToolCall("1", "fails", {"place": "Oslo"})]


def test_an_interrupt_is_not_an_error_of_the_tool():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stop)


@dataclass
class Answer:
    unit: Unit = Unit.KELVIN
    day: datetime.date = datetime.date(2026, 11, 21)
    tags: set = field(default_factory=lambda: {"b", "a"})


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("Grüße", "Grüße"),
        (None, "null"),
        ({"a": [1, "ü"]}, '{"a": [1, "ü"]}'),
        ([Answer()], '[{"unit": "k", "day": "2026-11-21", "tags": ["a", "b"]}]'),
        (frozenset({1}), "[1]"),
        ((n for n in (1, 2)), "[1, 2]"),
        ({(1, 2): 3}, '{"(1, 2)": 3}'),
        (Answer, '"<class'),
    ],
)
def test_a_result_becomes_text(result, text):
    def give():
        return result

    assert run(give).startswith(text)


def test_pydantic_results_are_json():
    pydantic = pytest.importorskip("pydantic")
    made = pydantic.create_model("Made", day=(datetime.date, ...))(day="2026-11-21")

    def give():
        return [made]

    assert json.loads(run(give)) == [{"day": "2026-11-21"}]


def test_a_result_without_end_is_cut_and_says_so():
    def give() -> Any:
        return "x" * 300_000

    assert run(give).endswith("x\n[cut: the result has 300,000 characters]")


def trip(city: str, days: int = 1, tags: list[str] = (), deep: bool = False, price: Decimal = Decimal(0)):
    return [city, days, list(tags), deep, str(price)]


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ({"days": "3"}, [3, [], False, "0"]),
        ({"days": None, "tags": None, "deep": None}, [1, [], False, "0"]),
        ({"tags": '["a"]', "deep": "true"}, [1, ["a"], True, "0"]),
        ({"price": "98765432109876543.210"}, [1, [], False, "98765432109876543.210"]),
    ],
)
def test_arguments_as_text_are_parsed_and_null_is_the_default(arguments, result):
    assert json.loads(run(trip, city="Oslo", **arguments)) == ["Oslo", *result]


@pytest.mark.parametrize("arguments", [{"days": "three"}, {"days": "1.5"}, {"tags": "a, b"}, {"deep": "yes"}])
def test_other_text_is_not_converted(arguments):
    assert run(trip, city="Oslo", **arguments).startswith("Error: the arguments do not fit")


def test_null_is_rejected_for_a_required_argument():
    assert run(trip, city=None).startswith("Error: the arguments do not fit: city")


def test_the_approved_arguments_are_those_of_the_call():
    approved = []
    run(trip, lambda call: approved.append(call) or True, city="Oslo", days="3", tags=None)
    assert approved == [ToolCall("1", "trip", {"city": "Oslo", "days": 3})]


@dataclass
class Branch:
    below: list[Branch]


def test_arguments_nested_too_deeply_are_reported_to_the_model():
    deep: Any = {"below": []}
    for _ in range(5000):
        deep = {"below": [deep]}

    def take(x: Branch):
        raise AssertionError

    assert run(take, x=deep) == "Error: the arguments do not fit: they are nested too deeply"


class Tensor:
    """An object with a conversion method, as in NumPy and PyTorch."""

    def __init__(self, plain: Any, name: str = "tolist") -> None:
        setattr(self, name, lambda: plain)


class Strange:
    def tolist(self):
        return self

    def __str__(self):
        return "strange"


class Spot(NamedTuple):
    city: str


class Rank(IntEnum):
    FIRST = 1


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (Tensor(3), "3"),
        (Tensor([1, 2]), "[1, 2]"),
        (Tensor([1], "to_list"), "[1]"),
        (Tensor([{"a": 1}], "to_dicts"), '[{"a": 1}]'),
        ({"n": Tensor(3)}, '{"n": 3}'),
        ([Tensor(datetime.date(2026, 11, 21))], '["2026-11-21"]'),
        (Strange(), '"strange"'),
        (Tensor, '"<class'),
        ({(1, 2): 3, 4: 5, None: 6, True: 7}, '{"(1, 2)": 3, "4": 5, "null": 6, "true": 7}'),
        ({datetime.date(2026, 11, 21): 1, Unit.KELVIN: 2}, '{"2026-11-21": 1, "k": 2}'),
        ([Rank.FIRST, Unit.KELVIN], '[1, "k"]'),
        (Spot("Oslo"), '{"city": "Oslo"}'),
        ({1, 2}, "[1, 2]"),
        (b"raw", "\"b'raw'\""),
        ("a\ud83d", "a\ufffd"),
        (["a\ud83d\ude00"], '["a😀"]'),
        (float("nan"), "NaN"),
    ],
)
def test_results_of_other_libraries_are_numbers_and_lists(result, text):
    def give():
        return result

    assert run(give).startswith(text)


def test_arrays_and_tables_are_numbers_and_lists():
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1, 2], "day": pandas.to_datetime(["2026-11-21"] * 2)})
    results = [
        (numpy.int64(3), 3),
        (numpy.array([[1, 2]]), [[1, 2]]),
        (numpy.float32(1.5), 1.5),
        (numpy.bool_(True), True),
        ({numpy.int64(1): numpy.int64(3)}, {"1": 3}),
        (pandas.Series([1, 2]), [1, 2]),
        (table[["a"]], [{"a": 1}, {"a": 2}]),
        (table["day"].iloc[0], "2026-11-21 00:00:00"),
    ]
    for result, plain in results:

        def give(result: Any = result):
            return result

        give.__annotations__.clear()
        assert json.loads(Toolbox([functools.partial(give, result=result)]).run(ToolCall("1", "give"))) == plain


async def inner():
    return "x"


async def pieces():
    yield "x"


@pytest.mark.parametrize("make", [inner, pieces])
def test_an_awaitable_result_is_rejected(make):
    def give():
        return make()

    assert run(give) == "Error: TypeError: give is async; pass a plain function"


def test_a_recursive_result_is_reported_to_the_model():
    endless: list[Any] = []
    endless.append(endless)

    def give():
        return endless

    assert run(give).startswith("Error: RecursionError")


def test_the_error_for_a_positional_only_parameter_explains_it():
    with pytest.raises(ConfigurationError, match=r"'obj' of len is positional-only.*wrap it"):
        Toolbox([len])


def test_a_tool_does_not_run_with_broken_arguments():
    runs = []

    def wipe() -> None:
        runs.append("wipe")

    result = Toolbox([wipe]).run(ToolCall("call_1", "wipe", {}, broken='{"path": "/tm'))
    assert (result, runs) == ("Error: the arguments are not a JSON object; call again with one", [])
