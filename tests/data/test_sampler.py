"""The order of training: a pure function of seed and position, shared out among processes."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

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
