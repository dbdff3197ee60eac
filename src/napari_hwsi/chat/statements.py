"""Sentences about the facts of a view, each followed by the places it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TypeAlias

from ..cells import unverified
from ..evidence import Evidence, ScaleName
from ..units import Box, box_size_um
from .facts import AREA, DIAMETER, ELONGATION, EOSIN, PERIMETER, SPACING, STAIN, Facts, Nucleus, PatchPlace
from .places import Place
from .questions import Ask
from .vocabulary import Topic

Statement: TypeAlias = str | Evidence

CAN_TELL = (
    "It can tell how many nuclei there are and how dense, where they are densest and sparsest, how large, "
    "round, dark and far apart they are, how much tissue there is, which patches were kept and why, "
    "and how this compares with the whole slide."
)
_MOST_OUTLINED = 32
_ABOUT_NUCLEI: frozenset[Topic] = frozenset(
    ("count", "densest", "sparsest", "density", "largest", "smallest", "size", "shape", "stain", "spacing",
     "total", "perimeter", "eosin", "types", "compare")
)  # fmt: skip

_NEEDS_NOTHING: frozenset[Topic] = frozenset(
    ("tissue", "resolution", "help", "refused", "limited", "unclear")
)  # fmt: skip


def state(facts: Facts, ask: Ask) -> Iterator[Statement]:
    """Yield the sentences that answer one thing asked for, each followed by its evidence."""
    if facts.nothing_analysed and ask.topic not in _NEEDS_NOTHING:
        yield "Nothing of this slide is analysed yet; run analyze, or ask about a view."
    elif ask.topic in _ABOUT_NUCLEI and not facts.view.n_nuclei:
        yield from _no_nuclei(facts)
    else:
        yield from _STATEMENTS[ask.topic](facts, ask.detail)


def _no_nuclei(facts: Facts) -> Iterator[Statement]:
    view = facts.view
    if view.tissue_mm2 == 0:
        yield f"There is no tissue in {facts.place}, and so no nuclei."
    elif view.analysed_mm2 == 0:
        yield f"The nuclei of {facts.place} are not analysed, so nothing is known of them."
        return
    else:
        yield f"No nuclei were found in {facts.name}, in {area(view.analysed_mm2)} of tissue."
    yield _of_view(facts, 0, "no nuclei")


def _count(facts: Facts, _: str) -> Iterator[Statement]:
    n = facts.view.n_nuclei
    yield f"There {'is' if n == 1 else 'are'} {nuclei(n)} in {facts.name}."
    yield _of_view(facts, n, f"{nuclei(n)} counted, by their centroids")


def _density(facts: Facts, _: str) -> Iterator[Statement]:
    view = facts.view
    if view.per_mm2 is None:
        yield f"There is no tissue in {facts.name} to relate its {nuclei(view.n_nuclei)} to."
        return
    yield (
        f"The density in {facts.name} is {number(view.per_mm2)} nuclei per mm² of tissue "
        f"({nuclei(view.n_nuclei)} in {area(view.analysed_mm2)})."
    )
    yield _of_view(facts, view.per_mm2, f"{number(view.per_mm2)} nuclei per mm² of tissue")


def _densest(facts: Facts, _: str) -> Iterator[Statement]:
    yield from _ranked("densest", facts.densest, facts)


def _sparsest(facts: Facts, _: str) -> Iterator[Statement]:
    if facts.sparsest:
        yield from _ranked("sparsest", facts.sparsest, facts)
    else:
        yield f"No place of patch size in {facts.name} is mostly tissue, so none is called sparse."


def _ranked(word: str, places: tuple[Place, ...], facts: Facts) -> Iterator[Statement]:
    first, *others = places
    height, width = box_size_um(first.box, facts.mpp)
    text = (
        f"The nuclei are {word} at {where(first)}: {first.n_nuclei:,} in {height:.0f} × {width:.0f} µm, "
        f"which is {number(first.per_mm2)} per mm²"
    )
    if others:
        text += f"; next {_listed([f'{place.n_nuclei:,} at {where(place)}' for place in others])}"
    yield f"{text}."
    for rank, place in enumerate(places, 1):
        note = f"{word} place {rank}: {nuclei(place.n_nuclei)}, {number(place.per_mm2)} per mm²"
        yield Evidence("patch", place.box, place.per_mm2, "measurement", note)


def _largest(facts: Facts, _: str) -> Iterator[Statement]:
    yield from _by_size("largest", facts.largest)
    yield "The largest outlines may be nuclei that touch and were not told apart."


def _smallest(facts: Facts, _: str) -> Iterator[Statement]:
    yield from _by_size("smallest", facts.smallest)
    yield "The smallest outlines may be fragments, or nuclei cut at the edge of the section."


def _by_size(word: str, found: tuple[Nucleus, ...]) -> Iterator[Statement]:
    sizes = _listed([number(nucleus.area_um2) for nucleus in found])
    subject = "nucleus measures" if len(found) == 1 else f"{len(found)} nuclei measure"
    yield f"The {word} {subject} {sizes} µm²."
    for nucleus in found:
        note = f"{word}: a nucleus of {number(nucleus.area_um2)} µm²"
        yield Evidence("cell", nucleus.box, nucleus.area_um2, "measurement", note)


def _size(facts: Facts, _: str) -> Iterator[Statement]:
    diameter = facts.view.spread(DIAMETER)
    as_wide = f", as wide as a circle of {number(diameter.median)} µm" if diameter else ""
    yield from _spread(facts, AREA, "area", "The median nuclear area is {} µm²{}" + as_wide + ".")


def _total(facts: Facts, _: str) -> Iterator[Statement]:
    spread = facts.view.spread(AREA)
    assert spread is not None  # every segmenter's outlines are measured
    text = area(spread.total * 1e-6)
    yield f"The outlines of the {nuclei(spread.n)} in {facts.name} cover {text} together."
    yield _of_view(facts, spread.total, f"total area of {nuclei(spread.n)}: {number(spread.total)} µm²")


def _perimeter(facts: Facts, _: str) -> Iterator[Statement]:
    yield from _spread(facts, PERIMETER, "perimeter", "The median nuclear perimeter is {} µm{}.")


def _shape(facts: Facts, _: str) -> Iterator[Statement]:
    sentence = "The median nucleus is {} times as long as wide{}; 1 is round."
    yield from _spread(facts, ELONGATION, "elongation", sentence)


def _stain(facts: Facts, _: str) -> Iterator[Statement]:
    sentence = "The median haematoxylin of nuclei is {} in optical density{}."
    yield from _spread(facts, STAIN, "haematoxylin", sentence)


def _eosin(facts: Facts, _: str) -> Iterator[Statement]:
    sentence = "The median eosin of nuclei is {} in optical density{}."
    yield from _spread(facts, EOSIN, "eosin", sentence)


def _spacing(facts: Facts, _: str) -> Iterator[Statement]:
    sentence = "The median distance of a nucleus to its nearest neighbour is {} µm{}."
    yield from _spread(facts, SPACING, "distance to the nearest neighbour", sentence)


def _spread(facts: Facts, measure: str, name: str, sentence: str) -> Iterator[Statement]:
    spread = facts.view.spread(measure)
    if spread is None:
        yield f"The {name} of these nuclei was not measured in this result."
        return
    half = f" (the middle half lies between {number(spread.low)} and {number(spread.high)})"
    yield sentence.format(number(spread.median), half)
    yield _of_view(facts, spread.median, f"median {name} of {nuclei(spread.n)}: {number(spread.median)}")


def _types(facts: Facts, name: str) -> Iterator[Statement]:
    types, n = facts.view.types, facts.view.n_nuclei
    if not facts.view.typed:
        yield "The segmenter of this result does not tell types of nuclei apart."
        return
    named = {name: types[name]} if name else dict(sorted(types.items(), key=lambda item: -item[1]))
    shares = [f"{count:,} {kind} ({count / n:.0%})" for kind, count in named.items()]
    yield f"Of the {nuclei(n)} in {facts.name}, the segmenter calls {_listed(shares)}."
    for kind, count in named.items():
        yield _of_view(facts, count, f"{count:,} of {nuclei(n)} are called {kind}")
    if doubt := unverified(facts.result.segmenter):
        yield doubt


def _tissue(facts: Facts, _: str) -> Iterator[Statement]:
    view = facts.view
    height, width = box_size_um(facts.box, facts.mpp)
    share = view.tissue_mm2 / view.area_mm2
    yield (
        f"{facts.place.capitalize()} measures {number(height)} × {number(width)} µm "
        f"({area(view.area_mm2)}); {area(view.tissue_mm2)} of it, {share:.0%}, is tissue."
    )
    note = f"{area(view.tissue_mm2)} of tissue, {share:.0%} of the area"
    yield _of_view(facts, view.tissue_mm2, note, facts.box)


def _compare(facts: Facts, _: str) -> Iterator[Statement]:
    view, slide = facts.view, facts.slide
    if view.n_nuclei == slide.n_nuclei:
        yield (
            f"All {nuclei(slide.n_nuclei)} analysed on this slide lie in {facts.name}: "
            "there is nothing else to compare it with."
        )
        return
    if view.per_mm2 is not None and slide.per_mm2 is not None:
        yield (
            f"The nuclei of {facts.name} are {times(view.per_mm2, slide.per_mm2)} as dense as those of all "
            f"analysed tissue of the slide ({number(view.per_mm2)} against {number(slide.per_mm2)} per mm²)."
        )
        yield _of_view(facts, view.per_mm2, f"{number(view.per_mm2)} nuclei per mm² of tissue")
        yield _of_slide(facts, slide.per_mm2, f"{number(slide.per_mm2)} nuclei per mm² of tissue")
    here, there = view.spread(AREA), slide.spread(AREA)
    if here and there:
        yield (
            f"Their median area is {times(here.median, there.median)} that of the slide "
            f"({number(here.median)} against {number(there.median)} µm²)."
        )
        yield _of_view(facts, here.median, f"median nuclear area {number(here.median)} µm²")
        yield _of_slide(facts, there.median, f"median nuclear area {number(there.median)} µm²")


def _kept(facts: Facts, _: str) -> Iterator[Statement]:
    patches = facts.patches
    if not patches.n:
        yield f"No patch of {facts.name} is analysed."
        return
    yield (
        f"{patches.n_kept:,} of the {patches.n:,} patches that meet {facts.name} are kept; "
        f"{patches.n_valid:,} hold enough tissue to take part."
    )
    if facts.phrases:
        relevant = f"relevant to the phrases are kept: {_listed([f'“{phrase}”' for phrase in facts.phrases])}"
    else:
        relevant = "like the first one picked are kept: it stands in for phrases, of which there are none"
    yield (
        "In each region the patches that differ most from one another are picked first, "
        f"and of those the ones most {relevant}."
    )
    if patches.n_kept > _MOST_OUTLINED:
        yield f"The {_MOST_OUTLINED} most relevant of them are outlined."
    for place in patches.kept[:_MOST_OUTLINED]:
        yield _patch(place, f"kept: relevance {number(place.score)}")


def _phrases(facts: Facts, phrase: str) -> Iterator[Statement]:
    if not facts.phrases:
        yield "This result was made without phrases, so its patches are not scored for any."
    for each in (phrase,) if phrase else facts.phrases:
        best = facts.best_patches(each)
        if not best:
            yield f"No patch of {facts.name} holds enough tissue to be scored for “{each}”."
            continue
        yield (
            f"Most like “{each}” is the patch at {where(best[0])} (cosine {best[0].score:.2f}); "
            "that is likeness in colour and texture, not a finding."
        )
        for place in best:
            yield _patch(place, f"“{each}”: cosine {place.score:.2f}")


def _resolution(facts: Facts, _: str) -> Iterator[Statement]:
    y, x = facts.mpp
    yield (
        f"The slide is scanned at {y:.4g} × {x:.4g} µm per pixel (y, x), about {10 / max(y, x):.0f}x; "
        f"{facts.place} is {facts.box[2] - facts.box[0]:,} × {facts.box[3] - facts.box[1]:,} of its pixels."
    )
    yield _of_view(facts, max(y, x), f"{max(y, x):.4g} µm per pixel", facts.box)


def _summary(facts: Facts, _: str) -> Iterator[Statement]:
    topics: tuple[Topic, ...] = ("tissue", "count", "density", "densest", "size", "shape")
    if not facts.view.n_nuclei:
        topics = ("tissue", "count")
    for topic in topics:
        yield from state(facts, Ask(topic))


def _help(facts: Facts, _: str) -> Iterator[Statement]:
    yield f"This answerer measures. {CAN_TELL}"


def _refused(facts: Facts, words: str) -> Iterator[Statement]:
    yield f"This answerer only measures, and no measurement here can tell about: {words}."
    yield CAN_TELL


def _limited(facts: Facts, words: str) -> Iterator[Statement]:
    yield f"This answerer cannot take into account: {words}. It measures all of a view, or of the slide."
    yield CAN_TELL


def _unclear(facts: Facts, _: str) -> Iterator[Statement]:
    yield (
        "This answerer did not understand the question: it reads English only, and knows few words. "
        "Ask, for example: How many nuclei are in this view?"
    )
    yield CAN_TELL


_STATEMENTS: Mapping[Topic, Callable[[Facts, str], Iterator[Statement]]] = {
    "count": _count,
    "densest": _densest,
    "sparsest": _sparsest,
    "density": _density,
    "largest": _largest,
    "smallest": _smallest,
    "size": _size,
    "total": _total,
    "perimeter": _perimeter,
    "shape": _shape,
    "stain": _stain,
    "eosin": _eosin,
    "spacing": _spacing,
    "types": _types,
    "tissue": _tissue,
    "compare": _compare,
    "kept": _kept,
    "phrases": _phrases,
    "resolution": _resolution,
    "summary": _summary,
    "help": _help,
    "refused": _refused,
    "limited": _limited,
    "unclear": _unclear,
}


def number(value: float) -> str:
    """Return a measurement with three significant figures, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{Decimal(f'{value:.2e}'):f}"


