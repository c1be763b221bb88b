"""A Flask application with a chat: one client for the process, streams to the browser, errors as status codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, request, stream_with_context

from aichatkit import ChatError, Client, QuotaExceededError, RateLimitError

app = Flask(__name__)
# Threads of one process share it. It opens no connection before the first question, and finds its key then.
client = Client(timeout=30, retry=1)


@app.post("/ask")
def ask() -> Any:
    """Answer as one JSON object."""
    reply = client.ask(request.get_json()["prompt"])
    return jsonify(answer=reply.text, provider=reply.provider, model=reply.model)


@app.post("/stream")
def stream() -> Response:
    """Answer piece by piece; a browser that leaves ends the answer and frees its connection."""
    answer = client.stream(request.get_json()["prompt"])  # what fails here is still a status code

    def pieces() -> Iterator[str]:
        with answer:
            yield from answer

    return Response(stream_with_context(pieces()), mimetype="text/plain")


@app.errorhandler(ChatError)
def tell(error: ChatError) -> Any:
    """Tell the browser what it can act on; the rest is for the log."""
    app.logger.warning("%s: %s", type(error).__name__, error)
    limited = isinstance(error, (RateLimitError, QuotaExceededError))
    headers = {"Retry-After": str(round(error.retry_after))} if error.retry_after else {}
    return jsonify(error=type(error).__name__), 429 if limited else 502, headers
