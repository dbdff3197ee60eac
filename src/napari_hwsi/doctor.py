"""What this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, TypeAlias

from .encoders import missing

State: TypeAlias = Literal["ok", "missing", "optional"]

_REQUIRED = (
    "napari",
    "openslide-python",
    "openslide-bin",
    "tifffile",
    "imagecodecs",
    "zarr",
    "dask",
    "scikit-image",
    "pyarrow",
    "shapely",
    "httpx",
    "torch",
)
_QT = ("PyQt6", "PySide6", "PySide6-Essentials")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    subject: what was looked at; state: 'ok', 'missing' (something will not work) or
    'optional' (something more would work with it); detail: what was found; remedy: what to do.
    """

    subject: str
    state: State
    detail: str
    remedy: str = ""


def examine(profile: str = "pocket") -> list[Finding]:
    """Look at versions, devices, display, formats and what a profile needs. Nothing is changed or fetched.

    Raises InputError for a profile nobody knows.
    """
    return [
        Finding("napari-hwsi", "ok", version("napari-hwsi")),
        Finding("Python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        *(_package(name) for name in _REQUIRED),
        qt_binding(),
        _display(),
        _device(),
        _memory(),
        *_segmenters(),
        _choices("Answerers", "chat", "FORMS"),
        _key(),
        Finding(
            "Slide formats",
            "ok",
            "verified on real files: Aperio SVS (JPEG, JPEG 2000), Hamamatsu NDPI, OME-TIFF. Verified on "
            "written files: DICOM, OME-Zarr 0.4 and 0.5, tiled and flat TIFF, Leica SCN, PNG, JPEG, BMP, "
            "WebP. Unverified, as OpenSlide gives them: MIRAX, Ventana, Philips, Trestle, "
            "Sakura, Zeiss",
        ),
        _extra(
            "DICOM",
            "wsidicom",
            "'napari-hwsi[dicom]'",
            "OpenSlide reads it, one file of the folder being given",
        ),
        _extra(
            "Zarr at https://", "aiohttp", "'napari-hwsi[remote]'", "slides of this machine need nothing more"
        ),
        _extra("Zarr at s3://", "s3fs", "s3fs", "slides of this machine need nothing more"),
        *_profile(profile),
    ]


def _profile(name: str) -> list[Finding]:
    """List what a profile lacks here, each with how to get it."""
    lacking = missing(name)
    if not lacking:
        return [Finding(f"Profile {name}", "ok", "all it needs is here")]
    return [
        Finding(f"Profile {name}", "missing", f"{item.name}: {item.purpose}", item.remedy) for item in lacking
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "missing", "not installed", f"pip install {name}")


def _extra(subject: str, name: str, package: str, otherwise: str) -> Finding:
    found = _package(name)
    if found.state == "ok":
        return Finding(subject, "ok", f"{name} {found.detail}")
    return Finding(subject, "optional", f"{name} is not installed; {otherwise}", f"pip install {package}")


def qt_binding() -> Finding:
    """Look for the first of the bindings that napari draws its window with."""
    for name in _QT:
        found = _package(name)
        if found.state == "ok":
            return Finding("Qt", "ok", f"{name} {found.detail}")
    return Finding("Qt", "missing", "no Qt binding: no window can open", "pip install 'napari-hwsi[qt]'")


def has_display() -> bool:
    """Whether a window can open: always true outside Linux."""
    return not sys.platform.startswith("linux") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _display() -> Finding:
    if has_display():
        return Finding("Display", "ok", os.environ.get("DISPLAY") or "native")
    if shutil.which("xvfb-run"):
        return Finding("Display", "ok", "none; the demo draws into Xvfb and saves pictures")
    return Finding(
        "Display", "missing", "none, and no xvfb-run: no window can open", "sudo apt-get install xvfb xauth"
    )


def _device() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding(
            "Device", "missing", f"torch does not load: {error}", "pip install --force-reinstall torch"
        )
    if torch.cuda.is_available():
        return Finding("Device", "ok", f"CUDA, {torch.cuda.get_device_name(0)}")
    if torch.backends.mps.is_available():
        return Finding("Device", "ok", "MPS (Apple)")
    detail = f"CPU, {os.cpu_count()} cores; nothing that ships needs a GPU"
    return Finding(
        "Device", "optional", detail, "for a GPU install the torch build of your CUDA (pytorch.org)"
    )


def _memory() -> Finding:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return Finding("Memory", "ok", "not told by this system")
    return Finding("Memory", "ok", f"{total:.0f} GiB")


def _choices(subject: str, room: str, names: str) -> Finding:
    """List what a room of the package offers, where it loads."""
    try:
        offered = getattr(import_module(f".{room}", __package__), names)
    except ImportError as error:
        return Finding(subject, "missing", f"do not load: {error}", "install what is missing above")
    return Finding(subject, "ok", ", ".join(offered))


def _segmenters() -> list[Finding]:
    """List the segmenters, what each needs and lacks, and what of it was never seen to work."""
    found = [_choices("Segmenters", "cells", "segmenters")]
    if found[0].state == "missing":
        return found
    offers = import_module(".cells", __package__).segmenters
    for name, offer in offers.items():
        lacking = offer.lacking() or ""
        words = f"needs {offer.needs}" + (f"; unverified: {offer.unverified}" if offer.unverified else "")
        found.append(Finding(f"Segmenter {name}", "optional" if lacking else "ok", words, lacking))
    return found


def _key() -> Finding:
    if os.environ.get("HWSI_API_KEY"):
        return Finding("Endpoint key", "ok", "HWSI_API_KEY is set")
    return Finding(
        "Endpoint key",
        "optional",
        "HWSI_API_KEY is not set; local servers need none",
        "export HWSI_API_KEY=… for a server that asks for one",
    )
