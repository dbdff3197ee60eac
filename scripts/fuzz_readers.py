"""Damage the headers of small slides of every format and see what their readers do with them.

Each mutant is opened and read by a child process of its own memory and time limits. A reader may
read it or refuse it with an error of this package; it may not crash, hang, fill the memory or
raise anything else. What does is kept, with a table at the end.

    python scripts/fuzz_readers.py --minutes 60 --seed 1 --keep failing/
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
from small_slides import Seed, make_seeds

SECONDS, ADDRESS_SPACE, RESIDENT = 30.0, 8 << 30, 2 << 30
TELLING = [0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 28, 0x40000001]
TELLING += [(1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1]
FINE = ("read", "refused")


def main() -> int:
    """Run until the time is over; the exit status tells whether anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slide", type=Path, default=None, help="where the pixels are taken from")
    parser.add_argument("--data", type=Path, default=None, help="folder of real slides, used up to 5 MB")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for failing mutants")
    parser.add_argument("--only", default="", help="part of the names of the formats to try")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HWSI_HOME"] = scratch + "/home"
        seeds = make_seeds(Path(scratch) / "seeds", options.slide, options.data)
        seeds = [seed for seed in seeds if options.only in seed.name]
        table = {seed.name: Counter[str]() for seed in seeds}
        reader, told = Reader(), Counter[str]()
        end, number = time.monotonic() + 60 * options.minutes, 0
        while time.monotonic() < end:
            seed = seeds[number % len(seeds)]
            mutant = Path(scratch) / "mutant" / seed.name
            done = mutate(seed, mutant, rng)
            verdict, words = reader.try_on(mutant)
            table[seed.name][verdict] += 1
            if verdict not in FINE:
                told[f"{verdict}: {words}"[:300]] += 1
                target = options.keep / f"{options.seed}-{number}-{verdict}-{seed.name}"
                if told[f"{verdict}: {words}"[:300]] <= 3:
                    shutil.copytree(mutant.parent, target, dirs_exist_ok=True)
                    (target / "what.txt").write_text(f"{done}\n{verdict}: {words}\n")
            shutil.rmtree(mutant.parent)
            number += 1
        reader.stop()
    show(table, told)
    return int(bool(told))


def show(table: dict[str, Counter[str]], told: Counter[str]) -> None:
    """Print a row a format, then each kind of failure."""
    columns = ("read", "refused", "crash", "hang", "memory", "other error")
    print(f"{'format':32}" + "".join(f"{column:>12}" for column in columns))
    for name, counts in table.items():
        print(f"{name:32}" + "".join(f"{counts[column]:12}" for column in columns))
    total = sum(table.values(), Counter[str]())
    print(f"{'all ' + str(total.total()):32}" + "".join(f"{total[column]:12}" for column in columns))
    for words, times in told.most_common():
        print(f"{times:6} x {words}")


