"""Conversations in the Ask dock: kept, edited, checked and put on paper, by clicks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtPdf import QPdfDocument

from napari_hwsi.chat import Answer
from napari_hwsi.chat.conversations import conversations_file
from napari_hwsi.evidence import Dependence, Evidence
from napari_hwsi.hierarchy import analyze, default_store
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.viewer import fly_to, result_of, show_slide
from napari_hwsi.viewer.nuclei import nuclei_on
from napari_hwsi.viewer.state import PART, part_layer
from napari_hwsi.widgets.again import OTHER, PATCHES
from napari_hwsi.widgets.ask_dock import AskDock
from napari_hwsi.widgets.history import REPORT
from napari_hwsi.widgets.scope import SELECTED
from napari_hwsi.widgets.talk import CHECK, COPY, EDIT, MORE, MOST_CHIPS, Turn

LEFT = Qt.MouseButton.LeftButton
WAIT = 120_000


@pytest.fixture
def dock(viewer: napari.Viewer, analysed: Slide) -> AskDock:
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Ask")
    fly_to(viewer, viewer.layers[0], (20, 20, 300, 250))
    return dock


def titles(dock: AskDock) -> list[str]:
    return [dock.history.titles.itemText(i) for i in range(dock.history.titles.count())]


def ask(dock: AskDock, question: str, qtbot: Any) -> Turn:
    with qtbot.waitSignal(dock.answered, timeout=WAIT):
        dock.ask(question)
    return dock.talk.turns[-1]


def test_a_conversation_from_first_click_to_paper(
    dock: AskDock, viewer: napari.Viewer, qtbot: Any, tmp_path: Path
) -> None:
    qtbot.waitUntil(lambda: len(dock.suggestions.buttons) == 3, timeout=WAIT)
    with qtbot.waitSignal(dock.answered, timeout=WAIT):
        qtbot.mouseClick(dock.suggestions.buttons[0], LEFT)
    turn = dock.talk.turns[0]
    # A link in the words goes where the chip goes.
    centre = viewer.scene.camera.center
    turn.text.linkActivated.emit("place:0")
    assert viewer.scene.camera.center != centre
    here = viewer.scene.camera.center
    for elsewhere in ("https://example.org", "file:///etc/passwd", "place:99", "place:x"):
        turn.text.linkActivated.emit(elsewhere)
    assert viewer.scene.camera.center == here
    with qtbot.waitSignal(dock.checked, timeout=WAIT) as got:
        qtbot.mouseClick(turn.buttons[CHECK], LEFT)
    assert got.args[0].dependence.trials[0].kind == "elsewhere"
    assert "changes with the image" in turn.check.verdict.text()
    qtbot.mouseClick(turn.buttons[COPY], LEFT)
    assert "Dependence on the image" in QGuiApplication.clipboard().text()
    # Edited: a new conversation, the old one stays.
    second = ask(dock, "How dense are they?", qtbot)
    qtbot.mouseClick(second.buttons[EDIT], LEFT)
    dock.question.setText("How much tissue is in this view?")
    with qtbot.waitSignal(dock.answered, timeout=WAIT):
        qtbot.keyClick(dock.question, Qt.Key.Key_Return)
    assert [each.question for each in dock.talk.turns] == [turn.question, "How much tissue is in this view?"]
    assert len(titles(dock)) == 2
    file = conversations_file(result_of(dock.layer))
    qtbot.waitUntil(lambda: file.exists() and file.read_text().count('"asked_box"') == 4, timeout=WAIT)
    with qtbot.waitSignal(dock.saved, timeout=WAIT):
        dock.save(str(tmp_path / "report.pdf"), REPORT)
    document = QPdfDocument(None)
    assert document.load(str(tmp_path / "report.pdf")) == QPdfDocument.Error.None_
    words = document.getAllText(0).text()
    assert "Draft of a report on skin" in words
    assert "Findings" in words
    page = document.render(0, (document.pagePointSize(0) * 1.0).toSize()).convertToFormat(
        document.render(0, document.pagePointSize(0).toSize()).Format.Format_RGB888
    )
    assert page.width() > 500


def choose(dock: AskDock, turn: Turn, qtbot: Any, *words: str) -> None:
    """Click a turn's More, then the entries of its menu, one within the other."""
    qtbot.mouseClick(turn.buttons[MORE], LEFT)
    menu = dock.again.menu
    for word in words:
        qtbot.waitUntil(menu.isVisible, timeout=WAIT)
        (action,) = [each for each in menu.actions() if each.text() == word]
        inner = action.menu()
        qtbot.mouseClick(menu, LEFT, pos=menu.actionGeometry(action).center())
        menu = inner


