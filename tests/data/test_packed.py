"""Packed lists: what went in comes out, and a process that reads them takes no memory of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil
import pytest

from vclr.data.objects import Objects
from vclr.data.packed import PackedList

ENTRIES: list[Any] = ["photo.jpg", "фото/照片 😀.png", "", {"id": 7, "box": [1.5, -2]}, None, [], 3]


def test_entries_come_out_as_they_went_in():
    packed = PackedList(ENTRIES)
    assert list(packed) == ENTRIES
    assert len(packed) == len(ENTRIES)
    assert [packed[-1], packed[-len(ENTRIES)]] == [ENTRIES[-1], ENTRIES[0]]
    assert packed[1:4] == ENTRIES[1:4]
    assert packed.index("") == 2


def test_empty_list():
    packed = PackedList[str]([])
    assert len(packed) == 0
    assert list(packed) == []
    with pytest.raises(IndexError):
        packed[0]


@pytest.mark.parametrize("index", [len(ENTRIES), -len(ENTRIES) - 1])
def test_index_beyond_the_ends(index: int):
    with pytest.raises(IndexError):
        PackedList(ENTRIES)[index]


def test_objects_come_out_as_they_went_in():
    rle = {"size": [4, 5], "counts": "05"}
    annotations = [
        {"bbox": [1, 2, 3, 4], "segmentation": [[0, 0, 4, 0, 4, 4], [5, 5, 9.25, 5, 9, 9, 5, 9]]},
        {"bbox": [0, 0, 5, 4], "segmentation": rle},
        {"bbox": [1, 1, 2, 2]},
    ]
    objects, nothing = PackedList(map(Objects.from_annotations, [annotations, []]))
    assert objects.corners.tolist() == [[1, 2, 4, 6], [0, 0, 5, 4], [1, 1, 3, 3]]
    assert [points.tolist() for points in objects.polygons.split()] == [
        [[0, 0], [4, 0], [4, 4]],
        [[5, 5], [9.25, 5], [9, 9], [5, 9]],
        [[1, 1], [3, 1], [3, 3], [1, 3]],
    ]
    assert objects.polygons.owners.tolist() == [0, 0, 2]
    assert objects.rles == {1: rle}
    assert len(nothing) == len(nothing.polygons) == 0


def read_all(entries: Sequence[Any], sender: Any) -> None:
    before = psutil.Process().memory_full_info().uss
    for index in range(len(entries)):
        sum(entries[index])
    sender.send(psutil.Process().memory_full_info().uss - before)


def memory_of_a_reader(entries: Sequence[Any]) -> int:
    """Return what a forked process that reads all entries takes of its own memory, in bytes."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("fork").Process(target=read_all, args=(entries, sender))
    worker.start()
    grown: int = receiver.recv()
    worker.join()
    return grown


def test_reading_process_does_not_copy_the_list():
    """A list of objects is copied by being read, for want of which this test would be worth nothing."""
    numbers = np.random.default_rng(0).random((20_000, 40)).tolist()  # 24 MB
    assert memory_of_a_reader(numbers) > 15e6
    assert memory_of_a_reader(PackedList(numbers)) < 3e6
