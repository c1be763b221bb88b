"""Wheels of the sources -> plain data. They are read as archives: nothing of them is ever imported or run."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

#: The sources, by the name of their package.
PACKAGES = ("litellm", "genai-prices", "model-prices", "openai", "anthropic")
#: Python that the sources need, which may be newer than the one that runs this.
_PYTHON = "3.13"
#: Our provider -> the names that the sources have for it.
GENAI_PROVIDERS = {
    "anthropic": "anthropic",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "meta": "meta",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openai": "openai",
    "openrouter": "openrouter",
    "together": "together",
    "xai": "x-ai",
    "zai": "zai",
}
MODEL_PRICES_PROVIDERS = {
    "anthropic": "anthropic",
    "cohere": "cohere",
    "dashscope": "alibaba",
    "deepseek": "deepseek",
    "gemini": "google",
    "meta": "meta",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openai": "openai",
    "perplexity": "perplexity",
    "xai": "xai",
    "zai": "zai",
}


class Sources(NamedTuple):
    """What the sources say, and their versions."""

    litellm: Mapping[str, Mapping[str, Any]]
    #: provider -> model -> dollars for a million tokens by `in`, `out`, `read`, `write`; `next` has those to come
    genai: Mapping[str, Mapping[str, Mapping[str, Any]]]
    model_prices: Mapping[str, Mapping[str, Mapping[str, float]]]
    #: provider -> model -> "deprecated" or "removed"
    status: Mapping[str, Mapping[str, str]]
    holidays: list[str]
    #: "provider/model" -> the day it stops
    shutdowns: Mapping[str, str]
    versions: Mapping[str, str]


def download(folder: Path) -> None:
    """Fetch the newest wheel of every source that `folder` does not hold."""
    for package in PACKAGES:
        if not list(folder.glob(f"{package.replace('-', '_')}-*.whl")):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*command, f"--python-version={_PYTHON}", f"--dest={folder}", package], check=True)


def read(folder: Path, *, day: str) -> Sources:
    """Read the wheels in a folder; of dated prices, use those valid on `day`, and add the next as `next`."""
    wheels = {package: _newest(folder, package) for package in PACKAGES}
    table = json.loads(_text(wheels["litellm"], "litellm/model_prices_and_context_window_backup.json"))
    snapshot = json.loads(_text(wheels["model-prices"], "model_prices/snapshot.json"))
    holidays = snapshot["schedules"]["holidays"]["cn"]["dates"]
    return Sources(
        litellm={name: row for name, row in table.items() if isinstance(row, dict) and row.get("litellm_provider")},
        genai=_parse_genai(_text(wheels["genai-prices"], "genai_prices/data.py"), day),
        model_prices={
            ours: {model: _newest_rates(modes) for model, modes in snapshot["prices"].get(theirs, {}).items()}
            for ours, theirs in MODEL_PRICES_PROVIDERS.items()
        },
        status={ours: snapshot["status"].get(theirs, {}) for ours, theirs in MODEL_PRICES_PROVIDERS.items()},
        holidays=holidays,
        shutdowns={
            **_parse_openai(_text(wheels["openai"], "openai/types/shared/chat_model.py")),
            **_parse_anthropic(_text(wheels["anthropic"], "anthropic/_data/deprecated_models.py")),
        },
        versions={package: wheel.name.split("-")[1] for package, wheel in wheels.items()},
    )


def _newest(folder: Path, package: str) -> Path:
    wheels = sorted(folder.glob(f"{package.replace('-', '_')}-*.whl"), key=lambda wheel: _version(wheel.name))
    if not wheels:
        raise SystemExit(f"no wheel of {package} in {folder}")
    return wheels[-1]


def _version(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", name.split("-")[1])))


def _text(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name).decode()


def _parse_genai(source: str, day: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the base prices in genai-prices' constructors, by exact id only: its clauses match any newer name too."""
    ours = {theirs: name for name, theirs in GENAI_PROVIDERS.items()}
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and _name(call) == "Provider":
            fields = _keywords(call)
            name = ours.get(ast.literal_eval(fields["id"]))
            if name is not None:
                models = [model for model in ast.walk(fields["models"]) if _name(model) == "ModelInfo"]
                tables[name] = dict(_parse_genai_model(model, day) for model in models)
    return tables


