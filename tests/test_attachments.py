"""Files: what they are by their content, where they may come from, and how they reach a service."""

from __future__ import annotations

import base64
import io
import json
import os

import pytest

from aichatkit import Client, ConfigurationError
from aichatkit.attachments import load_file, with_files
from aichatkit.messages import File, Message
from aichatkit.sandbox.pictures import png

PNG = png("a cat")
PDF = b"%PDF-1.7\n1 0 obj"
PDF_URI = f"data:;base64,{base64.b64encode(PDF).decode()}"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
MP3 = b"ID3\x03\x00\x00\x00\x00\x00\x00"
#: Content of every kind -> kind and media type.
KINDS = [
    (PNG, "image", "image/png"),
    (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image", "image/jpeg"),
    (b"GIF89a\x01\x00", "image", "image/gif"),
    (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image", "image/webp"),
    (b"BM\x46\x00\x00\x00\x00\x00", "image", "image/bmp"),
    (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heic", "image", "image/heic"),
    (PDF, "pdf", "application/pdf"),
    (MP3, "audio", "audio/mpeg"),
    (b"\xff\xfb\x90\x00", "audio", "audio/mpeg"),
    (b"\xff\xf1\x50\x80\x00\x00", "audio", "audio/aac"),
    (WAV, "audio", "audio/wav"),
    (b"OggS\x00\x02\x00\x00", "audio", "audio/ogg"),
    (b"fLaC\x00\x00\x00\x22", "audio", "audio/flac"),
    (b"FORM\x00\x00\x00\x00AIFF", "audio", "audio/aiff"),
    (b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00", "audio", "audio/mp4"),
    (b"Hello", "text", "text/plain"),
    ("Grüße".encode(), "text", "text/plain"),
    (b"BMI,weight\n20,60", "text", "text/plain"),
    (b"ID3 is a tag", "text", "text/plain"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text", "image/svg+xml"),
    (b"<?xml version='1.0'?><a/>", "text", "text/plain"),
]


@pytest.mark.parametrize(("content", "kind", "media_type"), KINDS)
def test_content_tells_what_a_file_is(content, kind, media_type):
    file = load_file(content)
    assert (file.kind, file.media_type, file.data) == (kind, media_type, content)


@pytest.mark.parametrize(("content", "kind", "media_type"), KINDS)
def test_others_see_the_same_in_it(content, kind, media_type):
    oracle = pytest.importorskip("filetype").guess_mime(content)
    names = {"audio/x-wav": "audio/wav", "audio/x-flac": "audio/flac", "audio/x-aiff": "audio/aiff"}
    assert oracle is None or kind == "text" or names.get(oracle, oracle) == media_type


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x01\x02",
        b"\x7fELF\x02\x01\x01\x00",
        b"\xe4\xf6 latin",
        b"\x00\x00\x00\x18ftypisom\x00\x00",
        b"PK\x03\x04\x00",
    ],
)
def test_content_of_no_known_kind_is_refused(content):
    with pytest.raises(ConfigurationError, match="not an image, PDF, audio or UTF-8 text"):
        load_file(content)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfHi", "Hi"),
        (b"\xff\xfe" + "Grüße".encode("utf-16-le"), "Grüße"),
        (b"\xfe\xff" + "Grüße".encode("utf-16-be"), "Grüße"),
    ],
)
def test_marks_of_other_encodings_are_read(content, text):
    assert load_file(content).data.decode() == text


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.csv", "text/csv"), ("a.md", "text/markdown"), ("a.py", "text/plain"), ("a.JSON", "application/json")],
)
def test_the_name_tells_only_what_kind_of_text_it_is(tmp_path, name, media_type):
    path = tmp_path / name
    path.write_text("a,b")
    assert load_file(path) == File("text", media_type, name, b"a,b")
    path.write_bytes(PDF)
    assert load_file(str(path)).media_type == "application/pdf"


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("Hi")
    assert load_file("~/a.txt").data == b"Hi"


@pytest.mark.parametrize("source", [bytearray(PDF), memoryview(PDF), io.BytesIO(PDF), PDF])
def test_bytes_come_in_every_form(source):
    assert load_file(source) == File("pdf", "application/pdf", "", PDF)


