"""The method `detector`: proposals are what the checkpoint finds; shards and batches change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vclr.coco.annotations import load_coco, to_mask
from vclr.config import dump_config, load_config
from vclr.errors import UsageError, UserError
from vclr.evaluation.detector_proposals import open_proposer
from vclr.evaluation.inference import predict
from vclr.models.build import build_model
from vclr.models.ready import open_detector
from vclr.object_proposals.options import MethodOptions
from vclr.object_proposals.write import join_proposals, write_proposals
from vclr.pictures import read_image, write_png
from vclr.shards import Shard

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> MethodOptions:
    """Options with an untrained model as a training would have saved it."""
    config = load_config(DEMO, ["model.num_queries=20", "dataloader.test.mapper.short_edge_length=64"])
    state = build_model(config).state_dict()
    path = tmp_path_factory.mktemp("weights") / "last.pt"
    torch.save({"model": state, "teacher": state, "config": dump_config(config)}, path)
    return MethodOptions(checkpoint=path, device="cpu", max_proposals=5)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(4):
        size = (50 + number, 70 - 9 * number, 3)
        write_png(tmp_path / "images" / f"{number}.png", np.random.default_rng(number).integers(0, 256, size, np.uint8))
    return tmp_path / "images"


def propose(images: Path, output: Path, options: MethodOptions, shard: Shard | None = None) -> Path:
    return write_proposals("detector", images, output, None, True, shard, options, open_proposer)


def test_proposals_are_the_best_that_the_checkpoint_finds(images: Path, tmp_path: Path, options: MethodOptions) -> None:
    coco = load_coco(propose(images, tmp_path / "p.json", options), images)
    assert options.checkpoint is not None
    model, config = open_detector(options.checkpoint, "cpu")
    mapper = config.dataloader.test.mapper
    for image in coco["images"]:
        found = predict(model, read_image(images / image["file_name"]), mapper.short_edge_length, mapper.max_size)
        own = [one for one in coco["annotations"] if one["image_id"] == image["id"]]
        expected = [number for number in range(5) if number < len(found) and found.masks[number].any()]
        assert [one["score"] for one in own] == [round(float(found.scores[number]), 6) for number in expected]
        for one, number in zip(own, expected, strict=True):
            mask = to_mask(one["segmentation"], image["height"], image["width"])
            assert np.array_equal(mask, found.masks[number])
    assert coco["info"]["checkpoint"] == "last.pt" and len(coco["info"]["checkpoint_sha256"]) == 64


def test_shards_equal_one_run_and_do_not_join_others(images: Path, tmp_path: Path, options: MethodOptions) -> None:
    whole = propose(images, tmp_path / "whole.json", options)
    parts = [propose(images, tmp_path / f"{number}.json", options, Shard(number, 2)) for number in (1, 2)]
    assert join_proposals(parts, tmp_path / "joined.json").read_bytes() == whole.read_bytes()
    other = MethodOptions(checkpoint=options.checkpoint, device="cpu", max_proposals=4)
    propose(images, parts[1], other, Shard(2, 2))
    with pytest.raises(UserError, match=r"2\.json: was made in another way than .*1\.json"):
        join_proposals(parts, tmp_path / "joined.json")


def test_options_that_are_missing_or_not_used_are_refused(images: Path, tmp_path: Path) -> None:
    for method, given, says in (
        ("detector", MethodOptions(), "--method detector: needs --checkpoint"),
        ("graph", MethodOptions(model="x"), "--method graph: does not use --model; leave it out"),
        ("graph", MethodOptions(batch_size=4), "--method graph: does not use --batch-size; leave it out"),
        ("sam", MethodOptions(checkpoint=Path("x")), "--method sam: does not use --checkpoint; leave it out"),
    ):
        with pytest.raises(UsageError, match=says):
            write_proposals(method, images, tmp_path / "p.json", quiet=True, options=given)


def test_a_minimum_score_leaves_the_others_out(images: Path, tmp_path: Path, options: MethodOptions) -> None:
    every = load_coco(propose(images, tmp_path / "p.json", options))["annotations"]
    limit = float(np.median([one["score"] for one in every]))
    strict = MethodOptions(checkpoint=options.checkpoint, device="cpu", max_proposals=5, min_score=limit)
    kept = load_coco(propose(images, tmp_path / "q.json", strict))["annotations"]
    assert [one["bbox"] for one in kept] == [one["bbox"] for one in every if one["score"] >= limit]
    assert 0 < len(kept) < len(every)
