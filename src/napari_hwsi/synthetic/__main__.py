"""``python -m napari_hwsi.synthetic PATH``: write a synthetic slide."""

from __future__ import annotations

import argparse
import sys

from ..errors import HwsiError
from ..progress import Step
from .spec import ARTEFACTS, Scanner, SlideSpec
from .write import write_slide


def main() -> int:
    """Read the command line, write the slide, return the exit status."""
    usage = SlideSpec()
    parser = argparse.ArgumentParser(
        prog="python -m napari_hwsi.synthetic", description="Write a synthetic H&E slide."
    )
    parser.add_argument("path", help="the slide to write, .svs or .tif; its truth goes beside it")
    parser.add_argument("--seed", type=int, default=usage.seed)
    parser.add_argument("--shape", type=int, nargs=2, default=usage.shape, metavar=("Y", "X"), help="px")
    parser.add_argument("--mpp", type=float, default=usage.mpp, help="µm per pixel")
    parser.add_argument("--grade", type=int, choices=(1, 2, 3), help="drawn from the seed by default")
    parser.add_argument("--quality", type=int, default=usage.scanner.jpeg_quality, help="JPEG, 1 to 100")
    parser.add_argument("--artefacts", action="store_true", help="pens, folds, bubbles, blur and a coverslip")
    given = parser.parse_args()
    try:
        spec = SlideSpec(
            seed=given.seed,
            shape=(given.shape[0], given.shape[1]),
            mpp=given.mpp,
            grade=given.grade,
            scanner=Scanner(jpeg_quality=given.quality),
            artefacts=ARTEFACTS if given.artefacts else (),
        )
        write_slide(given.path, spec, _show)
    except HwsiError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _show(step: Step) -> None:
    sys.stderr.write(f"\r{step.done}/{step.total} {step.what}" + ("\n" if step.done == step.total else ""))


if __name__ == "__main__":
    sys.exit(main())
