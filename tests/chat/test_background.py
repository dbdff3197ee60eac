"""Pulling from an asynchronous source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from napari_hwsi.chat.background import pull


async def three() -> AsyncIterator[int]:
    for item in range(3):
        await asyncio.sleep(0)
        yield item


def waiting() -> None:
    """Nothing to say."""


def test_pulls() -> None:
    assert list(pull(three, waiting)) == [0, 1, 2]


def test_pulls_where_a_loop_is_running() -> None:
    """As in a notebook."""

    async def cell() -> list[int]:
        return list(pull(three, waiting))

    assert asyncio.run(cell()) == [0, 1, 2]


def test_a_source_that_is_left_is_closed() -> None:
    closed: list[bool] = []

    async def source() -> AsyncIterator[int]:
        try:
            async for item in three():
                yield item
        finally:
            closed.append(True)

    items = pull(source, waiting)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert closed == [True]
