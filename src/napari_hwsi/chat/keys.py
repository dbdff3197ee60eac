"""Keys of chat servers: from the environment, else from the keyring of the system; kept nowhere else."""

from __future__ import annotations

import os
from types import ModuleType

from ..errors import InputError, MissingDependencyError

KEY_VARIABLE = "HWSI_API_KEY"
"""The environment variable that holds the key of an endpoint; it is read nowhere else."""

_SERVICE = "napari-hwsi"


def key_of(host: str) -> tuple[str, str]:
    """Return the key for a server (host and port) and where it is from, "" and "" where there is none.

    Raises InputError for a key with characters that no key has.
    """
    key, source = os.environ.get(KEY_VARIABLE, "").strip(), KEY_VARIABLE
    if not key and (keyring := _keyring()) is not None:
        from keyring.errors import KeyringError

        try:
            key, source = (keyring.get_password(_SERVICE, host) or "").strip(), "the keyring"
        except KeyringError:  # locked, or there is none to ask
            key = ""
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"The key of {source} holds characters that no key has. Set it anew.")
    return (key, source) if key else ("", "")


def keep_key(host: str, key: str) -> None:
    """Keep the key for a server in the keyring of the system; an empty one is forgotten.

    Raises MissingDependencyError where the package keyring is not installed, InputError where the system has
    no keyring or refuses.
    """
    keyring = _keyring()
    if keyring is None:
        raise MissingDependencyError(
            f"Keys are kept by the package keyring: pip install keyring. Or set {KEY_VARIABLE}."
        )
    from keyring.errors import KeyringError

    try:
        if key.strip():
            keyring.set_password(_SERVICE, host, key.strip())
        elif keyring.get_password(_SERVICE, host) is not None:
            keyring.delete_password(_SERVICE, host)
    except KeyringError as error:
        raise InputError(f"The keyring did not take the key: {error} Set {KEY_VARIABLE} instead.") from error


def _keyring() -> ModuleType | None:
    try:
        import keyring
    except ImportError:
        return None
    return keyring
