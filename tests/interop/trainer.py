"""A program: train our detector for some iterations under detectron2's trainer, and evaluate it with its evaluator.

`python -m tests.interop.trainer FOLDER PHOTOS ITERATIONS` ends by printing one JSON object, and leaves what the
evaluator wrote in the folder. It also evaluates annotations that were moved a little, which gives higher figures than
so short a training.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetCatalog, build_detection_test_loader, build_detection_train_loader
from detectron2.engine import SimpleTrainer, hooks
from detectron2.evaluation import COCOEvaluator, inference_on_dataset
from detectron2.solver import LRMultiplier
from pycocotools.mask import decode

from vclr.coco.annotations import to_mask
from vclr.interop import TestMapper, TrainMapper, VclrDetector, register
from vclr.interop.meta_architecture import to_instances
from vclr.interop.solver import build_optimizer, rate_schedule
from vclr.structures import Predictions

TINY = {
    "backbone": {"depth": 18, "norm": "GN", "stem_out_channels": 16, "res2_out_channels": 16, "freeze_at": 0},
    "transformer": {
        "num_feature_levels": 3,
        "encoder": {"num_heads": 2, "feedforward_dim": 32, "num_layers": 1, "num_points": 2},
        "decoder": {"num_heads": 2, "feedforward_dim": 32, "num_layers": 2, "num_points": 2},
    },
    "criterion": {"num_points": 64},
    "embed_dim": 16,
    "norm_groups": 4,
    "mask_hidden_dim": 16,
    "num_queries": 30,
}


def settings_of(photos: Path) -> dict[str, object]:
    images = str(photos / "images")
    return {
        "model": TINY,
        "data": {
            "train": {"annotations": str(photos / "annotations_train.json"), "images": images},
            "test": {"annotations": str(photos / "annotations_val.json"), "images": images},
        },
        "views": {"weights": {"natural": 1, "edge": 1}},
        "dataloader": {
            "train": {"mapper": {"short_edge_length": [96], "max_size": 128}, "total_batch_size": 2},
            "test": {"mapper": {"short_edge_length": 96, "max_size": 128}},
        },
        "optimizer": {"lr": 1e-3, "milestones": []},
        "train": {"device": "cpu", "eval_period": 0},
    }


def main(folder: Path, photos: Path, num_iterations: int) -> None:
    torch.manual_seed(0)
    settings = settings_of(photos) | {}
    settings["train"] = {**settings["train"], "max_iter": num_iterations}  # type: ignore[dict-item]
    model = VclrDetector(settings)
    train, test = register(model.config, "train"), register(model.config, "test")
    loader = build_detection_train_loader(
        DatasetCatalog.get(train), mapper=TrainMapper(settings), total_batch_size=2, num_workers=0
    )
    optimizer = build_optimizer(model, settings)
    trainer = SimpleTrainer(model.train(), loader, optimizer)
    scheduler = LRMultiplier(optimizer, rate_schedule(settings), num_iterations)
    trainer.register_hooks([hooks.LRScheduler(optimizer, scheduler)])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trainer.train(0, num_iterations)
    moved = {
        part: any(
            not torch.equal(value, before[key]) for key, value in model.state_dict().items() if key.startswith(part)
        )
        for part in ("student", "teacher")
    }
    losses = {key: value for key, (value, _) in trainer.storage.latest().items() if key.startswith("loss")}
    DetectionCheckpointer(model, str(folder)).save("model_final")
    test_loader = build_detection_test_loader(DatasetCatalog.get(test), mapper=TestMapper(settings))
    evaluator = COCOEvaluator(test, distributed=False, output_dir=str(folder))
    results = inference_on_dataset(model, test_loader, evaluator)
    moved_test = build_detection_test_loader(DatasetCatalog.get(test), mapper=TestMapper(settings))
    evaluator = COCOEvaluator(test, distributed=False, output_dir=str(folder / "moved"))
    of_moved = inference_on_dataset(MovedAnnotations(test), moved_test, evaluator)
    print(json.dumps({"results": results, "of_moved": of_moved, "moved": moved, "losses": losses}))


class MovedAnnotations(torch.nn.Module):
    """Finds each annotated object at another place nearby, with a random score."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.annotations = {one["image_id"]: one["annotations"] for one in DatasetCatalog.get(name)}
        self.generator = np.random.default_rng(0)

    def forward(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"instances": self.find(one)} for one in inputs]

    def find(self, one: dict[str, Any]) -> Any:
        size = one["height"], one["width"]
        boxes, masks = [np.empty((0, 4))], [np.empty((0, *size), bool)]
        for annotation in self.annotations[one["image_id"]]:
            across, down = self.generator.integers(-6, 7, 2).tolist()
            left, top, width, height = annotation["bbox"]
            boxes.append(np.array([[left, top, left + width, top + height]]) + [across, down, across, down])
            shape = annotation["segmentation"]
            mask = decode(shape) if isinstance(shape, dict) else to_mask(shape, *size)
            masks.append(np.roll(mask, (down, across), (0, 1))[None] > 0)
        scores = self.generator.random(sum(map(len, boxes)))
        order = np.argsort(-scores)
        found = Predictions(np.concatenate(boxes)[order], scores[order], np.concatenate(masks)[order])
        return to_instances(found, size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
