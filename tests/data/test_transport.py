"""Shared slots: what a process puts in is what another takes out."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest

from vclr.data.transport import Parcel, SharedSlots


def make_value(seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (3, 20, 31), dtype=np.uint8)
    return {
        "image": image,
        "same": image,
        "boxes": generator.random((5, 4), np.float32),
        "none": np.empty((0, 4)),
        "id": "é",
    }


def assert_equal(value: dict[str, Any], expected: dict[str, Any]) -> None:
    assert value.keys() == expected.keys()
    for key in ("image", "boxes", "none"):
        assert value[key].dtype == expected[key].dtype
        assert np.array_equal(value[key], expected[key])
    assert value["same"] is value["image"], "an array that occurs twice is sent once"
    assert value["id"] == expected["id"]


def test_slots_keep_values_apart():
    slots = SharedSlots(3, 10_000)
    parcels = [slots.pack(make_value(slot), slot) for slot in range(3)]
    for seed, parcel in enumerate(parcels):
        assert len(parcel.pickled) < 1000
        assert_equal(slots.unpack(parcel), make_value(seed))


def test_arrays_lie_in_the_slot():
    slots = SharedSlots(2, 10_000)
    first = slots.unpack(slots.pack(make_value(0), 1))
    slots.pack(make_value(1), 1)
    assert np.array_equal(first["image"], make_value(1)["image"])


@pytest.mark.parametrize("slot_bytes", [1, 100, 4096])
def test_value_that_is_too_large_travels_in_the_parcel(slot_bytes: int):
    slots = SharedSlots(2, slot_bytes)
    big = {"image": np.arange(50_000, dtype=np.int64)}
    parcel = slots.pack(big, 1)
    assert parcel.places == []
    received = slots.unpack(pickle.loads(pickle.dumps(parcel)))
    assert np.array_equal(received["image"], big["image"])
    assert received["image"].flags.writeable


def put(slots: SharedSlots, sender: Any) -> None:
    for slot in range(2):
        sender.send(slots.pack(make_value(slot), slot))


def test_another_process_fills_the_slots():
    slots = SharedSlots(2, 10_000)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("fork").Process(target=put, args=(slots, sender))
    worker.start()
    parcels: list[Parcel] = [receiver.recv() for _ in range(2)]
    worker.join()
    for seed, parcel in enumerate(parcels):
        assert_equal(slots.unpack(parcel), make_value(seed))