@dataclass
class Reader:
    """A child process that reads one mutant after another; a new one after each that went wrong."""

    process: multiprocessing.process.BaseProcess | None = None
    pipe: Connection | None = None
    spoken: Path = field(default_factory=lambda: Path(tempfile.mkdtemp()) / "stderr")
    context: multiprocessing.context.SpawnContext = field(
        default_factory=lambda: multiprocessing.get_context("spawn")
    )

    def try_on(self, path: Path) -> tuple[str, str]:
        """Return what became of a mutant: a column of the table, and the reader's words."""
        if self.process is None:
            self.pipe, theirs = self.context.Pipe()
            self.process = self.context.Process(target=serve, args=(theirs, self.spoken), daemon=True)
            self.process.start()
            theirs.close()
            self.pipe.recv()  # it has imported all it needs
        assert self.pipe is not None
        self.pipe.send(str(path))
        if not self._answers():
            self.stop()
            return "hang", f"nothing for {SECONDS:.0f} s"
        try:
            verdict, words = self.pipe.recv()
        except EOFError:
            self.process.join()
            code, last_words = self.process.exitcode, self.spoken.read_text(errors="replace")
            self.process = None
            return "crash", f"exit status {code}: {_in_short(last_words)}"
        if verdict == "memory":
            self.stop()
        return verdict, words

    def _answers(self) -> bool:
        """Wait for an answer: SECONDS of the child's own work, or four times that where others work too."""
        assert self.pipe is not None
        assert self.process is not None
        child, end = psutil.Process(self.process.pid), time.monotonic() + 4 * SECONDS
        worked = sum(child.cpu_times()[:2]) + SECONDS
        while not self.pipe.poll(1.0):
            try:
                if time.monotonic() > end or sum(child.cpu_times()[:2]) > worked:
                    return False
            except psutil.NoSuchProcess:
                break  # the pipe says so
        return True

    def stop(self) -> None:
        """End the child."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _in_short(last_words: str) -> str:
    """Return why the process ended, as the system and the interpreter wrote it, without the way there."""
    lines = last_words[last_words.rfind("Fatal Python error") - 200 :].strip().splitlines()
    return " | ".join(line.strip() for line in lines if line.strip())[:600]


def serve(pipe: Connection, spoken: Path) -> None:
    """Read the paths that come through ``pipe``, within the limits; ``spoken`` is told the rest."""
    from napari_hwsi.errors import HwsiError
    from napari_hwsi.slides import open_slide

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(spoken, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), 2)
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    pipe.send("ready")
    while True:
        path = pipe.recv()
        os.truncate(spoken, 0)
        verdict, words = "read", ""
        for backend in (None, "image", "tifffile"):  # the others are tried where they belong
            try:
                with open_slide(path, backend=backend) as slide:
                    look_round(slide)
            except HwsiError as error:
                verdict, words = ("refused", str(error)) if backend is None else (verdict, words)
            except BaseException as error:  # noqa: BLE001  # finding these is what it is for
                place = error.__traceback__
                while place is not None and place.tb_next is not None:
                    place = place.tb_next
                where = "" if place is None else f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
                verdict, words = "other error", f"{type(error).__name__}: {str(error)[:150]} ({where})"
                break
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if peak > RESIDENT and verdict != "other error":
            verdict, words = "memory", f"{peak / 2**30:.1f} GiB"
        pipe.send((verdict, words))


def look_round(slide: object) -> None:
    """Read corners and middle of every level, a viewer's tile, the associated images and the profile."""
    from napari_hwsi.errors import SlideError
    from napari_hwsi.slides import Slide

    assert isinstance(slide, Slide)
    for level, (height, width) in enumerate(slide.level_shapes[:8]):
        step = slide.level_downsamples[level]
        for y, x in ((0, 0), (height // 2, width // 2), (height - 32, width - 32)):
            slide.read_masked((int(y * step[0]), int(x * step[1])), (64, 64), level=level)
    if np.prod(slide.level_shapes[-1]) < 1 << 27:  # else averaging what has no pyramid takes its time
        np.asarray(slide.lazy_levels[-1][:256, :256])
    for image in slide.associated_images.values():
        if np.prod(image.shape) < 1 << 24:
            image[:9, :9].compute()
    if max(slide.shape) < 1 << 14:
        slide.thumbnail(64)
    assert slide.icc_profile_name is None or slide.icc_profile_name
    try:
        slide.read((0, 0), (40, 40))
    except SlideError:
        return


def mutate(seed: Seed, target: Path, rng: np.random.Generator) -> str:
    """Write a damaged copy of ``seed`` to ``target`` and return what was done."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if seed.path.is_dir():
        shutil.copytree(seed.path, target)
        files = sorted(path for path in target.rglob("*") if path.is_file())
        texts = [path for path in files if path.suffix == ".json" or path.name.startswith(".z")]
        file = files[rng.integers(len(files))]
        if texts and rng.random() < 0.8:
            file = texts[rng.integers(len(texts))]
    else:
        shutil.copy(seed.path, target)
        file = target
    content = bytearray(file.read_bytes())
    done = []
    for _ in range(int(rng.integers(1, 5))):
        change = CHANGES[rng.choice(len(CHANGES), p=SHARES)]
        done.append(change(content, seed.headers, rng))
    if file.suffix == ".png" and rng.random() < 0.9:
        _mend_checksums(content)
    file.write_bytes(content)
    return f"{file.relative_to(target.parent)}: {'; '.join(done)}"


def _mend_checksums(content: bytearray) -> None:
    """Make the checksums of a PNG right again, or nothing behind them is ever looked at."""
    at = 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if end + 4 > len(content):
            return
        content[end : end + 4] = zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        at = end + 4


def _place(content: bytearray, headers: tuple[int, ...], rng: np.random.Generator) -> int:
    near = headers[rng.integers(len(headers))] + int(rng.integers(0, 400))
    return min(near, max(len(content) - 1, 0))


def _number(content: bytearray, headers: tuple[int, ...], rng: np.random.Generator) -> str:
    """Write a telling number where a header may have one."""
    size, order = int(rng.choice([1, 2, 4, 8])), str(rng.choice(["little", "big"]))
    at, value = _place(content, headers, rng), TELLING[rng.integers(len(TELLING))] % (1 << 8 * size)
    content[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]
    return f"{value} in {size} bytes at {at}"


def _flip(content: bytearray, headers: tuple[int, ...], rng: np.random.Generator) -> str:
    places = [_place(content, headers, rng) for _ in range(int(rng.integers(1, 12)))]
    for at in places if content else []:
        content[at] = int(rng.integers(256))
    return f"bytes at {places}"


def _anywhere(content: bytearray, headers: tuple[int, ...], rng: np.random.Generator) -> str:
    return _flip(content, tuple(int(rng.integers(max(len(content), 1))) for _ in range(4)), rng)


def _cut(content: bytearray, headers: tuple[int, ...], rng: np.random.Generator) -> str:
    length = int(rng.integers(len(content) + 1))
    del content[length:]
    return f"cut to {length}"


def _text_number(content: bytearray, headers: tuple[int, ...], rng: np.random.Generator) -> str:
    """Replace a number written out in text, as in JSON and XML, or a word of it."""
    found = [
        *re.finditer(
            rb"(?<=[ \[:\"=])-?\d+(\.\d+)?(?=[ ,\]\"}\n|])|null|true|\"[a-z_]+\"", bytes(content[:20000])
        )
    ]
    if not found:
        return _number(content, headers, rng)
    spot = found[rng.integers(len(found))]
    new = [
        b"0",
        b"-1",
        b"1e308",
        b"NaN",
        b"null",
        b"[]",
        b"{}",
        b'"x"',
        b"99999999999",
        b"2147483648",
        b"3.5",
        b"1",
    ]
    word = new[rng.integers(len(new))]
    content[spot.start() : spot.end()] = word
    return f"{word!r} for {spot.group()!r} at {spot.start()}"


CHANGES: tuple[Callable[[bytearray, tuple[int, ...], np.random.Generator], str], ...] = (
    _number,
    _flip,
    _text_number,
    _anywhere,
    _cut,
)
SHARES = (0.45, 0.2, 0.2, 0.1, 0.05)


if __name__ == "__main__":
    sys.exit(main())
