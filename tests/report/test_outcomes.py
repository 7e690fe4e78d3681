"""What was found, object by object: the metrics' own matching, divided; and which failures are shown."""

import numpy as np
import pytest

from tests.report.report_world import write_data, write_result
from vclr.coco.annotations import encode_mask
from vclr.coco.predictions import read_predictions
from vclr.evaluation.recall import score
from vclr.files import write_json
from vclr.image_folders.open import open_folder
from vclr.report.annotated import annotate, covered_shares, find_sizes
from vclr.report.failure_browser import browser_data
from vclr.report.failures import MAX_PER_IMAGE, MISSED, ONLY, UNFITTING, Failure, pick_failures
from vclr.report.outcomes import read_outcomes
from vclr.report.recall_by import draw_recall, recall_by
from vclr.worker_pool import WorkerPool

GROUPS = {"known": ["one"], "novel": ["two"]}
SIDE = 60


def random_mask(rng):
    top, left = rng.integers(0, SIDE - 20, 2)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[top : top + rng.integers(6, 40), left : left + rng.integers(6, 40)] = 1
    return mask


def entry(mask):
    rows, columns = np.nonzero(mask)
    box = [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    return {"bbox": box, "segmentation": encode_mask(mask)}


def random_set(seed):
    """Return a test set with crowds and empty images, and predictions near and far from its objects."""
    rng = np.random.default_rng(seed)
    images = [{"id": number, "file_name": f"{number}.png", "height": SIDE, "width": SIDE} for number in range(12)]
    annotations, predictions = [], []
    for image in images[:10]:
        masks = [random_mask(rng) for _ in range(rng.integers(1, 6))]
        for mask in masks:
            facts = {"category_id": int(rng.integers(1, 3)), "iscrowd": int(rng.random() < 0.15)}
            facts |= {"id": len(annotations) + 1, "image_id": image["id"], "area": int(mask.sum())}
            annotations.append(facts | entry(mask))
        masks = [np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) for mask in masks for _ in range(3)]
        for mask in [*masks, *(random_mask(rng) for _ in range(4))]:
            predictions.append({"image_id": image["id"], "category_id": 1, "score": float(rng.random())} | entry(mask))
    categories = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
    return {"images": images, "annotations": annotations, "categories": categories}, predictions


def outcomes_of(coco, predictions, folder, groups=GROUPS):
    write_json(folder / "predictions.json", predictions)
    annotated = annotate(coco, groups, "val.json")
    with read_predictions(folder / "predictions.json", coco["images"], "val.json") as file:
        return annotated, read_outcomes(file, annotated)


@pytest.mark.parametrize("kind", ["mask", "box"])
@pytest.mark.parametrize("seed", range(4))
def test_recall_and_precision_are_those_of_the_metrics(tmp_path, seed, kind):
    coco, predictions = random_set(seed)
    if kind == "box":
        predictions = [{**one, "segmentation": None} for one in predictions]
    annotated, outcomes = outcomes_of(coco, predictions, tmp_path)
    assert outcomes.kind == kind
    for group, names in GROUPS.items():
        metrics = score(coco, predictions, categories=names)
        counts = annotated.groups[group] & ~annotated.is_crowd
        assert outcomes.recall(group, counts) == pytest.approx(metrics[f"{kind}_ar@100"], abs=1e-9)
    for image in (10, 11):  # without an object; only the group of all classes counts what is predicted there
        predictions.append({**predictions[image], "image_id": image, "score": 0.9})
    groups = {**GROUPS, "all": None}
    annotated, outcomes = outcomes_of(coco, predictions, tmp_path, groups)
    for group, names in groups.items():
        metrics, counts = score(coco, predictions, categories=names), annotated.objects_of(group)
        for level, name in enumerate(("ap50", "ap75")):
            recall, precision = outcomes.precision(group, level, int(counts.sum()))
            places = np.searchsorted(recall, np.linspace(0, 1, 101))
            average = np.append(precision, 0)[places].mean() * 100
            assert average == pytest.approx(metrics[f"{kind}_{name}"], abs=1e-6)


def told(outcomes, group):
    curves = [curve.tolist() for level in (0, 1) for curve in outcomes.precision(group, level, 30)]
    return outcomes.kind, outcomes.levels[group].tolist(), curves, outcomes.unfitting


def test_processes_and_files_of_any_kind_give_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("vclr.coco.predictions.IMAGES", 1)  # so that there are enough blocks for several processes
    coco, predictions = random_set(3)
    annotated, alone = outcomes_of(coco, predictions, tmp_path)
    write_json(tmp_path / "coco.json", {**coco, "annotations": predictions})  # not a list: processes cannot share it
    for name, can_be_shared in (("predictions.json", True), ("coco.json", False)):
        with read_predictions(tmp_path / name, coco["images"], "val.json") as file:
            assert file.can_be_shared == can_be_shared
            shared = read_outcomes(file, annotated, WorkerPool(2))
        assert alone.kind == "mask" and alone.unfitting
        assert [told(shared, group) for group in GROUPS] == [told(alone, group) for group in GROUPS]


