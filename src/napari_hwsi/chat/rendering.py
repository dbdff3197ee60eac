"""Text of an answer as plain HTML: Markdown as models write it, and nothing that could do anything.

All HTML in it is escaped, pictures become their words, addresses are written out but lead nowhere: the only
links are those to the places the answer rests on.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

PLACE = "place:"
"""What a link to the place of a row of evidence begins with; the row, from 0, follows."""

UNFOUNDED = "°"
"""What marks a statement that names no place."""

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9,]*){_CLOSE}")
_PICTURE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]*)[^)]*\)")
_CODE = re.compile(r"`([^`]+)`")
_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*|__(?=\S)(.+?)(?<=\S)__")
_ITALIC = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]+?)(?<=\S)\*(?![\w*])")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_ITEM = re.compile(r"(?:[-*+•]|(\d{1,3})[.)])\s+(.*)")


def as_html(statements: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    """Return statements, each with the rows of the evidence it rests on, as HTML.

    Each is followed by links to its places, ``<a href="place:0">1</a>``, or by a mark where it has none.
    """
    text = "".join(f"{_clean(words)}{_mark(words, rows)}{_tail(words)}" for words, rows in statements)
    return _MARK.sub(_links, "".join(_blocks(text.split("\n"))))


def plain_html(text: str) -> str:
    """Return text whose statements are not known, as HTML."""
    return "".join(_blocks(text.translate({ord(_OPEN): None, ord(_CLOSE): None}).split("\n")))


def _clean(words: str) -> str:
    return words.rstrip().translate({ord(_OPEN): None, ord(_CLOSE): None})


def _tail(words: str) -> str:
    return words[len(words.rstrip()) :]


def _mark(words: str, rows: tuple[int, ...]) -> str:
    """Return where links go; a line without letters, or one that leads on, states nothing."""
    said = words.strip()
    states = any(character.isalpha() for character in said) and not said.endswith(":")
    states &= not said.startswith(("#", "```"))
    return f"{_OPEN}{','.join(map(str, rows))}{_CLOSE}" if rows or states else ""


def _links(found: re.Match[str]) -> str:
    if not found[1]:
        return f"<sup>{UNFOUNDED}</sup>"
    links = (f'<a href="{PLACE}{row}">{int(row) + 1}</a>' for row in found[1].split(","))
    return f"<sup>[{', '.join(links)}]</sup>"


def _blocks(lines: list[str]) -> list[str]:
    out: list[str] = []
    paragraph: list[str] = []
    listed = ""  # the list that is open
    code: list[str] | None = None

    def close() -> None:
        nonlocal listed
        if paragraph:
            out.append(f"<p>{'<br>'.join(paragraph)}</p>")
            paragraph.clear()
        if listed:
            out.append(f"</{listed}>")
            listed = ""

    for line in lines:
        said = line.strip()
        if said.startswith("```"):
            if code is None:
                close()
                code = []
            else:
                out.append(f"<pre>{html.escape(_MARK.sub('', chr(10).join(code)))}</pre>")
                code = None
        elif code is not None:
            code.append(line)
        elif not said:
            close()
        elif heading := _HEADING.match(said):
            close()
            out.append(f"<p><b>{_inline(heading[1])}</b></p>")
        elif item := _ITEM.match(said):
            kind = "ol" if item[1] else "ul"
            if listed != kind:
                close()
                listed = kind
                out.append(f"<{kind}>")
            out.append(f"<li>{_inline(item[2])}</li>")
        else:
            if listed:
                close()
            paragraph.append(_inline(said))
    if code is not None:  # a fence that was never closed
        out.append(f"<pre>{html.escape(_MARK.sub('', chr(10).join(code)))}</pre>")
    close()
    return out


def _inline(text: str) -> str:
    """Return a line with its emphasis; code keeps its characters as they are."""
    out = []
    for i, part in enumerate(_CODE.split(text)):
        if i % 2:
            out.append(f"<code>{html.escape(part)}</code>")
            continue
        part = _PICTURE.sub(lambda found: found[1], part)
        part = _LINK.sub(lambda found: f"{found[1]} ({found[2]})" if found[2] else found[1], part)
        part = html.escape(part)
        part = _BOLD.sub(lambda found: f"<b>{found[1] or found[2]}</b>", part)
        out.append(_ITALIC.sub(r"<i>\1</i>", part))
    return "".join(out)
