"""Size, quality, number and images to edit, as each service takes them; what one lacks is an error in advance."""

from __future__ import annotations

import base64
import json

import pytest
import responses

from aichatkit import BadResponseError, Client, ConfigurationError
from aichatkit.images import ImageResponse
from aichatkit.sandbox.pictures import png

PNG = png("a cat")
DATA = base64.b64encode(PNG).decode()
URI = f"data:image/png;base64,{DATA}"
OPENAI, XAI, TOGETHER = "https://api.openai.com/v1", "https://api.x.ai/v1", "https://api.together.xyz/v1"
GPT, DALLE = "openai/gpt-image-2.5-flare", "openai/dall-e-3"
GROK, FLUX = "xai/grok-imagine-image-2.0", "together/black-forest-labs/FLUX.1-kontext-pro"
BANANA, EARLY = "gemini/gemini-3-pro-image", "gemini/gemini-2.5-flash-image"


@pytest.fixture
def web():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        yield web


def draw(web, model, url, count=1, **options):
    """Return the body of the request for images, or the request itself if it is a form."""
    web.add(responses.POST, url, json={"created": 1, "data": [{"b64_json": DATA}] * count})
    with Client(model, api_key="k", retry=0) as client:
        assert len(client.image("A cat", **options).images) == count
    request = web.calls[-1].request
    assert request.url == url
    return request if b"form-data" in request.body else json.loads(request.body)


@pytest.mark.parametrize(
    ("model", "url", "options", "fields"),
    [
        (GPT, f"{OPENAI}/images/generations", {}, {}),
        (GPT, f"{OPENAI}/images/generations", {"n": 1, "size": None, "quality": None}, {}),
        (
            GPT,
            f"{OPENAI}/images/generations",
            {"size": (1536, 864), "quality": "XHigh", "n": 3},
            {"size": "1536x864", "quality": "xhigh", "n": 3},
        ),
        (
            GPT,
            f"{OPENAI}/images/generations",
            {"size": "Auto", "extra": {"background": "opaque"}},
            {"size": "auto", "background": "opaque"},
        ),
        (
            "openai/gpt-image-9",
            f"{OPENAI}/images/generations",
            {"size": "10x9", "quality": "odd"},
            {"size": "10x9", "quality": "odd"},
        ),
        ("openai/gpt-image-2", f"{OPENAI}/images/generations", {"size": "1024 x 1024"}, {"size": "1024x1024"}),
        (
            GROK,
            f"{XAI}/images/generations",
            {"size": "2k 16:9", "quality": "low", "n": 2},
            {"aspect_ratio": "16:9", "resolution": "2k", "quality": "low", "n": 2},
        ),
        (GROK, f"{XAI}/images/generations", {"size": "auto"}, {}),
        (GROK, f"{XAI}/images/edits", {"files": PNG}, {"image": {"url": URI, "type": "image_url"}}),
        (
            GROK,
            f"{XAI}/images/edits",
            {"files": ["https://example.org/a.png", PNG]},
            {"images": [{"url": "https://example.org/a.png", "type": "image_url"}, {"url": URI, "type": "image_url"}]},
        ),
        (FLUX, f"{TOGETHER}/images/generations", {"size": "1024x768", "n": 2}, {"width": 1024, "height": 768, "n": 2}),
        (FLUX, f"{TOGETHER}/images/generations", {"size": "auto", "files": PNG}, {"image_url": URI}),
    ],
)
def test_each_service_gets_its_own_fields(web, model, url, options, fields):
    name = model.partition("/")[2]
    body = draw(web, model, url, options.get("n", 1), **options)
    assert body == {"model": name, "prompt": "A cat", **fields}


def parts_of(request):
    boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
    start, *parts, end = request.body.split(b"--" + boundary)
    assert (start, end) == (b"", b"--\r\n")
    return [part[2:-2] for part in parts]


def field(name, value):
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def upload(name, filename, media_type, data):
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {media_type}\r\n\r\n'
    return head.encode() + data


def test_openai_gets_images_to_edit_in_a_form(web, tmp_path):
    (tmp_path / 'my "cat".jpg').write_bytes(b"\xff\xd8\xff rest")
    options = {"size": "1024x1024", "n": 2, "extra": {"background": "opaque", "stream": False}}
    request = draw(web, GPT, f"{OPENAI}/images/edits", 2, files=[tmp_path / 'my "cat".jpg', PNG], **options)
    assert parts_of(request) == [
        field("model", "gpt-image-2.5-flare"),
        field("prompt", "A cat"),
        field("size", "1024x1024"),
        field("n", 2),
        field("background", "opaque"),
        field("stream", "false"),
        upload("image[]", "my %22cat%22.jpg", "image/jpeg", b"\xff\xd8\xff rest"),
        upload("image[]", "image-2.png", "image/png", PNG),
    ]
    assert request.headers["Content-Length"] == str(len(request.body))


