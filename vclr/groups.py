"""Groups: consecutive images of a batch that share what the images of one GPU share in the reference."""

from __future__ import annotations


def slices(num_images: int, length: int) -> list[slice]:
    """Return the slices of so many consecutive images; the last one may be shorter."""
    return [slice(start, start + length) for start in range(0, num_images, length)]


def count_groups(num_images: int, group_size: int) -> int:
    """Return the number of groups of a whole batch; the last one may be smaller."""
    return len(slices(num_images, group_size))


def groups_of_images(num_images: int, group_size: int, rank: int) -> list[int]:
    """Return the number of the group of each of a process's images; the arguments are those of `own_groups`."""
    return [place // group_size for place in range(rank * num_images, (rank + 1) * num_images)]


def own_groups(num_images: int, group_size: int, rank: int) -> dict[int, range]:
    """Return the groups to which a process's images belong, by number, and which of its images are in each.

    Args:
        num_images: images of each process.
        group_size: images per group.
        rank: number of the process; its images have the places from rank * num_images on in the whole batch.
    """
    numbers = groups_of_images(num_images, group_size, rank)
    starts = {number: numbers.index(number) for number in numbers}
    return {number: range(start, start + numbers.count(number)) for number, start in starts.items()}
