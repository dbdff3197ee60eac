"""Pull from a source that runs beside ordinary code, and stop it at once.

A blocking read of a socket cannot be interrupted; a task can. So an asynchronous source runs in an
event loop on a thread of its own (a notebook has a running loop on the main one). A computation
cannot be interrupted either; it is left behind, and told to end.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Items: TypeAlias = queue.SimpleQueue[tuple[T] | None]
"""What was made, each in a tuple; None when nothing more comes."""

_LOOK_S = 0.1


def pull(source: Callable[[], AsyncIterator[T]], waiting: Callable[[], None]) -> Iterator[T]:
    """Yield what ``source()`` yields and raise what it raises.

    ``waiting`` is called at least ten times a second; raising from it, or closing this
    generator, cancels the source and returns when it has let go of what it held.
    """
    items: Items[T] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async for item in source():
            items.put((item,))

    task = loop.create_task(run())

    def work() -> None:
        loop.run_until_complete(asyncio.wait({task}))
        loop.run_until_complete(loop.shutdown_asyncgens())
        items.put(None)  # wakes the reader; the task itself holds the outcome

    thread = threading.Thread(target=work, name="napari-hwsi reply", daemon=True)
    thread.start()
    try:
        yield from _received(items, waiting)
        task.result()
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        if not task.cancelled():
            task.exception()  # seen, even where the reader has already left
        loop.close()


def pull_computed(
    source: Callable[[], Iterable[T]], waiting: Callable[[], None], stop: Callable[[], None] | None = None
) -> Iterator[T]:
    """Yield what ``source()`` yields, computed on a thread of its own, and raise what it raises.

    ``waiting`` is called at least ten times a second; raising from it, or closing this generator, calls
    ``stop`` and returns without waiting for the step in hand.
    """
    items: Items[T] = queue.SimpleQueue()
    failed: list[BaseException] = []
    left = threading.Event()

    def work() -> None:
        try:
            for item in source():
                if left.is_set():
                    break
                items.put((item,))
        except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
            failed.append(error)
        finally:
            items.put(None)

    threading.Thread(target=work, name="napari-hwsi answer", daemon=True).start()
    try:
        yield from _received(items, waiting)
    finally:
        left.set()
        if stop is not None:
            stop()
    if failed:
        raise failed[0]


def _received(items: Items[T], waiting: Callable[[], None]) -> Iterator[T]:
    """Yield what comes until nothing more does, calling ``waiting`` in between."""
    while True:
        waiting()
        try:
            item = items.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
        if item is None:
            return
        yield item[0]
