from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from aichatkit.cli.paths import config_folder, data_folder, write_private


def test_folders_follow_the_users_own_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "kept"))
    assert config_folder() == tmp_path / "settings" / "aichatkit"
    assert data_folder() == tmp_path / "kept" / "aichatkit"


@pytest.mark.parametrize("given", ["", "settings"])
def test_without_a_usable_setting_they_lie_at_home(monkeypatch, tmp_path, given):
    monkeypatch.setenv("XDG_CONFIG_HOME", given)
    monkeypatch.setenv("XDG_DATA_HOME", given)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert config_folder() == tmp_path / ".config" / "aichatkit"
    assert data_folder() == tmp_path / ".local" / "share" / "aichatkit"


def test_on_windows_they_lie_where_programs_keep_theirs(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path / "Roaming"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert config_folder() == tmp_path / "Roaming" / "aichatkit"
    assert data_folder() == tmp_path / "Local" / "aichatkit"


def test_what_is_written_only_its_owner_can_read(tmp_path):
    before = os.umask(0)
    try:
        write_private(tmp_path / "new" / "file", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "file").read_text() == "text"
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_file_that_is_there_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("a longer text of before")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_what_an_interrupted_writer_left_is_no_obstacle(tmp_path):
    (tmp_path / f"file.{os.getpid()}.part").write_text("half")
    write_private(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
