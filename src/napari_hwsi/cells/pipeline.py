"""Tiles on their way: some are read, one batch is in the network, some are finished, all at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full, Queue

from ..errors import Cancelled
from ..slides import Slide
from ..units import Box
from .cells import Cells
from .segmenter import NetworkSegmenter, Segmenter
from .tiles import finished, read_tile, segmented
from .workers import Workers, spare_workers

_WORTH_PX = 8 << 20  # below this much to segment, processes cost more than they save
_TICK = 0.1  # s between looks at whether to stop


def chosen_workers(workers: int | None, segmenter: Segmenter, pixels: int) -> int:
    """Return how many processes finish tiles. workers: as asked for; pixels: to be segmented, about."""
    if workers is not None:
        return workers
    if pixels < _WORTH_PX:
        return 0
    spare = spare_workers()
    if isinstance(segmenter, NetworkSegmenter) and segmenter.on_cpu:
        return max(1, spare // 4)
    return spare if spare > 1 else 0


def run_tiles(
    slide: Slide,
    tiles: Sequence[Box],
    groups: Sequence[Sequence[int]],
    wanted: set[int],
    segmenter: Segmenter,
    workers: int,
    beat: Callable[[], None],
) -> Iterator[tuple[int, Cells]]:
    """Yield (tile, its cells) as tiles finish, in whatever order that is.

    tiles: boxes, level-0 px; groups: rows of ``tiles`` that a network is given together; a group is
    predicted whole where any of its tiles is ``wanted``, so that what a tile gets does not depend on which
    others are done. workers: processes that finish tiles, 0: this one. ``beat`` is called ten times a second
    while there is nothing to yield; where it raises, or the iterator is closed, all work stops: processes at
    once, threads at their next look. At most workers + 2 groups are in memory.
    """
    todo = [group for group in groups if wanted.intersection(group)]
    found: Queue[tuple[int, Cells] | BaseException] = Queue(maxsize=max(workers, 1))
    stopped, network = threading.Event(), threading.Lock()
    crew = Workers(min(workers, len(wanted)))

    def go_on() -> None:
        if stopped.is_set():
            raise Cancelled("stopped")

    def hand_over(item: tuple[int, Cells] | BaseException) -> None:
        while not stopped.is_set():
            try:
                return found.put(item, timeout=_TICK)
            except Full:
                continue

    def work(group: Sequence[int]) -> None:
        try:
            if isinstance(segmenter, NetworkSegmenter):
                read = [(i, read_tile(slide, tiles[i], segmenter)) for i in group]
                with network:
                    go_on()
                    images = [pixels.rgb for _, pixels in read]
                    maps = segmenter.predict(images, read[0][1].resolution, go_on)
                for (i, pixels), said in zip(read, maps, strict=True):
                    go_on()
                    if i in wanted:
                        named = (segmenter.finish, segmenter.type_names)
                        hand_over((i, crew.run(finished, pixels, said, *named)))
            else:
                for i in group:
                    go_on()
                    pixels = read_tile(slide, tiles[i], segmenter)
                    hand_over((i, crew.run(segmented, pixels, segmenter)))
        except BaseException as error:  # noqa: BLE001  raised where the tiles are waited for
            hand_over(error)

    threads = ThreadPoolExecutor(workers + 2, thread_name_prefix="hwsi-tiles")
    try:
        for group in todo:
            threads.submit(work, group)
        for _ in range(len(wanted)):
            while True:
                try:
                    item = found.get(timeout=_TICK)
                    break
                except Empty:
                    beat()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        threads.shutdown(wait=False, cancel_futures=True)
        crew.close()
