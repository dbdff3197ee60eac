"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_hwsi.disk import sync_tree, write_whole, written_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    for content in (b"old", b"new"):
        write_whole(file, content)
        assert file.read_bytes() == content
    assert [*tmp_path.iterdir()] == [file]
    sync_tree(tmp_path)


def test_what_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    write_whole(file, b"old")

    def write_half() -> None:
        with written_whole(file) as draft:
            draft.write_bytes(b"ne")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert file.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [file]


def test_it_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr("os.fsync", lambda handle: done.append("sync"))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda *names: done.append("rename") or replace(*names))
    write_whole(tmp_path / "a", b"")
    assert done == ["sync", "rename", "sync"]


def test_a_refusal_is_the_system_s_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        write_whole(tmp_path / "file" / "a", b"")
