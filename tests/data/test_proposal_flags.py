"""Which objects are proposals: known from the json to the batch, through crops, pickles and processes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.test_masks import MAPPER
from vclr.config import Config
from vclr.data.batches import pad_masks
from vclr.data.loader import TrainingLoader, read_batches
from vclr.data.objects import Objects
from vclr.data.packed import PackedList
from vclr.data.samples import TrainingSamples
from vclr.data.transforms import draw_training_geometry
from vclr.errors import UsageError, UserError
from vclr.files import read_json, write_json
from vclr.generate.random_scenes import random_target

MakeConfig = Callable[..., Config]
SIZE = (90, 120)


def test_objects_that_a_crop_drops_drop_their_flag():
    num_dropped = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        corners = generator.uniform(0, 60, (8, 2)).round(), generator.uniform(5, 25, (8, 2)).round()
        annotations = [
            {"bbox": [*start, *sides]} for start, sides in zip(*map(np.ndarray.tolist, corners), strict=True)
        ]
        for proposal in annotations[1::2]:
            proposal["score"] = 0.5
        geometry = draw_training_geometry(MAPPER, SIZE, generator)
        (objects,) = PackedList([Objects.from_annotations(annotations)])
        boxes, masks, is_proposal = objects.move(geometry, SIZE)
        assert len(boxes) == len(masks) == len(is_proposal)
        for flag in (False, True):
            alone = [one for one in annotations if ("score" in one) == flag]
            expected, _, flags = Objects.from_annotations(alone).move(geometry, SIZE)
            assert torch.equal(boxes[torch.from_numpy(is_proposal == flag)], expected)
            assert (flags == flag).all()
        num_dropped += 8 - len(boxes)
    assert num_dropped > 10


@pytest.fixture
def proposals(make_config: MakeConfig, tmp_path: Path) -> Path:
    """A file of one proposal per image."""
    coco = read_json(make_config().data.train.annotations)
    found = [
        {"id": number, "image_id": image["id"], "category_id": 1, "bbox": [1, 1, 62, 62], "score": 0.5}
        for number, image in enumerate(coco["images"])
    ]
    write_json(tmp_path / "proposals.json", {"images": coco["images"], "annotations": found})
    return tmp_path / "proposals.json"


def test_proposals_of_a_file_are_flagged_in_every_batch(make_config: MakeConfig, proposals: Path):
    """Whether a process of its own sends the samples or not."""
    batches = {}
    for num_workers in (0, 1):
        config = make_config(f"data.train.proposals={proposals}", f"dataloader.train.num_workers={num_workers}")
        loader = TrainingLoader(config, TrainingSamples(config))
        batches[num_workers] = [batch.targets for batch in islice(read_batches(loader), 2)]
    for here, sent in zip(*batches.values(), strict=True):
        for one, other in zip(here, sent, strict=True):
            assert torch.equal(one.is_proposal, other.is_proposal)
            sides = one.boxes[one.is_proposal][:, 2:]
            assert one.is_proposal.sum() <= 1 and (sides > 0.9).all()
            assert one.is_proposal.dtype == torch.bool and len(one.is_proposal) == len(one)
    assert any(target.is_proposal.any() for targets in batches[0] for target in targets)
    assert not all(target.is_proposal.all() for targets in batches[0] for target in targets)


@pytest.mark.parametrize("setting", ["two_losses.enabled=True", "consistency.objects=proposals"])
def test_settings_that_tell_them_apart_need_both(
    setting: str, make_config: MakeConfig, proposals: Path, tmp_path: Path
):
    with pytest.raises(UserError, match=rf"{setting}: .*holds no object proposal \(with a `score`\)"):
        TrainingSamples(make_config(f"model.criterion.{setting}"))
    both = f"model.criterion.{setting}", f"data.train.proposals={proposals}"
    assert len(TrainingSamples(make_config(*both)))
    with pytest.raises(UsageError, match=f"{setting}: needs annotations beside object proposals"):
        make_config(*both, "proposals.only=True")
    config = make_config(f"model.criterion.{setting}")
    coco = read_json(config.data.train.annotations)
    for annotation in coco["annotations"]:
        annotation["score"] = 0.5
    config.data.train.annotations = str(tmp_path / "scored.json")
    write_json(tmp_path / "scored.json", coco)
    with pytest.raises(UserError, match=rf"{setting}: .*scored\.json holds object proposals alone; name"):
        TrainingSamples(config)


def test_targets_keep_their_flags():
    target = random_target((20, 30), 5, torch.Generator())
    flags = [False, True, False, True, False]
    assert target.is_proposal.tolist() == pad_masks(target, (24, 32)).is_proposal.tolist() == flags
    taken = target.take(torch.tensor([3, 0]))
    assert taken.is_proposal.tolist() == [True, False]
    assert torch.equal(taken.boxes, target.boxes[[3, 0]]) and torch.equal(taken.masks, target.masks[[3, 0]])
