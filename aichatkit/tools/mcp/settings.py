"""The options of `mcp` -> checked settings; nothing is started or sent."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Callable
from urllib.parse import urlsplit

import requests

from aichatkit._dataclasses import dataclass, field, replace
from aichatkit.auth import signers
from aichatkit.chunks import ToolCall
from aichatkit.errors import ConfigurationError
from aichatkit.options import parse_headers
from aichatkit.params import is_integer, is_number
from aichatkit.providers.base import is_local
from aichatkit.tools.mcp.inputs import Elicit
from aichatkit.tools.mcp.messages import Limits
from aichatkit.tools.mcp.pins import parse_pin
from aichatkit.transport.timeouts import Timeout

__all__ = ["Settings", "parse_settings"]

_TRANSPORTS = ("auto", "http", "sse")
_MODES = ("auto", "legacy")
_CONNECT, _IDLE, _TOTAL = 10.0, 60.0, 300.0
#: The same for a call in which a person may be asked.
_ASKING_IDLE, _ASKING_TOTAL = 600.0, 3600.0
#: The least that starting a process and listing its tools may take: `npx` downloads a package first.
_START, _LIST = 60.0, 30.0
#: Programs that run another one.
_LAUNCHERS = ("bunx", "node", "npx", "python", "uvx")
#: What may be the name of a program, and not a script after an option.
_NAME = re.compile(r"\S{1,100}(?: \S{1,20}){0,3}")


@dataclass(frozen=True)
class Settings:
    """Where a server is and how it is used."""

    name: str
    url: str = ""
    command: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    prefix: str = ""
    pin: Mapping[str, str] | None = field(default=None, repr=False)
    optional: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | Callable[[], str] | None = field(default=None, repr=False)
    signer: signers.Signer | None = field(default=None, repr=False)
    env: Mapping[str, str] | str | None = field(default=None, repr=False)
    cwd: str | None = None
    limits: Limits = Limits(_CONNECT, _IDLE, _TOTAL)
    #: The seconds without a sign of life outside of calls, where nobody is asked anything.
    patience: float = _IDLE
    limit: int | None = None
    approve: Callable[[ToolCall], bool] | None = None
    elicit: Elicit | None = None
    transport: str = "auto"
    mode: str = "auto"
    session: requests.Session | None = field(default=None, repr=False)

    @property
    def start_limits(self) -> Limits:
        """The limits for starting a process, or for connecting to a URL."""
        seconds = max(_START if self.command else _LIST, self.patience)
        return Limits(self.limits.connect, seconds, seconds)

    @property
    def list_limits(self) -> Limits:
        """The limits for listing tools."""
        seconds = max(_LIST, self.patience)
        return Limits(self.limits.connect, seconds, seconds)


def parse_settings(
    url: Any,
    *,
    command: Any,
    name: Any,
    only: Any,
    without: Any,
    prefix: Any,
    pin: Any,
    optional: Any,
    headers: Any,
    token: Any,
    auth: Any,
    env: Any,
    cwd: Any,
    timeout: Any,
    limit: Any,
    approve: Any,
    elicit: Any,
    transport: Any,
    mode: Any,
    session: Any,
    insecure: Any,
) -> Settings:
    """Return the settings; raise ConfigurationError for an invalid option."""
    if (url is None) == (command is None):
        raise ConfigurationError("mcp: takes a URL, or command= with the program to start, such as ['npx', '-y', ...]")
    if name is not None and (not isinstance(name, str) or not name):
        raise ConfigurationError("mcp: name must be a string with text in it")
    if prefix is not None and not isinstance(prefix, str):
        raise ConfigurationError("mcp: prefix must be a string such as 'github_'")
    if approve is not None and not callable(approve):
        raise ConfigurationError("mcp: approve must be a function that takes a ToolCall and returns True or False")
    if elicit is not None and not callable(elicit):
        raise ConfigurationError("mcp: elicit must be a function that takes a message and a schema and returns a dict")
    if not isinstance(optional, bool):
        raise ConfigurationError(f"mcp: optional must be True or False, got {optional!r:.100}")
    if limit is not None and not is_integer(limit, minimum=1):
        raise ConfigurationError(f"mcp: limit must be a number of characters, got {limit!r:.100}")
    settings = Settings(
        name or "",
        only=_patterns("only", only),
        without=_patterns("without", without),
        prefix=prefix or "",
        pin=parse_pin(pin),
        optional=optional,
        limits=_limits(timeout, asks=elicit is not None),
        patience=_limits(timeout).idle,
        limit=limit,
        approve=approve,
        elicit=elicit,
        transport=_choice("transport", transport, _TRANSPORTS),
        mode=_choice("mode", mode, _MODES),
    )
    if url is None:
        _refuse("command", headers=headers, token=token, auth=auth, session=session)
        argv = _parse_command(command)
        name = name or _name_of(argv)
        return replace(settings, name=name, command=argv, env=_parse_env(env), cwd=None if cwd is None else str(cwd))
    _refuse("a URL", env=env, cwd=cwd)
    host = _check_url(url, insecure)
    if token is not None and not callable(token) and (not isinstance(token, str) or not token.strip()):
        raise ConfigurationError("mcp: token must be a non-empty string, or a function that returns one")
    if session is not None and not isinstance(session, requests.Session):
        raise ConfigurationError(f"mcp: session must be a requests.Session, not {type(session).__name__}")
    if auth is not None and token is not None:
        raise ConfigurationError("mcp: pass token= or auth=, not both: each sets the Authorization header")
    signer = None if auth is None else signers.parse_signer(auth, provider=f"MCP server {name or host!r}")
    fields = {"url": url, "headers": parse_headers(headers), "token": token, "signer": signer, "session": session}
    return replace(settings, name=name or host, **fields)


def _name_of(argv: tuple[str, ...]) -> str:
    """Return the program that a command runs; what starts it says less about the server."""
    words = [word for word in argv if not word.startswith("-")]
    program = words[0] if words else argv[0]
    if os.path.basename(program).startswith(_LAUNCHERS) and len(words) > 1 and _NAME.fullmatch(words[1]):
        program = words[1]
    return os.path.basename(program) if os.path.isabs(program) else program


def _parse_command(command: Any) -> tuple[str, ...]:
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError:
            command = ()
    parts = tuple(map(_as_text, command)) if isinstance(command, Iterable) else ()
    if not parts or not all(isinstance(part, str) for part in parts) or not parts[0]:
        raise ConfigurationError("mcp: command must be a program and its arguments, such as ['npx', '-y', 'server']")
    return parts


def _as_text(part: Any) -> Any:
    return os.fspath(part) if isinstance(part, os.PathLike) else part


def _parse_env(env: Any) -> Mapping[str, str] | str | None:
    if env is None or env == "inherit":
        return env  # type: ignore[no-any-return]
    if not isinstance(env, Mapping) or not all(isinstance(part, str) for pair in env.items() for part in pair):
        raise ConfigurationError("mcp: env must be a dict of names and values, or 'inherit'")
    return dict(env)


def _check_url(url: Any, insecure: Any) -> str:
    """Check the URL of a server, and return its host."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
    except ValueError:
        # Brackets without an address of IPv6.
        parts = urlsplit("")
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise ConfigurationError(
            "mcp: the URL must be like https://host/mcp, without user and password; a program goes into command="
        )
    if parts.scheme == "http" and not insecure and not is_local(url):
        raise ConfigurationError(f"mcp: http:// sends everything unencrypted to {host}; use https, or insecure=True")
    return host


def _patterns(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(isinstance(one, str) and one for one in names):
        raise ConfigurationError(f"mcp: {name} must be a list of tool names or patterns such as 'read_*'")
    return names


def _limits(timeout: Any, *, asks: bool = False) -> Limits:
    if timeout is not None and not isinstance(timeout, (Timeout, tuple)) and not is_number(timeout, above=0):
        raise ConfigurationError(f"mcp: timeout must be a number of seconds or a Timeout, got {timeout!r:.100}")
    parsed = Timeout(read=timeout) if is_number(timeout) else Timeout.of(timeout)
    idle = parsed.read or (_ASKING_IDLE if asks else _IDLE)
    total = parsed.total or max(_ASKING_TOTAL if asks else _TOTAL, idle)
    return Limits(min(parsed.connect or _CONNECT, total), min(idle, total), total)


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ConfigurationError(f"mcp: {name} must be one of {', '.join(choices)}, got {value!r:.100}")
    return str(value)


def _refuse(target: str, **options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigurationError(f"mcp: {name} does not apply to {target}")
