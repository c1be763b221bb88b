"""Call -> fingerprint: the same for identical calls, and computed without keys or other secrets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import is_dataclass
from typing import Any

from aichatkit.call.call import Call

__all__ = ["fingerprint"]


def fingerprint(call: Call, *more: Any) -> bytes:
    """Return a hash of messages, files, models, parameters, tools, their servers and schema, and of `more`."""
    models = [f"{target.provider.name}/{target.model}" for target in call.targets]
    options = call.options
    identity = [models, list(call.messages), options.params, options.extra, list(options.tools), options.schema, more]
    if options.has_tool_fields:
        identity.append([options.search, list(options.service_tools), options.tool_choice])
    if call.toolbox is not None and call.toolbox.origins:
        # Tools of the same definition on another server return something else.
        identity.append(call.toolbox.origins)
    if options.image is not None:
        identity.append(options.image)
    text = json.dumps(identity, sort_keys=True, default=_plain, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _plain(value: Any) -> Any:
    """Return a JSON value that represents `value`."""
    if is_dataclass(value):
        return [type(value).__name__, vars(value)]
    if isinstance(value, (bytes, bytearray)):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return repr(value)
