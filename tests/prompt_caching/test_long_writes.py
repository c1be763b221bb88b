"""What is written for hours has a price of its own, also if the service reports only the total."""

from __future__ import annotations

import pytest

from aichatkit import Client
from aichatkit.sandbox import Sandbox


@pytest.mark.parametrize("model", ["openai/gpt-6-luna", "openai-responses/gpt-6-luna", "anthropic/claude-sonnet-5-5"])
def test_the_cost_of_a_write_for_hours_is_what_the_service_charges(model):
    with Sandbox() as box:
        base = box.url if model.startswith("anthropic") else f"{box.url}/v1"
        with Client(model=model, base_url=base, api_key="k", prompt_cache="1h") as client:
            reply = client.ask("word " * 3000)
        (charge,) = box.prompt_caches.charges
    assert charge.use.long_written == charge.use.total >= 3000
    assert reply.cost == pytest.approx(charge.cost)
    assert reply.saved < 0