def area(mm2: float) -> str:
    """Return an area in words, in µm² where mm² would begin with zeros."""
    return f"{number(mm2 * 1e6)} µm²" if 0 < mm2 < 0.01 else f"{number(mm2)} mm²"


def nuclei(n: int) -> str:
    """Return a count of nuclei in words."""
    return "1 nucleus" if n == 1 else f"{n:,} nuclei"


def times(value: float, reference: float) -> str:
    """Return a ratio in words."""
    return f"{value / reference:.2f} times"


def where(place: Place | PatchPlace) -> str:
    """Return a place as level-0 pixels."""
    y0, x0, y1, x1 = place.box
    return f"y {y0:,}–{y1:,}, x {x0:,}–{x1:,} px"


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _of_view(facts: Facts, score: float, note: str, box: Box | None = None) -> Evidence:
    """Return the view, or what is analysed of the slide, as evidence; box: where it is another place."""
    scale: ScaleName = "slide" if facts.whole else "region"
    analysed = facts.analysed_box if facts.whole else None
    return Evidence(scale, box or analysed or facts.box, score, "measurement", note)


def _of_slide(facts: Facts, score: float, note: str) -> Evidence:
    box = facts.analysed_box or facts.slide.box
    return Evidence("slide", box, score, "measurement", f"all analysed tissue: {note}")


def _patch(place: PatchPlace, note: str) -> Evidence:
    note = f"{note}, region {place.region}, patch {place.patch}"
    return Evidence("patch", place.box, place.score, "filter", note)
