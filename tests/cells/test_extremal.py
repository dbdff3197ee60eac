"""Nested components and the choice among them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_hwsi.cells.extremal import boundary_sums, component_tree, count_levels

# Two peaks on one hill, and a lone low one.
LEVELS = np.zeros((9, 16), np.uint8)
LEVELS[1:8, 1:10] = 1
LEVELS[2:7, 2:5] = 3
LEVELS[2:7, 6:9] = 2
LEVELS[2:5, 12:15] = 1


def test_the_tree_nests_components() -> None:
    tree = component_tree(LEVELS, 1)
    assert tree.level.tolist() == [1, 1, 2, 2, 3]
    assert tree.parent.tolist() == [-1, -1, 0, 0, 2]
    assert tree.summits().tolist() == [3, 1, 3, 2, 3]
    assert tree.innermost[4, 3] == 4
    assert tree.innermost[0, 0] == -1


def test_sums_hold_what_each_node_holds() -> None:
    tree = component_tree(LEVELS, 1)
    pixels = np.flatnonzero(tree.innermost >= 0)
    area, ys = tree.sums(pixels, np.ones(len(pixels)), pixels // LEVELS.shape[1])
    assert area.tolist() == [63, 9, 15, 15, 15]
    assert ys[1] == 3 * (2 + 3 + 4)


def test_small_components_count_to_what_holds_them() -> None:
    tree = component_tree(LEVELS, 16)
    assert len(tree) == 1
    assert (tree.innermost[2:7, 2:5] == 0).all()
    assert (tree.innermost[2:5, 12:15] == -1).all()


def test_boundaries_agree_with_erosion() -> None:
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 3)
    levels = count_levels(image, np.linspace(image.min(), image.max(), 12), 0)
    strength = rng.random(image.shape)
    tree = component_tree(levels, 1)
    length, total = boundary_sums(tree, levels, strength)
    for node in range(len(tree)):
        members, _ = ndimage.label(levels >= tree.level[node])
        inside = members == members[tuple(np.argwhere(_held(tree, node))[0])]
        edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
        assert length[node] == edge.sum()
        np.testing.assert_allclose(total[node], strength[edge].sum())


def _held(tree, node: int) -> np.ndarray:
    """Return the pixels whose innermost node is ``node`` or lies in it."""
    inside = np.zeros(len(tree) + 1, bool)
    inside[node] = True
    for child in range(node + 1, len(tree)):
        inside[child] = tree.parent[child] >= 0 and inside[tree.parent[child]]
    return inside[tree.innermost]


def test_the_choice_has_the_largest_sum_without_overlap() -> None:
    tree = component_tree(LEVELS, 1)
    # Both peaks together are worth more than the hill; of the nested first peak the better node is taken.
    assert tree.choose(np.array([5.0, 1.0, 2.0, 3.0, 4.0])).tolist() == [-1, 1, -1, 3, 4]
    assert tree.choose(np.array([7.0, 0.0, 2.0, 3.0, 4.0])).tolist() == [0, -1, 0, 0, 0]


def test_a_choice_is_painted_with_numbers_from_one() -> None:
    tree = component_tree(LEVELS, 1)
    labels, nodes = tree.paint(tree.choose(np.array([0.0, 1.0, 1.0, 0.0, 0.0])))
    assert nodes.tolist() == [1, 2]
    assert labels[3, 13] == 1
    assert labels[3, 3] == 2
    assert labels[3, 7] == 0


def test_a_pale_middle_is_filled_up_to_a_size() -> None:
    ring = np.zeros((12, 12))
    ring[2:10, 2:10] = 1
    ring[4:8, 4:8] = 0
    assert count_levels(ring, [0.5], 16)[5, 5] == 1
    assert count_levels(ring, [0.5], 15)[5, 5] == 0
    assert count_levels(ring, [0.5], 16)[0, 0] == 0


def test_an_empty_image_has_an_empty_tree() -> None:
    tree = component_tree(np.zeros((4, 4), np.uint8), 1)
    assert len(tree) == 0
    assert tree.choose(np.empty(0)).tolist() == []
    assert tree.paint(np.empty(0, int))[0].sum() == 0
