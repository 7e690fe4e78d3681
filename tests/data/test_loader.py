"""Loaders: what is drawn depends on the seed and the position alone, whoever works and however often it stopped."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest
import torch

from vclr.config import Config
from vclr.data.loader import EpochSampler, pad_images, training_loader
from vclr.data.loader import test_loader as make_test_loader
from vclr.data.samples import TestSamples as EvaluatedSamples
from vclr.data.samples import TrainingSamples
from vclr.structures import Batch

MakeConfig = Callable[..., Config]


def take(config: Config, count: int, first: int = 0) -> list[Batch]:
    return list(islice(training_loader(config, TrainingSamples(config), first_batch=first), count))


def assert_equal(first: Batch, second: Batch) -> None:
    for name in ("images", "natural"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert first.image_sizes == second.image_sizes
    assert first.views == second.views
    for one, other in zip(first.targets, second.targets, strict=True):
        assert one.image_id == other.image_id
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.masks, other.masks)


@pytest.mark.parametrize(("num_samples", "batch_size"), [(10, 3), (4, 4), (2, 5), (1, 1)])
def test_every_epoch_has_every_sample_once(num_samples: int, batch_size: int):
    keys = [key for batch in islice(EpochSampler(num_samples, batch_size, seed=0), 20) for key in batch]
    for epoch in range(len(keys) // num_samples):
        part = keys[epoch * num_samples : (epoch + 1) * num_samples]
        assert sorted(part) == [(epoch, index) for index in range(num_samples)]


def test_order_depends_on_seed_and_epoch():
    def order(seed: int) -> list[list[tuple[int, int]]]:
        return list(islice(EpochSampler(50, 50, seed), 2))

    assert order(0) == order(0)
    assert order(0) != order(1)
    first, second = order(0)
    assert [index for _, index in first] != [index for _, index in second]


@pytest.mark.parametrize("first", [1, 3, 4, 11])
def test_starting_at_a_batch_is_skipping_those_before(first: int):
    whole = list(islice(EpochSampler(10, 3, seed=2), 20))
    assert list(islice(EpochSampler(10, 3, seed=2, first_batch=first), 20 - first)) == whole[first:]


def test_batches_after_a_restart_are_the_same(make_config: MakeConfig):
    config = make_config("dataloader.train.mapper.crop_probability=0.5", "dataloader.train.mapper.crop_size=[40,60]")
    whole = take(config, 5)
    for one, other in zip(whole[3:], take(config, 2, first=3), strict=True):
        assert_equal(one, other)


def test_workers_change_nothing(make_config: MakeConfig):
    for one, other in zip(take(make_config(), 4), take(make_config("dataloader.train.num_workers=2"), 4), strict=True):
        assert_equal(one, other)


def test_other_seed_other_batches(make_config: MakeConfig):
    first, second = take(make_config(), 1)[0], take(make_config("train.seed=1"), 1)[0]
    assert [target.image_id for target in first.targets] != [target.image_id for target in second.targets]


def test_padding_is_at_the_bottom_and_right():
    first, second = torch.full((3, 4, 6), 9, dtype=torch.uint8), torch.full((3, 5, 2), 7, dtype=torch.uint8)
    images, sizes = pad_images([first, second])
    assert images.shape == (2, 3, 5, 6)
    assert images.dtype == torch.float32
    assert (images[0, :, :4, :6] == 9).all()
    assert (images[1, :, :5, :2] == 7).all()
    assert images.sum() == 3 * (24 * 9 + 10 * 7)
    assert sizes == [(4, 6), (5, 2)]


def test_batch_has_view_and_photo_of_one_geometry(make_config: MakeConfig):
    config = make_config("views.weights={natural: 0, depth: 1, style: 0}")
    batch = take(config, 1)[0]
    assert batch.views == ["depth"] * 3
    assert batch.images.shape == batch.natural.shape
    assert not torch.equal(batch.images, batch.natural)
    for target in batch.targets:
        assert target.masks.shape[1:] == batch.images.shape[2:]


def test_natural_only_batches_hold_the_photos_once(make_config: MakeConfig):
    batch = take(make_config("views.weights={natural: 1, depth: 0, style: 0}"), 1)[0]
    assert batch.natural is batch.images


def test_evaluation_goes_through_all_images_in_order(make_config: MakeConfig):
    config = make_config("dataloader.test.batch_size=3")
    samples = EvaluatedSamples(config)
    seen = [sample.image_id for batch in make_test_loader(config, samples) for sample in batch]
    assert seen == [image["id"] for image in samples.coco["images"]]
