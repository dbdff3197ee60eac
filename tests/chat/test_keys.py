"""Keys of servers, in a real keyring of the test's own."""

from __future__ import annotations

import pytest

keyring = pytest.importorskip("keyring")
from keyring.backend import KeyringBackend  # noqa: E402
from keyring.errors import PasswordDeleteError  # noqa: E402

from napari_hwsi.chat import KEY_VARIABLE, keep_key, list_models  # noqa: E402
from napari_hwsi.chat.keys import key_of  # noqa: E402


class InMemory(KeyringBackend):
    """A keyring that forgets."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("there is none")


def test_a_key_is_kept_for_its_server_alone(server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    before = keyring.get_keyring()
    keyring.set_keyring(InMemory())
    try:
        host = server.url.removeprefix("http://")
        assert key_of(host) == ("", "")
        keep_key(host, " sesame ")
        assert key_of(host) == ("sesame", "the keyring")
        assert key_of("elsewhere.example:443") == ("", "")
        list_models(server.url)
        assert b"Authorization: Bearer sesame" in server.requests[-1].head
        monkeypatch.setenv(KEY_VARIABLE, "other")
        assert key_of(host) == ("other", KEY_VARIABLE)
        monkeypatch.delenv(KEY_VARIABLE)
        keep_key(host, "")
        keep_key(host, "")
        list_models(server.url)
        assert b"Authorization" not in server.requests[-1].head
    finally:
        keyring.set_keyring(before)