def test_an_open_file_keeps_its_name(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with path.open("rb") as file:
        assert load_file(file).name == "a.png"
    assert load_file(io.StringIO("Grüße")).data == "Grüße".encode()
    with os.fdopen(os.open(path, os.O_RDONLY), "rb") as numbered:
        assert load_file(numbered).name == ""


def test_an_open_file_that_cannot_be_read_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with path.open(encoding="utf-8") as file, pytest.raises(ConfigurationError, match="binary mode"):
        load_file(file)
    with pytest.raises(ConfigurationError, match="closed file"):
        load_file(file)


class Nothing:
    def read(self):
        return None


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (b"", "the file is empty"),
        (io.BytesIO(), "was read to its end"),
        (Nothing(), "is empty"),
        ("missing.png", "No such file"),
        (".", "directory"),
        ("a\0b", "null"),
        ("data:image/png;base64,%%%", "damaged"),
        (5, "cannot read a int"),
        ("x" * 5000, "cannot read 'x{200}'"),
        ("~nobody-of-that-name/a", "home"),
    ],
)
def test_what_cannot_be_read_is_refused(source, told):
    with pytest.raises(ConfigurationError, match=told):
        load_file(source)


def test_data_uris_are_read_by_their_content():
    uri = f"DATA:text/plain;base64,{base64.b64encode(PNG).decode()}"
    assert load_file(uri) == File("image", "image/png", "", PNG)
    assert load_file("data:,Hi%20there").data == b"Hi there"


@pytest.mark.parametrize(
    ("url", "kind", "media_type"),
    [
        ("https://example.com/a.png?b=c.pdf", "image", "image/png"),
        ("HTTPS://example.com/a.PDF", "pdf", "application/pdf"),
        ("https://example.com/a.mp3", "audio", "audio/mpeg"),
        ("https://example.com/a.csv", "text", "text/csv"),
        ("https://example.com/picture", "image", "image/*"),
    ],
)
def test_a_url_is_told_by_its_name_and_not_fetched(url, kind, media_type):
    file = load_file(url)
    assert (file.kind, file.media_type, file.url, file.data) == (kind, media_type, url, b"")


def test_a_file_stays_as_it_is():
    file = File("image", "image/png", data=b"x")
    assert load_file(file) is file


class Figure:
    def savefig(self, buffer, *, format):
        assert format == "png"
        buffer.write(PNG)


class Picture:
    mode = "RGB"

    def save(self, buffer, *, format):
        if self.mode == "CMYK":
            raise OSError("cannot write mode CMYK as PNG")
        buffer.write(PNG)


def test_figures_and_pictures_are_saved_as_png():
    assert load_file(Figure()) == File("image", "image/png", "figure.png", PNG)
    assert load_file(Picture()) == File("image", "image/png", "image.png", PNG)


def test_a_picture_that_cannot_be_saved_is_refused():
    picture = Picture()
    picture.mode = "CMYK"
    with pytest.raises(ConfigurationError, match="CMYK"):
        load_file(picture)


def test_a_pillow_image_is_taken():
    image = pytest.importorskip("PIL.Image").new("RGBA", (2, 2))
    assert load_file(image).media_type == "image/png"


@pytest.mark.slow
def test_a_matplotlib_figure_is_taken():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    assert load_file(figure).media_type == "image/png"


@pytest.mark.parametrize("files", [PDF, bytearray(PDF), [PDF], (PDF,), io.BytesIO(PDF), iter([PDF]), Figure()])
def test_one_file_needs_no_list(files):
    (message,) = with_files([Message("user", "Hi")], files)
    assert [part["type"] for part in message.content] == ["text", "file"]


def test_files_go_into_the_last_message_and_leave_its_parts():
    first, last = Message("system", "Hi"), Message("user", [{"type": "text", "text": "Look."}])
    found = with_files([first, last], [PNG, PDF])
    assert found[0] == first
    assert [part["type"] for part in found[1].content] == ["text", "file", "file"]
    assert len(last.content) == 1


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, ("image", "a.png")),
        ({"type": "image_url", "image_url": f"data:;base64,{base64.b64encode(PNG).decode()}"}, ("image", "")),
        ({"type": "input_audio", "input_audio": {"data": base64.b64encode(WAV).decode()}}, ("audio", "")),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URI}}, ("pdf", "a.pdf")),
    ],
)  # fmt: skip
def test_parts_in_openai_s_form_are_files(part, file):
    (message,) = with_files([Message("user", [part])])
    found = message.content[0]["file"]
    assert (found.kind, found.name) == file


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": File("image", "image/png", data=PNG)},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "text", "text": "Hi"},
        {"type": "input_audio"},
    ],
)
def test_other_parts_stay_as_they_are(part):
    assert with_files([Message("user", [part])])[0].content == [part]


@pytest.mark.parametrize("path", ["/etc/passwd", "file:///etc/passwd", "", None, 5])
@pytest.mark.parametrize("wrap", [
    lambda path: {"type": "image_url", "image_url": {"url": path}},
    lambda path: {"type": "image_url", "image_url": path},
    lambda path: {"type": "file", "file": {"file_data": path}},
])  # fmt: skip
def test_a_message_cannot_name_a_path_on_this_machine(wrap, path):
    with pytest.raises(ConfigurationError, match="URL or a data URI"):
        with_files([Message("user", [wrap(path)])])


