"""How the levels of a slide lie on each other."""

from __future__ import annotations

from collections.abc import Sequence

Shape = tuple[int, int]
Ratio = tuple[float, float]

_LARGEST_PADDING = 1024


def true_ratios(shapes: Sequence[Shape]) -> tuple[Ratio, ...]:
    """Return the (y, x) level-0 pixels per pixel of each level.

    shapes: (Y, X), finest first. Scanners shrink by whole ratios and drop or add the pixel that
    is left over: 4443 px become 2221, and the ratio is 2, not 2.0005, which would shift the far
    edge by a pixel. So a ratio is whole where that explains both sizes to less than a pixel
    and continues those before it; else it is that of the sizes.
    """
    ratios: list[Ratio] = [(1.0, 1.0)]
    whole = 1
    for shape in shapes[1:]:
        by_size = (shapes[0][0] / shape[0], shapes[0][1] / shape[1])
        near = round(by_size[0]) if shape[0] > shape[1] else round(by_size[1])
        explained = near > 0 and all(
            abs(full / near - own) < 1 for full, own in zip(shapes[0], shape, strict=True)
        )
        if explained and near % whole == 0:
            whole = near
            ratios.append((float(near), float(near)))
        else:
            ratios.append(by_size)
    return tuple(ratios)


def exact_shapes(shape: Shape, ratios: Sequence[Ratio]) -> list[Shape] | None:
    """Return shapes that have exactly these ratios to one another and hold a slide of ``shape``.

    They are padded at their end. None where ratios are not whole, or would pad by over 1024 px.
    """
    steps = [int(y) for y, x in ratios if y == x == int(y)]
    if len(steps) < len(ratios) or any(steps[-1] % step for step in steps) or steps[-1] > _LARGEST_PADDING:
        return None
    full = [-(-side // steps[-1]) * steps[-1] for side in shape]
    return [(full[0] // step, full[1] // step) for step in steps]


def read_region_steps(shapes: Sequence[Shape]) -> tuple[float, ...]:
    """Return the level-0 pixels per pixel that OpenSlide's ``read_region`` places each level by.

    It is the mean of the ratios of the sizes, one number for both axes.
    """
    return tuple((shapes[0][0] / y + shapes[0][1] / x) / 2 for y, x in shapes)
