"""Loaders: from samples to padded batches, in an order that a resumed run finds again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from vclr.config import Config
from vclr.data.samples import Sample, TestSample, TestSamples, TrainingSamples
from vclr.data.workers import prepare_worker, start_workers
from vclr.errors import UserError
from vclr.structures import Batch, Size, Target

T = TypeVar("T")


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Endless batches of (epoch, index), each epoch a new order that depends on the seed and the epoch alone."""

    def __init__(self, num_samples: int, batch_size: int, seed: int, first_batch: int = 0) -> None:
        self.num_samples, self.batch_size, self.seed, self.first_batch = num_samples, batch_size, seed, first_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        position = self.first_batch * self.batch_size
        epoch, order = -1, np.empty(0, dtype=np.int64)
        while True:
            batch = []
            for _ in range(self.batch_size):
                if position // self.num_samples != epoch:
                    epoch = position // self.num_samples
                    order = np.random.default_rng([self.seed, epoch]).permutation(self.num_samples)
                batch.append((epoch, int(order[position % self.num_samples])))
                position += 1
            yield batch


def training_loader(config: Config, samples: TrainingSamples, first_batch: int = 0) -> DataLoader[Batch]:
    """Return an endless loader of training batches that starts with batch number `first_batch`."""
    loader = config.dataloader.train
    sampler = EpochSampler(len(samples), loader.total_batch_size, config.train.seed, first_batch)
    return DataLoader(
        samples,  # type: ignore[arg-type]
        batch_sampler=sampler,  # type: ignore[arg-type]
        num_workers=loader.num_workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=prepare_worker,
    )


def test_loader(config: Config, samples: TestSamples) -> DataLoader[list[TestSample]]:
    """Return a loader of lists of test samples, in order."""
    loader = config.dataloader.test
    return DataLoader(
        samples,  # type: ignore[arg-type]
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        collate_fn=list,
        worker_init_fn=prepare_worker,
    )


def read_batches(loader: Iterable[T]) -> Iterator[T]:
    """Yield what a loader gives.

    Raises:
        UserError: a file cannot be used; one line, also where torch wrapped a worker's error in its traceback.
    """
    try:
        yield from start_workers(loader)
    except UserError as error:
        raise UserError(str(error).strip().splitlines()[-1].removeprefix("vclr.errors.UserError: ")) from None


def collate(samples: list[Sample]) -> Batch:
    """Pad samples to one batch."""
    images, image_sizes = pad_images([sample.image for sample in samples])
    if all(sample.image is sample.natural for sample in samples):
        natural = images
    else:
        natural, _ = pad_images([sample.natural for sample in samples])
    targets = [sample.target for sample in samples]
    return Batch(images, natural, image_sizes, targets, [sample.view for sample in samples])


def pad_images(images: list[Tensor]) -> tuple[Tensor, list[Size]]:
    """Pad (3, h, w) uint8 images bottom and right to the largest height and width.

    Returns:
        (b, 3, h, w) float32 of 0-255, and the (height, width) of each image without padding.
    """
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    batch = torch.zeros(len(images), 3, max(height for height, _ in sizes), max(width for _, width in sizes))
    for slot, image, (height, width) in zip(batch, images, sizes, strict=True):
        slot[:, :height, :width] = image
    return batch, sizes


def pad_masks(target: Target, size: Size) -> Target:
    """Return a target whose masks are padded with zeros, bottom and right."""
    masks = target.masks.new_zeros((len(target), *size))
    masks[:, : target.masks.shape[1], : target.masks.shape[2]] = target.masks
    return replace(target, masks=masks)
