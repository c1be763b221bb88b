"""`mcp()`: an MCP server whose tools a model may call, started on first use and shared by threads and clients."""

from __future__ import annotations

import fnmatch
import os
import shlex
import time
import uuid
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit._locks import ReentrantLock
from aichatkit._warnings import warn_user
from aichatkit.errors import ConfigurationError, MCPError
from aichatkit.providers.base import ToolSource
from aichatkit.tools.mcp.bound_tools import BoundTool
from aichatkit.tools.mcp.calls import call_tool
from aichatkit.tools.mcp.contents import ToolResult
from aichatkit.tools.mcp.definitions import ServerTool, name_of, parse_tool, with_distinct_names
from aichatkit.tools.mcp.inputs import Elicit, Inputs
from aichatkit.tools.mcp.lists import read_list
from aichatkit.tools.mcp.messages import MODERN
from aichatkit.tools.mcp.outages import Outage
from aichatkit.tools.mcp.peer import Peer
from aichatkit.tools.mcp.pins import check_pin, fingerprint
from aichatkit.tools.mcp.settings import Settings, parse_settings
from aichatkit.tools.mcp.wire import OnMessage, Wire
from aichatkit.tools.sources import Approve, RemoteTool
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Timeout

if TYPE_CHECKING:
    import requests

    from aichatkit.tools.mcp import http, old_sse, processes, stdio
else:
    # A server has one transport.
    http = lazy_module("aichatkit.tools.mcp.http")
    old_sse = lazy_module("aichatkit.tools.mcp.old_sse")
    processes = lazy_module("aichatkit.tools.mcp.processes")
    stdio = lazy_module("aichatkit.tools.mcp.stdio")

__all__ = ["MCPServer", "mcp"]

#: The most tools that services accept.
_MANY_TOOLS = 128
#: The shortest time for which a list is kept, in seconds: some servers say 0, and every row of a run would list again.
_MIN_TTL = 60.0
_WRONG_HEADERS = "-32020"

#: Servers restored from a pickle in this process: one for all copies of the same original.
_restored: dict[str, MCPServer] = {}


def mcp(
    url: str | None = None,
    *,
    command: Sequence[str | os.PathLike[str]] | str | None = None,
    name: str | None = None,
    only: Sequence[str] | str | None = None,
    without: Sequence[str] | str | None = None,
    prefix: str | None = None,
    pin: Mapping[str, str] | None = None,
    optional: bool = False,
    approve: Approve | None = None,
    elicit: Elicit | None = None,
    timeout: float | tuple[float, float] | Timeout | None = None,
    limit: int | None = 100_000,
    token: str | Callable[[], str] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: Any = None,
    session: requests.Session | None = None,
    env: Mapping[str, str] | str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    transport: str = "auto",
    mode: str = "auto",
    insecure: bool = False,
) -> MCPServer:
    """Return an MCP server for `tools=`, at a URL or started by `command`; nothing happens before its first use.

    >>> server = mcp(command=["npx", "-y", "@modelcontextprotocol/server-everything"], only=["get-sum"])
    >>> server
    <MCPServer '@modelcontextprotocol/server-everything'>

    Args:
        command: a program and its arguments; it speaks over its standard input and output.
        name: the server's name in messages and for `approve`.
        only: names or patterns of the tools to use, such as "read_*".
        without: names or patterns of tools to leave out.
        prefix: put before the name of each tool, if two servers have a tool of the same name.
        pin: what `server.fingerprints()` returned when you reviewed the tools; if they change, an MCPError says how.
        optional: if the server cannot be started or reached, warn (SkippedServerWarning) and go on without its tools.
        approve: called with each `ToolCall` before it is sent; if it returns False, the model gets an error. The call
            also has `server`, `tool` (the name there) and `hints` (what the server says about it, unverified).
        elicit: called with a message and a JSON schema if the server asks the user for something; returns the fields,
            or None to decline; `message.server` is its name. Without it, servers know that they cannot ask.
        timeout: seconds without a sign of life, or a Timeout; by default 60, and 300 in total.
        limit: characters of a result that the model gets, None for all.
        token: a bearer token, or a function that returns one, called for each request.
        headers: sent with every request, for other kinds of keys.
        auth: signs each request, as for `Client`: a requests AuthBase, a function, or (user, password).
        session: a Session for the requests; else they use the proxies and certificates of the client, not its keys.
        env: variables for the program, besides a few such as PATH and HOME; "inherit" passes all, API keys too.
        cwd: the folder to start the program in.
        transport: "http", or "sse" for servers of the first revision; found out by default.
        mode: "legacy" skips the question whether the server speaks the current revision.
        insecure: allow http:// to other machines.

    Raises:
        ConfigurationError: an option is invalid.
    """
    return MCPServer(
        parse_settings(
            url,
            command=command,
            name=name,
            only=only,
            without=without,
            prefix=prefix,
            pin=pin,
            optional=optional,
            headers=headers,
            token=token,
            auth=auth,
            env=env,
            cwd=cwd,
            timeout=timeout,
            limit=limit,
            approve=approve,
            elicit=elicit,
            transport=transport,
            mode=mode,
            session=session,
            insecure=insecure,
        )
    )


