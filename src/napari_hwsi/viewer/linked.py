"""Two viewers that look at the same place."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel


class Link:
    """Keeps the cameras of two viewers alike, whichever is moved, until :meth:`cut`."""

    def __init__(self, one: ViewerModel, other: ViewerModel) -> None:
        self._cameras = one.scene.camera, other.scene.camera
        self._following = False
        first, second = self._cameras
        second.center, second.zoom = first.center, first.zoom
        for camera in self._cameras:
            camera.events.center.connect(self._follow)
            camera.events.zoom.connect(self._follow)

    def _follow(self, event: Any) -> None:
        if self._following:  # the other one answers
            return
        first, second = self._cameras
        moved = event.source
        other = second if moved is first else first
        self._following = True
        try:
            other.center, other.zoom = moved.center, moved.zoom
        finally:
            self._following = False

    def cut(self) -> None:
        """Let each go its own way."""
        for camera in self._cameras:
            camera.events.center.disconnect(self._follow)
            camera.events.zoom.disconnect(self._follow)
