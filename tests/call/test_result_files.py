"""Pictures and other files that tools return: where each service gets them, and what it is told if it does not."""

from __future__ import annotations

import base64
import json

import pytest
from provider_wires import NOTE, PAPER, PICTURE, SOUND, body

import aichatkit as ai
from aichatkit.call.result_files import fit_results
from aichatkit.chunks import ToolCall
from aichatkit.images import ImageResponse
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.perplexity import Perplexity
from aichatkit.providers.routes import BedrockResponses, XAIResponses
from aichatkit.registry import registry
from aichatkit.sandbox import Sandbox
from aichatkit.tools.functions import Toolbox

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
BASE64 = base64.b64encode(PICTURE.data).decode()
URI = f"data:image/png;base64,{BASE64}"
CALL, OTHER = ToolCall("call_1", "shoot", {}), ToolCall("call_2", "look", {})


def text_part(text):
    return {"type": "text", "text": text}


def file_part(file):
    return {"type": "file", "file": file}


def talk(*parts):
    """A conversation in which a tool returned these parts, and another one text."""
    return [
        Message("user", "Look"),
        ToolCallsMessage("assistant", "", (CALL, OTHER)),
        ToolResultMessage("tool", list(parts), CALL),
        ToolResultMessage("tool", "12", OTHER),
    ]


def sent(name, *parts, record=None, model=""):
    return body(name, fit_results(talk(*parts), registry[name](), record or {}), model=model)


def test_anthropic_takes_pictures_and_pdfs_in_a_result():
    (block, other) = sent("anthropic", text_part("Two:"), file_part(PICTURE), file_part(PAPER))["messages"][2][
        "content"
    ]
    assert [part["type"] for part in block["content"]] == ["text", "image", "document"]
    assert block["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": BASE64}
    assert (block["tool_use_id"], other["content"]) == ("call_1", "12")


def test_the_responses_api_takes_pictures_in_the_output_of_a_function():
    items = sent("openai-responses", text_part("One:"), file_part(PICTURE))["input"]
    assert items[3]["output"] == [
        {"type": "input_text", "text": "One:"},
        {"type": "input_image", "image_url": URI},
    ]
    assert items[4]["output"] == "12"


@pytest.mark.parametrize("provider", [BedrockResponses, XAIResponses, Perplexity])
def test_others_with_that_api_get_them_after_it(provider):
    fitted = fit_results(talk(file_part(PICTURE)), provider(), {})
    assert fitted[2].content == "[image/png, 1 kB, attached below as file 1]"
    assert fitted[4].content[1] == file_part(PICTURE)


def test_newer_gemini_models_take_pictures_in_a_result_and_older_ones_next_to_it():
    picture = {"inlineData": {"mimeType": "image/png", "data": BASE64}}
    (result, other) = sent("gemini", text_part("One:"), file_part(PICTURE), model="gemini-3-pro")["contents"][2][
        "parts"
    ]
    assert result["functionResponse"]["response"] == {"result": "One:"}
    assert result["functionResponse"]["parts"] == [picture]
    assert "parts" not in other["functionResponse"]
    parts = sent("gemini", text_part("One:"), file_part(PICTURE), model="gemini-2.5-flash")["contents"][2]["parts"]
    assert [list(part) for part in parts] == [["functionResponse"], ["inlineData"], ["functionResponse"]]
    assert parts[1] == picture


def test_elsewhere_a_message_after_all_results_has_the_pictures():
    messages = sent("openai", text_part("Two:"), file_part(PICTURE), file_part(PICTURE))["messages"]
    assert [message["role"] for message in messages[2:]] == ["tool", "tool", "user"]
    assert messages[2]["content"].splitlines() == [
        "Two:",
        "[image/png, 1 kB, attached below as file 1]",
        "[image/png, 1 kB, attached below as file 2]",
    ]
    picture = {"type": "image_url", "image_url": {"url": URI}}
    assert messages[4]["content"] == [text_part("Files that the tools returned:"), picture, picture]


def test_the_message_comes_before_the_next_turn():
    messages = [*talk(file_part(PICTURE)), Message("assistant", "A dot."), Message("user", "Sure?")]
    fitted = fit_results(messages, registry["openai"](), {})
    assert [message.role for message in fitted] == ["user", "assistant", "tool", "tool", "user", "assistant", "user"]
    assert fit_results(messages[:2], registry["openai"](), {}) == messages[:2]


def test_ollama_gets_pictures_in_a_message_of_the_user():
    messages = sent("ollama", file_part(PICTURE))["messages"]
    assert messages[4] == {"role": "user", "content": "Files that the tools returned:", "images": [BASE64]}


@pytest.mark.parametrize(
    ("name", "file", "record"),
    [
        ("deepseek", PICTURE, {}),  # takes text only
        ("mistral", PICTURE, {}),  # takes no message of the user after a result
        ("openai", PICTURE, {"caps": "tools"}),  # a model that does not see
        ("anthropic", File("image", "image/tiff", data=b"II*\x00"), {}),
        ("anthropic", SOUND, {}),
        ("openai", File("image", "image/png", data=bytes(21 << 20)), {}),
    ],
)
def test_what_a_service_does_not_take_is_named(name, file, record):
    request = sent(name, text_part("One:"), file_part(file), record=record)
    assert f"[{file.media_type}, {max(1, len(file.data) // 1000)} kB, not shown]" in json.dumps(request)
    assert "Files that the tools returned" not in json.dumps(request)
    assert base64.b64encode(file.data).decode() not in json.dumps(request)