class MCPServer(ToolSource):
    """An MCP server, made by `mcp`; it may be used by many threads and clients, and closed with `with` or `close`."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.name
        self._settings = settings
        self._inputs = Inputs(settings.name, settings.elicit)
        self._sleep: Callable[[float], None] = time.sleep
        self._clock: Callable[[], float] = time.monotonic
        self._id = ""
        self._lock = ReentrantLock()
        self._connections: Connections | None = None
        self._cached: dict[str, ServerTool] | None = None
        self._expires: float | None = None
        self._warned: set[str] = set()
        self._first: dict[str, ServerTool] = {}
        self._open()

    def tools(self) -> list[ServerTool]:
        """Return the tools that are used, with `name`, `description`, `schema` and `hints`; start the server if needed.

        Raises:
            MCPError: the server cannot be started or reached, or does not list its tools, or not those of `pin`.
            AuthenticationError: it wants another token.
        """
        return list(self._list_tools().values())

    def fingerprints(self) -> dict[str, str]:
        """Return hashes of the tools that are used, by name, for `pin`; they are the same in every process.

        A hash is over the name, the description, the schema and the hints of a tool.
        """
        return {name: fingerprint(tool) for name, tool in self._list_tools().items()}

    def call(self, tool: str, /, **arguments: Any) -> ToolResult:
        """Call a tool by its name on the server, or as the model sees it, and return the result.

        Raises:
            MCPError: there is no result; if `maybe_processed` is True, the tool may have run.
        """
        tools = self._cached if self._pid == os.getpid() and self._cached is not None else self._list_tools()
        found = tools.get(tool) or next((one for one in tools.values() if one.definition.name == tool), None)
        if found is None:
            raise ConfigurationError(f"MCP server {self.name!r} has no tool {tool!r}; it has {', '.join(tools)}")
        return self._call(found, arguments)

    def open_tools(self, connections: Connections | None = None) -> Sequence[RemoteTool]:
        """Return the tools for a call of a client."""
        with self._lock:
            if self._connections is None and connections is not None and self._settings.session is None:
                self._connections = connections.without_keys()
        settings = self._settings
        origin = settings.url or shlex.join(settings.command)
        options: dict[str, Any] = {"server": self.name, "origin": origin, "approve": settings.approve}
        options.update(send=self._call, forget_list=self._forget_list, excuses=self._excuses)
        return [BoundTool(tool, **options) for tool in self._list_available().values()]

    def close(self) -> None:
        """End the session or the process; the next use starts it again."""
        with self._lock:
            if self._pid == os.getpid():
                self._finalizer()
                if self._connections is not None and self._connections.owns_session:
                    self._connections.close()
            self._open()

    def __enter__(self) -> MCPServer:
        self._list_available()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<MCPServer {self.name!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        self._id = self._id or uuid.uuid4().hex
        return _restore, (self._id, replace(self._settings, session=None))

    def _open(self) -> None:
        """Prepare the first connection, or the next one; nothing is started."""
        self._pid = os.getpid()
        self._connections = self._cached = self._expires = None
        self._outage = Outage()
        settings = self._settings
        is_http = bool(settings.url)
        # The finalizer must not keep this object alive.
        opener = _Opener(settings, self)
        self._peer = Peer(
            settings.name,
            opener.open_old if settings.transport == "sse" else opener.open,
            open_old=opener.open_old if is_http and settings.transport == "auto" else None,
            mode="legacy" if settings.transport == "sse" else settings.mode,
            inputs=self._inputs,
            start_limits=settings.start_limits,
            clock=self._clock,
            sleep=opener.sleep,
        )
        self._finalizer = weakref.finalize(self, _close_peer, self._peer, self._pid)

    def _find_peer(self) -> Peer:
        with self._lock:
            if self._pid != os.getpid():
                # A forked child: the process and its pipes belong to the parent.
                self._finalizer.detach()
                self._open()
            return self._peer

    def _list_available(self) -> dict[str, ServerTool]:
        """Return the tools, none of an optional server that cannot be started or reached."""
        with self._lock:
            self._find_peer()
            if self._outage.lasts(self._clock()):
                return {}
            try:
                return self._list_tools()
            except MCPError as error:
                if not self._excuses(error):
                    raise
        return {}

    def _excuses(self, error: MCPError) -> bool:
        """Return whether an error is a warning instead; the list is then read again before the next use."""
        if not self._settings.optional or not self._outage.excuses(error, self._clock()):
            return False
        self._forget_list()
        return True

    def _list_tools(self) -> dict[str, ServerTool]:
        peer = self._find_peer()
        with self._lock:
            is_stale = peer.has_changed or (self._expires is not None and self._clock() >= self._expires)
            if self._cached is None or is_stale:
                peer.has_changed = False
                # A list that was refused must not be used later.
                self._cached = None
                listed = read_list(peer, self._settings.list_limits)
                self._expires = None if listed.ttl is None else self._clock() + max(listed.ttl, _MIN_TTL)
                self._cached = self._select(listed.records)
            return self._cached

    def _select(self, records: Sequence[Any]) -> dict[str, ServerTool]:
        """Return the tools to use, by name; those that cannot be used are left out with a warning."""
        settings = self._settings
        names = [name_of(record) for record in records]
        # Only the current revision has that, over HTTP.
        repeats_arguments = bool(settings.url) and self._peer.version in MODERN
        for option in ("only", "without"):
            for pattern in getattr(settings, option):
                if not any(_matches(name, (pattern,)) for name in names):
                    self._warn(f"{option}={pattern!r} matches none of {', '.join(names)}")
        tools: dict[str, ServerTool] = {}
        for name, record in zip(names, records):
            if name in tools or not self._is_chosen(name):
                continue
            tool = parse_tool(record, settings.prefix, repeats_arguments=repeats_arguments)
            if isinstance(tool, str):
                self._warn(f"a tool is left out: {tool}")
            else:
                tools[name] = tool
                # A server that was approved by what it said may say something else later.
                if self._first.setdefault(name, tool) != tool and settings.pin is None:
                    self._warn(f"the definition of {name} is not the one that it had at first; check it")
        if settings.pin is not None:
            chosen = {name: text for name, text in settings.pin.items() if self._is_chosen(name)}
            check_pin(self.name, tools, chosen)
        if len(tools) > _MANY_TOOLS:
            self._warn(f"{len(tools)} tools are more than services accept; choose some with only=")
        # Some servers list them in another order each time, which prompt caches take for other tools.
        tools = {name: tools[name] for name in self._first if name in tools}
        return with_distinct_names(tools, settings.prefix)

    def _is_chosen(self, name: str) -> bool:
        settings = self._settings
        return (not settings.only or _matches(name, settings.only)) and not _matches(name, settings.without)

    def _call(self, tool: ServerTool, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool; one whose outcome is unknown is never sent again."""
        return call_tool(
            self.name,
            {"name": tool.name, "arguments": dict(arguments)},
            lambda params: self._request_call(tool, params),
            inputs=self._inputs,
            limit=self._settings.limit,
            sleep=self._sleep,
        )

    def _request_call(self, tool: ServerTool, params: Mapping[str, Any]) -> dict[str, Any]:
        peer = self._find_peer()
        limits = self._settings.limits
        try:
            return peer.request("tools/call", params, limits, tool.header_values(params["arguments"]))
        except MCPError as error:
            if error.code != _WRONG_HEADERS:
                raise
        # Refused before it ran: which arguments headers repeat has changed.
        peer.has_changed = True
        tool = self._list_tools().get(tool.name, tool)
        return peer.request("tools/call", params, limits, tool.header_values(params["arguments"]))

    def _forget_list(self) -> None:
        self._peer.has_changed = True

    def _warn(self, text: str) -> None:
        """Warn, once for the same reason."""
        if text not in self._warned:
            self._warned.add(text)
            warn_user(f"MCP server {self.name!r}: {text}")


