from __future__ import annotations

import builtins
import json
import stat

import pytest

from aichatkit import Client
from aichatkit.cli import key_store as keys
from aichatkit.errors import ConfigurationError, UnknownProviderError

keyring = pytest.importorskip("keyring")
from keyring import backend, errors  # noqa: E402 (only where it is installed)
from keyring.backends import fail  # noqa: E402


class Ring(backend.KeyringBackend):
    """A keyring in memory, which can be locked."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.held = {}
        self.locked = False

    def get_password(self, service, username):
        self._check()
        return self.held.get((service, username))

    def set_password(self, service, username, password):
        self._check()
        self.held[service, username] = password

    def delete_password(self, service, username):
        self._check()
        if (service, username) not in self.held:
            raise errors.PasswordDeleteError("not there")
        del self.held[service, username]

    def _check(self):
        if self.locked:
            raise errors.KeyringLocked("locked")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """An empty home, and no keyring."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    return tmp_path / "aichatkit"


@pytest.fixture
def ring(monkeypatch):
    """The system's keyring."""
    made = Ring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: made)
    return made


def test_a_key_is_stored_and_found_again(folder):
    assert keys.store("openai", "sk-secret") == str(folder / "keys.json")
    assert keys.stored("openai") == "sk-secret"
    assert keys.names() == ["openai"]
    assert keys.stored("anthropic") is None


def test_only_its_owner_can_read_the_file(folder):
    keys.store("openai", "sk-secret")
    assert stat.S_IMODE((folder / "keys.json").stat().st_mode) == 0o600


def test_a_file_that_others_can_read_is_not_used(folder):
    keys.store("openai", "sk-secret")
    (folder / "keys.json").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600") as caught:
        keys.stored("openai")
    assert "sk-secret" not in str(caught.value)


def test_a_stored_key_is_replaced_and_removed():
    keys.store("openai", "sk-first")
    keys.store("anthropic", "sk-other")
    keys.store("openai", "sk-second")
    assert keys.stored("openai") == "sk-second"
    assert keys.remove("openai") is True
    assert keys.remove("openai") is False
    assert keys.names() == ["anthropic"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "JSONDecodeError: Expecting"), ("[]", ""), ('{"openai": 7}', ""), ("\udcff", "UnicodeDecodeError: 'utf-8'")],
)
def test_a_damaged_file_is_told_and_not_written_over(folder, content, reason):
    folder.mkdir()
    path = folder / "keys.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"keys\.json") as caught:
        keys.store("openai", "sk-secret")
    assert caught.value.reason.startswith(reason)
    assert bool(caught.value.reason) == bool(reason)
    assert path.read_bytes() == content.encode("utf-8", "surrogateescape")


def test_a_folder_that_cannot_be_written_is_told(folder):
    folder.parent.rmdir()
    folder.parent.write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match=r"keys\.json: cannot be"):
        keys.store("openai", "sk-secret")


def test_a_disk_that_is_full_is_told(monkeypatch, folder):
    def refuse(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys, "write_private", refuse)
    with pytest.raises(ConfigurationError, match="No space left") as caught:
        keys.store("openai", "sk-secret")
    assert caught.value.reason == "OSError: [Errno 28] No space left on device"


def test_who_takes_no_key_is_told_so():
    with pytest.raises(ConfigurationError, match="offline: takes no key"):
        keys.store("offline", "sk-secret")
    with pytest.raises(UnknownProviderError, match="openai"):
        keys.store("opnai", "sk-secret")


def test_a_key_that_cannot_be_one_is_refused_without_showing_it():
    with pytest.raises(ConfigurationError) as caught:
        keys.store("openai", "sk secret\n")
    assert "sk secret" not in str(caught.value)


def test_where_there_is_a_keyring_the_file_holds_no_key(folder, ring):
    assert keys.store("openai", "sk-secret") == "the system keyring"
    assert ring.held == {("aichatkit", "openai"): "sk-secret"}
    assert json.loads((folder / "keys.json").read_text()) == {"openai": None}
    assert keys.stored("openai") == "sk-secret"
    assert keys.remove("openai") is True
    assert ring.held == {}


def test_a_keyring_that_is_locked_leaves_a_new_key_to_the_file(ring):
    ring.locked = True
    assert keys.store("openai", "sk-secret").endswith("keys.json")
    assert keys.stored("openai") == "sk-secret"


def test_a_key_behind_a_locked_keyring_is_an_error_that_says_so(ring):
    keys.store("openai", "sk-secret")
    ring.locked = True
    with pytest.raises(ConfigurationError, match="unlock it") as caught:
        keys.stored("openai")
    assert caught.value.reason == "KeyringLocked: locked"
    with pytest.raises(ConfigurationError, match="unlock it"):
        keys.remove("openai")
    assert keys.names() == ["openai"]


def test_a_key_taken_out_of_the_keyring_by_other_means_is_just_gone(ring):
    keys.store("openai", "sk-secret")
    ring.held.clear()
    assert keys.stored("openai") is None
    assert keys.keys_for("openai") == {}
    assert keys.remove("openai") is True


def test_a_keyring_that_is_no_longer_there_is_told_and_its_key_can_be_forgotten(monkeypatch, ring):
    keys.store("openai", "sk-secret")
    importing = builtins.__import__

    def without(name, *args, **options):
        if name == "keyring":
            raise ImportError(name)
        return importing(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        keys.stored("openai")
    assert keys.remove("openai") is True


def test_the_keys_a_model_needs_are_found(monkeypatch):
    keys.store("openai", "sk-one")
    keys.store("anthropic", "sk-two")
    assert keys.keys_for("openai/gpt-6-sol") == {"openai": "sk-one"}
    assert keys.keys_for(["openai", "anthropic", "offline"]) == {"openai": "sk-one", "anthropic": "sk-two"}
    assert keys.keys_for(None) == {"openai": "sk-one", "anthropic": "sk-two"}
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    assert keys.keys_for(None) == {"anthropic": "sk-two"}


def test_a_key_of_a_provider_that_is_gone_does_no_harm(folder):
    keys.store("openai", "sk-one")
    (folder / "keys.json").write_text('{"openai": "sk-one", "gone-plugin": "sk-two"}')
    assert keys.keys_for(None) == {"openai": "sk-one"}


def test_nothing_stored_looks_nothing_up():
    assert keys.keys_for("whatever/model") == {}
    assert keys.keys_for(None) == {}


def test_a_stored_key_is_sent(sandbox):
    keys.store("openai", "sk-stored")
    url = {"openai": f"{sandbox.url}/v1"}
    with Client(model="openai", api_key=keys.keys_for("openai"), base_url=url) as client:
        client.ask("Hi")
    assert sandbox.requests[0].headers["Authorization"] == "Bearer sk-stored"