def test_parts_hold_every_object_once_and_average_to_the_whole(tmp_path):
    coco, predictions = random_set(9)
    annotated, outcomes = outcomes_of(coco, predictions, tmp_path)
    counts = annotated.groups["novel"] & ~annotated.is_crowd
    parts = recall_by(annotated, "novel", {"a": outcomes})
    for title in ("size", "crowding", "occlusion", "class"):
        those = [part for part in parts if part.title == title]
        assert sum(part.num_objects for part in those) == counts.sum()
        mean = sum(part.num_objects * part.recall[0] for part in those) / counts.sum()
        assert mean == pytest.approx(outcomes.recall("novel", counts))


def test_sizes_end_where_those_of_coco_end():
    coco = {"images": [], "categories": [{"id": 1, "name": "one"}]}
    areas = (0, 1023, 1024, 9215, 9216)
    coco["annotations"] = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "area": area} for area in areas]
    assert find_sizes(annotate(coco, {"all": None}, "").areas).tolist() == [0, 0, 1, 1, 2]


def test_what_others_cover_counts_once():
    boxes = [[0, 0, 16, 16], [8, 0, 24, 16], [8, 0, 16, 8], [100, 100, 110, 110]]
    assert covered_shares(np.array(boxes, float)).tolist() == [0.5, 0.5, 1.0, 0.0]
    assert covered_shares(np.zeros((0, 4))).tolist() == []


def test_failures_are_what_all_missed_one_found_and_nothing_fits(tmp_path):
    coco = write_data(tmp_path)
    groups = {"known": ["box"], "novel": ["<star> & co"]}
    outcomes = {}
    for name, found in (("few", (5, 1)), ("more", (5, 3))):
        write_result(tmp_path / name, coco, found)
        annotated = annotate(coco, groups, "val.json")
        with read_predictions(tmp_path / name / "predictions.json", coco["images"], "val.json") as file:
            outcomes[name] = read_outcomes(file, annotated)
    chosen = pick_failures(annotated, outcomes, 100)
    told = sorted((one.kind, one.group, one.experiment, one.image_id) for one in chosen)
    assert told == [
        (MISSED, "known", "", 5),
        *((MISSED, "novel", "", image) for image in (3, 4, 5)),
        *((ONLY, "novel", "more", image) for image in (1, 2)),
    ]
    assert [one.kind for one in pick_failures(annotated, outcomes, 2)].count(MISSED) == 2  # one of each group
    assert not [one for one in pick_failures(annotated, {"few": outcomes["few"]}, 100) if one.kind == ONLY]
    assert [one.kind for one in pick_failures(annotated, outcomes, 1)] == [MISSED, ONLY], "one of each kind"


def test_a_prediction_that_fits_two_objects_finds_one(tmp_path):
    coco = write_data(tmp_path)
    for one in coco["annotations"]:  # the two objects of an image at an IoU of .67
        one["category_id"], one["bbox"], one["segmentation"] = 1, [4 * (one["id"] % 2), 20, 20, 20], None
    found = [{"image_id": 0, "category_id": 1, "score": 0.9, "bbox": [4, 20, 20, 20], "segmentation": None}]
    annotated, outcomes = outcomes_of(coco, found, tmp_path, {"all": None})
    failures = [one for one in pick_failures(annotated, {"a": outcomes}, 20) if one.image_id == 0]
    failures.append(Failure(ONLY, 0, "all", 0, "a"))
    with read_predictions(tmp_path / "predictions.json", coco["images"], "val.json") as file:
        data = browser_data(failures, annotated, {"a": file}, open_folder(tmp_path / "images"), {"a": outcomes.kind})
    told = [(entry["kind"], *entry["nearest"], *entry["found"], *entry["overlaps"]) for entry in data["entries"]]
    assert told == [(MISSED, 0, False, 0.67), (ONLY, 0, True, 1.0)]


def test_names_of_classes_are_no_formulas(tmp_path):
    coco = write_data(tmp_path)
    coco["categories"][0]["name"] = "$x_$"
    annotated, outcomes = outcomes_of(coco, [], tmp_path, {"all": None})
    panels = draw_recall(recall_by(annotated, "all", {"a": outcomes}), [0], "")
    assert "$x_$ · 6" in panels[-1]


def test_failures_are_bounded_and_the_surest_ones_come_first(tmp_path):
    coco, predictions = random_set(1)
    annotated, outcomes = outcomes_of(coco, predictions, tmp_path, {"all": None})
    nothing = outcomes_of(coco, [], tmp_path, {"all": None})[1]
    wrong = [one for one in pick_failures(annotated, {"a": outcomes}, 3) if one.kind == UNFITTING]
    scores = sorted((one.score for one in outcomes.unfitting), reverse=True)
    by_image = {one.image_id: one.score for one in outcomes.unfitting}
    assert [by_image[one.image_id] for one in wrong] == scores[:3]
    missed = pick_failures(annotated, {"a": nothing}, 1000)
    images = [one.image_id for one in missed]
    assert missed and max(map(images.count, images)) <= MAX_PER_IMAGE
    assert pick_failures(annotated, {"a": nothing}, 0) == []
