"""What a generated image costs: tokens of images have their own price."""

from __future__ import annotations

import base64

import pytest
import responses

from aichatkit import Client

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({"input_tokens": 50, "output_tokens": 1000, "total_tokens": 1050}, 50 * 5 + 1000 * 30),
        (
            {
                "input_tokens": 50,
                "output_tokens": 1000,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            },
            10 * 5 + 40 * 8 + 1000 * 30,
        ),
        (
            {"input_tokens": 50, "output_tokens": 1000, "output_tokens_details": {"image_tokens": 900}},
            50 * 5 + 1000 * 30,
        ),
        ({"input_tokens": 50, "output_tokens": 1000, "output_tokens_details": {"text_tokens": 1000}}, 30_250),
        (None, None),
        ("odd", None),
    ],
)
def test_tokens_of_images_have_their_own_price(usage, dollars):
    with responses.RequestsMock() as web:
        web.add(
            responses.POST,
            "https://api.openai.com/v1/images/generations",
            json={"created": 1, "data": [{"b64_json": PICTURE}], "usage": usage},
        )
        with Client(model="openai/gpt-image-2.5-flare", api_key="k", retry=0) as client:
            reply = client.stream("A dog").read()
    assert reply.cost == (None if dollars is None else pytest.approx(dollars / 1e6))
