"""The order of training samples: endless batches that depend on seed and position alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from vclr.config.checks import check_share

Key = tuple[int, int]  # epoch, index


class EpochSampler(Sampler[list[Key]]):
    """Endless batches of (epoch, index). Each epoch has a new order that depends on seed and epoch alone.

    With groups, a batch holds samples of one group. Each epoch deals its order into one pile per group; a pile that has
    reached the batch size is the next batch, and the next epoch completes unfinished piles. So every sample comes
    exactly once per epoch, and the number of each batch can be computed from the sizes of the groups.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        seed: int,
        first_batch: int = 0,
        groups: np.ndarray | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Describe the order.

        Args:
            num_samples: samples per epoch.
            batch_size: samples per batch, of all processes together.
            seed: seed of the orders.
            first_batch: number of the first batch.
            groups: (num_samples,) the group of each sample; None: a single group.
            rank: number of this process; it gets the slots [rank * k, (rank + 1) * k) of each batch, with
                k = batch_size / world_size.
            world_size: number of processes that share a batch evenly.
        """
        check_share(batch_size, world_size)
        self.batch_size, self.seed, self.first_batch = batch_size, seed, first_batch
        _, self._groups = np.unique(np.zeros(num_samples) if groups is None else groups, return_inverse=True)
        self._group_sizes = np.bincount(self._groups)
        self.num_slots = batch_size // world_size  # of this process
        self._slots = slice(rank * self.num_slots, (rank + 1) * self.num_slots)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.first_batch * self.batch_size // len(self._groups)  # no earlier epoch completes it
        while self._num_batches(epoch + 1) <= self.first_batch:
            epoch += 1
        number = self._num_batches(epoch)
        piles = [self._left_over(group, epoch) for group in range(len(self._group_sizes))]
        while True:
            for index in self._order(epoch).tolist():
                pile = piles[self._groups[index]]
                pile.append((epoch, index))
                if len(pile) == self.batch_size:
                    if number >= self.first_batch:
                        yield pile[self._slots]
                    number += 1
                    pile.clear()
            epoch += 1

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self._groups))

    def _num_batches(self, num_epochs: int) -> int:
        """Return the number of batches that are complete after `num_epochs` epochs."""
        return int((num_epochs * self._group_sizes // self.batch_size).sum())

    def _left_over(self, group: int, epoch: int) -> list[Key]:
        """Return the pile of a group at the start of an epoch: the last samples of the epochs before."""
        count = int(epoch * self._group_sizes[group] % self.batch_size)
        pile: list[Key] = []
        while len(pile) < count:
            epoch -= 1
            order = self._order(epoch)
            pile = [(epoch, int(index)) for index in order[self._groups[order] == group]] + pile
        return pile[len(pile) - count :]
