"""The order of training: a pure function of seed and position, shared out among processes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from scipy import stats

from vclr.data.sampler import EpochSampler, Key
from vclr.errors import UsageError

# Shares of two groups: even, lopsided, one image of its kind, none, fewer images than a batch.
MIXES = [(13, 12), (40, 3), (20, 1), (9, 0), (2, 1), (1, 1)]


def kinds_of(mix: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(3).permutation(np.repeat([False, True], mix))


def take(count: int, mix: tuple[int, int], first: int = 0, batch_size: int = 4, **others: int) -> list[list[Key]]:
    return list(islice(EpochSampler(sum(mix), batch_size, 5, first, kinds_of(mix), **others), count))


@pytest.mark.parametrize(("num_samples", "batch_size"), [(10, 3), (4, 4), (2, 5), (1, 1)])
def test_without_groups_epochs_follow_each_other(num_samples: int, batch_size: int):
    keys = [key for batch in islice(EpochSampler(num_samples, batch_size, seed=0), 20) for key in batch]
    for epoch in range(len(keys) // num_samples):
        part = keys[epoch * num_samples : (epoch + 1) * num_samples]
        assert sorted(part) == [(epoch, index) for index in range(num_samples)]


def test_one_group_is_as_good_as_none():
    ones = np.ones(10, dtype=bool)
    assert list(islice(EpochSampler(10, 3, 1, kinds=ones), 20)) == list(islice(EpochSampler(10, 3, 1), 20))


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_batches_are_full_and_of_one_group(mix: tuple[int, int]):
    groups = kinds_of(mix)
    for batch in take(60, mix):
        assert len(batch) == 4
        assert len({bool(groups[index]) for _, index in batch}) == 1


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_every_sample_comes_once_an_epoch(mix: tuple[int, int]):
    """What is left of an epoch, less than a batch of each group, comes with the next ones."""
    num_samples, num_epochs = sum(mix), 12
    num_batches = sum(num_epochs * size // 4 for size in mix)
    keys = [key for batch in take(num_batches, mix) for key in batch]
    expected = {(epoch, index) for epoch in range(num_epochs) for index in range(num_samples)}
    assert len(keys) == len(set(keys))
    assert set(keys) <= expected
    late = expected - set(keys)
    assert len(late) == sum(num_epochs * size % 4 for size in mix)
    later = {key for batch in take(60, mix, first=num_batches) for key in batch}
    assert {key for key in late if kinds_of(mix)[key[1]] == (mix[1] > mix[0])} <= later


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_starting_at_a_batch_is_skipping_those_before(mix: tuple[int, int]):
    """Wherever it starts, also in a late epoch."""
    whole = take(120, mix)
    for first in [*range(12), *np.random.default_rng(1).integers(12, 110, 12).tolist()]:
        assert take(10, mix, first) == whole[first : first + 10]


def test_order_depends_on_seed_and_epoch():
    def order(seed: int) -> list[list[Key]]:
        return list(islice(EpochSampler(50, 50, seed), 2))

    assert order(0) == order(0)
    assert order(0) != order(1)
    first, second = order(0)
    assert [index for _, index in first] != [index for _, index in second]


def test_groups_take_turns():
    """Batches come as their piles fill up, not one group after the other."""
    kinds = [bool(kinds_of((40, 40))[batch[0][1]]) for batch in take(20, (40, 40))]
    assert 4 < sum(kinds) < 16
    assert sum(one != other for one, other in zip(kinds, kinds[1:], strict=False)) > 4


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
@pytest.mark.parametrize("first", [0, 7])
def test_processes_share_the_batches_of_one(world_size: int, first: int):
    """Process r of w has the slots r * k to (r + 1) * k of each batch."""
    whole = take(20, (13, 12), first, batch_size=6)
    parts = [take(20, (13, 12), first, batch_size=6, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(batch) for part in parts for batch in part} == {6 // world_size}
    assert [[key for batch in batches for key in batch] for batches in zip(*parts, strict=True)] == whole


def test_uneven_share_is_refused():
    with pytest.raises(UsageError, match=r"^dataloader.train.total_batch_size=6: must be a multiple of the 4 proc"):
        EpochSampler(10, 6, 0, rank=1, world_size=4)


def test_a_late_start_in_a_large_set_is_cheap():
    """Only the epoch is replayed in which the batch lies, and what its piles begin with."""
    groups = np.random.default_rng(0).random(118_000) < 0.27
    sampler = EpochSampler(len(groups), 16, 0, first_batch=10_000_000, kinds=groups)
    drawn: list[int] = []
    order = sampler._order
    sampler._order = lambda epoch: drawn.append(epoch) or order(epoch)  # type: ignore
    assert len(next(iter(sampler))) == 16
    assert len(drawn) <= 3


# --- groups of a batch, each with its own share of the images ---------------------------------------------------------

GROUPED = [(8, 2), (6, 3), (4, 1), (6, 6)]  # batch size, group size


@pytest.mark.parametrize("sizes", GROUPED, ids=str)
@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_groups_are_of_one_kind(mix: tuple[int, int], sizes: tuple[int, int]):
    kinds, (batch_size, group_size) = kinds_of(mix), sizes
    for batch in take(60, mix, batch_size=batch_size, group_size=group_size):
        groups = [batch[start : start + group_size] for start in range(0, batch_size, group_size)]
        assert all(len({bool(kinds[index]) for _, index in group}) == 1 for group in groups)


@pytest.mark.parametrize("sizes", GROUPED, ids=str)
@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_image_k_of_the_order_goes_to_group_k(mix: tuple[int, int], sizes: tuple[int, int]):
    """And comes once: what is missing of the first epochs is in unfinished piles, or waits for other groups."""
    num_samples, (batch_size, group_size) = sum(mix), sizes
    num_groups, seen = batch_size // group_size, []
    places = {
        (epoch, index): epoch * num_samples + place
        for epoch in range(200)
        for place, index in enumerate(np.random.default_rng([5, epoch]).permutation(num_samples).tolist())
    }
    for batch in take(200 * num_samples // batch_size - 4, mix, batch_size=batch_size, group_size=group_size):
        for slot, key in enumerate(batch):
            assert places[key] % num_groups == slot // group_size
            seen.append(key)
    assert len(seen) == len(set(seen))
    assert len(places) - len(seen) <= 4 * batch_size + batch_size


@pytest.mark.parametrize("sizes", GROUPED, ids=str)
@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_starting_at_a_batch_of_groups_is_skipping_those_before(mix: tuple[int, int], sizes: tuple[int, int]):
    others = {"batch_size": sizes[0], "group_size": sizes[1]}
    whole = take(120, mix, **others)
    for first in [*range(12), *np.random.default_rng(1).integers(12, 110, 12).tolist()]:
        assert take(10, mix, first, **others) == whole[first : first + 10]


@pytest.mark.parametrize("world_size", [2, 3, 6])
def test_a_group_may_lie_across_processes(world_size: int):
    whole = take(20, (13, 12), batch_size=6, group_size=2)
    parts = [
        take(20, (13, 12), batch_size=6, group_size=2, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    assert [[key for batch in batches for key in batch] for batches in zip(*parts, strict=True)] == whole


def test_a_late_start_with_groups_draws_each_epoch_once():
    """The epochs are replayed as counts; only the last is dealt."""
    kinds = np.random.default_rng(0).random(118_000) < 0.27
    sampler = EpochSampler(len(kinds), 16, 0, first_batch=59_000, kinds=kinds, group_size=2)
    drawn: list[int] = []
    order = sampler._order
    sampler._order = lambda epoch: drawn.append(epoch) or order(epoch)  # type: ignore
    assert len(next(iter(sampler))) == 16
    assert len(drawn) <= 59_000 * 16 / 118_000 + 4


# --- the reference's distribution of wide and tall -------------------------------------------------------------------

NUM_GPUS, PER_GPU, NUM_BATCHES = 8, 2, 2000
IS_WIDE = np.random.default_rng(0).random(1000) < 0.73  # as in COCO


def endless_order(seed: int) -> Iterator[int]:
    generator = np.random.default_rng(seed)
    while True:
        yield from generator.permutation(len(IS_WIDE)).tolist()


def orientations(images: Iterator[int]) -> Iterator[bool]:
    """Yield whether each next full bucket is wide, as detectron2's AspectRatioGroupedDataset fills them."""
    buckets: dict[bool, list[int]] = {True: [], False: []}
    for image in images:
        bucket = buckets[bool(IS_WIDE[image])]
        bucket.append(image)
        if len(bucket) == PER_GPU:
            yield bool(IS_WIDE[image])
            bucket.clear()


