"""What the user set for this package in napari's Preferences."""

from __future__ import annotations

from typing import Any

from napari.settings import get_plugin_settings

from ..slides.cache import set_cache_size

PLUGIN = "napari-hwsi"
_MIB = 1 << 20


def apply_cache_size() -> None:
    """Bound the cache of decoded tiles as set in Preferences, now and whenever that changes.

    Where napari does not list the plugin, as when the user disabled it, the bound stays as it is.
    """
    settings: Any = get_plugin_settings().get(PLUGIN)
    if settings is not None:
        settings.slides.events.cache_mib.connect(_on_cache_mib)
        set_cache_size(settings.slides.cache_mib * _MIB)


def _on_cache_mib(event: Any) -> None:
    set_cache_size(event.value * _MIB)
