"""Loaders: from samples to batches, in an order that a resumed run finds again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from vclr.config import Config
from vclr.data.batches import collate
from vclr.data.prefetch import one_batch_ahead
from vclr.data.sampler import EpochSampler, Key
from vclr.data.samples import PackedSample, TestSample, TestSamples, TrainingSamples
from vclr.data.transport import Parcel, SharedSlots
from vclr.data.workers import prepare_worker, start_workers
from vclr.errors import UserError
from vclr.shards import Shard
from vclr.structures import Batch

T = TypeVar("T")
CPU = torch.device("cpu")
Draws = tuple[int, list[Key]]  # the slot to send a batch in, and its samples


class TrainingLoader:
    """Endless batches in the order of `EpochSampler`, made by `dataloader.train.num_workers` processes.

    Workers send packed samples, through shared memory if they are forked, and this process makes a batch of them. For a
    GPU, a thread makes the next batch and copies it to the device. On a CPU that thread would compete with the training
    (measured on two cores: 0 to 4 percent slower).
    """

    def __init__(
        self,
        config: Config,
        samples: TrainingSamples,
        first_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device = CPU,
    ) -> None:
        """Begin with batch number `first_batch`; each of several processes gets its slots of the same batches."""
        self.config, self.samples, self.device = config, samples, device
        loader = config.dataloader.train
        kinds = samples.images.is_wide() if loader.aspect_ratio_grouping else None
        batch_size, seed = loader.total_batch_size, config.train.seed
        self.sampler = EpochSampler(
            len(samples), batch_size, seed, first_batch, kinds, loader.group_size, rank, world_size
        )

    def __iter__(self) -> Iterator[Batch]:
        loader, slots = self.config.dataloader.train, self._make_slots()
        num_slots = slots.num_slots if slots else 1
        sent = DataLoader(
            _SentSamples(self.samples, slots),
            batch_size=None,  # the sampler makes the batches
            sampler=((number % num_slots, keys) for number, keys in enumerate(self.sampler)),
            num_workers=loader.num_workers,
            collate_fn=_unchanged,
            prefetch_factor=loader.prefetch_factor if loader.num_workers else None,
            worker_init_fn=prepare_worker,
        )
        arrived = start_workers(sent)  # in this thread: they end with the thread that forked them

        def make() -> Batch:
            item = next(arrived)
            packed: list[PackedSample] = slots.unpack(item) if slots else item
            # The next call asks workers for another batch, perhaps in this slot: by then all of this one is copied.
            return collate([sample.unpack() for sample in packed], pin_memory=self.device.type == "cuda")

        if self.device.type == "cpu":
            while True:
                yield make()
        yield from one_batch_ahead(make, self.device)

    def _make_slots(self) -> SharedSlots | None:
        loader, mapper = self.config.dataloader.train, self.config.dataloader.train.mapper
        if not loader.num_workers or multiprocessing.get_start_method() != "fork":
            return None
        # When a batch is handed over, workers are asked for one more, and the first has not left its slot yet.
        num_slots = loader.num_workers * loader.prefetch_factor + 1
        pixels = mapper.max_size * min(mapper.max_size, max(mapper.short_edge_length))
        # Two images, and masks. Masks in their windows rarely cover an image twice; if they do, they travel outside.
        return SharedSlots(num_slots, self.sampler.num_slots * pixels * (2 * 3 + 2))


class _SentSamples(Dataset[Any]):
    """The samples of a batch in the form that a worker sends."""

    def __init__(self, samples: TrainingSamples, slots: SharedSlots | None) -> None:
        self.samples, self.slots = samples, slots

    def __getitem__(self, draws: Draws) -> Parcel | list[PackedSample]:
        slot, keys = draws
        packed = [self.samples.draw(epoch, index) for epoch, index in keys]
        return self.slots.pack(packed, slot) if self.slots else packed


def list_test_batches(config: Config, samples: TestSamples, shard: Shard) -> Sequence[list[int]]:
    """List the sample indices of each batch in a shard of the test set, in order.

    A shard is a block of whole batches, so it does not change which images are padded together.
    """
    indices, size = list(range(len(samples))), config.dataloader.test.batch_size
    return shard.of([indices[start : start + size] for start in indices[::size]])


def test_loader(config: Config, samples: TestSamples, batches: Sequence[list[int]]) -> DataLoader[list[TestSample]]:
    """Return a loader of lists of test samples."""
    loader = config.dataloader.test
    return DataLoader(
        samples,  # type: ignore[arg-type]
        batch_sampler=batches,
        num_workers=loader.num_workers,
        collate_fn=list,
        worker_init_fn=prepare_worker,
    )


def read_batches(loader: Iterable[T]) -> Generator[T, None, None]:
    """Yield a loader's batches. Closing the generator also ends its thread and its workers.

    Raises:
        UserError: a file cannot be used; one line, even if torch wrapped a worker's error in a traceback.
    """
    try:
        yield from start_workers(loader)
    except UserError as error:
        raise UserError(str(error).strip().splitlines()[-1].removeprefix("vclr.errors.UserError: ")) from None


def _unchanged(item: T) -> T:
    return item