def test_what_an_answer_rests_on(dock: AskDock, viewer: napari.Viewer, analysed: Slide, qtbot: Any) -> None:
    turn = ask(dock, "How many nuclei are in this view?", qtbot)
    before = list(turn.answer.evidence)
    for _ in range(2):  # the second time in the place of the first
        with qtbot.waitSignal(dock.checked, timeout=WAIT) as got:
            choose(dock, turn, qtbot, PATCHES)
        found = got.args[0].evidence[len(before) :]
        assert list(got.args[0].evidence[: len(before)]) == before
        assert {(place.source, place.scale) for place in found} == {("occlusion", "patch")}
        assert [chip.place for chip in turn.chips] == before + list(found)
        assert f"{len(found)} of {len(found)} patches change the answer" in turn.check.occlusion.text()
        assert len(part_layer(viewer, analysed, "evidence").data) == len(turn.evidence)
    (layer,) = [each for each in viewer.layers if each.metadata.get(PART) == "occlusion"]
    assert layer.colorbar.visible
    assert viewer.layers[-1] is part_layer(viewer, analysed, "evidence")  # not covered by the map
    for place in found:  # each patch has its score on the map
        y, x = (place.box[0] + place.box[2]) / 2, (place.box[1] + place.box[3]) / 2
        assert layer.get_value(dock.layer.data_to_world((y, x)), world=True) == pytest.approx(place.score)
    file = conversations_file(result_of(dock.layer))
    qtbot.waitUntil(lambda: file.read_text().count('"occlusion"') == len(found), timeout=WAIT)


def test_checked_with_another_slide(
    dock: AskDock, viewer: napari.Viewer, analysed: Slide, qtbot: Any
) -> None:
    turn = ask(dock, "How many nuclei are in this view?", qtbot)
    other = slide_from_array(analysed.read((300, 200), (300, 260)), mpp=analysed.mpp, name="other")
    skin = dock.layer
    show_slide(viewer, other)
    viewer.layers.selection.active = skin
    choose(dock, turn, qtbot, OTHER, "other")
    qtbot.waitUntil(lambda: "other is not analysed yet" in dock.task.words.text(), timeout=WAIT)
    result = analyze(other, default_store(other))
    with qtbot.waitSignal(dock.checked, timeout=WAIT) as got:
        choose(dock, turn, qtbot, OTHER, "other")
    (trial,) = got.args[0].dependence.trials
    assert "another slide at" in trial.what
    y0, y1, x0, x1 = map(int, re.findall(r"\d+", trial.what))
    assert f"{len(result.cells.in_box((y0, x0, y1, x1))):,} nuclei" in trial.text
    with qtbot.waitSignal(dock.checked, timeout=WAIT) as got:
        dock.again.check(turn, result.path)
    assert got.args[0].dependence.trials == (trial,)
    dock.again.check(turn, default_store(analysed))
    qtbot.waitUntil(lambda: "of the same slide" in dock.task.words.text(), timeout=WAIT)


def test_kept_over_a_restart(
    dock: AskDock, analysed: Slide, make_napari_viewer: Callable[..., napari.Viewer], qtbot: Any
) -> None:
    ask(dock, "How many nuclei are in this view?", qtbot)
    file = conversations_file(result_of(dock.layer))
    qtbot.waitUntil(file.exists, timeout=WAIT)
    other = make_napari_viewer(show=True)
    show_slide(other, analysed)
    _, later = other.window.add_plugin_dock_widget("napari-hwsi", "Ask")
    qtbot.waitUntil(lambda: bool(later.talk.turns), timeout=WAIT)
    turn = later.talk.turns[0]
    assert turn.answer == dock.talk.turns[0].answer
    with qtbot.waitSignal(later.checked, timeout=WAIT):
        later.check(turn)
    later.delete()
    qtbot.waitUntil(lambda: '"conversations": []' in file.read_text(), timeout=WAIT)
    assert titles(later) == ["New conversation"]


def test_about_the_selected_nuclei(dock: AskDock, analysed: Slide, qtbot: Any) -> None:
    ask(dock, "How many nuclei are in this view?", qtbot)
    dock.scope_box.buttons[SELECTED].click()
    with qtbot.waitSignal(dock.refused, timeout=WAIT) as refused:
        dock.ask("How many nuclei are there?")
    assert "No nuclei are selected" in refused.args[0]
    nuclei = nuclei_on(dock.viewer, analysed)
    nuclei.select([3, 5])
    turn = ask(dock, "How many nuclei are there?", qtbot)
    y0, x0, y1, x1 = turn.answer.box
    points = nuclei.cells.centroids[[3, 5]]
    assert ((points > (y0, x0)) & (points < (y1, x1))).all()


def test_a_remote_check_waits_for_consent(qtbot: Any) -> None:
    turn = Turn("What is here?")
    qtbot.addWidget(turn)
    from napari_hwsi.chat import Picture

    seen = Picture(np.full((40, 40, 3), 90, np.uint8), (0, 0, 40, 40), (0.5, 0.5))
    agreed: list[bool] = []
    turn.check.show_pictures([("nothing", None), ("shuffled", seen)], lambda: agreed.append(True))
    assert len(turn.check.views) == 2
    assert not agreed
    qtbot.mouseClick(turn.check.send_button, LEFT)
    assert agreed
    assert not turn.check.send_button.isVisibleTo(turn)
    turn.check.show_dependence(Dependence((), ("without the image: refused.",)))
    assert "not found out" in turn.check.verdict.text()


def test_many_places_are_few_chips(qtbot: Any) -> None:
    turn = Turn("Where?")
    qtbot.addWidget(turn)
    places = tuple(Evidence("region", (i, 0, i + 1, 1), None, "crop", f"{i}") for i in range(500))
    turn.add(Answer("Where?", "Here.", places, "measured", (0, 0, 500, 1)))
    assert len(turn.chips) == MOST_CHIPS
    assert len(turn.evidence) == 500
    assert f"{500 - MOST_CHIPS} more places" in turn.more.text()
