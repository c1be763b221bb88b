"""The images of the sandbox: of the size that is asked for, from other images too, and a wrong body is refused."""

from __future__ import annotations

import base64
import struct

import pytest
from sandbox_talk import CHAT, talk

from aichatkit import Client, image
from aichatkit.sandbox.pictures import png

PNG, JPEG = png("a cat"), b"\xff\xd8\xff rest"
GPT, GROK = "gpt-image-2.5-flare", "grok-imagine-image-2.0"
ASKED = {"prompt": "A cat"}


def pixels(content):
    return struct.unpack(">II", content[16:24])


def draw(box, model, **options):
    base_url = box.url if model.startswith(("gemini", "azure")) else f"{box.url}/v1"
    with Client(model, api_key="k", base_url=base_url, retry=0) as client:
        return client.image("A cat", **options)


@pytest.mark.parametrize(
    ("model", "options", "size"),
    [
        (f"openai/{GPT}", {"size": "1536x864", "quality": "xhigh"}, (1536, 864)),
        (f"openai/{GPT}", {"size": "auto"}, (16, 16)),
        (f"openai/{GPT}", {}, (16, 16)),
        ("azure/gpt-image-2", {"size": (1024, 1536), "files": PNG}, (1024, 1536)),
        (f"xai/{GROK}", {"size": "16:9"}, (1365, 768)),
        (f"xai/{GROK}", {"files": PNG}, (16, 16)),
        ("together/black-forest-labs/FLUX.1-schnell", {"size": (640, 480)}, (640, 480)),
        ("gemini/gemini-3-pro-image", {"size": "1:4 2K"}, (1024, 4096)),
        ("gemini/gemini-3-pro-image", {"size": "2K"}, (2048, 2048)),
        ("openrouter/google/gemini-3-pro-image", {"size": "2:3"}, (836, 1254)),
    ],
)
def test_images_have_the_size_that_is_asked_for(box, model, options, size):
    assert pixels(draw(box, model, **options).bytes()) == size


@pytest.mark.parametrize("model", [f"openai/{GPT}", f"xai/{GROK}", "gemini/gemini-3-pro-image"])
def test_other_images_to_edit_lead_to_other_images(box, model):
    first, again = (draw(box, model, files=[PNG]).bytes() for _ in range(2))
    assert first == again
    assert len({first, draw(box, model, files=[png("b")]).bytes(), draw(box, model).bytes()}) == 3


def test_gemini_takes_both_names_of_the_media_type(box):
    for name, status in (("mimeType", 200), ("mime_type", 200), ("type", 400)):
        parts = [{"text": "x"}, {"inlineData": {name: "image/png", "data": "aGk="}}]
        answer = talk(box, "/v1beta/models/gemini-3-pro-image:generateContent", {"contents": [{"parts": parts}]})
        assert answer.status == status, name


def test_several_images_differ(box):
    assert len(set(draw(box, f"openai/{GPT}", n=4, files=[PNG, png("b")]).images)) == 4


def test_tokens_count_every_image(box):
    def cost(**options):
        with Client(f"openai/{GPT}", api_key="k", base_url=f"{box.url}/v1") as client:
            return client.stream("A cat", **options).read()

    reply = cost(files=[PNG, PNG])
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (2 + 2 * 323, 1056)
    assert reply.cost == pytest.approx((2 * 5 + 2 * 323 * 8 + 1056 * 30) / 1e6)
    answer = talk(box, "/v1/images/generations", {**ASKED, "model": GPT, "n": 3, "quality": "high"}).json()
    assert answer["usage"]["output_tokens"] == 3 * 4160


def test_whole_answers_have_images_as_well(box):
    content = {"contents": [{"parts": [{"text": "A cat"}]}], "generationConfig": {"responseModalities": ["IMAGE"]}}
    answer = talk(box, "/v1beta/models/gemini-3-pro-image:generateContent", content).json()
    assert base64.b64decode(answer["candidates"][0]["content"]["parts"][-1]["inlineData"]["data"])[1:4] == b"PNG"
    assert answer["usageMetadata"]["candidatesTokensDetails"] == [{"modality": "IMAGE", "tokenCount": 1290}]
    answer = talk(box, "/v1/chat/completions", {**CHAT, "modalities": ["image", "text"]}).json()
    assert answer["choices"][0]["message"]["images"][0]["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"model": GPT, "response_format": "url"}, "Unknown parameter: 'response_format'"),
        ({"model": GPT, "aspect_ratio": "1:1"}, "Unknown parameter: 'aspect_ratio'"),
        ({"model": GPT, "size": "1000x1000"}, "must both be divisible by 16"),
        ({"model": GPT, "size": "3840x16"}, "between 1:3 and 3:1"),
        ({"model": GPT, "size": "4000x4000"}, "at most 3840 pixels"),
        ({"model": GPT, "size": "big"}, "Expected WIDTHxHEIGHT"),
        ({"model": GPT, "quality": "ultra"}, "Invalid value: 'ultra'"),
        ({"model": GPT, "n": 11}, "Expected a value <= 10"),
        ({"model": "gpt-image-1", "size": "512x512"}, "Supported values are: '1024x1024'"),
        ({"model": "dall-e-3", "n": 2}, "Expected a value <= 1"),
        ({"model": GROK, "size": "1024x1024"}, "Unknown parameter: 'size'"),
        ({"model": GROK, "aspect_ratio": "7:5"}, "Invalid value: '7:5'"),
        ({"model": GROK, "resolution": "4k"}, "Invalid value: '4k'"),
    ],
)
def test_what_a_model_does_not_take_is_refused(box, record, message):
    answer = talk(box, "/v1/images/generations", {**ASKED, **record})
    assert (answer.status, message in answer.json()["error"]["message"]) == (400, True), answer.json()