def test_one_image_to_edit_has_the_simple_name_and_equal_calls_have_equal_bodies(web):
    first, second = (draw(web, GPT, f"{OPENAI}/images/edits", files=PNG) for _ in range(2))
    assert parts_of(first)[-1] == upload("image", "image-1.png", "image/png", PNG)
    assert first.body == second.body


def test_a_stream_edits_as_well(web):
    web.add(responses.POST, f"{OPENAI}/images/edits", json={"created": 1, "data": [{"b64_json": DATA}]})
    with Client(GPT, api_key="k", retry=0) as client:
        reply = client.stream("A cat", files=PNG).read()
    assert (reply.images, reply.text) == ([URI], "![A cat](image-1)")


def test_azure_has_its_own_addresses(web, monkeypatch):
    monkeypatch.delenv("OPENAI_API_VERSION", raising=False)
    base = "https://mine.openai.azure.com"
    for version, url in (
        ("", f"{base}/openai/v1/images/edits"),
        ("2025-04-01-preview", f"{base}/openai/deployments/gpt-image-2/images/edits?api-version=2025-04-01-preview"),
    ):
        if version:
            monkeypatch.setenv("OPENAI_API_VERSION", version)
        web.add(responses.POST, url.partition("?")[0], json={"created": 1, "data": [{"b64_json": DATA}]})
        with Client("azure/gpt-image-2", api_key="k", base_url=base, retry=0) as client:
            client.image("A cat", files=PNG, size="1024x1024")
        assert web.calls[-1].request.url == url


def body_of_gemini(web, model, **options):
    url = f"https://generativelanguage.googleapis.com/v1beta/models/{model}:streamGenerateContent"
    parts = [{"inlineData": {"mimeType": "image/png", "data": DATA}}]
    answer = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    web.add(responses.POST, url, body=f"data: {json.dumps(answer)}\n\n", content_type="text/event-stream")
    with Client(f"gemini/{model}", api_key="k", retry=0) as client:
        assert client.image("A cat", **options).bytes() == PNG
    return json.loads(web.calls[-1].request.body)


def test_gemini_takes_ratio_and_resolution_and_images_in_the_prompt(web):
    body = body_of_gemini(web, "gemini-3-pro-image", size="16:9 2k", files=PNG)
    assert body["generationConfig"] == {
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
    }
    assert body["contents"][0]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": DATA}}
    assert "imageConfig" not in body_of_gemini(web, "gemini-3-pro-image")["generationConfig"]


def test_openrouter_is_asked_for_images(web):
    url = "https://openrouter.ai/api/v1/chat/completions"
    message = {"role": "assistant", "content": "", "images": [{"type": "image_url", "image_url": {"url": URI}}]}
    web.add(responses.POST, url, json={"choices": [{"message": message, "finish_reason": "stop"}]})
    with Client("openrouter/google/gemini-3-pro-image", api_key="k", retry=0) as client:
        client.image("A cat", size="3:2 4K", files=PNG)
        client.ask("A cat")
    drawn, asked = (json.loads(call.request.body) for call in web.calls)
    assert drawn["modalities"] == ["image", "text"]
    assert drawn["image_config"] == {"aspect_ratio": "3:2", "image_size": "4K"}
    assert drawn["messages"][0]["content"][1]["image_url"]["url"] == URI
    assert not {"modalities", "image_config"} & set(asked)


