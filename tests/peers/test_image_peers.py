"""Images by the official SDKs at the sandbox, and our requests next to theirs: the same fields, the same files."""

from __future__ import annotations

import base64

import pytest

from aichatkit import Client
from aichatkit.sandbox.multipart import parse_parts
from aichatkit.sandbox.pictures import png

CAT, DOG = (base64.b64encode(png(name)).decode() for name in ("cat", "dog"))
GPT = "openai/gpt-image-2.5-flare"
OPTIONS = {"size": "1536x864", "quality": "low", "n": 2}


def ours(sandbox, model, base, **options):
    with Client(model, api_key="k", base_url=sandbox.url + base) as client:
        drawn = client.image("A cat", **options)
    return [base64.b64encode(drawn.bytes(number)).decode() for number in range(len(drawn.images))]


def test_images_are_generated_as_by_the_openai_sdk(sdk_named, sandbox):
    theirs = sdk_named("openai_chat").call("draw_several", url=sandbox.url, prompt="A cat", **OPTIONS)
    assert ours(sandbox, GPT, "/v1", **OPTIONS) == theirs["images"]
    assert len(theirs["images"]) == 2
    assert theirs["tokens"] > 0
    first, second = sandbox.requests
    assert (first.path, first.json()) == (second.path, second.json())


@pytest.mark.parametrize("images", [[CAT], [CAT, DOG]], ids=["one", "two"])
def test_images_are_edited_as_by_the_openai_sdk(sdk_named, sandbox, images):
    theirs = sdk_named("openai_chat").call("edit", url=sandbox.url, prompt="A cat", images=images, **OPTIONS)
    files = [base64.b64decode(image) for image in images]
    assert ours(sandbox, GPT, "/v1", files=files, **OPTIONS) == theirs["images"]
    first, second = sandbox.requests
    assert first.path == second.path == "/v1/images/edits"
    assert sorted(parse_parts(first)) == sorted(parse_parts(second))


def test_a_refused_size_is_the_error_of_the_openai_sdk(sdk_named, sandbox):
    raised = sdk_named("openai_chat").fail("draw_several", url=sandbox.url, prompt="A cat", size="1000x1000")
    assert (raised.errors[0], raised.status) == ("BadRequestError", 400)


def test_images_are_drawn_as_by_the_google_sdk(sdk_named, sandbox):
    layout = {"ratio": "16:9", "resolution": "2K"}
    theirs = sdk_named("gemini").call("draw", url=sandbox.url, prompt="A cat", images=[CAT], **layout)
    assert ours(sandbox, "gemini/gemini-3-pro-image", "", size="16:9 2K", files=base64.b64decode(CAT)) == theirs
    first, second = (request.json() for request in sandbox.requests)
    assert first["generationConfig"] == second["generationConfig"]
    # Both names are taken.
    inline = first["contents"][0]["parts"][1]["inlineData"]
    inline["mimeType"] = inline.pop("mime_type")
    assert first["contents"] == second["contents"]
