"""What every SDK is given: a tool to call, a type to fill, and a closer look at what it was sent."""

from __future__ import annotations

import pydantic

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "weather", "description": "Tell the weather.", "parameters": PARAMETERS}


class City(pydantic.BaseModel):
    """The type of a structured answer."""

    name: str
    population: int


def checked(record):
    """Return what an SDK read, once it has every field that its type asks for: the SDK itself lets most things pass."""
    type(record).model_validate(record.to_dict())
    return record
