"""Runs and results of small experiments as files, for the tests of reports and studies."""

import json
from functools import cache

import numpy as np

from vclr.coco.annotations import encode_mask
from vclr.coco.file import encode_coco
from vclr.coco.prediction_checks import check_predictions
from vclr.coco.predictions import group_by_image
from vclr.config import dump_config, load_config
from vclr.evaluation.intervals import describe_intervals, write_draws
from vclr.evaluation.scorer import Scorer
from vclr.files import sha256, write_json
from vclr.pictures import write_png

NATURAL = "views.weights={natural: 1, depth: 0, style: 0}"
DEPTH = "views.weights={natural: 1, depth: 1, style: 0}"
WITHOUT = "model.criterion.weight_dict.loss_consistency=0"
SETTINGS = {"baseline": [NATURAL, WITHOUT], "views": [DEPTH, WITHOUT], "full": [DEPTH]}
NUM_FOUND = {"baseline": (5, 1), "views": (5, 3), "full": (4, 4)}  # of six known and six novel objects
SIZE = 64
NUM_OTHER = 8  # images of the second test set


def square(left, top=20, side=20):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return {"bbox": [left, top, side, side], "segmentation": encode_mask(mask)}


def write_data(root):
    """Six images, each with a known object on the left and a novel one on the right."""
    names = [f"{number}.png" for number in range(6)]
    for folder in ("images", "depth"):
        for name in names:
            write_png(root / folder / name, np.full((SIZE, SIZE, 3), 90, np.uint8))
    images = [{"id": number, "file_name": name, "height": SIZE, "width": SIZE} for number, name in enumerate(names)]
    annotations = [
        {"id": 2 * number + side, "image_id": number, "category_id": side, "area": 400, "iscrowd": 0}
        | square((0, 4, 36)[side])
        for number in range(6)
        for side in (1, 2)
    ]
    categories = [{"id": 1, "name": "box"}, {"id": 2, "name": "<star> & co"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    write_json(root / "val.json", coco)
    write_json(root / "train.json", {**coco, "annotations": annotations[::2]})
    return coco


@cache
def settings_of(root, name, *more):
    """Return the resolved configuration of an experiment as YAML."""
    groups = ["evaluation.protocol=novel", "evaluation.groups={known: [box], novel: ['<star> & co']}"]
    files = [f"data.{part}.images={root / 'images'}" for part in ("train", "test")]
    files += [f"data.train.annotations={root / 'train.json'}", f"data.test.annotations={root / 'val.json'}"]
    files += [f"data.train.views.depth={root / 'depth'}"]
    return dump_config(load_config(None, [*SETTINGS[name], *groups, *files, "train.max_iter=40", *more]))


def write_world(root, seeds=(0,), **options):
    """Write the data, and runs and results of all experiments; return the test set."""
    coco = write_data(root)
    for name, num_found in NUM_FOUND.items():
        for seed in seeds:
            write_run(root, coco, name, seed, num_found, **options)
    return coco


def write_run(root, coco, name, seed, num_found, **options):
    write_training(root, name, seed, settings_of(root, name))
    write_result(root / "results" / name / f"seed{seed}", coco, num_found, seed, **options)


def write_training(root, name, seed, settings):
    run = root / "runs" / name / f"seed{seed}"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(settings)
    lines = [
        {
            "kind": "train",
            "iteration": 20,
            "loss": 9.0,
            "loss_class": 4.0,
            "loss_class_0": 5.0,
            "loss_class_enc": 5.0,
            "step_seconds": 3.0,
        },
        {"kind": "train", "iteration": 40, "loss": 7.0, "loss_class": 3.0, "step_seconds": 1.5},
        {"kind": "eval", "iteration": 40, "mask_ar@100": 12.0},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "environment.json").write_text(json.dumps({"git_revision": "f00d" * 10, "cpu": "abacus", "gpus": []}))


def write_result(folder, coco, num_found, seed=0, provenance=None, intervals=False):
    objects = [[a for a in coco["annotations"] if a["category_id"] == side] for side in (1, 2)]
    found = [item for items, count in zip(objects, num_found, strict=True) for item in items[: max(0, count - seed)]]
    predictions = [
        {key: item[key] for key in ("image_id", "bbox", "segmentation")} | {"category_id": 1, "score": 0.9 - index / 99}
        for index, item in enumerate(found)
    ]
    categories = {"known": ["box"], "novel": ["<star> & co"]}
    scorer = Scorer(encode_coco(coco, "truth"), categories)
    groups = scorer.score(group_by_image(check_predictions(predictions, coco["images"], "predictions")))
    if intervals:
        draws = scorer.draw()
        groups = {
            group: {**metrics, "intervals": describe_intervals(draws[group])} for group, metrics in groups.items()
        }
        write_draws(draws, folder / "bootstrap.npz")
    metrics = {**groups["novel"], "groups": groups, "num_images": 6}
    write_json(folder / "metrics.json", metrics | ({"provenance": provenance} if provenance else {}))
    write_json(folder / "predictions.json", predictions)


def write_other_data(root):
    """Write another test set with the same ids and file names as `write_data`: wider pictures, objects elsewhere."""
    images = [
        {"id": number, "file_name": f"{number}.png", "height": SIZE, "width": 2 * SIZE} for number in range(NUM_OTHER)
    ]
    annotations = []
    for image in images:
        write_png(root / "other" / "images" / image["file_name"], np.full((SIZE, 2 * SIZE, 3), 150, np.uint8))
        for side in (1, 2):
            mask = np.zeros((SIZE, 2 * SIZE), np.uint8)
            left = (0, 70, 100)[side]
            mask[30:50, left : left + 20] = 1
            shape = {"bbox": [left, 30, 20, 20], "segmentation": encode_mask(mask), "area": 400, "iscrowd": 0}
            annotations.append({"id": len(annotations), "image_id": image["id"], "category_id": side} | shape)
    categories = [{"id": 1, "name": "box"}, {"id": 2, "name": "<star> & co"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    write_json(root / "other" / "val.json", coco)
    return coco


def provenance_of(annotations, images, protocol="", checkpoint="c0ffee"):
    """Return what an evaluation writes about where its metrics are from."""
    test_set = {"annotations": str(annotations), "sha256": sha256(annotations), "images": str(images)}
    return {
        "checkpoint": {"path": "last.pt", "sha256": checkpoint, "iteration": 40},
        "test_set": test_set,
        "protocol": protocol,
        "config": "0123456789abcdef",
    }


def write_probe(folder, kept, provenance=None, headline="mask_ar@100", source="computed", seed=0):
    """Write the probe of one experiment, in which each group keeps these shares of the photos' recall."""
    groups = ("known", "novel")

    def rendering(ratio):
        found = {"ratio": {headline: ratio}, "ratio_intervals": {headline: ratio and [ratio - 0.1, ratio + 0.1]}}
        return {"source": source, "groups": {group: {"metrics": {headline: 40.0}, **found} for group in groups}}

    mean = {"mean_ratio": 0.625, "interval": [0.5, 0.75]}
    content = {
        "renderings": {"natural": rendering(None)} | {view: rendering(ratio) for view, ratio in kept.items()},
        "appearance_invariance": {"groups": dict.fromkeys(groups, mean)},
        "headline": headline,
        "seed": seed,
        "provenance": provenance or {"checkpoint": None, "test_set": {"sha256": ""}},
    }
    write_json(folder / "probe.json", content)
