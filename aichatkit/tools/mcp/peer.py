"""One server as the protocol sees it: which revision it speaks, its session, and requests that survive losing it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any, Callable

from aichatkit._locks import ReentrantLock
from aichatkit.errors import ChatError, MCPError
from aichatkit.tools.mcp.inputs import Inputs
from aichatkit.tools.mcp.messages import (
    CLIENT,
    HANDSHAKE,
    MODERN,
    Limits,
    modern_meta,
    request_headers,
    result_of,
)
from aichatkit.tools.mcp.wire import Wire
from aichatkit.tools.sources import traceparent

__all__ = ["Peer"]

#: How long a server may take to answer the question which revisions it speaks, in seconds.
_PROBE_SECONDS = 10.0
_WRONG_VERSION = "-32022"
#: Errors that only revisions without a handshake have, and those that a handshake would get too.
_FINAL = ("-32020", "-32021", "closed", "redirect")
#: Statuses after which a server is asked again and not in another way, and the waits before that, in seconds.
_FAILED, _WAITS = (429, 502, 503, 504), (0.5, 1.0)
#: How often a connection that ended is opened again, and within how many seconds.
_RESTARTS, _RESTART_SECONDS = 3, 60.0

OpenWire = Callable[[Callable[[Mapping[str, Any]], Any]], Wire]


class Peer:
    """A server, connected with `start`; `open_wire` opens a connection, `open_old` one for its first HTTP revision."""

    def __init__(
        self,
        server: str,
        open_wire: OpenWire,
        *,
        open_old: OpenWire | None = None,
        mode: str = "auto",
        inputs: Inputs,
        start_limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.server = server
        self.version = ""
        self.instructions = ""
        self.info: Mapping[str, Any] = {}
        #: Whether the server said that its list of tools has changed.
        self.has_changed = False
        self._open_wire = open_wire
        self._open_old = open_old
        self._mode = mode
        self._inputs = inputs
        self._limits = start_limits
        self._clock = clock
        self._sleep = sleep
        self._ids = itertools.count(1)
        self._wire: Wire | None = None
        self._lock = ReentrantLock()
        self._starts: list[float] = []

    def start(self) -> Wire:
        """Return the connection, opened if there is none or it has ended; raise an error if that fails."""
        with self._lock:
            if self._wire is not None and not self._wire.is_closed:
                return self._wire
            self._count_start()
            self._drop()
            wire = self._wire = self._open_wire(self._receive)
            try:
                self._connect(wire)
            except BaseException as error:
                stderr = (self._wire or wire).stderr
                self._drop()
                if isinstance(error, MCPError):
                    # What may have been read is the handshake, and no call of a tool.
                    error.maybe_processed = False
                    _add_stderr(error, stderr)
                raise
            return self._wire

    def request(
        self, method: str, params: Mapping[str, Any], limits: Limits, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a request and return its result; one that found its session lost is sent once more in a new one."""
        wire = self.start()
        session_id = wire.session_id
        try:
            return self._send(wire, method, params, limits, headers or {})
        except MCPError as error:
            if error.code != "session":
                raise
        with self._lock:
            # Another thread may have been here first.
            if wire is self._wire and wire.session_id == session_id:
                wire.session_id = ""
                self._shake_hands(wire)
        return self._send(self.start(), method, params, limits, headers or {})

    def close(self) -> None:
        """End the connection; the next request opens it again."""
        with self._lock:
            self._drop()
            self._starts.clear()

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _count_start(self) -> None:
        now = self._clock()
        self._starts = [start for start in self._starts if now - start < _RESTART_SECONDS]
        if len(self._starts) > _RESTARTS:
            raise self._error("closed", f"ended {len(self._starts)} times within {_RESTART_SECONDS:g} s")
        self._starts.append(now)

    def _connect(self, wire: Wire) -> None:
        """Find out which revision the server speaks, by one question, and shake hands where that is needed."""
        if self._mode == "legacy":
            self._shake_hands(wire)
            return
        try:
            is_modern = self._probe(wire)
        except MCPError as error:
            if not (wire.is_closed and error.code == "closed"):
                raise
        else:
            if not is_modern:
                self._shake_hands(wire)
            return
        # Some programs end at a question that they do not know.
        self._drop()
        wire = self._wire = self._open_wire(self._receive)
        self._shake_hands(wire)
        self._mode = "legacy"

    def _probe(self, wire: Wire, version: str = "") -> bool:
        """Return whether the server speaks a revision without a handshake; `version` is what it proposed."""
        limits = self._limits._replace(
            idle=min(_PROBE_SECONDS, self._limits.idle), total=min(_PROBE_SECONDS, self._limits.total)
        )
        wire.is_modern = True
        try:
            result = self._send(wire, "server/discover", {}, limits, {}, version or MODERN[0])
        except MCPError as error:
            wire.is_modern = False
            if error.code == _WRONG_VERSION:
                return self._retry_probe(wire, error, version)
            if error.code in _FINAL or error.status in _FAILED:
                raise
            return False
        offered = result.get("supportedVersions")
        common = [name for name in MODERN if isinstance(offered, list) and name in offered]
        wire.is_modern = bool(common)
        if common:
            self.version = common[0]
            meta = result.get("_meta")
            info = meta.get("io.modelcontextprotocol/serverInfo") if isinstance(meta, Mapping) else None
            self._keep_identity(info, result)
        return bool(common)

    def _retry_probe(self, wire: Wire, error: MCPError, version: str) -> bool:
        data = error.data if isinstance(error.data, Mapping) else {}
        supported = data.get("supported")
        supported = supported if isinstance(supported, list) else []
        common = [name for name in MODERN if name in supported]
        if common and not version:
            return self._probe(wire, common[0])
        if any(name in HANDSHAKE for name in supported):
            return False
        raise self._error(
            "version", f"speaks the protocol revisions {supported}, and this client {[*MODERN, *HANDSHAKE]}"
        )

    def _shake_hands(self, wire: Wire) -> None:
        wire.version_headers = {}
        capabilities = self._inputs.capabilities
        params = {"protocolVersion": HANDSHAKE[0], "capabilities": capabilities, "clientInfo": CLIENT}
        try:
            result = self._send(wire, "initialize", params, self._limits, {})
        except MCPError as error:
            if error.code == _WRONG_VERSION and self._mode != "legacy" and self._probe(wire):
                return
            if self._open_old is None or error.code not in ("status", "unreadable") or error.status not in _OLD:
                raise
            result = self._connect_old(params)
        version = result.get("protocolVersion")
        if version not in HANDSHAKE:
            raise self._error("version", f"chose the protocol revision {version!r}, which this client does not know")
        self.version = version
        wire = self._wire or wire
        wire.version_headers = {"MCP-Protocol-Version": version}
        self._keep_identity(result.get("serverInfo"), result)
        wire.notify({"jsonrpc": "2.0", "method": "notifications/initialized"}, self._limits)
        if capabilities:
            wire.listen(self._limits)

    def _connect_old(self, params: Mapping[str, Any]) -> dict[str, Any]:
        assert self._open_old is not None
        wire = self._wire = self._open_old(self._receive)
        return self._send(wire, "initialize", params, self._limits, {})

    def _keep_identity(self, info: Any, result: Mapping[str, Any]) -> None:
        self.info = info if isinstance(info, Mapping) else {}
        self.instructions = str(result.get("instructions") or "")

    def _send(
        self,
        wire: Wire,
        method: str,
        params: Mapping[str, Any],
        limits: Limits,
        headers: Mapping[str, str],
        version: str = "",
    ) -> dict[str, Any]:
        fields: dict[str, Any] = dict(params)
        request_id = next(self._ids)
        if method == "tools/call":
            span = traceparent.get()
            fields["_meta"] = {"progressToken": request_id, **({"traceparent": span} if span else {})}
        if wire.is_modern:
            version = version or self.version
            fields["_meta"] = {**modern_meta(version, self._inputs.capabilities), **fields.get("_meta", {})}
            headers = {**request_headers(method, fields, version), **headers}
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "method": method}
        if fields:
            message["params"] = fields
        return result_of(self._exchange(wire, message, limits, headers), self.server)

    def _exchange(
        self, wire: Wire, message: Mapping[str, Any], limits: Limits, headers: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Send a message, again after a wait if the server is overloaded or away, unless it calls a tool."""
        for wait in _WAITS if message["method"] != "tools/call" else ():
            try:
                return wire.request(message, limits, headers)
            except MCPError as error:
                if error.status not in _FAILED:
                    raise
            self._sleep(wait)
        return wire.request(message, limits, headers)

    def _receive(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Answer what the server asks: a ping, and forms if there is a function for them."""
        method, request_id = message.get("method"), message.get("id")
        if method == "notifications/tools/list_changed":
            self.has_changed = True
        if method is None or request_id is None:
            return None
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id}
        if method == "ping":
            return {**answer, "result": {}}
        if self._inputs.can_answer(method, message.get("params")):
            return {**answer, "result": self._inputs.answer(message["params"])}
        return {**answer, "error": {"code": -32601, "message": f"this client does not offer {method}"}}

    def _error(self, code: str, text: str) -> ChatError:
        return MCPError(f"MCP server {self.server!r} {text}", server=self.server, code=code)


def _add_stderr(error: MCPError, stderr: str) -> None:
    """Add what a server printed to the error that it did not start; one that ended has it already."""
    error.stderr = error.stderr or stderr
    lines = stderr.strip().splitlines()
    if error.code == "timeout" and lines:
        error.message = f"{error.message}; the last that it printed: {lines[-1][:500]}"
        error.args = (error.message,)


#: Statuses with which a server of the first HTTP revision refuses a handshake.
_OLD = (400, 404, 405)
