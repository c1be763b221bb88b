"""Modules that only some calls need: loaded when they are first looked into, as they cost more than `requests` itself.

For type checkers the module is imported under `TYPE_CHECKING` by the same name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

__all__ = ["lazy_module"]


def lazy_module(name: str) -> Any:
    """Return a stand-in for a module.

    >>> lazy_module("aichatkit.catalog.prices").cost_of.__name__
    'cost_of'
    """
    return _LazyModule(name)


class _LazyModule:
    def __init__(self, name: str) -> None:
        self._name = name
        self._module: Any = None

    def __getattr__(self, attribute: str) -> Any:
        if self._module is None:
            self._module = _load(self._name)
        return getattr(self._module, attribute)


def _load(name: str) -> Any:
    known = set(sys.modules)
    try:
        return import_module(name)
    except BaseException:
        # A package whose import was interrupted is forgotten and its parts are not; some, asyncio for one, cannot be
        # imported again with them there.
        for part in set(sys.modules) - known:
            if part.partition(".")[0] not in sys.modules:
                sys.modules.pop(part, None)
        raise