def form(*parts, boundary="edge", fields=(("model", GPT), ("prompt", "A cat"))):
    """Return the body of a form with files, each as its name, media type and content."""
    pieces = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields]
    for name, media_type, content in parts:
        head = f'Content-Disposition: form-data; name="{name}"; filename="a"\r\nContent-Type: {media_type}\r\n\r\n'
        pieces.append(head.encode() + content)
    start = f"--{boundary}\r\n".encode()
    return b"".join(start + piece + b"\r\n" for piece in pieces) + f"--{boundary}--\r\n".encode()


def edit(box, body, *, kind="multipart/form-data; boundary=edge"):
    return talk(box, "/v1/images/edits", body=body, kind=kind)


def test_a_form_is_taken_with_any_image_that_the_service_edits(box):
    for kind, content in (("image/png", PNG), ("image/jpeg", JPEG), ("image/webp", b"RIFF....WEBP")):
        assert edit(box, form(("image", kind, content))).status == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (form(), "Missing required parameter: 'image'"),
        (form(("picture", "image/png", PNG)), "Missing required parameter: 'image'"),
        (form(("image", "image/png", PNG), ("image", "image/png", PNG)), "Duplicate parameter: 'image'"),
        (form(*[("image[]", "image/png", PNG)] * 17), "array too long"),
        (form(("image", "image/gif", b"GIF89a")), "unsupported mimetype ('image/gif')"),
        (form(("image", "image/png", JPEG)), "Invalid image file"),
        (form(("image", "image/png", PNG), fields=[("model", GPT)]), "'prompt' is missing"),
        (form(("image", "image/png", PNG), fields=[("prompt", "x"), ("n", "two")]), "Invalid type for 'n'"),
        (form(("image", "image/png", PNG), fields=[("prompt", "x"), ("n", "0")]), "Expected a value >= 1"),
        (form(("image", "image/png", PNG), boundary="other"), "could not parse the multipart form"),
        (form(("image", "image/png", PNG))[:-8], "could not parse the multipart form"),
    ],
)
def test_a_malformed_form_is_refused(box, body, message):
    answer = edit(box, body)
    assert (answer.status, message in answer.json()["error"]["message"]) == (400, True), answer.json()


def test_parts_without_a_name_are_skipped(box):
    body = b"--edge\r\nContent-Type: text/plain\r\n\r\nx\r\n" + form(("image", "image/png", PNG))
    assert edit(box, body).status == 200


@pytest.mark.parametrize(
    ("record", "status", "message"),
    [
        ({"model": GPT, "image": {"url": "https://example.org/a.png"}}, 400, "Unsupported content type"),
        ({"model": GROK}, 400, "needs a url"),
        ({"model": GROK, "image": {"url": "file:///etc/passwd"}}, 400, "needs a url"),
        ({"model": GROK, "images": [{"url": 1}]}, 400, "needs a url"),
        ({"model": GROK, "image": "https://example.org/a.png"}, 400, "not valid"),
    ],
)
def test_images_in_a_json_body_are_for_xai_only(box, record, status, message):
    answer = talk(box, "/v1/images/edits", {**ASKED, **record})
    assert (answer.status, message in answer.json()["error"]["message"]) == (status, True), answer.json()


def test_xai_takes_no_form(box):
    answer = edit(box, form(("image", "image/png", PNG), fields=[("model", GROK), ("prompt", "x")]))
    assert answer.status == 415


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        ("gemini-3.8-flash", {"responseModalities": ["TEXT", "IMAGE"]}, "does not support the requested response mod"),
        ("gemini-3-pro-image", {"imageConfig": {"aspectRatio": "1:1"}}, "only supported with the response modality"),
        (
            "gemini-3-pro-image",
            {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "7:5"}},
            "aspect_ratio must be one of",
        ),
        (
            "gemini-2.5-flash-image",
            {"responseModalities": ["IMAGE"], "imageConfig": {"imageSize": "2K"}},
            "image_size must be one of 1K",
        ),
        ("gemini-3-pro-image", {"responseModalities": ["IMAGE"], "candidateCount": 2}, "Multiple candidates"),
    ],
)
def test_gemini_refuses_what_its_models_do_not_take(box, model, config, message):
    content = {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": config}
    answer = talk(box, f"/v1beta/models/{model}:generateContent", content)
    assert (answer.status, message in answer.json()["error"]["message"]) == (400, True), answer.json()


def test_the_function_of_the_package_takes_the_options_too(box, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{box.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert len(image("A cat", model=f"openai/{GPT}", n=2, size="1024x1024").images) == 2