def _parse_genai_model(call: Any, day: str) -> tuple[str, dict[str, Any]]:
    fields = _keywords(call)
    prices: list[tuple[str, Any]] = [("", fields["prices"])]
    if isinstance(fields["prices"], ast.List):
        entries = [entry for entry in map(_keywords, fields["prices"].elts) if not _has_condition(entry)]
        prices = sorted(((_start(entry), entry["prices"]) for entry in entries), key=lambda pair: pair[0])
    present = [price for start, price in prices if start <= day]
    coming = [(start, price) for start, price in prices if start > day]
    rates: dict[str, Any] = _parse_rates(present[-1]) if present else {}
    if coming and rates:
        rates["next"] = {"since": coming[0][0], **_parse_rates(coming[0][1])}
    return ast.literal_eval(fields["id"]), rates


def _parse_rates(prices: Any) -> dict[str, float]:
    names = {"input_mtok": "in", "output_mtok": "out", "cache_read_mtok": "read", "cache_write_mtok": "write"}
    rates = _keywords(prices) if isinstance(prices, ast.Call) else {}
    numbers = {ours: _number(rates[theirs]) for theirs, ours in names.items() if theirs in rates}
    return {name: number for name, number in numbers.items() if number is not None}


def _has_condition(entry: Mapping[str, ast.expr]) -> bool:
    constraint = entry.get("constraint")
    return "when" in entry or (constraint is not None and _name(constraint) != "StartDateConstraint")


def _start(entry: Mapping[str, ast.expr]) -> str:
    if "constraint" not in entry:
        return ""
    year, month, day = map(ast.literal_eval, _keywords(entry["constraint"])["start_date"].args)  # type: ignore[attr-defined]
    return f"{year:04}-{month:02}-{day:02}"


def _number(node: ast.expr) -> float | None:
    if _name(node) == "Decimal":
        return float(ast.literal_eval(node.args[0]))  # type: ignore[attr-defined]
    return _number(_keywords(node)["base"]) if _name(node) == "TieredPrices" else None


def _name(node: ast.AST) -> str:
    return getattr(getattr(node, "func", None), "id", "")


def _keywords(call: Any) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords}


def _newest_rates(modes: Mapping[str, Any]) -> dict[str, float]:
    prices = [entry["rates"] for entry in modes.get("standard", ()) if entry["rates"]]
    newest = prices[-1] if prices else {}
    names = {"input": "in", "output": "out", "cache_read": "read", "cache_write": "write"}
    return {ours: newest[theirs] for theirs, ours in names.items() if newest.get(theirs) is not None}


def _parse_openai(source: str) -> dict[str, str]:
    """Return the shutdown dates in the docstring of OpenAI's type of model names."""
    text = " ".join(re.split(r"\s+", source[source.index("Deprecated values:") :]))
    return dict(_iter_shutdowns(text))


def _iter_shutdowns(text: str) -> Iterator[tuple[str, str]]:
    for group in text.split(' - "')[1:]:
        dated = re.match(r"(.*?): Announced shutdown date: (\d{4}-\d\d-\d\d)", group)
        if dated:
            for name in re.findall(r'[^", ]+', dated[1]):
                yield f"openai/{name}", dated[2]


def _parse_anthropic(source: str) -> dict[str, str]:
    return {
        f"anthropic/{name}": datetime.strptime(re.sub(r"(?<=\d)(st|nd|rd|th)", "", day), "%B %d, %Y").date().isoformat()
        for name, day in re.findall(r'"([^"]+)": "([^"]+)"', source)
    }
