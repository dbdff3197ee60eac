"""Conversations on paper: Markdown and HTML with pictures of the places, and a draft of a report."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw

from ..disk import write_whole
from ..errors import HwsiError, InputError, StoreError
from ..evidence import Evidence
from ..hierarchy import Hierarchy
from ..progress import Progress, tell
from ..units import Box, box_size_um, intersect
from .answer import RESEARCH_USE, Answer
from .conversations import Conversation
from .picture import picture_of
from .rendering import PLACE, UNFOUNDED, as_html, plain_html

_AROUND = 1.6  # a place is shown with some of its surroundings
_SIDE_PX = 384
_OUTLINE = (230, 120, 0)
_MOST_PICTURES = 12  # of one answer


@dataclass(frozen=True)
class Heading:
    """A line that names what follows. level: 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph. html: with emphasis and links; plain: the same in Markdown; small: a remark."""

    html: str
    plain: str
    small: bool = False


@dataclass(frozen=True)
class PlacePicture:
    """A place of the slide, outlined. png: None where its pixels cannot be read."""

    anchor: str
    caption: str
    png: bytes | None


Block: TypeAlias = Heading | Text | PlacePicture


def conversation_document(
    result: Hierarchy, conversation: Conversation, progress: Progress | None = None
) -> list[Block]:
    """Return a conversation with pictures of its places, as it was led."""
    blocks: list[Block] = [Heading(f"Conversation about {result.slide_facts['name']}", 1)]
    for number, answer in enumerate(conversation.answers, 1):
        tell(progress, number - 1, len(conversation.answers), "answers")
        blocks += [Heading(answer.question), *_answer(answer, number)]
        blocks += _pictures(result, answer, number, progress)
        blocks += _footing(answer)
    return [*blocks, _small(RESEARCH_USE)]


def report_document(
    result: Hierarchy, conversation: Conversation, progress: Progress | None = None
) -> list[Block]:
    """Return a draft of a report: what was said with its places, and apart from it what named none.

    It is what a person begins to write from: nothing is added to the answers and nothing judged. Answers that
    were found not to depend on the image are set apart too.
    """
    facts, answers = result.slide_facts, conversation.answers
    height, width = box_size_um(result.grid.extent, (facts["mpp"][0], facts["mpp"][1]))
    blocks: list[Block] = [
        Heading(f"Draft of a report on {facts['name']}", 1),
        _small("A draft, put together from answers; to be checked and written by a person. " + RESEARCH_USE),
        Heading("Slide"),
        _text(
            f"{facts['name']}, {height / 1000:.3g} × {width / 1000:.3g} mm at "
            f"{max(facts['mpp']):.3g} µm per pixel. Nuclei by the segmenter “{result.segmenter}”, "
            f"patches by the encoder “{result.encoder}”."
        ),
        Heading("Findings"),
    ]
    doubted = [answer for answer in answers if answer.dependence and answer.dependence.warning]
    for number, answer in enumerate(answers, 1):
        founded = [said for said in answer.statements if said[1]]
        if answer not in doubted and founded:
            blocks += [_said(founded, number), *_pictures(result, answer, number, progress)]
    blocks.append(Heading("Said without a place"))
    unfounded = [said.strip() for answer in answers for said, rows in answer.statements if not rows]
    blocks += [_text(said) for said in unfounded if any(map(str.isalpha, said))] or [_text("Nothing.")]
    if doubted:
        blocks.append(Heading("Not to be relied on"))
        for answer in doubted:
            assert answer.dependence is not None  # it is why the answer is doubted
            blocks += [_text(answer.text), _small(answer.dependence.warning or "")]
    blocks += [Heading("How this was found")]
    by = dict.fromkeys(f"{a.answerer} ({a.where})" for a in answers)
    return [*blocks, *map(_text, by), *map(_small, dict.fromkeys(n for a in answers for n in a.notes))]


def as_markdown(blocks: Sequence[Block], pictures: str) -> str:
    """Return blocks as Markdown that shows the pictures of a folder, ``<folder>/<anchor>.png``."""
    lines = []
    for block in blocks:
        if isinstance(block, Heading):
            lines.append(f"{'#' * block.level} {_escaped(block.text)}")
        elif isinstance(block, Text):
            lines.append(block.plain)
        else:
            shown = f"![{block.anchor}]({pictures}/{block.anchor}.png)\n\n" if block.png else ""
            lines.append(f'<a id="{block.anchor}"></a>\n\n{shown}{_escaped(block.caption)}')
    return "\n\n".join(lines) + "\n"


def as_page(blocks: Sequence[Block]) -> str:
    """Return blocks as one HTML page that loads nothing from elsewhere."""
    body = "\n".join(_block_html(block) for block in blocks)
    title = html.escape(next((b.text for b in blocks if isinstance(b, Heading)), ""))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def save_document(blocks: Sequence[Block], file: str | Path) -> Path:
    """Write blocks as ``.md`` (its pictures in a folder beside it) or ``.html``; return the file.

    Raises InputError for another ending, StoreError where the disk refuses.
    """
    path = Path(file)
    writers: dict[str, Callable[[Sequence[Block], Path], None]] = {
        ".md": _save_markdown,
        ".html": lambda blocks, path: write_whole(path, as_page(blocks).encode()),
    }
    if path.suffix not in writers:
        raise InputError(f"{path.name} ends in neither {' nor '.join(writers)}, so its form is not known.")
    try:
        writers[path.suffix](blocks, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}.") from error
    return path


_STYLE = (
    "body{font-family:sans-serif;max-width:46em;margin:2em auto;padding:0 1em;line-height:1.45}"
    ".place{display:inline-block;vertical-align:top;width:14em;margin:.4em}img{max-width:100%}"
    ".picture{line-height:1;margin-bottom:2px}"
    ".small{font-size:.85em;color:#555}"
)


def _save_markdown(blocks: Sequence[Block], path: Path) -> None:
    folder = path.with_name(f"{path.stem}_pictures")
    shown = [block for block in blocks if isinstance(block, PlacePicture) and block.png]
    if shown:
        folder.mkdir(exist_ok=True)
    for block in shown:
        assert isinstance(block, PlacePicture)
        write_whole(folder / f"{block.anchor}.png", block.png or b"")
    write_whole(path, as_markdown(blocks, folder.name.replace(" ", "%20")).encode())


def _answer(answer: Answer, number: int) -> list[Block]:
    if answer.statements:
        return [_said(answer.statements, number)]
    return [Text(plain_html(answer.text), _escaped(answer.text))]


def _said(statements: Sequence[tuple[str, tuple[int, ...]]], number: int) -> Text:
    linked = as_html(statements).replace(f'href="{PLACE}', f'href="#place-{number}-')
    plain = "".join(
        f"{_escaped(said.rstrip())}{_references(rows, number) or UNFOUNDED}{said[len(said.rstrip()) :]}"
        if said.strip()
        else said
        for said, rows in statements
    )
    return Text(linked, plain)


def _references(rows: Sequence[int], number: int) -> str:
    return "".join(f" [[{row + 1}]](#place-{number}-{row})" for row in rows)


def _pictures(
    result: Hierarchy, answer: Answer, number: int, progress: Progress | None
) -> Iterator[PlacePicture]:
    for row, place in enumerate(answer.evidence[:_MOST_PICTURES]):
        tell(progress, row, len(answer.evidence), "pictures")
        yield PlacePicture(f"place-{number}-{row}", f"{row + 1}. {place}", place_png(result, place))


def place_png(result: Hierarchy, place: Evidence) -> bytes | None:
    """Return the picture of a place with some of its surroundings, outlined, None where it cannot be read."""
    try:
        slide = result.slide
        y0, x0, y1, x1 = place.box
        dy, dx = ((end - start) * (_AROUND - 1) / 2 for start, end in ((y0, y1), (x0, x1)))
        around: Box = (round(y0 - dy), round(x0 - dx), round(y1 + dy), round(x1 + dx))
        shown = picture_of(slide, intersect(around, (0, 0, *slide.shape)) or place.box, _SIDE_PX)
    except HwsiError:
        return None
    image = Image.fromarray(shown.pixels)
    top, left, bottom, right = shown.box
    sy, sx = image.height / (bottom - top), image.width / (right - left)
    corners = [(x0 - left) * sx, (y0 - top) * sy, (x1 - left) * sx - 1, (y1 - top) * sy - 1]
    ImageDraw.Draw(image).rectangle(corners, outline=_OUTLINE, width=2)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _footing(answer: Answer) -> list[Block]:
    by = answer.answerer if answer.model is None else f"{answer.answerer}, model {answer.model}"
    said = [f"Answered by {by} ({answer.where}).", *answer.notes]
    if answer.dependence is not None:
        said.append(f"Dependence on the image: {answer.dependence}")
    if answer.repeats is not None:
        said.append(f"Asked again: {answer.repeats}")
    if any(not rows for _, rows in answer.statements):
        said.append(f"{UNFOUNDED} marks what names no place.")
    return [_small(line) for line in said]


def _text(text: str) -> Text:
    return Text(f"<p>{html.escape(text)}</p>", _escaped(text))


def _small(text: str) -> Text:
    return Text(f'<p class="small">{html.escape(text)}</p>', f"*{_escaped(text)}*", small=True)


def _block_html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return block.html
    data = base64.b64encode(block.png or b"").decode("ascii")
    image = f'<p class="picture"><img alt="" src="data:image/png;base64,{data}"></p>' if block.png else ""
    caption = f'<p class="small"><a name="{block.anchor}"></a>{html.escape(block.caption)}</p>'
    # Not a figure, which Qt's HTML does not know; nor in one paragraph, whose lines would all be that high.
    return f'<div class="place" id="{block.anchor}">{image}{caption}</div>'


def _escaped(text: str) -> str:
    """Return text whose HTML, links and pictures stay words in Markdown."""
    return html.escape(text, quote=False).replace("\\", "\\\\").replace("[", "\\[")
