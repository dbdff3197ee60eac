"""Analyse a slide, or a part of it: decompose it and write the result as it goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ..cells import Segmenter, find_segmenter
from ..errors import HwsiError, InputError, SlideError, SlideUnavailableError, StoreError, TissueError
from ..progress import Progress, tell
from ..slides import Slide, open_slide
from ..tissue import TissueMask, measurable_stain, region_grid, tissue_of
from ..units import Box, as_box, intersect
from .estimate import Meter, names_of
from .fusion import fuse_region, fusion
from .hierarchy import Hierarchy, open_result
from .journal import Arrays
from .options import PatchOptions, RegionShape
from .plan import PARTS, Plan, chosen_parts, make_plan
from .profile import Profile, profile_named
from .provenance import run_facts
from .publish import finished, publish
from .regions import encode_region, segment_region
from .store import FUSED, Store
from .verify import find_damage

logger = logging.getLogger(__name__)

_FIRST_PUBLISHED = 4  # regions; until then a killed run's work waits for the next run


def analyze(
    path_or_slide: str | Path | Slide,
    store: str | Path,
    profile: str = "pocket",
    segmenter: str | Segmenter | None = None,
    phrases: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
    box: Sequence[float] | None = None,
    mpp: float | Sequence[float] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    tissue: TissueMask | None = None,
    normalise: str | None = None,
    survivors: int | None = None,
    regions: RegionShape = "square",
) -> Hierarchy:
    """Decompose a slide into regions, patches and cells; write the result region by region.

    Run again, it goes on where it stopped; with other settings it redoes only the parts these
    concern (phrases: nothing but scores; segmenter: the cells).

    path_or_slide: a file or an open :class:`Slide`. store: the folder of the result, by custom
    ``<name>.hwsi.zarr``. profile: choice of encoder, segmenter and phrases. segmenter: another one
    for the cells. phrases: what patches are scored by, in words the encoder understands. parts:
    of 'patches' and 'cells', both where None; the other part stays as it is. box: (y0, x0, y1, x1)
    in level-0 pixels; only regions that meet it are looked at, and are added to what is there.
    mpp: µm per level-0 pixel of a slide that states none. device: of the networks.
    progress: hears of what comes before and of 'regions', and is called within these too, so that raising
    :class:`Cancelled` stops soon; what is finished is kept. tissue: what to analyse instead of what
    :func:`tissue_of` gives, the user's edited mask where there is one; another mask than the last run's
    makes all parts anew. normalise: 'macenko' or 'reinhard' brings the slide's colours to those of a
    reference before the patches are encoded, see :mod:`napari_hwsi.tissue.normalisation`; cells are found
    on the colours as they are. survivors: makes the filter one of two steps: of each square of the grid the
    profile's encoder sees this many patches at most, those that the descriptor finds most unlike one
    another; the others are marked as set aside, see :mod:`.first_step`, and ``result.two_steps`` says what
    that saved and changed. regions: 'adaptive' for regions that are grown within the squares by the likeness
    of their patches, see :mod:`.adaptive`; the filter then keeps patches of each of these.

    Raises SlideError; ResolutionError for a slide without mpp, or too coarse for 0.5 µm/px;
    TissueError for a slide without tissue, or with too little to normalise by; InputError for
    fluorescence, unknown names, weights that are not here, a box off the slide, and a mask of another
    slide; StoreError for a store of another slide, in use, or that cannot be written.
    """
    chosen, wanted = profile_named(profile), chosen_parts(parts)
    options = PatchOptions(normalise, survivors, regions)
    worker = find_segmenter(segmenter or chosen.segmenter, device)
    target = Store(store)
    own = not isinstance(path_or_slide, Slide)
    slide = open_slide(path_or_slide) if not isinstance(path_or_slide, Slide) else path_or_slide
    with slide if own else nullcontext():
        if mpp is not None:
            slide.set_mpp(mpp)
        _decompose(
            slide,
            target,
            chosen,
            worker,
            phrases,
            wanted,
            box,
            progress,
            options,
            tissue=tissue,
            device=device,
        )
    return Hierarchy(target, slide=None if own else slide)


def extend(
    result: Hierarchy,
    box: Sequence[float] | None = None,
    parts: Sequence[str] | None = None,
    segmenter: Segmenter | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Hierarchy:
    """Analyse a further box (the whole slide where None) with the settings of a result, and add it there.

    segmenter: needed where the result was made with one that its name alone does not give.
    Returns the new state of the result. Raises as :func:`analyze` does, and StoreError where what is
    there was made with other settings or by another version: nothing that is there is ever changed.
    """
    now = open_result(result.path, result.slide)
    worker = find_segmenter(segmenter or now.segmenter, device)
    target = Store(result.path)
    wanted = chosen_parts(parts)
    _decompose(
        result.slide,
        target,
        now.profile,
        worker,
        now.phrases,
        wanted,
        box,
        progress,
        now.options,
        standing=now,
        device=device,
    )
    return Hierarchy(target, slide=result.slide)


def _decompose(
    slide: Slide,
    store: Store,
    profile: Profile,
    segmenter: Segmenter,
    phrases: Sequence[str] | None,
    parts: tuple[str, ...],
    box: Sequence[float] | None,
    progress: Progress | None,
    options: PatchOptions,
    standing: Hierarchy | None = None,
    tissue: TissueMask | None = None,
    device: str = "auto",
) -> None:
    """Do the work of :func:`analyze`; of :func:`extend` where there is a standing result to add to."""
    slide.require_mpp()
    place = None if box is None else _on_slide(as_box(box), slide)
    _check_owner(store, slide)
    tell(progress, 0, 1, "looking at the stain")
    stain = measurable_stain(slide)
    grid = region_grid(slide)
    if tissue is None:
        tissue = tissue_of(slide, progress) if standing is None else standing.tissue
    tissue.check(slide)
    if not tissue.mask.any():
        raise TissueError(
            f"There is no tissue on {slide.name}, so there is nothing to analyse. "
            "Check that it is the right file, and that it is H&E."
        )
    tell(progress, 0, 1, "sampling the stain")
    fitted = segmenter.fit(slide, tissue)
    with store.journal.held():
        _check_owner(store, slide)
        damage = find_damage(store, progress) if standing is None and store.exists() else None
        plan = make_plan(store, slide, stain, grid, tissue, profile, fitted, parts, phrases, options, device)
        if standing is not None:
            _check_settings(store, plan)
        started = datetime.now(UTC)
        regions = plan.with_tissue
        if place is not None:
            regions = sorted({*regions} & {*grid.regions_meeting(place)})
        if damage:
            logger.warning("%s is damaged, and made anew there: %s", store.path, damage)
            publish(store, plan, damage=damage)
            regions = sorted({*regions}.union(*(damage.lost[part] for part in parts)))
        meter = Meter(names_of(profile, segmenter.name, options, device), grid, tissue, slide.require_mpp())
        _run(store, plan, slide, fitted, regions, meter, progress)
        _fuse(store, plan, progress)
        store.note_run(started, regions, run_facts(parts, box, device))


def _run(
    store: Store,
    plan: Plan,
    slide: Slide,
    segmenter: Segmenter,
    regions: Sequence[int],
    meter: Meter,
    progress: Progress | None,
) -> None:
    """Finish ``regions`` one after the other and publish them, less and less often as they grow many.

    A region whose pixels cannot be read is left out, with the reason, and tried again by the next run.
    """
    if not store.exists():
        publish(store, plan)
    missing = {part: {*regions} - {*finished(store, plan, part).regions} for part in plan.parts}
    todo = sorted(set().union(*missing.values()))
    published, total = len(regions) - len(todo), len(regions)
    unreadable: dict[int, SlideError] = {}
    try:
        for done, region in enumerate(todo, published):
            tell(progress, done, total, "regions")
            try:
                for part in plan.parts:
                    if region in missing[part]:
                        beat = partial(tell, progress, done, total, "regions", part)
                        with meter.region(part, region):
                            arrays = _compute(part, plan, slide, region, segmenter, beat)
                        store.journal.write(part, plan.keys[part], region, arrays)
            except SlideUnavailableError:
                raise
            except SlideError as error:
                logger.warning("Region %d of %s is left out: %s", region, slide.name, error)
                unreadable[region] = error
            if done + 1 >= max(_FIRST_PUBLISHED, 2 * published):
                publish(store, plan, unreadable)
                published = done + 1
        tell(progress, total, total, "regions")
    except (HwsiError, KeyboardInterrupt) as stop:
        if not isinstance(stop, StoreError):
            publish(store, plan, unreadable)
            meter.keep(store)
        raise
    publish(store, plan, unreadable)
    meter.keep(store)
    if unreadable and len(unreadable) == total:
        raise next(iter(unreadable.values()))


def _fuse(store: Store, plan: Plan, progress: Progress | None) -> None:
    """Fuse the cells of kept patches wherever both parts are there, where the profile does so."""
    state = fusion(store, plan, *(finished(store, plan, part).regions for part in PARTS))
    for done, (region, key) in enumerate(state.missing.items()):
        tell(progress, done, len(state.missing), "regions whose cells are fused")
        store.journal.write(FUSED, key, region, fuse_region(store, plan, region))
    if state.missing:
        publish(store, plan)


def _compute(
    part: str, plan: Plan, slide: Slide, region: int, segmenter: Segmenter, beat: Callable[[], None]
) -> Arrays:
    if part == "patches":
        return encode_region(plan, slide, region, beat)
    return segment_region(plan, slide, region, segmenter, beat)


def _check_owner(store: Store, slide: Slide) -> None:
    if store.exists() and store.owner() != slide.fingerprint:
        raise StoreError(
            f"{store.path} holds the result of another slide, {store.sidecar('slide')['name']}, not of "
            f"{slide.name}. Choose another place for this one."
        )


def _check_settings(store: Store, plan: Plan) -> None:
    """Raise StoreError where publishing would drop what is there, as it was made otherwise."""
    for part in PARTS:
        there = store.sidecar(part)
        if there["regions"] and there["key"] != plan.keys[part]:
            raise StoreError(
                f"The {part} of {store.path} were made with other settings or by another version, so nothing "
                "can be added to them. Give the same segmenter and pixel size, or run analyze anew."
            )


def _on_slide(box: Box, slide: Slide) -> Box:
    common = intersect(box, (0, 0, *slide.shape))
    if common is None:
        raise InputError(
            f"The box {box} lies off {slide.name}, which is {slide.shape[0]} x {slide.shape[1]} px (y, x)."
        )
    return common
