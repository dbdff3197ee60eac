"""What questions are understood to ask for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from napari_hwsi.chat.questions import Ask, Reading, follow_up, read_question


@dataclass(frozen=True)
class Case:
    question: str
    asks: str  # topics in order; a detail after a colon
    unused: tuple[str, ...] = ()
    whole_slide: bool = False
    types: tuple[str, ...] = field(default=())
    phrases: tuple[str, ...] = field(default=())


def spelled(reading: Reading) -> str:
    return ", ".join(f"{ask.topic}:{ask.detail}" if ask.detail else ask.topic for ask in reading.asks)


CASES = (
    Case("How many nuclei are in this view, and where are they densest?", "count, densest"),
    Case("how many cells", "count"),
    Case("Count the nuclei!", "count"),
    Case("number of nuclei in the whole slide", "count", whole_slide=True),
    Case("Please tell me how many nuclei there are per mm² of tissue.", "count, density"),
    Case("What's the cellularity here?", "density"),
    Case("cells/mm²?", "density"),
    Case("How dense is it, and how large are the nuclei?", "density, size"),
    Case("Where is it most crowded? And sparsest?", "densest, sparsest"),
    Case("Where are the fewest nuclei?", "sparsest"),
    Case("where are the nuclei", "densest"),
    Case("What is the average nuclear area?", "size"),
    Case("median diameter of nuclei", "size"),
    Case("Where are the largest nuclei?", "largest"),
    Case("Are the nuclei round or elongated?", "shape"),
    Case("How dark are they?", "stain"),
    Case("How far apart are nuclei?", "spacing", unused=("far",)),
    Case("How much of the view is tissue?", "tissue"),
    Case("How big is this view?", "tissue"),
    Case("How does this view compare with the whole slide?", "compare"),
    Case("Is the density here higher than in the rest of the slide?", "density, compare", unused=("higher",)),
    Case("Which patches were kept, and why?", "kept"),
    Case("What is the resolution?", "resolution"),
    Case("What's in this view?", "summary"),
    Case("Describe this region.", "summary"),
    Case("What can you answer?", "help"),
    Case("What types of nuclei are there?", "types"),
    Case("How many lymphocytes are there?", "types:lymphocyte", types=("lymphocyte", "other")),
    Case("proportion of neoplastic nuclei", "types:neoplastic", types=("neoplastic", "other")),
    Case("Where is fat?", "phrases:fat", phrases=("fat", "blood")),
    Case("Where are the most crowded nuclei?", "densest", phrases=("crowded nuclei",)),
    # What cannot be measured takes its clause with it, and no other.
    Case("Is this cancer?", "refused:cancer"),
    Case("What grade is the tumour?", "refused:grade, refused:tumour"),
    Case("How many mitoses are there?", "refused:mitoses"),
    Case("How many tumor cells are there?", "refused:tumor"),
    Case("How many lymphocytes are there?", "refused:lymphocytes"),
    Case("How large is the tumour?", "refused:tumour"),
    Case("How many nuclei are there, and is there necrosis?", "count, refused:necrosis"),
    Case("How many vessels?", "refused:vessels"),
    Case("How many giraffes are in this view?", "refused:giraffes"),
    Case("How many round nuclei are there?", "refused:round nuclei"),
    Case("How many nuclei are larger than 50 µm²?", "refused:larger than 50"),
    Case("Are psammoma bodies present in the tissue?", "refused:psammoma bodies"),
    Case("Is this normal?", "refused:normal"),
    Case("What kind of tissue is this?", "refused:kind of tissue"),
    Case("Where is the fat?", "refused:fat"),
    # What is not understood is said.
    Case("Where are the giraffes?", "", unused=("giraffes",)),
    Case("Are there any nuclei?", "count"),
    Case("Do you see any nuclei here?", "count"),
    Case("Are there any mitotic nuclei?", "refused:mitotic"),
    Case("What is the maximum nuclear area?", "largest"),
    Case("minimum area of a nucleus", "smallest"),
    Case("What's the total nuclear area?", "total"),
    Case("How large is the largest nucleus?", "size, largest"),
    Case("What is the perimeter of the nuclei?", "perimeter"),
    Case("How much eosin do the nuclei have?", "eosin"),
    Case("How many nuclei are within this view?", "count"),
    Case("What is the distance between nuclei?", "spacing"),
    Case("What is the difference between this view and the whole slide?", "compare", whole_slide=True),
    Case("How many nuclei do you see right now?", "count"),
    # What narrows a clause and cannot be taken into account takes the clause with it, and no other.
    Case("How many nuclei are round?", "limited:how many nuclei are round"),
    Case("How many nuclei are large?", "limited:how many nuclei are large"),
    Case("How many nuclei lie on glass?", "limited:glass"),
    Case("How many nuclei are purple?", "limited:purple"),
    Case("How many nuclei are not in this view?", "limited:not"),
    Case("How many nuclei aren't here?", "limited:arent"),
    Case("How many nuclei lie in the left half of the view?", "limited:left half"),
    Case("How many nuclei have an area of 40 µm²?", "limited:40"),
    Case("How many nuclei lie within 100 µm of the densest place?", "limited:within 100"),
    Case("How many nuclei are outside the view?", "limited:outside"),
    Case(
        "How many nuclei are there, and how large are they in the upper right?", "count, limited:upper right"
    ),
    Case("minimum distance between nuclei?", "limited:minimum"),
    Case("smallest distance between nuclei", "limited:smallest distance between nuclei"),
    Case("What is the average number of nuclei?", "limited:average"),
    Case("What is the maximum elongation?", "limited:maximum"),
    Case("How dark are the largest nuclei?", "limited:how dark are the largest nuclei"),
    Case("How large are nuclei in the densest place?", "limited:how large are nuclei in the densest place"),
    Case("How dark is the darkest nucleus?", "limited:darkest"),
    Case("How large are lymphocytes?", "limited:how large are lymphocytes", types=("lymphocyte", "other")),
    Case("How many purple nuclei or so?", "refused:purple nuclei or so"),
    Case("???", ""),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.question)
def test_understands(case: Case) -> None:
    reading = read_question(case.question, case.types, case.phrases)
    assert spelled(reading) == case.asks
    assert reading.unused == case.unused
    assert reading.whole_slide is case.whole_slide


@pytest.mark.parametrize(
    ("before", "then", "asks"),
    [
        ("How many nuclei are there?", "And where?", "densest"),
        ("How large are they?", "where?", "largest"),
        ("Where are they sparsest?", "where exactly?", "sparsest"),
        ("How many nuclei are there?", "And in the whole slide?", "count"),
        ("How round are nuclei?", "and here?", "shape"),
        ("How many nuclei are there?", "And how dense?", "density"),
        ("How many nuclei are there?", "Why?", ""),
        ("How many nuclei are there?", "And the giraffes here?", ""),
        ("Is this cancer?", "Where?", ""),
    ],
)
def test_follow_ups(before: str, then: str, asks: str) -> None:
    assert spelled(follow_up(read_question(then), read_question(before))) == asks


def test_a_follow_up_about_the_slide_is_about_the_slide() -> None:
    reading = follow_up(read_question("and in the whole slide?"), read_question("How many nuclei?"))
    assert reading == Reading((Ask("count"),), whole_slide=True)
