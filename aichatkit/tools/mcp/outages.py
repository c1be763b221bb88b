"""An error of a server with `optional=True` -> a warning, if it says that the server cannot be started or reached."""

from __future__ import annotations

from aichatkit._warnings import SkippedServerWarning, warn_user
from aichatkit.errors import MCPError

__all__ = ["Outage"]

#: What gateways answer while there is no server behind them.
_AWAY = (502, 503, 504)
#: How long a server is skipped, in seconds: the rows of a run must not each wait for one that does not start.
_SKIPPED = 60.0


class Outage:
    """Whether a server is skipped at the moment."""

    def __init__(self) -> None:
        self._until: float | None = None

    def lasts(self, now: float) -> bool:
        """Return whether the server could not be started or reached a moment ago."""
        return self._until is not None and now < self._until

    def excuses(self, error: MCPError, now: float) -> bool:
        """Return whether an error is about starting or reaching the server; warn, and skip the server for a while."""
        # A server that refuses, or whose tools are not those expected, has been reached.
        if error.code not in ("closed", "timeout") and not (error.code == "status" and error.status in _AWAY):
            return False
        self._until = now + _SKIPPED
        warn_user(f"{error.message}; it is optional, so its tools are left out", SkippedServerWarning)
        return True
