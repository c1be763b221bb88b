"""Error -> message for the command line: it suggests commands and stored keys instead of Python options."""

from __future__ import annotations

import re

from aichatkit.errors import AllProvidersFailedError, ChatError, ConnectError, MCPError

__all__ = ["in_words"]

_API_KEY = re.compile(r"(?:(\S+): no key; )?(set (?:(?!\bset\b).)*? in the environment) or pass api_key=")
#: Options for the format of a file, which the command line has as well.
_FORMAT = re.compile(r"\bpass (another )?(encoding|delimiter)=")
#: Advice for programs, and what to do on the command line instead.
_ADVICE = (
    (re.compile(r"\bemulate=True\b"), "--emulate always"),
    (re.compile(r"\bwithout emulate=False\b"), "without --emulate never"),
    # Options of batch jobs, and those that they need.
    (re.compile(r"\blate='(\w+)'"), r"--late \1"),
    (re.compile(r"\bthe same call\b"), "the same command"),
    (re.compile(r"\braise timeout(?: connect| read)?="), "raise --timeout"),
    (re.compile(r"\bbatch=(?:True)?(?=$|[\s;,])"), "--batch"),
    (re.compile(r"\bpass max_tokens=(?=$|[\s;,])"), "pass -o max_tokens=N"),
    (
        re.compile(
            r"use a client that has the same ones, as in Client\(api_key=\.\.\., base_url=\.\.\.\)\.jobs\(path\)"
        ),
        "pass the same ones with --api-key-env and --base-url",
    ),
    (re.compile(r"\b(pass|with) base_url=(?=$|[\s;,])"), r"\1 --base-url"),
    (re.compile(r"as in \{'([^']*)': \(bool, '([^']*)'\)\}"), r"as in '\1: \2'"),
    (
        re.compile(r"\bpass the path of resume=(?=$|[\s;,])"),
        "pass the file of --journal, or that of --out with .sqlite after it",
    ),
    # What the command line has no option for.
    (re.compile(r"\bcheck proxies= and the environment\b"), "check HTTPS_PROXY and the other variables for proxies"),
    (re.compile(r"\bcheck verify=, cert=, "), "check "),
    (re.compile(r", or pass auth=google_auth\(project=\.\.\.\)"), ""),
    (re.compile(r"\bwith AWS credentials, pass (?=auth=)"), "AWS credentials need Python, with "),
    (
        re.compile(r"\bpass (auth=aichatkit\.google_auth\(\)), session= .*, or set (\w+)"),
        r"set \2, or use Python, with \1",
    ),
    (re.compile(r", or pass tools=\[ollama_search\(api_key\)\]"), ""),
    (re.compile(r"; pass session= with its auth set$"), ""),
    # Services that answer closed questions only.
    (re.compile(r"\bdecide\(text, questions, model='([^']*)'\)"), r"aichatkit decide -m \1 -q QUESTION TEXT"),
    # MCP servers.
    (re.compile(r"\bcorrect command=(?=$|[\s;,])"), "correct the command"),
    (re.compile(r"\buse https, or insecure=True\b"), "use https"),
    (
        re.compile(r"^mcp: command must be a program and its arguments, such as \['npx', '-y', 'server'\]"),
        "mcp: the server must be a URL, a command in quotes, such as 'npx -y server', or a .json file",
    ),
)
#: The same for the token of an MCP server.
_MCP_TOKEN = (
    "pass token= with one that its provider issued, or headers=",
    "put one that its provider issued into an environment variable, and name that with --mcp-token-env",
)
#: How many lines are shown of what an MCP server printed before it ended.
_LINES = 12


def in_words(error: ChatError) -> str:
    """Return the message of an error, with advice for the command line.

    >>> in_words(ChatError("openai: no key; set OPENAI_API_KEY in the environment or pass api_key="))
    'openai: no key; set OPENAI_API_KEY in the environment, or store it with: aichatkit keys set openai'
    """
    text = _FORMAT.sub(r"pass \1--\2", _API_KEY.sub(_stored_key, str(error))).replace(*_MCP_TOKEN)
    for pattern, words in _ADVICE:
        text = pattern.sub(words, text)
    if isinstance(error, MCPError) and len(error.stderr.strip().splitlines()) > 1:
        # Its last line is in the message already, and often says less than those before it.
        return "\n    ".join([f"{text}; it printed:", *error.stderr.strip().splitlines()[-_LINES:]])
    services = list(dict.fromkeys(failed.provider for failed in _leaves(error) if isinstance(failed, ConnectError)))
    if not services:
        return text
    command = " ".join(["aichatkit doctor", *filter(None, services)])
    link = " If" if text.endswith("?") else "; if"
    return f"{text}{link} this machine is offline or behind a proxy, find the cause with: {command}"


def _stored_key(match: re.Match[str]) -> str:
    provider, advice = match.groups()
    start = f"{provider}: no key; " if provider else ""
    return f"{start}{advice}, or store it with: aichatkit keys set {provider or 'SERVICE'}"


def _leaves(error: ChatError) -> list[ChatError]:
    if isinstance(error, AllProvidersFailedError):
        return [leaf for part in error.errors for leaf in _leaves(part)]
    return [error]