class _Opener:
    """Opens the connections of a server, without keeping it alive."""

    def __init__(self, settings: Settings, server: MCPServer) -> None:
        self._settings = settings
        self._server = weakref.ref(server)

    def open(self, on_message: OnMessage) -> Wire:
        """Start the process, or take the URL."""
        settings, server = self._settings, self._server()
        assert server is not None
        if settings.command:
            env = processes.environment(settings.env)
            return stdio.StdioWire(settings.command, env, settings.cwd, settings.name, on_message)
        return http.HTTPWire(self._endpoint(server), on_message, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        server = self._server()
        assert server is not None
        server._sleep(seconds)

    def open_old(self, on_message: OnMessage) -> Wire:
        """Open the event stream of a server of the first revision."""
        server = self._server()
        assert server is not None
        return old_sse.OldSSEWire(self._endpoint(server), on_message, self._settings.start_limits)

    def _endpoint(self, server: MCPServer) -> http.Endpoint:
        settings = self._settings
        server._connections = server._connections or Connections(settings.session)
        return http.Endpoint(
            settings.url,
            settings.name,
            server._connections,
            headers=settings.headers,
            token=settings.token,
            signer=settings.signer,
        )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _close_peer(peer: Peer, owner: int) -> None:
    if owner == os.getpid():
        peer.close()


def _restore(identity: str, settings: Settings) -> MCPServer:
    server = _restored.get(identity)
    if server is None:
        server = _restored[identity] = MCPServer(settings)
        server._id = identity
    return server
