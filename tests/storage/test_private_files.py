"""Files that only their owner can read, replaced atomically."""

from __future__ import annotations

import os
import secrets

import pytest

from aichatkit.storage.private_files import create_private, replacing

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions and symbolic links need POSIX")


@pytest.fixture(autouse=True)
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def permissions(path):
    return path.stat().st_mode & 0o777


def test_a_new_file_is_for_its_owner_only(tmp_path):
    create_private(str(tmp_path / "a"))
    with replacing(tmp_path / "b") as file:
        assert {permissions(path) for path in tmp_path.iterdir()} == {0o600}
        file.write("new")
    assert (tmp_path / "b").read_text(encoding="utf-8") == "new"
    assert permissions(tmp_path / "b") == 0o600
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o640])
def test_a_replaced_file_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "a"
    path.write_text("old", encoding="utf-8")
    path.chmod(mode)
    with replacing(path) as file:
        file.write("new")
    assert (path.read_text(encoding="utf-8"), permissions(path)) == ("new", mode)
    create_private(str(path))
    assert (path.read_text(encoding="utf-8"), permissions(path)) == ("new", mode)


def test_nothing_is_written_through_a_link(tmp_path, monkeypatch):
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0" * 2 * size)
    (tmp_path / "victim").write_text("precious", encoding="utf-8")
    link = tmp_path / f"out.{os.getpid()}-00000000.part"
    link.symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError, match=r"out'$"), replacing(tmp_path / "out"):
        pass
    assert (tmp_path / "victim").read_text(encoding="utf-8") == "precious"
    # A link at the path itself is replaced.
    (tmp_path / "in").symlink_to(tmp_path / "victim")
    with replacing(tmp_path / "in") as file:
        file.write("new")
    assert (tmp_path / "victim").read_text(encoding="utf-8") == "precious"
    assert not (tmp_path / "in").is_symlink()


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError), replacing(tmp_path / "a") as file:
        file.writelines(["half", "\udc80"])
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["old"]


def test_the_error_names_the_path_of_the_caller(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, problem in (
        (tmp_path / "nowhere" / "x.json", FileNotFoundError),
        (tmp_path / "folder", IsADirectoryError),
    ):
        with pytest.raises(problem) as caught, replacing(path) as file:
            file.write("text")
        assert caught.value.filename == str(path)
        assert ".part" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
