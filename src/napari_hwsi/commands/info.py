"""The command ``napari-hwsi info``: what a slide file or a result holds."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import SUFFIX, command, icc, mpp, place
from .terminal import by, print_json, show, tissue_words


def add(commands: Any) -> None:
    """Describe the command."""
    info = command(commands, "info", run, "what a slide file or a result (.hwsi.zarr) holds")
    info.add_argument("slide", type=place)
    info.add_argument(
        "--verify",
        action="store_true",
        help="read all of a result against its checksums; the exit status is 1 where one does not fit",
    )
    info.add_argument("--backend", help="what reads the file; default: the first that can")
    mpp(info)
    icc(info)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    if str(options.slide).endswith(SUFFIX):
        return _info_of_result(options)
    from ..slides import open_slide
    from ..tissue import is_edited, stain_kind

    with open_slide(options.slide, mpp=options.mpp, backend=options.backend, icc=options.icc) as slide:
        facts = {
            "name": slide.name,
            "shape_px": slide.shape,
            "mpp": slide.mpp,
            "mpp_source": slide.mpp_source,
            "vendor": slide.vendor,
            "backend": slide.backend,
            "levels_px": slide.level_shapes,
            "bounds_px": slide.bounds,
            "picture": stain_kind(slide),
            "tissue": tissue_words(is_edited(slide)),
            "associated_images": list(slide.associated_images),
            "icc_profile": slide.icc_profile_name,
            "icc_used": slide.icc,
            "fingerprint": slide.fingerprint,
            "not_opened_by": slide.refused,
        }
    if options.json:
        print_json(facts)
    else:
        print(f"{facts['name']}: {facts['picture']}, {facts['vendor']}, read by {facts['backend']}")
        print(f"  size (y, x):  {by(slide.shape)} px, levels {', '.join(map(by, slide.level_shapes))}")
        origin = (
            f"{by(slide.mpp)} µm, from the {slide.mpp_source}" if slide.mpp else "unknown, give it with --mpp"
        )
        print(f"  pixel (y, x): {origin}")
        print(f"  scanned part (y0, x0, y1, x1): {', '.join(map(str, slide.bounds))}")
        print(f"  tissue:       {facts['tissue']}")
        print(f"  associated images: {', '.join(slide.associated_images) or 'none'}")
        use = "all pixels converted to sRGB by it" if slide.icc else "not used; --icc converts by it"
        print(
            f"  colour profile: {f'{slide.icc_profile_name} ({use})' if slide.icc_profile_name else 'none'}"
        )
        print(f"  fingerprint:  {slide.fingerprint}")
        for backend, reason in slide.refused.items():
            print(f"  not read by {backend}: {reason}")
    return 0


def _info_of_result(options: argparse.Namespace) -> int:
    from ..batch.worker import counts
    from ..hierarchy import find_damage, open_result

    damage = find_damage(options.slide) if options.verify else None
    if damage:
        remedy = "analyse the slide again: what is damaged is made anew, the rest is kept"
        show(options, {"result": str(options.slide), "damaged": damage.found, "remedy": remedy})
        return 1
    result = open_result(options.slide)
    facts = {name: result.facts[name] for name in ("format_version", "fingerprint", "software")}
    names = ("profile", "encoder", "segmenter", "normalisation", "phrases")
    made = {name: getattr(result, name) for name in names} | {"profile": result.profile.name}
    checked = "all fit" if options.verify else "not looked at; --verify does"
    slide = {"result": str(result.path), "slide": result.slide_facts["name"]}
    show(options, slide | made | counts(result) | facts | {"checksums": checked})
    return 0
