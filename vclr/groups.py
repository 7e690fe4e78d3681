"""Groups: consecutive images of a batch that share what the images of one GPU share in the reference."""

from __future__ import annotations


def own_groups(num_images: int, group_size: int, rank: int) -> dict[int, range]:
    """Return the groups to which a process's images belong, by number, and which of its images are in each.

    Args:
        num_images: images of each process.
        group_size: images per group.
        rank: number of the process; its images have the places from rank * num_images on in the whole batch.
    """
    first = rank * num_images
    numbers = range(first // group_size, (first + num_images - 1) // group_size + 1)
    return {
        number: range(max(number * group_size - first, 0), min((number + 1) * group_size - first, num_images))
        for number in numbers
    }
