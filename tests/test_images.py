"""Pictures in an answer: text that names them, and the bytes behind it."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest

from aichatkit import BadResponseError, ConfigurationError, ImageResponse, RetryPolicy, Timeout
from aichatkit.images import data_uri, image_type

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
URL = "https://example.org/cat.png"

#: First bytes of each kind, its media type, its extension.
KINDS = [
    (PNG, "image/png", ".png"),
    (JPEG, "image/jpeg", ".jpg"),
    (b"GIF87a....", "image/gif", ".gif"),
    (b"GIF89a....", "image/gif", ".gif"),
    (b"BM........", "image/bmp", ".bmp"),
    (b"II*\x00......", "image/tiff", ".tif"),
    (b"MM\x00*......", "image/tiff", ".tif"),
    (b"\x00\x00\x01\x00......", "image/x-icon", ".ico"),
    (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp", ".webp"),
    (b"\x00\x00\x00\x20ftypavif....", "image/avif", ".avif"),
    (b"\x00\x00\x00\x20ftypavis....", "image/avif", ".avif"),
    (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml", ".svg"),
    (b'\n<?xml version="1.0"?>\n<svg/>', "image/svg+xml", ".svg"),
]


def held(content=PNG, **fields):
    return ImageResponse([data_uri(content)], **fields)


@pytest.mark.parametrize(("content", "kind", "extension"), KINDS)
def test_a_picture_s_kind_is_told_by_its_bytes(content, kind, extension):
    assert image_type(content) == (kind, extension)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"RIFF\x10\x00\x00\x00WAVEfmt ", b'<?xml version="1.0"?><rss/>', b"\x89PNG"]
)
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(BadResponseError, match="not an image"):
        image_type(content)


def test_it_is_text_that_names_the_picture_by_its_url():
    picture = ImageResponse([URL], alt="a cat")
    assert isinstance(picture, str)
    assert picture == f"![a cat]({URL})"
    assert (picture.images, picture.urls, picture.alt) == ([URL], [URL], "a cat")


def test_data_is_named_by_a_placeholder():
    picture = ImageResponse([data_uri(PNG), data_uri(JPEG)], alt="a cat")
    assert picture == "![a cat](image-1)\n![a cat](image-2)"
    assert picture.urls == []


def test_where_the_url_of_held_data_is_known_the_text_has_it():
    picture = held(urls=[URL])
    assert picture == f"![]({URL})"
    assert picture.urls == [URL]
    assert picture.images == [data_uri(PNG)]


def test_what_the_user_asked_for_cannot_break_the_markdown():
    assert ImageResponse([URL], alt="a [cat]\n(black)") == f"![a (cat) (black)]({URL})"
    assert len(ImageResponse([URL], alt="x" * 5000)) < 300


def test_a_notebook_is_shown_the_picture_itself():
    assert held(alt="a cat")._repr_mimebundle_() == {"image/png": base64.b64encode(PNG).decode()}


def test_a_notebook_is_shown_the_address_where_no_more_is_held_and_nothing_that_is_no_picture():
    shown = ImageResponse([URL + '"><script>', "javascript:alert(1)"], alt="<a> cat")._repr_mimebundle_()["text/html"]
    assert f'src="{URL}&quot;&gt;&lt;script&gt;" alt="&lt;a&gt; cat"' in shown
    assert "javascript" not in shown


def test_bytes_of_held_data_come_without_a_request():
    assert held().bytes() == PNG


def test_data_may_be_written_with_percent_signs():
    assert ImageResponse(["data:image/svg+xml,%3Csvg/%3E"]).bytes() == b"<svg/>"


@pytest.mark.parametrize("body", ["abcde", "?", "\N{LATIN SMALL LETTER E WITH ACUTE}abc"])
def test_damaged_data_is_told(body):
    with pytest.raises(BadResponseError, match="damaged") as caught:
        ImageResponse([f"data:image/png;base64,{body}"]).bytes()
    assert caught.value.__context__ is None


def test_bytes_of_a_url_are_fetched():
    asked = []
    picture = ImageResponse([URL, URL + "?2"], fetch=lambda url: asked.append(url) or PNG)
    assert picture.bytes(1) == PNG
    assert asked == [URL + "?2"]


def test_there_are_no_more_pictures_than_there_are():
    with pytest.raises(IndexError):
        held().bytes(1)


@pytest.mark.parametrize(
    ("content", "given", "written"),
    [
        (PNG, "cat", "cat.png"),
        (PNG, "cat.png", "cat.png"),
        (PNG, "cat.jpg", "cat.png"),
        (PNG, "cat.jpeg", "cat.png"),
        (JPEG, "cat.png", "cat.jpg"),
        (JPEG, "cat.jpeg", "cat.jpeg"),
        (JPEG, "cat.JPG", "cat.JPG"),
        (JPEG, "cat.webp", "cat.jpg"),
        (PNG, "my.cat.v2", "my.cat.v2.png"),
    ],
)
def test_a_picture_is_saved_with_the_extension_of_what_came(tmp_path, content, given, written):
    assert held(content).save(tmp_path / given) == [tmp_path / written]
    assert (tmp_path / written).read_bytes() == content


@pytest.mark.parametrize("path", [None, 5, "", "a\0.png", b"a.png"])
def test_a_path_that_is_none_is_refused_before_a_picture_is_downloaded(path):
    downloaded = []
    picture = ImageResponse([URL], fetch=lambda url: downloaded.append(url) or PNG)
    with pytest.raises(ConfigurationError, match="save: must be the path of a file, not"):
        picture.save(path)
    assert downloaded == []


def test_more_pictures_are_numbered(tmp_path):
    paths = ImageResponse([data_uri(PNG), data_uri(JPEG), data_uri(PNG)]).save(str(tmp_path / "cat.png"))
    assert [path.name for path in paths] == ["cat.png", "cat-2.jpg", "cat-3.png"]
    assert paths[1].read_bytes() == JPEG


def test_it_pickles_with_its_data_and_without_its_client():
    again = pickle.loads(pickle.dumps(held(alt="a cat", urls=[URL], fetch=lambda url: PNG)))
    assert (again, again.alt, again.urls, again.bytes()) == (f"![a cat]({URL})", "a cat", [URL], PNG)


def test_a_url_whose_client_is_gone_says_so():
    with pytest.raises(ConfigurationError, match="only known by its URL"):
        copy.deepcopy(ImageResponse([URL], fetch=lambda url: PNG)).bytes()


def test_pictures_can_be_joined_into_one_response():
    both = ImageResponse([URL], alt="a cat", fetch=lambda url: PNG).joined([held(JPEG)])
    assert both == f"![a cat]({URL})\n![a cat](image-2)"
    assert (both.bytes(0), both.bytes(1)) == (PNG, JPEG)


def test_pictures_that_are_joined_keep_their_own_names():
    both = held(JPEG).joined([ImageResponse([URL], fetch=lambda url: PNG)])
    again = pickle.loads(pickle.dumps(both))
    assert both == again == f"![](image-1)\n![]({URL})"
    assert both.urls == again.urls == [URL]
    assert both.bytes(1) == PNG


def test_a_data_uri_has_the_real_type():
    assert data_uri(JPEG) == f"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}"


def test_an_image_is_asked_for_and_downloaded(client, tmp_path):
    picture = client.image("a cat", model="aichats/dalle")
    assert picture.alt == "a cat"
    assert picture.startswith("![a cat](http")
    assert "base64" not in picture
    (path,) = picture.save(tmp_path / "cat")
    assert image_type(path.read_bytes())[1] == path.suffix


def test_a_picture_may_be_saved_after_the_time_of_its_call(client, sandbox, tmp_path):
    now = [0.0]
    policy = RetryPolicy(clock=lambda: now[0])
    picture = client.image("a cat", model="openai/dall-e-of-old", timeout=Timeout(total=5), retry=policy)
    now[0] += 60
    assert picture.save(tmp_path / "cat")


def test_a_stream_stays_one_of_text_when_a_model_draws(client):
    with client.stream("a cat", model="aichats/dalle") as stream:
        chunks = list(stream)
    assert [type(chunk) for chunk in chunks] == [ImageResponse]
    assert stream.reply.text == "".join(chunks)
    assert stream.reply.images == chunks[0].images


def test_a_model_that_only_talks_is_told_with_what_it_said(client):
    with pytest.raises(BadResponseError, match="openai: the answer has only text") as caught:
        client.image("a cat")
    assert caught.value.partial
    assert caught.value.provider == "openai"
