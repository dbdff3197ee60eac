"""The command ``napari-hwsi ask``: a question about a slide or a result."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..progress import Progress
from .arguments import SUFFIX, box, command, icc, mpp, place, store, store_of
from .terminal import Line, print_json

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy


def add(commands: Any) -> None:
    """Describe the command."""
    ask = command(commands, "ask", run, "ask a question about a slide or a result")
    ask.add_argument(
        "slide",
        type=place,
        help="a slide: what is not analysed yet is analysed first, the whole slide unless a --box is given; "
        "or its .hwsi.zarr: without a --box it is asked about what it holds",
    )
    ask.add_argument("question")
    ask.add_argument(
        "--answerer",
        default="auto",
        help="measured, mllm:<folder>, endpoint:<url>#<model> or agent:<url>#<model> (these two are sent "
        "pixels); default: %(default)s",
    )
    ask.add_argument(
        "--check",
        action="store_true",
        help="ask again without the image, with another place's and shuffled, and say whether the answer "
        "depends on it",
    )
    ask.add_argument(
        "--repeat", type=int, default=0, metavar="N", help="ask N times more: how many answers say the same?"
    )
    ask.add_argument(
        "--occlude",
        choices=("patch", "region"),
        help="ask again without each of them, and add those that the answer rests on most",
    )
    store(ask, "where the slide's result is or goes")
    box(ask)
    mpp(ask)
    icc(ask)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from ..chat import Answer, answerer, ask_stream, occlude, repeat

    if not options.question.strip():
        raise InputError("The question is empty. Ask something, such as: How many nuclei are there?")
    answerer(options.answerer)  # an unknown one is refused before hours of analysis
    with Line() as progress, ExitStack() as stack:
        result = _result(options, progress, stack)
        answer: Answer | None = None
        told = (options.question, options.box, options.answerer, None, options.check)
        for event in ask_stream(result, *told, progress=progress):
            if isinstance(event, Answer):
                answer = event
            elif isinstance(event, str) and not options.json:
                progress.stop()
                print(event, end="", flush=True)
        assert answer is not None  # a stream ends with its answer or an error
        if options.repeat:
            answer = replace(answer, repeats=repeat(answer, options.repeat, progress=progress))
        if options.occlude:
            units = (options.question, options.box, options.occlude, options.answerer)
            found = occlude(result, *units, progress=progress)
            answer = replace(answer, evidence=(*answer.evidence, *found.evidence()))
    if options.json:
        print_json(answer.to_dict())
    else:
        print("\n\n" + answer.footing())
    return 0


def _result(options: argparse.Namespace, progress: Progress, stack: ExitStack) -> Hierarchy:
    """Open the result that is asked about; make it where there is none yet. The stack closes its slide."""
    from ..hierarchy import analyze, extend, has_result, open_result
    from ..slides import open_slide

    if str(options.slide).endswith(SUFFIX):
        if options.mpp or options.store or options.icc:
            raise InputError(
                f"{options.slide} is a result: its pixel size, colours and place are settled. Leave them out."
            )
        return stack.enter_context(open_result(options.slide))
    slide = stack.enter_context(open_slide(options.slide, mpp=options.mpp, icc=options.icc))
    store = store_of(slide, options.store)
    if not has_result(store):
        return analyze(slide, store, box=options.box, progress=progress)
    result = open_result(store, slide)
    return result if options.box else extend(result, progress=progress)