NO_SIZE = "size must be width and height in pixels"


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (GPT, {"n": 0}, "n, the number of images, must be an integer of at least 1, got 0"),
        (GPT, {"n": "2"}, "got '2'"),
        (GPT, {"n": True}, "got True"),
        (GPT, {"n": 11}, "n: gpt-image-2.5-flare gives at most 10 in one request, got 11"),
        (GPT, {"size": "1024"}, "got '1024'; did you mean '1024x1024'?"),
        (GPT, {"size": 1024}, "got 1024; did you mean '1024x1024'?"),
        (GPT, {"size": "big"}, f"{NO_SIZE}, such as '1024x1024'"),
        (GPT, {"size": "atuo"}, "did you mean 'auto'?"),
        (GPT, {"size": (0, 5)}, NO_SIZE),
        (GPT, {"size": (1, 2, 3)}, NO_SIZE),
        (GPT, {"size": "0x512"}, NO_SIZE),
        (GPT, {"size": ""}, NO_SIZE),
        (GPT, {"size": "16:9 4:3"}, NO_SIZE),
        (GPT, {"size": "auto 2K"}, NO_SIZE),
        (GPT, {"size": "16:9"}, "size: gpt-image-2.5-flare takes width and height in pixels, such as '1024x1024'"),
        (GPT, {"size": "1000x1000"}, "multiples of 16, got '1000x1000'; the nearest: '992x992'"),
        (GPT, {"size": "3840x16"}, "the aspect ratio is between 1:3 and 3:1"),
        (GPT, {"size": "4096x2048"}, "an edge has at most 3840 pixels"),
        (GPT, {"quality": "ultra"}, "quality: gpt-image-2.5-flare takes low, medium, high, xhigh, max, auto, got 'ul"),
        ("openai/gpt-image-2", {"quality": "max"}, "takes low, medium, high, auto, got 'max'"),
        (GPT, {"quality": 3}, "quality must be a word"),
        (GPT, {"quality": " "}, "quality must be a word"),
        (GPT, {"files": "missing.png"}, "cannot read 'missing.png'"),
        (GPT, {"files": "https://example.org/a.png"}, "takes no file by its address"),
        (GPT, {"files": b"some text"}, "edits PNG, JPEG and WebP images, and a file is text/plain"),
        (GPT, {"files": b"GIF89a..."}, "and a file is image/gif"),
        (GPT, {"files": [PNG] * 17}, "files: gpt-image-2.5-flare takes at most 16 of them, got 17"),
        (GPT, {"files": PNG, "extra": {"a": {}}}, "a must be text, a number or a boolean"),
        ("openai/gpt-image-1-mini", {"size": "512x512"}, "takes 1024x1024, 1536x1024, 1024x1536, got '512x512'"),
        (DALLE, {"n": 2}, "gives at most 1 in one request"),
        (DALLE, {"files": PNG}, "dall-e-3 edits no images"),
        (
            "openai/gpt-6-luna",
            {"size": "512x512"},
            "gpt-6-luna generates no images, so size= is not possible; models that do: gpt-image-2.5-flare, gpt-image",
        ),
        ("azure/chat", {"quality": "low"}, "models that do: deployments with names such as gpt-image-2"),
        ("gemini/gemini-3.8-flash", {"size": "16:9"}, "models that do: gemini-nano-banana-2.1, gemini-3-pro-image"),
        (
            "anthropic/claude-sonnet-5-5",
            {"size": "512x512"},
            "size= is not possible there; services that take it: gemini, vertex, openai, openrouter, together, xai; a",
        ),
        (
            BANANA,
            {"n": 2},
            "n=2 is not possible, there is one picture for each request; call image(...) several times, or ask a "
            "service that takes it: openai, together, xai",
        ),
        (BANANA, {"quality": "high"}, "quality= is not possible there; services that take it: openai, xai"),
        (BANANA, {"size": "1536x1024"}, "not pixels; 1536x1024 is 3:2, so write size='3:2'"),
        (BANANA, {"size": "1000x1001"}, "and a resolution (1K, 2K, 4K), not pixels"),
        (BANANA, {"size": "7:5"}, "got '7:5'"),
        (BANANA, {"size": "8K"}, "got '8K'"),
        (EARLY, {"size": "1:1 2K"}, "5:4, 9:16, 16:9, 21:9), got '1:1 2K'"),
        (GROK, {"quality": "max"}, "takes low, medium, high, got 'max'"),
        (FLUX, {"files": [PNG, PNG]}, "takes at most 1 of them, got 2"),
        ("meta/muse-image-1.0", {"files": PNG}, "files= to edit are not possible there; services that take it: gemini"),
    ],
)
@pytest.mark.filterwarnings("ignore:openai.*retire")
def test_what_a_model_cannot_do_is_an_error_before_anything_is_sent(web, monkeypatch, model, options, message):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com")
    with Client(model, api_key="k", retry=0) as client, pytest.raises(ConfigurationError) as caught:
        client.image("A cat", **options)
    assert message in str(caught.value)
    assert len(web.calls) == 0


def test_a_service_that_cannot_is_passed_over(web):
    web.add(responses.POST, f"{OPENAI}/images/generations", json={"created": 1, "data": [{"b64_json": DATA}] * 2})
    with Client([BANANA, GPT], api_key={"gemini": "a", "openai": "b"}, retry=0) as client:
        assert len(client.image("A cat", n=2).images) == 2


def test_fewer_images_than_requested_are_an_error_that_has_them(web, tmp_path):
    web.add(responses.POST, f"{OPENAI}/images/generations", json={"created": 1, "data": [{"b64_json": DATA}]})
    with Client(GPT, api_key="k", retry=0) as client, pytest.raises(BadResponseError, match="1 of 3 images") as caught:
        client.image("A cat", n=3)
    partial = caught.value.partial
    assert isinstance(partial, ImageResponse)
    assert partial.save(tmp_path / "kept")[0].read_bytes() == PNG


def test_more_images_than_requested_are_kept(web):
    assert draw(web, GPT, f"{OPENAI}/images/generations", 2) == {"model": "gpt-image-2.5-flare", "prompt": "A cat"}


def test_a_call_for_images_does_not_get_a_cached_text(web):
    url = f"{OPENAI}/chat/completions"
    message = {"role": "assistant", "content": "No."}
    web.add(responses.POST, url, json={"choices": [{"message": message, "finish_reason": "stop"}]})
    with Client("openai/gpt-6-luna", api_key="k", retry=0, cache={}) as client:
        client.ask("A cat")
        with pytest.raises(BadResponseError, match="only text"):
            client.image("A cat")
    assert len(web.calls) == 2
