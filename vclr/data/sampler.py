"""The order of training samples: endless batches that depend on seed and position alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from vclr.config.checks import check_share

Key = tuple[int, int]  # epoch, index
Piles = list[list[Key]]  # per group of a batch and kind of image, kinds of one group together


class EpochSampler(Sampler[list[Key]]):
    """Endless batches of (epoch, index). Each epoch has a new order that depends on seed and epoch alone.

    The places of a batch form groups. The orders of all epochs, one after the other, are dealt to the groups in turn:
    image k goes to group k modulo the number of groups. Each group has one pile per kind of image; a pile that has
    reached the size of a group is the group's part of its next batch, and the next epoch completes unfinished piles. So
    a group is what a GPU is in detectron2: it has its own share of the images and its own piles. Every sample comes
    exactly once per epoch.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        seed: int,
        first_batch: int = 0,
        kinds: np.ndarray | None = None,
        group_size: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Describe the order.

        Args:
            num_samples: samples per epoch.
            batch_size: samples per batch, of all processes together.
            seed: seed of the orders.
            first_batch: number of the first batch.
            kinds: (num_samples,) the kind of each sample, which a group does not mix; None: a single kind.
            group_size: samples per group, a divisor of `batch_size`; 0: a batch is a single group.
            rank: number of this process; it gets the slots [rank * k, (rank + 1) * k) of each batch, with
                k = batch_size / world_size.
            world_size: number of processes that share a batch evenly.
        """
        check_share(batch_size, world_size)
        self.batch_size, self.seed, self.first_batch = batch_size, seed, first_batch
        _, self._kinds = np.unique(np.zeros(num_samples) if kinds is None else kinds, return_inverse=True)
        self._kind_sizes = np.bincount(self._kinds)
        self._group_size = group_size or batch_size
        self._num_groups = batch_size // self._group_size
        self.num_slots = batch_size // world_size  # of this process
        self._slots = slice(rank * self.num_slots, (rank + 1) * self.num_slots)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, dealt = self._find_start()
        to_skip = self.first_batch - self._count_full(dealt)
        waiting: list[deque[list[Key]]] = [deque() for _ in range(self._num_groups)]
        for group, pile in self._fill(epoch, self._left_over(epoch, dealt)):
            if to_skip[group]:
                to_skip[group] -= 1
                continue
            waiting[group].append(pile)
            if all(waiting):  # streams differ by less than a few piles, so few wait
                batch = [key for piles in waiting for key in piles.popleft()]
                yield batch[self._slots]

    def _fill(self, epoch: int, piles: Piles) -> Iterator[tuple[int, list[Key]]]:
        """Deal the epochs from the given one on; yield the group of each pile that is full, and the pile."""
        while True:
            order = self._order(epoch)
            for index, number in zip(order.tolist(), self._pile_numbers(epoch, order).tolist(), strict=True):
                pile = piles[number]
                pile.append((epoch, index))
                if len(pile) == self._group_size:
                    piles[number] = []
                    yield number // len(self._kind_sizes), pile
            epoch += 1

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self._kinds))

    def _pile_numbers(self, epoch: int, order: np.ndarray) -> np.ndarray:
        """Return the pile that each sample of an epoch's order goes to."""
        groups = (epoch * len(order) % self._num_groups + np.arange(len(order))) % self._num_groups
        return groups * len(self._kind_sizes) + self._kinds[order]

    def _find_start(self) -> tuple[int, np.ndarray]:
        """Return the epoch in which the first group completes its part of the first batch, and how many samples each
        pile has received before it.
        """
        epoch, dealt = 0, np.zeros(self._num_groups * len(self._kind_sizes), dtype=np.int64)
        if self._num_groups == 1:
            epoch = self.first_batch * self.batch_size // len(self._kinds)  # no earlier epoch completes it
            dealt = epoch * self._kind_sizes
        while True:
            after = dealt + self._count_dealt(epoch)
            if self._count_full(after).max() > self.first_batch:
                return epoch, dealt
            epoch, dealt = epoch + 1, after

    def _count_dealt(self, epoch: int) -> np.ndarray:
        """Return the number of samples that each pile receives in an epoch."""
        if self._num_groups == 1:
            return self._kind_sizes
        numbers = self._pile_numbers(epoch, self._order(epoch))
        return np.bincount(numbers, minlength=self._num_groups * len(self._kind_sizes))

    def _count_full(self, dealt: np.ndarray) -> np.ndarray:
        """Return how many full piles each group has had."""
        return (dealt // self._group_size).reshape(self._num_groups, -1).sum(1)

    def _left_over(self, epoch: int, dealt: np.ndarray) -> Piles:
        """Return the piles at the start of an epoch: the last samples of the epochs before."""
        counts = (dealt % self._group_size).tolist()
        piles: Piles = [[] for _ in counts]
        num_missing = sum(counts)
        for number, key in self._backwards(epoch):
            if not num_missing:
                break
            if len(piles[number]) < counts[number]:
                piles[number].insert(0, key)
                num_missing -= 1
        return piles

    def _backwards(self, epoch: int) -> Iterator[tuple[int, Key]]:
        """Yield the samples before an epoch, the last one first, and the pile that each went to."""
        for earlier in range(epoch - 1, -1, -1):
            order = self._order(earlier)
            numbers = self._pile_numbers(earlier, order)
            for number, index in zip(numbers[::-1].tolist(), order[::-1].tolist(), strict=True):
                yield number, (earlier, index)