# How they reach a service

BASES = {"openai": "/v1", "openai-responses": "/v1", "anthropic": "", "gemini": "", "ollama": "", "cohere": "/v2"}


def client_of(name, sandbox, policy):
    if name not in Client().providers:
        pytest.skip(f"there is no provider {name}")
    return Client(model=name, api_key={name: "sk-test"}, base_url={name: sandbox.url + BASES[name]}, retry=policy)


@pytest.mark.parametrize("provider", BASES)
def test_a_picture_is_sent_in_every_service_s_form(sandbox, policy, provider):
    with client_of(provider, sandbox, policy) as client:
        client.ask("What is this?", files=PNG)
    assert base64.b64encode(PNG).decode() in sandbox.requests[-1].body.decode()


@pytest.mark.parametrize("provider", ["openai", "openai-responses", "anthropic", "gemini"])
def test_a_pdf_is_sent_where_it_is_taken(sandbox, policy, provider):
    with client_of(provider, sandbox, policy) as client:
        client.ask("What is this?", files=PDF)
    assert base64.b64encode(PDF).decode() in sandbox.requests[-1].body.decode()


@pytest.mark.parametrize("provider", ["ollama", "cohere"])
@pytest.mark.parametrize(("content", "kind"), [(PDF, "pdf"), (WAV, "audio")])
def test_what_a_service_does_not_take_is_told_before_anything_is_sent(sandbox, policy, provider, content, kind):
    with client_of(provider, sandbox, policy) as client, pytest.raises(ConfigurationError) as caught:
        client.ask("What is this?", files=content)
    assert f"{provider} does not take {kind} files" in str(caught.value)
    assert sandbox.requests == []


def test_a_site_takes_text_files_as_text_and_no_pictures(client, sandbox, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2")
    parts = [{"type": "text", "text": "Read it."}]
    client.ask([{"role": "system", "content": "Hi"}, {"role": "user", "content": parts}], files=path, model="aichats")
    assert "a.csv:\\na,b\\n1,2" in sandbox.requests[-1].body.decode()
    with pytest.raises(ConfigurationError, match=r"aichats does not take image files .*text only"):
        client.ask("Look", files=PNG, model="aichats")


def test_a_site_is_passed_over_for_a_service_that_takes_pictures(client):
    assert client.ask("Look", files=PNG, model=["aichats", "openai"]).provider == "openai"


def test_a_text_behind_a_url_is_not_fetched(client, sandbox):
    with pytest.raises(ConfigurationError, match="does not take text files"):
        client.ask("Look", files="https://example.com/a.csv", model="aichats")
    with pytest.raises(ConfigurationError, match="pass the bytes of"):
        client.ask("Look", files="https://example.com/a.csv")
    assert sandbox.requests == []


def test_a_file_that_is_too_large_is_told_with_the_limit(client, sandbox):
    with pytest.raises(ConfigurationError, match=r"at most 20,971,520 bytes, and big.pdf has 20,971,521"):
        client.ask("Look", files=File("pdf", "application/pdf", "big.pdf", b"x" * (20 * 2**20 + 1)))
    assert sandbox.requests == []


def test_a_chat_sends_its_files_again_with_the_next_turn(client, sandbox, tmp_path):
    chat = client.chat()
    chat.ask("What is this?", files=PNG)
    loaded = type(chat).load(chat.save(tmp_path / "chat.json"), client=client)
    for asked in (chat, loaded):
        asked.ask("And which colour?")
        content = json.loads(sandbox.requests[-1].body)["messages"][0]["content"]
        assert content[1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_no_files_may_be_told_as_none(client):
    assert client.ask("Hi", files=None).text


def test_a_file_of_no_known_kind_is_told_once(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x00\x01\xff")
    with pytest.raises(ConfigurationError, match=r"^files: a\.bin is not an image"):
        load_file(path)


JUNK = [b"\r\n\r\n", b"\xef\xbb\xbf", b"\x00" * 100, b"HTTP/1.1 200 OK\r\n\r\n\xff", b"\xe2\xe3" * 500]


@pytest.mark.parametrize("junk", JUNK)
def test_a_pdf_can_start_after_some_junk(junk):
    assert load_file(junk + PDF) == File("pdf", "application/pdf", "", junk + PDF)


def test_text_before_a_pdf_header_is_a_pdf_only_by_its_name(tmp_path):
    page = b"Saved by a printer.\n" + PDF
    for name, kind in (("a.pdf", "pdf"), ("a.txt", "text"), ("A.PDF", "pdf")):
        (tmp_path / name).write_bytes(page)
        assert load_file(tmp_path / name).kind == kind


@pytest.mark.parametrize("content", [b"\xff" * 1024 + PDF, b"\xff no pdf"])
def test_a_header_too_far_in_is_not_a_pdf(content):
    with pytest.raises(ConfigurationError, match="not an image, PDF, audio or UTF-8 text"):
        load_file(content)


def test_a_picture_with_a_pdf_in_it_is_a_picture():
    assert load_file(PNG[:60] + PDF).kind == "image"


def data_uri(head, change=lambda text: text):
    return head + "," + change(base64.b64encode(b"\xfb\xff" + PDF).decode())


@pytest.mark.parametrize(
    "uri",
    [
        data_uri("data:application/pdf;base64"),
        data_uri("data:;BASE64"),
        data_uri("data:;base64", lambda text: text.rstrip("=")),
        data_uri("data:;base64", lambda text: text.replace("+", "-").replace("/", "_")),
        data_uri("data:;base64", lambda text: text[:8] + "\r\n " + text[8:]),
        data_uri("data:;base64", lambda text: text.replace("=", "%3D").replace("+", "%2B")),
    ],
)
def test_data_uris_can_have_several_forms(uri):
    assert load_file(uri).data == b"\xfb\xff" + PDF


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heic"
AVIF = b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avif"
REFUSED = {
    "heic": HEIC,
    "avif": AVIF,
    "tiff": b"II*\x00\x08\x00\x00\x00" + b"\xff" * 9,
    "bmp": b"BM\x46\x00\x00\x00\xff\xfe",
}
WEB_ONLY = ("openai", "openai-responses", "anthropic", "azure")


@pytest.mark.parametrize("provider", WEB_ONLY)
@pytest.mark.parametrize("kind", REFUSED)
def test_pictures_a_service_refuses_are_not_sent(provider, kind, tmp_path, sandbox):
    (tmp_path / "a.bin").write_bytes(REFUSED[kind])
    uri = f"data:;base64,{base64.b64encode(REFUSED[kind]).decode()}"
    part = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}]}
    with Client(model=f"{provider}/gpt-6-luna", api_key={provider: "sk-test"}, base_url=sandbox.url) as client:
        for files in (REFUSED[kind], tmp_path / "a.bin", uri, f"https://example.org/a.{kind}"):
            with pytest.raises(ConfigurationError, match=f"image/{kind}.*only gif, jpeg, png, webp") as caught:
                client.ask("Hi", files=files)
            assert caught.value.action == "next"
        with pytest.raises(ConfigurationError, match=f"image/{kind}"):
            client.chat().ask([part])
    assert sandbox.requests == []


