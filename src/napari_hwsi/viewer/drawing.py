"""Whether napari waits for the pixels of a move, or draws them when they have been read."""

from __future__ import annotations

import os

from napari.settings import get_settings


def draws_without_waiting() -> bool:
    """Return whether napari's asynchronous rendering is on."""
    return bool(get_settings().experimental.async_)


def draw_without_waiting(on: bool) -> None:
    """Switch napari's asynchronous rendering, for all layers of all its windows, at once.

    It is the setting of Preferences > Experimental, which napari keeps, except while the
    environment variable NAPARI_ASYNC decides it at each start.
    """
    get_settings().experimental.async_ = on


def decided_by_environment() -> bool:
    """Return whether the environment decides how napari starts, so that a switch lasts one session."""
    return "NAPARI_ASYNC" in os.environ
