"""What a run will take is told from what earlier ones took, and never by a guess in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

import napari_hwsi as hwsi
from napari_hwsi.hierarchy import PROFILES, PatchOptions, profile_named
from napari_hwsi.hierarchy import estimate as estimating
from napari_hwsi.hierarchy.estimate import TYPICAL, Estimate, Rate, estimate, known_rates, names_of
from napari_hwsi.slides import Slide, open_slide
from napari_hwsi.tissue import tissue_mask

BOX = (3560, 3560, 3600, 3600)


def ask(
    slide: Slide, store: Path, parts: tuple[str, ...], name: str = "pocket", **options: object
) -> Estimate:
    profile, wanted = profile_named(name), PatchOptions(**options)
    names = names_of(profile, profile.segmenter, wanted, "auto")
    tissue = tissue_mask(slide)
    return estimate(slide, tissue, names, parts, profile, profile.segmenter, wanted, store)


def test_an_estimate_is_of_this_machine_once_something_ran_here(
    slide_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pocket = tmp_path / "r.hwsi.zarr", PROFILES["pocket"]
    key, other = names_of(pocket, pocket.segmenter, PatchOptions(), "auto").values()
    elsewhere = {key: Rate(0.7, 4e4, here=False), other: Rate(6.0, 1.5e6, here=False)}
    monkeypatch.setattr(estimating, "TYPICAL", elsewhere)
    with open_slide(slide_file) as slide:
        before = ask(slide, store, ("patches", "cells"))
        assert before.regions == {"patches": 4, "cells": 4}
        assert (before.here, before.begun, before.fits) == (False, False, True)
        assert before.seconds == pytest.approx(6.7 * before.mm2["cells"])
        assert "another machine" in str(before)
        assert ask(slide, store, ("patches",), "release").seconds is None
        hwsi.analyze(slide, store, parts=["patches"], box=BOX)
        rate = known_rates()[key]
        assert rate.here
        assert rate.seconds > 0 < rate.bytes
        assert not known_rates()[other].here
        after = ask(slide, store, ("patches",))
        assert (after.regions, after.here, after.begun) == ({"patches": 3}, True, True)
        assert after.mm2["patches"] < before.mm2["patches"]
        assert after.seconds == pytest.approx(rate.seconds * after.mm2["patches"])
        assert "this machine" in str(after)
        # what would be made otherwise is all to be made
        assert ask(slide, store, ("patches",), regions="adaptive").regions == {"patches": 4}
        assert ask(slide, store, ("cells",)).regions == {"cells": 4}


def test_words(home: Path) -> None:
    many, area = {"patches": 12}, {"patches": 40.0}
    tight = Estimate(many, area, 7200.0, 5e9, True, False, free=10**10)
    assert not tight.fits
    assert "about 2.0 h and 5.0 GB" in str(tight)
    assert "up to 15.0 GB, and 10.0 GB are free" in str(tight)
    assert "Nothing is left" in str(Estimate({"patches": 0}, {"patches": 0.0}, 0.0, 0.0, True, True, None))
    assert "known once" in str(Estimate(many, area, None, None, True, False, None))
    (home / "rates.json").write_text("{")
    assert known_rates() == dict(TYPICAL)
    assert names_of(PROFILES["release"], "cellvit", PatchOptions(survivors=64), "cuda") == {
        "patches": "patches conch hipt of 64 on cuda",
        "cells": "cells cellvit on cuda",
    }
