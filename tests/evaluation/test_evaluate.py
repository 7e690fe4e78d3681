"""Evaluation: metrics and predictions belong together, for each group of classes and for the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.config import Config, load_config
from vclr.errors import UserError
from vclr.evaluation.evaluate import evaluate, evaluate_model
from vclr.evaluation.recall import score
from vclr.files import read_json
from vclr.generate.toy import write_toy_world
from vclr.models.build import build_model

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_toy_world(root, num_train=1, num_val=5, size=64, quiet=True)
    return root / "raw" / "toy"


def make_config(world: Path, *overrides: str) -> Config:
    own = [
        f"data.test.annotations={world}/annotations_val.json",
        f"data.test.images={world}/images",
        "data.test.proposals=''",
    ]
    small = ["dataloader.test.mapper.short_edge_length=64", "model.num_queries=20", "dataloader.test.batch_size=2"]
    return load_config(DEMO, [*own, *small, *overrides])


def test_files_hold_what_is_returned(world: Path, tmp_path: Path):
    config = make_config(world)
    metrics = evaluate(build_model(config), config, tmp_path, quiet=True)
    assert read_json(tmp_path / "metrics.json") == metrics
    assert metrics["num_images"] == 5
    assert set(metrics["groups"]) == {"known", "novel"}
    assert metrics["box_ar@100"] == metrics["groups"]["novel"]["box_ar@100"], "the protocol of the demo is novel"
    predictions = read_json(tmp_path / "predictions.json")
    assert {prediction["category_id"] for prediction in predictions} == {1}
    assert {prediction["image_id"] for prediction in predictions} <= {1, 2, 3, 4, 5}
    assert all({"bbox", "score", "segmentation"} <= prediction.keys() for prediction in predictions)


def test_metrics_can_be_computed_from_the_files_alone(world: Path, tmp_path: Path):
    config = make_config(world, "evaluation.protocol=''")
    metrics = evaluate(build_model(config), config, tmp_path, quiet=True)
    again = score(world / "annotations_val.json", tmp_path / "predictions.json")
    assert {key: metrics[key] for key in again} == again


@pytest.mark.parametrize("protocol", ["known", "novel", "''"])
def test_headline_is_that_of_the_protocol(world: Path, tmp_path: Path, protocol: str):
    config = make_config(world, f"evaluation.protocol={protocol}")
    model = build_model(config)
    metrics = evaluate(model, config, tmp_path, quiet=True)
    in_training = evaluate_model(model, config)
    assert {key: metrics[key] for key in in_training} == in_training


def test_boxes_only(world: Path, tmp_path: Path):
    config = make_config(world, "dataloader.train.mapper.mask_on=False")
    metrics = evaluate(build_model(config), config, tmp_path, quiet=True)
    assert metrics["mask_ar@100"] is None
    assert metrics["box_ar@100"] is not None


def test_group_of_an_unknown_class_is_one_line(world: Path, tmp_path: Path):
    config = make_config(world, "evaluation.groups.novel=[dragon]")
    with pytest.raises(
        UserError, match=r"evaluation\.groups\.novel: .*annotations_val\.json: has no category 'dragon'"
    ):
        evaluate(build_model(config), config, tmp_path, quiet=True)
    assert list(tmp_path.iterdir()) == []
