"""Lazy imports: modules that only some calls need, as together they take longer to import than `requests` itself.

For type checkers, import the module under `TYPE_CHECKING` with the same name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

__all__ = ["lazy_module"]


def lazy_module(name: str) -> Any:
    """Return a proxy that imports module `name` on first attribute access.

    Assign it to the name an `import` would bind: `prices = lazy_module("aichatkit.catalog.prices")`.

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
    already_loaded = set(sys.modules)
    try:
        return import_module(name)
    except BaseException:
        # After an interrupted import, Python removes the package from `sys.modules` but keeps its submodules, and some
        # packages, asyncio for one, cannot be imported again while those are there.
        for submodule in set(sys.modules) - already_loaded:
            if submodule.partition(".")[0] not in sys.modules:
                sys.modules.pop(submodule, None)
        raise