def histogram(num_wide: list[int]) -> np.ndarray:
    """Count batches by their number of wide groups; few have 0 to 2, which the test needs in one cell."""
    assert len(num_wide) == NUM_BATCHES
    return np.bincount(np.maximum(num_wide, 2), minlength=NUM_GPUS + 1)[2:]


def similarity(one: list[int], other: list[int]) -> float:
    """Return the p-value of both being drawn from one distribution."""
    return float(stats.chi2_contingency([histogram(one), histogram(other)]).pvalue)


def test_wide_groups_per_batch_are_distributed_as_on_the_references_gpus():
    gpus = [orientations(islice(endless_order(7), rank, None, NUM_GPUS)) for rank in range(NUM_GPUS)]
    reference = [sum(next(gpu) for gpu in gpus) for _ in range(NUM_BATCHES)]
    sampler = EpochSampler(len(IS_WIDE), NUM_GPUS * PER_GPU, 3, kinds=IS_WIDE, group_size=PER_GPU)
    ours = [sum(bool(IS_WIDE[index]) for _, index in batch) // PER_GPU for batch in islice(sampler, NUM_BATCHES)]
    assert similarity(ours, reference) > 1e-3
    # Buckets that one stream fills for all GPUs would balance each other.
    buckets = orientations(endless_order(7))
    assert similarity([sum(islice(buckets, NUM_GPUS)) for _ in range(NUM_BATCHES)], reference) < 1e-9
