"""What cannot be used is dropped by every reader alike, as the field's tools do, and said once per file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.splits.made import write_split
from vclr.coco.annotations import encode_mask, load_coco
from vclr.coco.file import open_coco
from vclr.coco.prediction_checks import check_predictions
from vclr.coco.predictions import group_by_image
from vclr.coco.repair import repair, save_repaired
from vclr.config import load_config
from vclr.data import samples
from vclr.data.samples import TrainingSamples
from vclr.evaluation.recall import score
from vclr.evaluation.scorer import Scorer
from vclr.files import write_json
from vclr.pictures import write_png

Json = dict[str, Any]
HEIGHT, WIDTH, NUM_IMAGES, NUM_OBJECTS = 40, 60, 12, 90
RNG_SEED = 3


def polygon(numbers: np.random.Generator, box: list[float]) -> list[float]:
    """Return an outline in a box, of three to six points or, as often, of a number of coordinates that is unusable."""
    length = int(numbers.choice([0, 2, 3, 4, 5, 7, 6, 8, 8, 10, 12]))
    left, top, width, height = box
    sides = np.where(np.arange(length) % 2, abs(height), abs(width))
    return (np.where(np.arange(length) % 2, top, left) + numbers.random(length) * sides).round(2).tolist()


def make_world(folder: Path) -> Json:
    """Write photos, annotations and proposals of which about half are unusable in some part."""
    numbers = np.random.default_rng(RNG_SEED)
    images = [
        {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH} for number in range(NUM_IMAGES)
    ]
    for image in images:
        write_png(folder / "images" / str(image["file_name"]), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    made = {}
    for name in ("a", "p"):
        entries: list[Json] = []
        for number in range(NUM_OBJECTS):
            box = [*numbers.integers(0, 20, 2).tolist(), *numbers.choice([-3, 0, 9, 12.5, 15, 18], 2).tolist()]
            shape: Any = [polygon(numbers, box) for _ in range(numbers.integers(0, 4))]
            if number % 9 == 0:
                shape = encode_mask(np.tri(HEIGHT, WIDTH))
            entry = {"id": number + 1, "image_id": number % NUM_IMAGES, "category_id": 1 + number % 2, "bbox": box}
            entries.append(
                {
                    **entry,
                    "segmentation": shape,
                    "iscrowd": int(number % 11 == 5),
                    "score": number / 100 if name == "p" else None,
                }
            )
        categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cup"}]
        made[name] = {"info": {"by": "hand"}, "images": images, "annotations": entries, "categories": categories}
        write_json(folder / f"{name}.json", made[name])
        save_repaired(repair(folder / f"{name}.json"), folder / f"{name}_repaired.json")
    return made["a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unusable")
    make_world(folder)
    return folder


def drop_as_the_field_does(annotations: list[Json]) -> list[Json]:
    """Apply detectron2's rule for polygons (data/datasets/coco.py) and DETR's for boxes (datasets/coco.py)."""
    kept = []
    for annotation in annotations:
        shape = annotation["segmentation"]
        if isinstance(shape, list) and shape:
            shape = [part for part in shape if len(part) % 2 == 0 and len(part) >= 6]
            if len(shape) == 0:
                continue
        x0, y0, width, height = annotation["bbox"]
        if y0 + height > y0 and x0 + width > x0:
            kept.append({**annotation, "segmentation": shape or None})
    return kept


def test_what_is_left_is_what_the_field_leaves(folder: Path):
    entries = json.loads((folder / "a.json").read_text())["annotations"]
    expected = drop_as_the_field_does(entries)
    assert 20 < len(expected) < 60
    assert load_coco(folder / "a.json")["annotations"] == expected
    assert list(open_coco(folder / "a.json").check()) == expected
    assert load_coco(folder / "a_repaired.json")["annotations"] == expected


def config(folder: Path, annotations: str, proposals: str = "") -> Any:
    overrides = [f"data.{part}.annotations={folder}/{annotations}.json" for part in ("train", "test")]
    overrides += [f"data.{part}.images={folder}/images" for part in ("train", "test")]
    overrides += [f"data.train.proposals={folder}/{proposals}.json", "proposals.top_k=3"] if proposals else []
    return load_config(None, [*overrides, "views.weights={natural: 1}"])


@pytest.mark.parametrize("proposals", ["", "p"])
def test_training_on_a_file_and_on_the_repaired_one_is_the_same(folder: Path, proposals: str):
    before = TrainingSamples(config(folder, "a", proposals))
    after = TrainingSamples(config(folder, "a_repaired", proposals and "p_repaired"))
    assert [*before.images.ids] == [*after.images.ids]
    count = 0
    for index in range(len(before)):
        mine, theirs = before[0, index], after[0, index]
        assert torch.equal(mine.image, theirs.image)
        assert torch.equal(mine.target.boxes, theirs.target.boxes)
        assert torch.equal(mine.target.masks, theirs.target.masks)
        count += len(mine.target.boxes)
    assert count > 10 + 10 * bool(proposals)


def predictions(folder: Path) -> list[Json]:
    numbers = np.random.default_rng(1)
    found = []
    for annotation in drop_as_the_field_does(json.loads((folder / "a.json").read_text())["annotations"]):
        box = (np.array(annotation["bbox"]) + numbers.uniform(-1, 1, 4)).tolist()
        shape = encode_mask(numbers.random((HEIGHT, WIDTH)) < 0.5)
        image_id = annotation["image_id"]
        found.append({"image_id": image_id, "category_id": 1, "bbox": box, "score": 0.5, "segmentation": shape})
    return found


def test_evaluation_of_a_file_and_of_the_repaired_one_is_the_same(folder: Path):
    found = predictions(folder)
    metrics = score(folder / "a.json", found)
    assert metrics == score(folder / "a_repaired.json", found)
    assert metrics["mask_ar@100"] is not None
    before, after = (samples.TestSamples(config(folder, name)) for name in ("a", "a_repaired"))
    assert [*before.images.ids] == [*after.images.ids]
    for sample_set in (before, after):  # what `vclr evaluate` counts
        scorer = Scorer(sample_set.coco, {"": None})
        assert scorer.score(group_by_image(check_predictions(found, sample_set.coco.images, "found")))[""] == metrics


def recall_of_boxes(path: Path, found: list[Json]) -> tuple[float, int]:
    """Let pycocotools read a file and count by itself; return the recall and the number of objects."""
    truth = COCO(str(path))
    for annotation in truth.anns.values():
        annotation |= {"category_id": 1, "area": 1000, "ignore": 0}
    evaluator = COCOeval(truth, truth.loadRes([{**one, "segmentation": []} for one in found]), "bbox")
    evaluator.params.useCats = 0
    evaluator.evaluate()
    evaluator.accumulate()
    count = sum(not annotation["iscrowd"] for annotation in truth.anns.values())
    return float(evaluator.eval["recall"][:, 0, 0, -1].mean()), count


def test_recall_is_that_of_pycocotools_for_the_objects_that_are_left(folder: Path):
    """pycocotools also counts the objects that are dropped, as missed: the same detections, more objects."""
    found = predictions(folder)
    mine = score(folder / "a.json", found)["box_ar@100"]
    with_all, num_all = recall_of_boxes(folder / "a.json", found)
    without, num_left = recall_of_boxes(folder / "a_repaired.json", found)
    assert mine == pytest.approx(100 * without)
    assert num_left < num_all
    assert with_all < without


def test_a_split_of_a_file_and_of_the_repaired_one_is_the_same(folder: Path, tmp_path: Path):
    made = []
    for suffix in ("", "_repaired"):
        output = tmp_path / f"split{suffix}.json"
        write_split("one_class", folder / f"a{suffix}.json", output)
        made.append(output.read_bytes())
    assert made[0] == made[1]
    assert [entry["segmentation"] or None for entry in json.loads(made[0])["annotations"]] == [
        entry["segmentation"] for entry in load_coco(folder / "a.json")["annotations"]
    ]


WARNING = (
    "4 of 5 annotations dropped (1 empty box, 2 polygons under three points, 1 polygon with an odd number of "
    "coordinates), 1 polygon dropped from annotations that are kept (1 polygon under three points); "
    "first: annotations[0] (id 7): box is 0x8 px; `vclr repair {} --output NEW.json` writes a clean file"
)


def test_a_file_is_warned_about_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    shapes: list[Any] = [None, [[4, 4]], [[]], [[1, 1, 5, 5, 9]], [[1, 1, 9, 1, 5, 7], [1, 1]]]
    entries = [
        {"id": number, "image_id": 0, "category_id": 1, "bbox": [1, 1, 8, 8], "segmentation": shape}
        for number, shape in enumerate(shapes, start=7)
    ]
    entries[0]["bbox"] = [1, 1, 0, 8]
    images = [{"id": 0, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}]
    path = tmp_path / "a.json"
    write_json(path, {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "dog"}]})
    for _ in range(2):
        load_coco(path)
        list(open_coco(path).check())
    assert caplog.messages == [f"{path}: {WARNING.format(path)}"]
    write_json(path, {"images": images, "annotations": entries[:1], "categories": [{"id": 1, "name": "dog"}]})
    load_coco(path)
    assert "1 of 1 annotations dropped (1 empty box); first" in caplog.messages[1]
