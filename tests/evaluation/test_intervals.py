"""Bootstrap intervals: a draw is the evaluation of a test set with the drawn images."""

import numpy as np
import pytest

from vclr.coco.file import encode_coco
from vclr.coco.prediction import as_prediction
from vclr.evaluation.intervals import DRAWS, describe_intervals, draw_images, interval, read_draws, write_draws
from vclr.evaluation.scorer import ClassAwareScorer, Scorer

GROUPS = {"": None, "novel": ["b"]}
NUM_IMAGES = 12


def make_set(seed=0, num_images=NUM_IMAGES):
    """Return a ground truth and predictions by image: crowds, images without either, equal scores between images."""
    generator = np.random.default_rng(seed)
    images = [{"id": n, "file_name": f"{n}.png", "height": 300, "width": 300} for n in range(num_images)]
    annotations, predictions = [], {}
    for n in range(num_images):
        predictions[n] = []
        scores = generator.permutation(40) / 40  # no two are equal in an image
        for position in range(generator.integers(0, 7) if n else 0):
            side = float(generator.choice([20, 60, 130]))
            left, top = generator.uniform(0, 300 - side, 2)
            annotations.append(
                {"id": len(annotations), "image_id": n, "category_id": int(generator.integers(1, 3))}
                | {"bbox": [left, top, side, side], "area": side**2, "iscrowd": int(generator.random() < 0.15)}
            )
            for number in range(3 if n != 3 else 0):
                box = [left + generator.normal() * side / 9, top, side, side * generator.uniform(0.7, 1.2)]
                found = {"image_id": n, "category_id": 1, "bbox": box, "score": scores[3 * position + number]}
                predictions[n].append(found | {"segmentation": None})
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    return {"images": images, "annotations": annotations, "categories": categories}, predictions


def scorer_of(coco, predictions, make=Scorer):
    scorer = make(encode_coco(coco, "truth"), GROUPS, masks=any("segmentation" in one for one in coco["annotations"]))
    scorer.score((image_id, [as_prediction(one) for one in found]) for image_id, found in predictions.items())
    return scorer


def resample(coco, predictions, weights):
    """Repeat each image as often as its weight says, under ids that keep the repetitions together."""
    copies = [(n, repeat) for n, weight in enumerate(weights) for repeat in range(weight)]
    drawn = {**coco, "images": [], "annotations": []}
    found = {}
    for number, (n, _) in enumerate(copies):
        drawn["images"].append({**coco["images"][n], "id": number, "file_name": f"{number}.png"})
        drawn["annotations"] += [
            {**one, "image_id": number, "id": 100 * number + index}
            for index, one in enumerate(one for one in coco["annotations"] if one["image_id"] == n)
        ]
        found[number] = [{**one, "image_id": number} for one in predictions[n]]
    return drawn, found


def check_draws(coco, predictions, numbers, make=Scorer):
    draws, has_masks = scorer_of(coco, predictions, make).draw(), "segmentation" in coco["annotations"][0]
    weights = np.concatenate(list(draw_images(len(coco["images"]))), axis=1)
    for number in numbers:
        expected = scorer_of(*resample(coco, predictions, weights[:, number]), make).metrics()
        for group, metrics in expected.items():
            for name, value in metrics.items():
                if name.startswith("box_") or has_masks:
                    drawn = draws[group][name][number]
                    assert drawn == pytest.approx(np.nan if value is None else value, abs=1e-9, nan_ok=True), name
                else:
                    assert value is None
                    assert name not in draws[group]
    return draws


def test_a_draw_is_the_evaluation_of_the_drawn_images():
    draws = check_draws(*make_set(), range(6))
    assert 2 < draws[""]["box_ap"].std() < 20
    assert 2 < draws[""]["box_f1"].std() < 20
    assert len(np.unique(draws[""]["box_f1_score"])) > 3
    assert {"box_ap75", "box_ap_small", "box_ar@1", "box_ar@300_large"} <= draws["novel"].keys()
    assert not any(name.startswith("mask_") for name in draws[""])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 25))
def test_many_draws_are_evaluations_of_the_drawn_images(seed):
    check_draws(*make_set(seed, 5 if seed % 2 else 30), range(10))


def test_masks_are_drawn_too():
    coco, predictions = make_set()
    for one in (*coco["annotations"], *(one for found in predictions.values() for one in found)):
        x, y, w, h = one["bbox"]
        one["segmentation"] = [[x, y, x + w, y, x + w, y + h / 2, x, y + h]]
    draws = check_draws(coco, predictions, range(2))
    assert "mask_ar@100_small" in draws["novel"]


def test_averages_over_categories_are_drawn_too():
    coco, predictions = make_set(num_images=6)
    coco["categories"].append({"id": 3, "name": "absent"})
    draws = check_draws(coco, predictions, range(6), ClassAwareScorer)
    assert np.nanstd(draws[""]["box_ap"]) > 2


def test_draws_depend_on_the_number_of_images_alone():
    first, second = (np.concatenate(list(draw_images(40)), axis=1) for _ in range(2))
    assert (first == second).all()
    assert first.shape == (40, DRAWS)
    assert (first.sum(axis=0) == 40).all()
    assert first.mean(axis=1) == pytest.approx(np.ones(40), abs=0.15)


def test_intervals_have_the_width_that_theory_gives():
    """One object per image, found or not: recall is a proportion."""
    coco, _ = make_set()
    images = [{"id": n, "file_name": f"{n}.png", "height": 300, "width": 300} for n in range(400)]
    box = {"bbox": [0, 0, 50, 50]}
    objects = [{"id": n, "image_id": n, "category_id": 1, "area": 2500, "iscrowd": 0} | box for n in range(400)]
    found = {
        n: [{"image_id": n, "category_id": 1, "score": 0.5, "segmentation": None} | box] if n < 100 else []
        for n in range(400)
    }
    draws = scorer_of({**coco, "images": images, "annotations": objects}, found).draw()[""]
    low, high = interval(draws["box_ar@100"])
    deviation = 100 * np.sqrt(0.25 * 0.75 / 400)
    assert (low, high) == pytest.approx((25 - 1.96 * deviation, 25 + 1.96 * deviation), abs=0.5)


def test_an_interval_without_ground_truth_is_none():
    assert interval(np.full(DRAWS, np.nan)) is None
    assert interval(np.array([np.nan, 3.0])) == (3.0, 3.0)
    coco, _ = make_set()
    draws = scorer_of({**coco, "annotations": []}, {n: [] for n in range(NUM_IMAGES)}).draw()
    assert set(describe_intervals(draws[""]).values()) == {None}


def test_written_draws_are_read(tmp_path):
    draws = scorer_of(*make_set()).draw()
    write_draws(draws, tmp_path / "bootstrap.npz")
    read = read_draws(tmp_path / "bootstrap.npz")
    assert set(read) == {"", "novel"}
    assert set(read["novel"]) == {"box_ar@100", "box_ar@10", "box_ap"}
    assert read[""]["box_ap"] == pytest.approx(draws[""]["box_ap"], abs=1e-4)
    written = (tmp_path / "bootstrap.npz").read_bytes()
    write_draws(draws, tmp_path / "bootstrap.npz")
    assert written == (tmp_path / "bootstrap.npz").read_bytes()
