"""Saved conversations, found again by their words."""

from __future__ import annotations

import json
import os
import threading
from datetime import datetime, timezone

import pytest

from aichatkit import Chat, search_saved
from aichatkit.storage.archive import write_text


def save(folder, name, *turns, saved="2026-01-02T10:00:00+00:00", **fields):
    """Save a conversation in which user and assistant take turns."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    record = {"aichatkit": 2, "saved": saved, "system": None, "model": None, "options": {}, "messages": messages}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**record, **fields}), encoding="utf-8")
    return path


def names(found):
    return [saved.path.stem for saved in found]


def test_conversations_are_found_by_words_of_any_message(tmp_path):
    save(tmp_path, "dog", "My dog is Rex.", "A good dog.")
    save(tmp_path, "cat", "My cat is Tom.", "A good cat.")
    assert names(search_saved(tmp_path, "rex")) == ["dog"]
    assert names(search_saved(tmp_path, "GOOD CAT")) == ["cat"]
    assert names(search_saved(tmp_path, ["good", "dog"])) == ["dog"]
    assert search_saved(tmp_path, "bird") == []


def test_all_words_are_needed_but_not_in_one_message(tmp_path):
    save(tmp_path, "both", "one", "two")
    save(tmp_path, "half", "one", "three")
    assert names(search_saved(tmp_path, "two one")) == ["both"]


def test_without_words_all_are_listed_the_newest_first(tmp_path):
    save(tmp_path, "old", "a", saved="2026-01-01T00:00:00+00:00")
    save(tmp_path, "new", "b", saved="2026-01-03T00:00:00+00:00")
    # Two hours ahead of UTC, so earlier than it looks.
    save(tmp_path, "middle", "c", saved="2026-01-03T01:00:00+02:00")
    assert names(search_saved(tmp_path)) == ["new", "middle", "old"]


def test_a_find_tells_title_date_place_and_size(tmp_path):
    long = "Tell me\nall about " + "very " * 20 + "old castles in the north of France and their gardens"
    path = save(tmp_path, "castles", long, "They are old.")
    (found,) = search_saved(tmp_path, "castles")
    assert found.path == path
    assert found.title == "Tell me all about very very very very very very very very…"
    assert found.saved == datetime(2026, 1, 2, 10, tzinfo=timezone.utc)
    assert found.snippet == "…very very very very very very very old castles in the north of France and their garden…"
    assert found.messages == 2
    assert str(found).endswith("  castles.json  Tell me all about very very very very very very very very…")


def test_a_title_of_one_long_word_is_cut(tmp_path):
    save(tmp_path, "long", "x" * 100)
    assert search_saved(tmp_path)[0].title == "x" * 59 + "…"


def test_a_short_text_is_its_own_snippet(tmp_path):
    save(tmp_path, "short", "Hello there")
    assert search_saved(tmp_path, "there")[0].snippet == "Hello there"
    assert search_saved(tmp_path)[0].snippet == ""


def test_the_system_s_words_count_as_well(tmp_path):
    save(tmp_path, "pirate", "Hi", system="Talk like a pirate.")
    assert search_saved(tmp_path, "pirate")[0].snippet == "Talk like a pirate."


def test_signs_of_regular_expressions_are_signs(tmp_path):
    save(tmp_path, "price", "It costs $5 (or so).")
    assert names(search_saved(tmp_path, "$5 (or")) == ["price"]
    assert search_saved(tmp_path, ".*") == []


def test_what_is_no_conversation_is_passed_over(tmp_path):
    save(tmp_path, "good", "Hi")
    (tmp_path / "other.json").write_text('{"a": 1}', encoding="utf-8")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    (tmp_path / "newer.json").write_text('{"aichatkit": 99}', encoding="utf-8")
    (tmp_path / "notes.txt").write_text("Hi", encoding="utf-8")
    (tmp_path / "folder.json").mkdir()
    assert names(search_saved(tmp_path, "hi")) == ["good"]


def test_turns_that_somebody_spoilt_are_no_reason_to_fail(tmp_path):
    save(tmp_path, "odd", "Hi", messages=[1, {"role": "assistant", "content": "Ho"}])
    (found,) = search_saved(tmp_path, "ho")
    assert (found.title, found.messages) == ("", 1)


@pytest.mark.parametrize("saved", [None, "yesterday"])
def test_without_a_date_of_its_own_the_file_s_counts(tmp_path, saved):
    path = save(tmp_path, "undated", "Hi", saved=saved)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert search_saved(tmp_path)[0].saved == datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)


def test_a_date_without_a_zone_is_that_of_utc(tmp_path):
    save(tmp_path, "naive", "Hi", saved="2026-01-02T10:00:00")
    assert search_saved(tmp_path)[0].saved == datetime(2026, 1, 2, 10, tzinfo=timezone.utc)


def test_what_was_saved_is_found(client, tmp_path):
    chat = client.chat()
    chat.ask("What is this?", files=[("%PDF-1.4 " + "x" * 20).encode()])
    chat.save(tmp_path / "chat.json")
    assert names(search_saved(str(tmp_path), "this")) == ["chat"]
    assert Chat.load(search_saved(tmp_path)[0].path, client=client).history == chat.history


def test_a_folder_that_is_not_there_is_python_s_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        search_saved(tmp_path / "nowhere")


def test_many_threads_may_write_one_file(tmp_path):
    target = tmp_path / "file.txt"
    texts = [str(number) * 10_000 for number in range(8)]
    threads = [threading.Thread(target=write_text, args=(target, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_text(encoding="utf-8") in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_lone_surrogates_are_written_as_replacement_characters(tmp_path):
    assert write_text(tmp_path / "a.md", "caf\udce9").read_text(encoding="utf-8") == "caf\ufffd"
