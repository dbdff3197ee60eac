"""What a reply counts as: strictly its format, nothing searched for."""

from __future__ import annotations

import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.evaluation.cases import Case, read_reply

GRADE = Case(
    "1", "S", "Which grade?", "B", "t", "choice", options=("Well differentiated", "Poorly differentiated")
)
YES = Case("2", "S", "Is there tumour?", "yes", "t", "yes_no")
COUNT = Case("3", "S", "How many?", "1234", "t", "number")


@pytest.mark.parametrize(
    ("case", "reply", "read"),
    [
        *((GRADE, reply, "B") for reply in ("B", "(B)", "B)", "B.", " B\n", "B) Poorly differentiated.")),
        (GRADE, "poorly  differentiated", "B"),
        *(
            (GRADE, reply, None)
            for reply in ("C", "b", "B or A", "The answer is B.", "B) Well differentiated")
        ),
        *(
            (GRADE, reply, None)
            for reply in ("", "Poorly", "A) Well differentiated B) Poorly differentiated")
        ),
        *((YES, reply, "yes") for reply in ("Yes", "yes.", "YES")),
        *((YES, reply, None) for reply in ("Yes, there is.", "y", "Yes no")),
        *((COUNT, reply, "1234") for reply in ("1234", "1,234", "1234.")),
        (COUNT, "12.5 %", "12.5"),
        *((COUNT, reply, None) for reply in ("about 1234", "1,23", "1234 nuclei", "many")),
    ],
)
def test_a_reply_counts_only_in_the_form_asked_for(case: Case, reply: str, read: str | None) -> None:
    assert read_reply(case, reply) == read


def test_a_prompt_lists_the_options_and_says_which_form_is_wanted() -> None:
    assert GRADE.prompt.splitlines() == [
        "Which grade?",
        "A) Well differentiated",
        "B) Poorly differentiated",
        "Answer with the letter of one option alone.",
    ]


@pytest.mark.parametrize(
    ("kind", "answer", "options", "reason"),
    [
        ("choice", "C", ("x", "y"), "is none of the letters A to B"),
        ("choice", "A", ("x", "x"), "two options are the same"),
        ("yes_no", "maybe", (), "is neither yes nor no"),
        ("text", " ", (), "the answer is empty"),
        ("place", "", (), "needs true places"),
    ],
)
def test_a_case_that_cannot_be_scored_says_why(kind: str, answer: str, options: tuple, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Case("1", "S", "Q?", answer, "t", kind, options=options)  # type: ignore[arg-type]
