"""Modules that only some calls need: loaded when they are first looked into, as they cost more than `requests` itself.

For type checkers the module is imported under `TYPE_CHECKING` by the same name.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["late"]


def late(name: str) -> Any:
    """Return a stand-in for a module.

    >>> late("aichatkit.prices").cost_of.__name__
    'cost_of'
    """
    return _Late(name)


class _Late:
    def __init__(self, name: str) -> None:
        self._name = name
        self._module: Any = None

    def __getattr__(self, attribute: str) -> Any:
        if self._module is None:
            self._module = import_module(self._name)
        return getattr(self._module, attribute)
