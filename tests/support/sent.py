"""What a client sends for one prompt, and what it warns of, without a network."""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

import responses

from aichatkit import ChatError, Client, RetiredModelWarning

#: Fields that do not depend on parameters.
_ALWAYS = {"model", "messages", "input", "contents", "stream", "stream_options", "store", "prompt_cache_key"}


def sent(model: str, *, base_url: str | None = None, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of the body that depend on parameters, and the texts of the warnings about them."""
    with responses.RequestsMock() as service, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        service.add("POST", re.compile(".*"), status=418, json={})
        with Client(model=model, api_key="k", retry=0, base_url=base_url) as client:
            try:
                client.ask("Hi", **options)
            except ChatError as error:
                if not service.calls:
                    service.assert_all_requests_are_fired = False
                    raise error from None
        body = json.loads(service.calls[0].request.body)
    texts = [str(warned.message) for warned in caught if not issubclass(warned.category, RetiredModelWarning)]
    return {name: value for name, value in body.items() if name not in _ALWAYS}, texts
