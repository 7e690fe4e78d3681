"""The object of a cut: the side with the extreme patch and without the corners, connected."""

from __future__ import annotations

import numpy as np
import pytest

from vclr.object_proposals.foreground import find_foreground

EVERYWHERE = np.ones((20, 30), bool)


def vector_of(*objects: tuple[slice, slice], heights: tuple[float, ...] = ()) -> np.ndarray:
    vector = np.full(EVERYWHERE.shape, -0.2) + np.linspace(0, 1e-3, EVERYWHERE.size).reshape(EVERYWHERE.shape)
    for place, height in zip(objects, heights or (1.0,) * len(objects), strict=True):
        vector[place] = height
    return vector


@pytest.mark.parametrize("sign", [1, -1])
def test_the_object_is_found_whatever_the_sign(sign: int) -> None:
    place = np.s_[5:12, 8:20]
    expected = np.zeros_like(EVERYWHERE)
    expected[place] = True
    assert np.array_equal(find_foreground(sign * vector_of(place), EVERYWHERE), expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_side_with_three_corners_is_the_background(sign: int) -> None:
    vector = vector_of(np.s_[:12, 8:20], heights=(-0.1,))
    vector[:, 29] = -0.5  # the extreme patch is of the background
    vector[:12, 8:20] = 0.4
    found = find_foreground(sign * vector, EVERYWHERE)
    assert found[:12, 8:20].all()
    assert found.sum() == 12 * 12


def test_of_two_parts_the_one_with_the_extreme_patch_is_the_object() -> None:
    parts = np.s_[2:6, 2:6], np.s_[10:15, 20:25]
    found = find_foreground(vector_of(*parts, heights=(0.9, 1.0)), EVERYWHERE)
    assert found[parts[1]].all()
    assert not found[parts[0]].any()


def test_patches_outside_of_the_graph_are_no_object() -> None:
    active = EVERYWHERE.copy()
    active[:, 10:14] = False
    found = find_foreground(np.where(active, vector_of(np.s_[5:12, 8:20]), 0), active)
    assert found.any()
    assert not (found & ~active).any()
    assert not find_foreground(np.zeros(active.shape), active).any()
    assert not find_foreground(np.zeros(active.shape), np.zeros_like(active)).any()
