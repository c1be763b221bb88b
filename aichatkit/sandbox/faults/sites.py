"""Faults of single sites, as their real servers show them."""

from __future__ import annotations

from aichatkit.sandbox.exchange import Answer, Piece, Trouble
from aichatkit.sandbox.faults.base import Reply, fault
from aichatkit.sandbox.wires import Call

_NOISE = b': a comment\n\nnot json\n{"code": 200, "data": null}\n'


@fault(on="picture")
def picture_404(reply: Reply, call: Call) -> Answer:
    """AiChats: the picture itself is not there."""
    return call.wire.refuse(Trouble("not-found"), call.request)


@fault(on="token")
def token_500(reply: Reply, call: Call) -> Answer:
    """AiChatOnline: the token request fails."""
    return call.wire.refuse(Trouble("server-error"), call.request)


@fault()
def response_false(reply: Reply, call: Call, status: int = 200) -> Answer:
    """Aichat: success that says it is none."""
    return call.wire.refuse(Trouble("server-error", "Something went wrong, try again.", status=status), call.request)


@fault()
def noise(reply: Reply, call: Call) -> Answer:
    """AiChatOnline: lines that are no text between the lines."""
    answer = reply()
    between = Piece(_NOISE, "open")
    answer.pieces = [part for piece in answer.pieces for part in (between, piece)]
    return answer


@fault()
def data_prefix(reply: Reply, call: Call) -> Answer:
    """AiChatOnline: the lines as events."""
    answer = reply()
    answer.pieces = [Piece(b"data: " + piece.data + b"\n", piece.kind, piece.pause) for piece in answer.pieces]
    return answer


@fault()
def token_limit(reply: Reply, call: Call) -> Answer:
    """ChatGptt: the limit of visitors without an account."""
    return call.wire.refuse(Trouble("quota"), call.request)


@fault()
def body_zero(reply: Reply, call: Call, status: int = 400) -> Answer:
    """ChatGptt: the bare 0 of WordPress."""
    return Answer(status, [("Content-Type", "text/html; charset=UTF-8")], [Piece(b"0")])


@fault()
def missing_data(reply: Reply, call: Call) -> Answer:
    """AiChats: a picture answer without its list."""
    return _marked(reply, call, "missing-data")


@fault()
def missing_url(reply: Reply, call: Call) -> Answer:
    """AiChats: a picture answer without the address."""
    return _marked(reply, call, "missing-url")


@fault(on="token")
def token_null(reply: Reply, call: Call) -> Answer:
    """AiChatOnline: success and no token."""
    return _marked(reply, call, "token-null")


@fault()
def cookie_required(reply: Reply, call: Call) -> Answer:
    """Aichat: no answer without a cookie."""
    return _marked(reply, call, "cookie-required")


@fault(on="page")
def no_tokens(reply: Reply, call: Call) -> Answer:
    """ChatGptt: a page without nonce and post id."""
    return _marked(reply, call, "no-tokens")


@fault(on="page")
def single_quotes(reply: Reply, call: Call) -> Answer:
    """ChatGptt: a page in single quotes."""
    return _marked(reply, call, "single-quotes")


@fault(on="page")
def decoys(reply: Reply, call: Call) -> Answer:
    """ChatGptt: a page with such attributes on another element first."""
    return _marked(reply, call, "decoys")


@fault()
def nonce_page(reply: Reply, call: Call) -> Answer:
    """ChatGptt: the nonce is refused with a page, and replaced."""
    return _marked(reply, call, "nonce-page")


@fault()
def nonce_error(reply: Reply, call: Call) -> Answer:
    """ChatGptt: the nonce is refused with an error object, and replaced."""
    return _marked(reply, call, "nonce-error")


@fault()
def sse(reply: Reply, call: Call) -> Answer:
    """ChatGptt: events in the place of one object."""
    return _marked(reply, call, "sse")


@fault()
def msg_error(reply: Reply, call: Call) -> Answer:
    """ChatGptt: an error object with success."""
    return response_false(reply, call)


def _marked(reply: Reply, call: Call, mark: str) -> Answer:
    call.marks[mark] = True
    return reply()