def test_a_model_that_sees_gets_pictures():
    assert BASE64 in json.dumps(sent("openai", file_part(PICTURE), record={"caps": "tools image"}))


def test_a_file_with_a_url_only_is_named_without_its_size():
    assert "[image/png, not shown]" in json.dumps(
        sent("deepseek", file_part(File("image", "image/png", url="https://a.b")))
    )


def test_a_text_file_is_text_everywhere():
    for name in ("openai", "anthropic", "deepseek"):
        assert "note.txt:\\nRemember." in json.dumps(sent(name, file_part(NOTE)))


# In a call.


def shoot():
    """Take a picture of the screen."""
    return ["The screen:", PNG]


@pytest.mark.parametrize(
    ("provider", "path"),
    [("openai", "/v1"), ("openai-responses", "/v1"), ("anthropic", ""), ("gemini", ""), ("ollama", "")],
)
def test_a_picture_reaches_the_model(policy, provider, path):
    with Sandbox() as sandbox:
        urls = {provider: sandbox.url + path}
        with ai.Client(model=provider, api_key="sk-test", base_url=urls, retry=policy) as client:
            reply = client.ask("call shoot {}", tools=[shoot])
            assert "The screen:" in reply.text
            assert base64.b64encode(PNG).decode() in sandbox.requests[-1].body.decode()
            (result,) = [message for message in reply.turn if isinstance(message, ToolResultMessage)]
            assert [part["type"] for part in result.content] == ["text", "file"]


def test_the_sandbox_refuses_pictures_where_the_service_does(client):
    message = {"role": "tool", "tool_call_id": "1", "content": [{"type": "image_url", "image_url": {"url": URI}}]}
    with pytest.raises(ai.BadRequestError, match="only allowed for messages with role 'user'"):
        client.ask("Hi", extra={"messages": [{"role": "user", "content": "Hi"}, message]})


def test_a_chat_keeps_saves_and_shows_pictures(client, sandbox, tmp_path):
    chat = client.chat(tools=[shoot])
    chat.ask("call shoot {}")
    chat.save(tmp_path / "chat.json")
    loaded = ai.Chat.load(tmp_path / "chat.json", client=client)
    loaded.ask("What is on it?")
    messages = json.loads(sandbox.requests[-1].body)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user", "assistant", "user"]
    assert base64.b64encode(PNG).decode() in json.dumps(messages[3])
    shown = loaded.to_markdown()
    assert "```\nThe screen:\n```" in shown
    assert "*Attached: image file (image/png, " in shown


def test_results_in_the_format_of_openai_may_have_pictures(client, sandbox):
    asks = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}],
    }
    result = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "image_url", "image_url": {"url": URI}}]}
    client.ask([{"role": "user", "content": "Look"}, asks, result])
    assert [message["role"] for message in json.loads(sandbox.requests[0].body)["messages"]][2:] == ["tool", "user"]


# What functions may return.


def content_of(result):
    def tool():
        return result

    return Toolbox([tool]).run(ToolCall("1", "tool", {}))


def test_bytes_of_a_known_type_are_a_file():
    (part,) = content_of(PNG)
    assert (part["file"].kind, part["file"].data) == ("image", PNG)
    assert content_of(bytearray(b"%PDF-1.7"))[0]["file"].kind == "pdf"
    assert content_of(PICTURE)[0]["file"] is PICTURE


@pytest.mark.parametrize("value", [b"text", b"\x00\x01", b"", [b"text"]])
def test_other_bytes_stay_text(value):
    assert isinstance(content_of(value), str)


def iter_pieces():
    yield from ("a", PNG)


def test_a_generator_and_a_tuple_may_hold_files():
    assert [part["type"] for part in content_of(iter_pieces())] == ["text", "file"]
    assert [part["type"] for part in content_of(({"n": 1}, PNG))] == ["text", "file"]


def test_pictures_of_other_libraries_are_files():
    image = pytest.importorskip("PIL.Image").new("RGB", (2, 2))
    assert content_of(image)[0]["file"].media_type == "image/png"
    figure = pytest.importorskip("matplotlib.figure").Figure((1, 1))
    assert content_of(figure)[0]["file"].media_type == "image/png"


def test_other_objects_are_never_saved():
    saved = []

    class Account:
        mode = "live"

        def save(self, *args, **options):
            saved.append(args)

        savefig = save

    assert "Account object" in content_of(Account())
    assert saved == []


def test_generated_pictures_are_text_and_files():
    drawn = ImageResponse([URI.replace(BASE64, base64.b64encode(PNG).decode()), "https://a.b/c.png"], alt="A dot")
    text, file = content_of(drawn)
    assert text["text"] == str(drawn)
    assert file["file"].data == PNG
