"""Loaders: what is drawn depends on the seed and the position alone, whoever works and however often it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import make_dataclass
from itertools import islice

import pytest
import torch

from tests.shared import PHOTOS
from vclr.config import Config, WeightDict
from vclr.data import loader
from vclr.data.batches import pad_images
from vclr.data.loader import TrainingLoader, list_test_batches
from vclr.data.loader import test_loader as make_test_loader
from vclr.data.sampler import EpochSampler
from vclr.data.samples import TestSamples as EvaluatedSamples
from vclr.data.samples import TrainingSamples
from vclr.data.transport import Parcel, SharedSlots
from vclr.errors import UsageError
from vclr.models.build import build_model
from vclr.shards import WHOLE
from vclr.structures import Batch

MakeConfig = Callable[..., Config]


CPU, OTHER = torch.device("cpu"), torch.device("meta")  # for one that is no CPU, a thread makes the batches


def take(config: Config, count: int, first: int = 0, device: torch.device = CPU) -> list[Batch]:
    return list(islice(TrainingLoader(config, TrainingSamples(config), first_batch=first, device=device), count))


def assert_equal(first: Batch, second: Batch) -> None:
    for name in ("images", "teacher_images"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert first.image_sizes == second.image_sizes
    assert first.views == second.views
    for one, other in zip(first.targets, second.targets, strict=True):
        assert one.image_id == other.image_id
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.masks, other.masks)


def test_batches_after_a_restart_are_the_same(make_config: MakeConfig):
    config = make_config("dataloader.train.mapper.crop_probability=0.5", "dataloader.train.mapper.crop_size=[40,60]")
    whole = take(config, 5)
    for device in (CPU, OTHER):
        for one, other in zip(whole[3:], take(config, 2, first=3, device=device), strict=True):
            assert_equal(one, other)


@pytest.mark.parametrize("device", [CPU, OTHER], ids=str)
@pytest.mark.parametrize("prefetch_factor", [1, 3])
def test_workers_change_nothing(prefetch_factor: int, device: torch.device, make_config: MakeConfig):
    """Nor does the thread, and no batch changes that is kept while many more are made."""
    workers = ["dataloader.train.num_workers=2", f"dataloader.train.prefetch_factor={prefetch_factor}"]
    for one, other in zip(take(make_config(), 17), take(make_config(*workers), 17, device=device), strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("device", [CPU, OTHER], ids=str)
@pytest.mark.parametrize(("num_workers", "prefetch_factor"), [(1, 1), (2, 1), (2, 3)])
def test_no_slot_is_asked_to_be_filled_before_it_is_emptied(
    num_workers: int,
    prefetch_factor: int,
    device: torch.device,
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
):
    """When batch k is taken out, the last one asked for is of a number whose slot is another; and no slot is idle."""
    workers = [f"dataloader.train.num_workers={num_workers}", f"dataloader.train.prefetch_factor={prefetch_factor}"]
    batches = TrainingLoader(make_config(*workers), TrainingSamples(make_config()), device=device)
    num_slots, asked, ahead = num_workers * prefetch_factor + 1, 0, []
    iterate, unpack = EpochSampler.__iter__, SharedSlots.unpack

    def count(sampler: EpochSampler) -> Iterator[list[tuple[int, int]]]:
        nonlocal asked
        for asked, keys in enumerate(iterate(sampler), start=1):  # noqa: B007
            yield keys

    def watch(slots: SharedSlots, parcel: Parcel) -> object:
        assert slots.num_slots == num_slots
        assert parcel.slot == len(ahead) % num_slots
        ahead.append(asked - 1 - len(ahead))
        return unpack(slots, parcel)

    monkeypatch.setattr(EpochSampler, "__iter__", count)
    monkeypatch.setattr(SharedSlots, "unpack", watch)
    list(islice(batches, 12))
    assert set(ahead) == {num_slots - 1}


def test_workers_that_share_no_memory_change_nothing(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    """As where processes are spawned, not forked."""
    monkeypatch.setattr(loader.multiprocessing, "get_start_method", lambda: "spawn")
    for one, other in zip(take(make_config(), 5), take(make_config("dataloader.train.num_workers=1"), 5), strict=True):
        assert_equal(one, other)


def test_batches_larger_than_their_slots_change_nothing(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loader, "SharedSlots", lambda num_slots, _: SharedSlots(num_slots, 1000))
    for one, other in zip(take(make_config(), 5), take(make_config("dataloader.train.num_workers=1"), 5), strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("first", [0, 3])
def test_processes_train_on_parts_of_one_batch(first: int, make_config: MakeConfig):
    config = make_config("dataloader.train.total_batch_size=6")
    samples = TrainingSamples(config)
    parts = [islice(TrainingLoader(config, samples, first, rank, world_size=3), 3) for rank in range(3)]
    for whole, *batches in zip(take(config, 3, first), *parts, strict=True):
        ids = [target.image_id for batch in batches for target in batch.targets]
        assert ids == [target.image_id for target in whole.targets]
        assert [view for batch in batches for view in batch.views] == whole.views


def test_processes_that_cannot_share_a_batch_are_told(make_config: MakeConfig):
    config = make_config("dataloader.train.total_batch_size=6")
    with pytest.raises(UsageError, match="total_batch_size=6: must be a multiple of the 4 processes"):
        TrainingLoader(config, TrainingSamples(config), rank=0, world_size=4)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for photos")
def test_photos_are_grouped_by_orientation(make_config: MakeConfig):
    data = [f"data.train.annotations={PHOTOS}/annotations.json", f"data.train.images={PHOTOS}/images"]
    data += ["data.train.views={depth: '', style: ''}", "views.weights={natural: 1, depth: 0, style: 0}"]
    mixed = {}
    for grouping in ("True", "False"):
        settings = [*data, f"dataloader.train.aspect_ratio_grouping={grouping}"]
        batches = TrainingLoader(make_config(*settings), TrainingSamples(make_config(*settings)))
        is_wide = batches.samples.images.is_wide()
        kinds = [{bool(is_wide[index]) for _, index in keys} for keys in islice(batches.sampler, 60)]
        mixed[grouping] = sum(len(kind) == 2 for kind in kinds)
    assert mixed["True"] == 0
    assert mixed["False"] > 10


def test_other_seed_other_batches(make_config: MakeConfig):
    first, second = take(make_config(), 1)[0], take(make_config("train.seed=1"), 1)[0]
    assert [target.image_id for target in first.targets] != [target.image_id for target in second.targets]


def test_padding_is_at_the_bottom_and_right():
    first, second = torch.full((3, 4, 6), 9, dtype=torch.uint8), torch.full((3, 5, 2), 7, dtype=torch.uint8)
    images, sizes = pad_images([first, second])
    assert images.shape == (2, 3, 5, 6)
    assert images.dtype == torch.uint8
    assert (images[0, :, :4, :6] == 9).all()
    assert (images[1, :, :5, :2] == 7).all()
    assert images.sum() == 3 * (24 * 9 + 10 * 7)
    assert sizes == [(4, 6), (5, 2)]


def test_batch_has_view_and_photo_of_one_geometry(make_config: MakeConfig):
    config = make_config("views.weights={natural: 0, depth: 1, style: 0}")
    batch = take(config, 1)[0]
    assert batch.views == ["depth"] * 3
    assert batch.images.shape == batch.teacher_images.shape
    assert not torch.equal(batch.images, batch.teacher_images)
    for target in batch.targets:
        assert target.masks.shape[1:] == batch.images.shape[2:]


def test_natural_only_batches_hold_the_photos_once(make_config: MakeConfig):
    batch = take(make_config("views.weights={natural: 1, depth: 0, style: 0}"), 1)[0]
    assert batch.teacher_images is batch.images


def test_without_a_teacher_nobody_reads_the_photo_beside_a_view(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    settings = ["views.weights={natural: 0, depth: 1, style: 0}", "model.criterion.weight_dict.loss_consistency=0"]
    expected = take(make_config(settings[0]), 1)[0]
    samples = TrainingSamples(make_config(*settings))
    monkeypatch.setattr(samples.images, "open", lambda index: pytest.fail("read a photo"))
    batch = next(iter(TrainingLoader(make_config(*settings), samples)))
    assert batch.teacher_images is batch.images
    assert torch.equal(batch.images, expected.images)


def test_any_teacher_driven_loss_gets_the_photo_beside_a_view(make_config: MakeConfig):
    """Also one that is not the consistency loss."""
    config = make_config("views.weights={natural: 0, depth: 1, style: 0}")
    more = make_dataclass("MoreWeights", [("loss_made_up", float, 0.5)], bases=(WeightDict,))
    config.model.criterion.weight_dict = more(loss_consistency=0.0)
    batch = take(config, 1)[0]
    assert not torch.equal(batch.images, batch.teacher_images)


def test_bytes_are_normalized_as_floats_are(make_config: MakeConfig):
    """Padding included."""
    model = build_model(make_config())
    images, sizes = pad_images([torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in [(40, 64), (50, 33)]])
    assert images.dtype == torch.uint8
    normalized = model.normalize(images, sizes)
    assert normalized.dtype == torch.float32
    assert torch.equal(normalized, model.normalize(images.float(), sizes))


def test_evaluation_goes_through_all_images_in_order(make_config: MakeConfig):
    config = make_config("dataloader.test.batch_size=3")
    samples = EvaluatedSamples(config)
    loader = make_test_loader(config, samples, list_test_batches(config, samples, WHOLE))
    seen = [sample.image_id for batch in loader for sample in batch]
    assert seen == [image["id"] for image in samples.coco.images]
