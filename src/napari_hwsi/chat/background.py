"""Pull from an asynchronous source in ordinary code, and stop it at once.

A blocking read of a socket cannot be interrupted; a task can. So the source runs in an
event loop on a thread of its own (a notebook has a running loop on the main one).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

_LOOK_S = 0.1


def pull(source: Callable[[], AsyncIterator[T]], waiting: Callable[[], None]) -> Iterator[T]:
    """Yield what ``source()`` yields and raise what it raises.

    ``waiting`` is called at least ten times a second; raising from it, or closing this
    generator, cancels the source and returns when it has let go of what it held.
    """
    items: queue.SimpleQueue[T | None] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async for item in source():
            items.put(item)

    task = loop.create_task(run())

    def work() -> None:
        loop.run_until_complete(asyncio.wait({task}))
        loop.run_until_complete(loop.shutdown_asyncgens())
        items.put(None)  # wakes the reader; the task itself holds the outcome

    thread = threading.Thread(target=work, name="napari-hwsi reply", daemon=True)
    thread.start()
    try:
        while True:
            waiting()
            try:
                item = items.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if item is None:
                task.result()
                return
            yield item
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        if not task.cancelled():
            task.exception()  # seen, even where the reader has already left
        loop.close()
