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

    Assign it to the name an `import` would bind: `prices = lazy_module("aichatkit.catalog.prices")`. Once the
    module is imported, it replaces the proxy there, so that later calls pay nothing.

    >>> lazy_module("aichatkit.catalog.prices").cost_of.__name__
    'cost_of'
    """
    return _LazyModule(name, sys._getframe(1).f_globals)


class _LazyModule:
    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        self._name = name
        self._namespace = namespace

    def __getattr__(self, attribute: str) -> Any:
        module = _load(self._name)
        for name, value in list(self._namespace.items()):
            if value is self:
                self._namespace[name] = module
        return getattr(module, attribute)


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
