"""Sources and curated facts -> the document that is shipped, and what a person has to look at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from model_data.rows import iter_records
from model_data.sources import Sources

CURATED = Path(__file__).with_name("curated.json")
#: Vendors whose models on OpenRouter are listed; it reports the price of every answer itself.
_OPENROUTER = r"(openai|anthropic|google|x-ai|deepseek|mistralai|qwen|moonshotai|z-ai|minimax|meta-llama|meta|cohere)/"
_DATE = r"[-@](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d)$"
_MAX_FACTOR = 3
_RATES = ("in", "out", "read", "write")


class Difference(NamedTuple):
    """A figure on which the sources differ by more than one percent."""

    name: str
    rate: str
    ours: float
    source: str
    theirs: float


def build(sources: Sources, curated: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records by id, sorted."""
    records: dict[str, dict[str, Any]] = {}
    for record in iter_records(sources):
        # Some services have a row with and one without the prefix: what the later one lacks is kept.
        records[record["id"]] = {**records.get(record["id"], {}), **record}
    for name, rates in sources.genai.get("openrouter", {}).items():
        if re.match(_OPENROUTER, name) and {"in", "out"} <= rates.keys() and rates["in"] and ":" not in name:
            records[f"openrouter/{name}"] = {"id": f"openrouter/{name}", **_plain(rates)}
    for provider, models in sources.genai.items():
        for model, rates in models.items():
            record = records.get(f"{provider}/{model}", {})
            coming = rates.get("next", {})
            if any(record.get(rate) and coming.get(rate, record[rate]) != record[rate] for rate in _RATES):
                record["until"] = _day_before(coming["since"])
                record["next"] = {"since": coming["since"], **_plain(coming)}
    for name, day in sources.shutdowns.items():
        records.setdefault(name, {"id": name})["retires"] = day
    for provider, statuses in sources.status.items():
        for model, status in statuses.items():
            record = records.get(f"{provider}/{model}")
            if record is not None and "retires" not in record:
                record["gone" if status == "removed" else "deprecated"] = True
    for facts in curated["records"]:
        records.setdefault(facts["id"], {"id": facts["id"]})
    for family in curated["families"]:
        for record in records.values():
            if re.match(family["match"], record["id"]):
                record.update(family["set"])
    for facts in curated["records"]:
        known = {field: value for field, value in facts.items() if field != "why"}
        if "alias" in known:
            records[known["id"]] = known
        else:
            records.setdefault(known["id"], {"id": known["id"]}).update(known)
    records = {
        name: {field: value for field, value in record.items() if value is not None} for name, record in records.items()
    }
    return {name: record for name, record in sorted(records.items()) if not _is_redundant(record, records)}


def _is_redundant(record: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the lookup finds the same without this record: a dated name falls back to the undated one."""
    undated = records.get(re.sub(_DATE, "", record["id"]))
    return undated is not None and undated is not record and {**undated, "id": record["id"]} == record


def render(records: Mapping[str, Mapping[str, Any]], sources: Sources, day: str) -> str:
    """Return the text of models.json: a head, and one record a line."""
    about = {
        "date": day,
        "unit": "US dollars per million tokens",
        "sources": [f"{package} {version}" for package, version in sources.versions.items()],
        "notice": "Facts only; notices of the sources are in NOTICE.txt.",
    }
    lines = [json.dumps(record, separators=(",", ":")) for record in records.values()]
    return '{"about":' + json.dumps(about) + ',\n"models":[\n' + ",\n".join(lines) + "\n]}\n"


def iter_alarms(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what a person has to look at before it is shipped."""
    services = {name.partition("/")[0] for name in old}
    for name in sorted(new):
        provider = name.partition("/")[0]
        if old and provider not in services:
            services.add(provider)
            yield f"{provider}: a new service"
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            yield f"{name}: vanished"
            continue
        for rate in _RATES:
            if before.get(rate) and rate in after and not _is_near(before[rate], after[rate]):
                yield f"{name}: {rate} went from {before[rate]:g} to {after[rate]:g}"
        if before.get("in") is not None and after.get("in") is None and "alias" not in after:
            yield f"{name}: the price vanished"


def iter_differences(records: Mapping[str, Mapping[str, Any]], sources: Sources) -> Iterator[Difference]:
    """Yield every figure of which another source has an exact one that differs."""
    for name, record in records.items():
        provider, _, model = name.partition("/")
        for source, tables in (("genai-prices", sources.genai), ("model-prices", sources.model_prices)):
            rates = tables.get(provider, {}).get(model, {})
            for rate in _RATES:
                if rate in record and rate in rates and abs(record[rate] - rates[rate]) > 0.01 * record[rate]:
                    yield Difference(name, rate, record[rate], source, rates[rate])


def _is_near(before: float, after: float) -> bool:
    return before / _MAX_FACTOR <= after <= before * _MAX_FACTOR


def _plain(rates: Mapping[str, Any]) -> dict[str, float]:
    numbers = {rate: rates[rate] for rate in _RATES if rate in rates}
    if numbers.get("write", numbers["in"]) < numbers["in"]:
        # The price of an hour in the cache, or of reading.
        del numbers["write"]
    return {rate: int(number) if number == int(number) else number for rate, number in numbers.items() if number}


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
