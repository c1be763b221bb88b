"""Faults of individual sites, as seen on their real servers."""

from __future__ import annotations

from aichatkit.sandbox.exchange import APIError, Piece, Response, html_response, json_response
from aichatkit.sandbox.faults.base import Respond, fault
from aichatkit.sandbox.wires import Call
from aichatkit.sandbox.wires.ai_power import DONE, error_piece
from aichatkit.sandbox.wires.base import sse_event

_NOISE = b': a comment\n\nnot json\n{"code": 200, "data": null}\n'


@fault(on="picture")
def picture_404(respond: Respond, call: Call) -> Response:
    """AiChats: the image itself is not found."""
    return call.wire.error_response(APIError("not-found"), call.request)


@fault(on="token")
def token_500(respond: Respond, call: Call) -> Response:
    """AiChatOnline: the token request fails."""
    return call.wire.error_response(APIError("server-error"), call.request)


@fault()
def response_false(respond: Respond, call: Call, status: int = 200) -> Response:
    """Aichat: status 200 with `response` false."""
    return call.wire.error_response(
        APIError("server-error", "Something went wrong, try again.", status=status), call.request
    )


@fault()
def noise(respond: Respond, call: Call) -> Response:
    """AiChatOnline: other lines between the lines of text."""
    response = respond()
    noise_piece = Piece(_NOISE, "open")
    response.pieces = [part for piece in response.pieces for part in (noise_piece, piece)]
    return response


@fault()
def data_prefix(respond: Respond, call: Call) -> Response:
    """AiChatOnline: the lines as server-sent events."""
    response = respond()
    response.pieces = [Piece(b"data: " + piece.data + b"\n", piece.phase, piece.pause) for piece in response.pieces]
    return response


@fault()
def token_limit(respond: Respond, call: Call) -> Response:
    """ChatGptt: the limit for visitors without an account."""
    return call.wire.error_response(APIError("quota"), call.request)


@fault()
def body_zero(respond: Respond, call: Call, status: int = 400) -> Response:
    """ChatGptt: the bare 0 of WordPress."""
    return html_response("0", status)


@fault()
def missing_data(respond: Respond, call: Call) -> Response:
    """AiChats: an image response without its list."""
    return _with_override(respond, call, "missing-data")


@fault()
def missing_url(respond: Respond, call: Call) -> Response:
    """AiChats: an image response without the URL."""
    return _with_override(respond, call, "missing-url")


@fault(on="token")
def token_null(respond: Respond, call: Call) -> Response:
    """AiChatOnline: success without a token."""
    return _with_override(respond, call, "token-null")


@fault()
def cookie_required(respond: Respond, call: Call) -> Response:
    """Aichat: requests without a cookie are rejected."""
    return _with_override(respond, call, "cookie-required")


@fault(on="page")
def no_tokens(respond: Respond, call: Call) -> Response:
    """ChatGptt: a page without nonce and post id."""
    return _with_override(respond, call, "no-tokens")


@fault(on="page")
def single_quotes(respond: Respond, call: Call) -> Response:
    """ChatGptt: a page with attributes in single quotes."""
    return _with_override(respond, call, "single-quotes")


@fault(on="page")
def decoys(respond: Respond, call: Call) -> Response:
    """ChatGptt: a page with the same attributes on an earlier element."""
    return _with_override(respond, call, "decoys")


@fault()
def nonce_page(respond: Respond, call: Call) -> Response:
    """ChatGptt: the nonce is rejected with a page, and replaced."""
    return _with_override(respond, call, "nonce-page")


@fault()
def nonce_error(respond: Respond, call: Call) -> Response:
    """ChatGptt: the nonce is rejected with an error object, and replaced."""
    return _with_override(respond, call, "nonce-error")


@fault()
def sse(respond: Respond, call: Call) -> Response:
    """ChatGptt: server-sent events instead of one object."""
    return _with_override(respond, call, "sse")


@fault()
def msg_error(respond: Respond, call: Call) -> Response:
    """ChatGptt: an error object with status 200."""
    return response_false(respond, call)


@fault(on="page")
def ai_power_page(respond: Respond, call: Call, how: str = "sse") -> Response:
    """ChatGptt: a page of today's plugin; `how` is sse, json, either, popup, both, stale or stale-json."""
    call.overrides["ai-power"] = how
    return respond()


@fault(on="token")
def ai_power_refusal(respond: Respond, call: Call, code: str = "cors_denied", status: int = 403) -> Response:
    """ChatGptt: today's plugin refuses a prompt, with its code."""
    return call.wire.error_response(APIError("forbidden", "Refused.", status=status, code=code), call.request)


@fault()
def ai_power_end(respond: Respond, call: Call, how: str = "error-done") -> Response:
    """ChatGptt: how a stream of today's plugin ends.

    `how` is error-done, error, text-error-done, no-done, quota, form, warning, trigger, or json for a failure with 200.
    """
    response = respond()
    if how == "json":
        response.pieces = [Piece(b'{"success": false, "data": {"message": "The model has no credit left."}}')]
        return response
    pieces = list(response.pieces)
    text = [piece for piece in pieces if piece.phase == "text"]
    error = error_piece("API Error: The model is overloaded.")
    endings = {
        "error-done": [error, DONE],
        "error": [error],
        "text-error-done": [*text[:1], error, DONE],
        "no-done": text,
        "quota": [error_piece("Come back tomorrow.", quota_notice={"enabled": True}), DONE],
        "form": [Piece(sse_event({"form_id": 3}, "display_form_event"), "finish"), DONE],
        "warning": [*text[:1], Piece(sse_event({"error": "A search failed."}, "warning")), *text[1:], DONE],
        "trigger": [Piece(sse_event({"message_id": "b"}, "message_start"), "open"), *text, DONE],
    }
    response.pieces = [*(piece for piece in pieces if piece.phase == "open"), *endings[how]]
    return response


@fault()
def failure_words(respond: Respond, call: Call, after: int = 2, ending: str = "") -> Response:
    """AIChatFree: the words of a failure after some text; `ending` is cut, reset, or empty for a proper end."""
    response = respond()
    text = [piece for piece in response.pieces if piece.phase == "text"][:after]
    response.pieces, response.ending = [*text, Piece(b"Internal server error", "error")], ending
    return response


@fault()
def gemini_error(respond: Respond, call: Call, kind: str = "location") -> Response:
    """AIChatFree: a failure of the model's service; `kind` is location, key, model, overloaded or network."""
    prefix = "[GoogleGenerativeAI Error]: Error fetching from"
    message = {
        "location": "User location is not supported for the API use.",
        "key": "API key not valid. Please pass a valid API key. [details]",
        "model": f"{prefix} [404 Not Found] models/m is not found",
        "overloaded": f"{prefix} [503 Service Unavailable] The model is overloaded.",
        "network": "fetch failed",
    }[kind]
    return json_response({"error": {"code": "Error", "message": message}}, 500)


def _with_override(respond: Respond, call: Call, name: str) -> Response:
    call.overrides[name] = True
    return respond()
