"""Groups: which images of a process belong to which group of the batch."""

from __future__ import annotations

import pytest

from vclr.groups import count_groups, own_groups, slices


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("group_size", [1, 2, 3, 4, 6, 12])
def test_every_image_is_in_the_group_of_its_place(world_size: int, group_size: int):
    num_images, found = 12 // world_size, []
    for rank in range(world_size):
        groups = own_groups(num_images, group_size, rank)
        found += [(rank * num_images + image, group) for group, images in groups.items() for image in images]
        assert all(groups.values()), "no empty group"
    assert found == [(place, place // group_size) for place in range(12)]


def test_the_last_group_may_be_short():
    assert slices(5, 2) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert count_groups(5, 2) == 3
    assert own_groups(5, 2, 0) == {0: range(0, 2), 1: range(2, 4), 2: range(4, 5)}
