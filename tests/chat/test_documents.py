"""Conversations on the disk and on paper, and text of a model as harmless HTML."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from napari_hwsi.chat import ask, check
from napari_hwsi.chat.citations import cited_places, cited_statements
from napari_hwsi.chat.conversations import (
    Conversation,
    conversations_file,
    keep_conversations,
    read_conversations,
)
from napari_hwsi.chat.documents import conversation_document, report_document, save_document
from napari_hwsi.chat.questions import read_question
from napari_hwsi.chat.rendering import as_html, plain_html
from napari_hwsi.chat.suggestions import suggestions
from napari_hwsi.errors import InputError, StoreError
from napari_hwsi.hierarchy import Hierarchy

VIEW = (1100, 800, 1500, 1400)
BOX = (0, 0, 100, 100)
HOSTILE = (
    '<script>alert(1)</script> <img src="http://evil.example/x.png"> ![shot](http://evil.example/y.png) '
    '[click](javascript:alert(1)) [site](https://evil.example) <a href="file:///etc/passwd">x</a> '
    'place:0" onclick="x \ue0005\ue001'
)


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_statements_and_their_places() -> None:
    text = "Dense here [[0,0,0.5,0.5]], and there [[0.5,0.5,1,1]]. Pale. Odd [[9,9,9,9]].\nLast [[0,0,1,1]]"
    places, left_out = cited_places(text, BOX)
    statements = cited_statements(text, BOX)
    assert [rows for _, rows in statements] == [(0, 1), (), (), (2,)]
    assert (len(places), left_out) == (3, 1)
    assert "".join(said for said, _ in statements) == "Dense here, and there. Pale. Odd.\nLast"


def test_measured_statements(result: Hierarchy) -> None:
    answer = ask(result, "How many nuclei, and which are the largest?", VIEW)
    assert "".join(said for said, _ in answer.statements) == answer.text
    (count, rows), (_, largest), (caution, none) = answer.statements
    assert "nuclei in this view" in count
    assert "counted" in answer.evidence[rows[0]].note
    assert {answer.evidence[row].scale for row in largest} == {"cell"}
    assert "may be nuclei that touch" in caution
    assert none == ()


def test_markdown_of_models() -> None:
    text = "## Seen\n- **Dark** nuclei [[0,0,1,1]].\n- Pale `a < b`.\n\n1. One\n\n```\n<b>\n```"
    page = as_html(cited_statements(text, BOX))
    assert "<p><b>Seen</b></p><ul><li><b>Dark</b> nuclei." in page
    assert '<sup>[<a href="place:0">1</a>]</sup></li>' in page
    assert "<code>a &lt; b</code>.<sup>°</sup></li></ul>" in page
    assert "<ol><li>One" in page
    assert "<pre>&lt;b&gt;</pre>" in page


@pytest.mark.parametrize("render", [plain_html, lambda text: as_html(cited_statements(text, BOX))])
def test_nothing_of_a_model_is_more_than_words(render: Any) -> None:
    page = render(HOSTILE)
    assert {tag for tag, _ in Tags(page).found} <= {"p", "sup", "b", "i", "code", "br"}
    assert all(not attributes for _, attributes in Tags(page).found)
    assert "&lt;script&gt;" in page
    assert "\ue000" not in page


def test_conversations_survive(result: Hierarchy) -> None:
    first = ask(result, "How many nuclei are in this view?", VIEW)
    second = ask(result, "And in the whole slide?", VIEW, history=[first])
    talk = Conversation((first, second))
    assert read_conversations(result) == ()
    keep_conversations(result, [talk, Conversation()])
    (kept,) = read_conversations(result)
    assert kept == talk
    assert kept.title == "How many nuclei are in this view?"
    assert kept.answers[1].asked.history == (first,)
    assert check(kept.answers[0]).verdict == "depends"  # it can be asked again
    file = conversations_file(result)
    assert file.name == "cmu.hwsi.chat.json"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"slide": "another"}))
    with pytest.raises(StoreError, match="another slide"):
        read_conversations(result)
    file.unlink()


def test_on_paper(result: Hierarchy, server: Any, tmp_path: Any) -> None:
    first = ask(result, "How many nuclei are in this view, and which are the largest?", VIEW)
    server.behave = server.says("Dense [[0.1,0.1,0.4,0.4]]. ", HOSTILE)
    second = ask(result, "<b>What</b> is here?", VIEW, f"endpoint:{server.url}#see-7b", [first])
    talk = Conversation((first, second))
    blocks = conversation_document(result, talk)
    page = save_document(blocks, tmp_path / "talk.html").read_text()
    tags = Tags(page).found
    assert not {"script", "iframe", "link"} & {tag for tag, _ in tags}
    shown = [attributes["src"] for tag, attributes in tags if tag == "img"]
    assert len(shown) == len(first.evidence) + len(second.evidence)
    assert all(source.startswith("data:image/png;base64,") for source in shown)
    targets = {attributes["id"] for tag, attributes in tags if tag == "div"}
    links = [attributes["href"] for tag, attributes in tags if tag == "a" and "href" in attributes]
    assert links
    assert {link.removeprefix("#") for link in links} <= targets
    assert "Research use only." in page
    assert "<b>What</b>" not in page
    written = save_document(blocks, tmp_path / "a talk.md").read_text()
    pictures = re.findall(r"!\[place-[\d-]+\]\((\S+)\)", written)
    assert len(pictures) == len(shown)
    assert all((tmp_path / picture.replace("%20", " ")).is_file() for picture in pictures)
    assert "<script>" not in written
    assert "![shot]" not in written
    assert r"\[site](https://evil.example)" in written  # words, not a link
    with pytest.raises(InputError, match="neither"):
        save_document(blocks, tmp_path / "talk.docx")


def test_a_draft_sets_apart_what_has_no_place(result: Hierarchy, tmp_path: Any) -> None:
    counted = ask(result, "How many nuclei are there, and which are the largest?", VIEW)
    doubted = ask(result, "What is the resolution of the slide?", VIEW, check=True)
    blocks = report_document(result, Conversation((counted, doubted)))
    page = save_document(blocks, tmp_path / "report.md").read_text()
    found, apart, doubt = (page.index(f"## {h}") for h in ("Findings", "Said without", "Not to be relied"))
    assert found < page.index(f"{len(result.cells.in_box(VIEW)):,} nuclei in this view") < apart
    assert apart < page.index("may be nuclei that touch") < doubt
    assert doubt < page.index("is scanned at")
    assert "not particular to this place" in page


@pytest.mark.parametrize("box", [None, (1100, 800, 1500, 1400), (1100, 800, 4000, 8000), (0, 0, 9000, 9000)])
@pytest.mark.parametrize("known", [True, False])
def test_suggested_questions_are_understood(result: Hierarchy, box: Any, known: bool) -> None:
    asked = suggestions((0.499, 0.499), box, result if known else None)
    assert 1 <= len(asked) <= 3
    for question in asked:
        topics = {ask.topic for ask in read_question(question).asks}
        assert topics
        assert not topics & {"refused", "limited", "unclear"}, question
    looked_at = suggestions((0.499, 0.499), box, result, pictures=True)
    assert any("show" in question for question in looked_at)