@pytest.mark.parametrize("provider", WEB_ONLY)
def test_image_urls_and_unknown_image_types_are_sent(provider, sandbox):
    base = {"openai": "/v1", "openai-responses": "/v1", "azure": "/openai/v1", "anthropic": ""}[provider]
    with Client(model=provider, api_key={provider: "sk-test"}, base_url=sandbox.url + base) as client:
        jpg = File("image", "image/jpg", "a.jpg", b"\xff\xd8\xff")
        client.ask("Hi", files=[PNG, jpg, "https://example.org/picture"], model=f"{provider}/gpt-6-luna")
    assert len(sandbox.requests) == 1


def test_gemini_supports_heic_but_not_gif(sandbox):
    with Client(model="gemini", api_key={"gemini": "sk-test"}, base_url=sandbox.url) as client:
        client.ask("Hi", files=HEIC)
        with pytest.raises(ConfigurationError, match="image/gif"):
            client.ask("Hi", files=b"GIF89a\x01\x00")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_sent_upright(orientation):
    image, ops = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageOps")
    photo = image.new("RGB", (3, 2))
    photo.putpixel((0, 0), (255, 0, 0))
    exif = image.Exif()
    exif[0x0112] = orientation
    taken = io.BytesIO()
    photo.save(taken, "PNG", exif=exif)
    opened = image.open(taken)
    sent = image.open(io.BytesIO(load_file(opened).data))
    assert sent.tobytes() == ops.exif_transpose(opened).tobytes()
    assert sent.getexif().get(0x0112) is None
    # The user's own picture is not altered.
    assert opened.size == (3, 2)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "CMYK", "I;16", "LA", "YCbCr", "RGBa", "HSV"])
def test_pictures_of_all_modes_are_sent(mode):
    image = pytest.importorskip("PIL.Image")
    made = image.new("RGBA", (2, 2)).convert("RGBa") if mode == "RGBa" else image.new(mode, (2, 2))
    assert load_file(made).media_type == "image/png"


def test_a_picture_in_numbers_is_refused():
    image = pytest.importorskip("PIL.Image")
    with pytest.raises(ConfigurationError, match="cannot be saved as PNG"):
        load_file(image.new("F", (2, 2)))
