"""What a server asks the user: a form goes to the function of `elicit=`, anything else is refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Callable, Optional

from aichatkit._locks import Lock
from aichatkit.errors import ConfigurationError
from aichatkit.tools.mcp.messages import encode

__all__ = ["Elicit", "Inputs"]

logger = logging.getLogger(__name__)

#: Gets the message and the JSON schema of a form, and returns its fields, or None to decline; the message is a
#: `Question`.
Elicit = Callable[[str, Mapping[str, Any]], Optional[Mapping[str, Any]]]

_ELICIT = "elicitation/create"


class Question(str):
    """The message of a form; `server` is the name of the server that asks."""

    server: str = ""


class Inputs:
    """Answers what a server asks; what cannot be answered is not declared."""

    def __init__(self, server: str, elicit: Elicit | None) -> None:
        self._server = server
        self._elicit = elicit
        # A person reads one question at a time.
        self._lock = Lock()

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the server may ask for."""
        return {} if self._elicit is None else {"elicitation": {"form": {}}}

    def can_answer(self, method: Any, params: Any) -> bool:
        """Return whether this is a form, and there is a function for it."""
        mode = params.get("mode", "form") if isinstance(params, Mapping) else None
        return self._elicit is not None and method == _ELICIT and mode == "form"

    def answer(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the user, and return the answer as the protocol has it; a function that fails cancels the question."""
        assert self._elicit is not None
        schema = params.get("requestedSchema")
        schema = schema if isinstance(schema, Mapping) else {}
        try:
            with self._lock:
                fields = self._elicit(self._question(params), schema)
            if fields is None:
                return {"action": "decline"}
            answer = {"action": "accept", "content": {**_defaults(schema), **fields}}
            encode(answer)
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises, the server waits for an answer
            problem = error.reason if isinstance(error, ConfigurationError) else type(error).__name__
            logger.warning("MCP server %s: the function of elicit= failed (%s)", self._server, problem)
            return {"action": "cancel"}
        return answer

    def _question(self, params: Mapping[str, Any]) -> Question:
        question = Question(params.get("message", ""))
        question.server = self._server
        return question

    def answer_all(self, requests: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answers to the questions of a result by their keys, None if one of them cannot be answered."""
        for request in requests.values():
            fields = request if isinstance(request, Mapping) else {}
            if not self.can_answer(fields.get("method"), fields.get("params")):
                return None
        return {key: self.answer(request["params"]) for key, request in requests.items()}


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    fields = properties.items() if isinstance(properties, Mapping) else ()
    return {name: field["default"] for name, field in fields if isinstance(field, Mapping) and "default" in field}
