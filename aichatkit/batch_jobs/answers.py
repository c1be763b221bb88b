"""Result of a row -> reply: its body is read by the provider like an unstreamed answer, at the batch price."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aichatkit.batch_jobs.prices import batch_charge
from aichatkit.call.answer import Answer
from aichatkit.call.cost import Charge
from aichatkit.catalog.models import Catalog
from aichatkit.chunks import Bill, Usage
from aichatkit.errors import ChatError
from aichatkit.providers.base import Provider
from aichatkit.reply import Attempt, Reply
from aichatkit.transport.transport import Transport

__all__ = ["read_body"]


def read_body(
    body: Any,
    *,
    provider: Provider,
    model: str,
    http: Transport,
    catalog: Catalog,
    price_factor: float | None,
    record: Any = None,
) -> Reply:
    """Return the reply that the body of a result contains; with `record`, it is kept in `reply.raw`.

    Raises:
        ChatError: the body is not an answer, or an empty one.
    """
    answer = _RowAnswer(provider, model, _RowResponse(body), http=http, catalog=catalog)  # type: ignore[arg-type]
    answer.price_factor = price_factor
    answer.attempts.append(Attempt(provider.name, model))
    try:
        answer.start()
        for _ in answer:
            pass
    except ChatError as error:
        error.__traceback__ = None
        # The service answered and charges for it.
        error.maybe_processed = True
        raise
    reply = answer.reply
    assert reply is not None
    if record is not None:
        reply.raw.append(record)
    return reply


class _RowResponse:
    """The body of a result, read like that of a response."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, body: Any) -> None:
        self._blocks = [json.dumps(body).encode()]

    def read_block(self) -> bytes:
        """Return the whole body, then empty bytes."""
        return self._blocks.pop() if self._blocks else b""

    def finish(self) -> None:
        """Do nothing: there is no connection."""

    def close(self) -> None:
        """Do nothing: there is no connection."""


class _RowAnswer(Answer):
    """An answer from a batch job."""

    price_factor: float | None = None

    def _charge(self, usage: Usage, bill: Bill) -> Charge:
        models = (self._collector.model, self.model)
        return batch_charge(self.provider, models, usage, self._catalog, bill, self.price_factor)
