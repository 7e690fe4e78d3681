"""The metrics against arithmetic, and against pycocotools' and the reference's own numbers."""

import json
from pathlib import Path

import pytest

from tests.shared import EVALUATOR_FILES
from vclr.coco.annotations import encode_mask, rasterize
from vclr.errors import UsageError, UserError
from vclr.evaluation.recall import score

SIDE = 200


def polygon(box):
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def truth(*objects, images=2, masks=True):
    """Build a ground truth from (image, category, box)."""
    annotations = [
        {"id": number, "image_id": image, "category_id": category, "bbox": list(box), "iscrowd": 0}
        | {"area": box[2] * box[3]}
        | ({"segmentation": polygon(box)} if masks else {})
        for number, (image, category, box) in enumerate(objects)
    ]
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "height": SIDE, "width": SIDE} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "known"}, {"id": 2, "name": "novel"}],
    }


def result(image, box, value, masks=True):
    segmentation = encode_mask(rasterize({"bbox": box}, SIDE, SIDE)) if masks else None
    return {"image_id": image, "category_id": 1, "bbox": list(box), "score": value} | (
        {"segmentation": segmentation} if masks else {}
    )


SMALL, MEDIUM, LARGE = (10, 10, 20, 20), (50, 50, 50, 50), (50, 50, 120, 120)


def test_perfect_predictions_score_100():
    objects = [(0, 1, SMALL), (0, 2, MEDIUM), (1, 1, LARGE)]
    scores = score(truth(*objects), [result(image, box, 0.9) for image, _, box in objects])
    assert scores["box_ap"] == scores["mask_ap"] == pytest.approx(100)
    assert scores["mask_ar@100_small"] == scores["box_ar@300_large"] == 100
    # one detection an image finds two of the three objects
    assert scores["box_ar@1"] == scores["mask_ar@1"] == pytest.approx(200 / 3)


def test_recall_counts_the_iou_thresholds_that_are_met():
    # 100 x 100 against its 100 x 62 part: IoU 0.62, so found at .50 .55 .60 and missed at the other seven thresholds
    scores = score(truth((0, 1, (0, 0, 100, 100))), [result(0, (0, 0, 100, 62), 0.5)])
    for kind in ("box", "mask"):
        assert scores[f"{kind}_ar@1"] == pytest.approx(30)
        assert scores[f"{kind}_ap"] == pytest.approx(30)
        assert scores[f"{kind}_ap50"] == pytest.approx(100)
        assert scores[f"{kind}_ap75"] == 0


def test_precision_falls_with_a_false_positive_above():
    scores = score(truth((0, 1, MEDIUM)), [result(0, (120, 120, 50, 50), 0.9), result(0, MEDIUM, 0.8)])
    assert scores["box_ap50"] == pytest.approx(50)
    assert (scores["box_ar@1"], scores["box_ar@10"]) == (0, 100)


def test_ap_is_at_100_detections_and_needs_no_100_in_max_dets():
    far = [result(0, (150, 150, 40, 40), 0.9 - i / 1000, masks=False) for i in range(100)]
    scores = score(truth((0, 1, MEDIUM)), [*far, result(0, MEDIUM, 0.1, masks=False)], max_dets=(1, 300))
    assert scores["box_ap"] == 0
    assert scores["box_ar@300"] == 100
    assert "box_ar@100" not in scores


def test_the_order_of_predictions_and_classes_do_not_matter():
    objects = [(0, 1, SMALL), (0, 2, MEDIUM), (1, 1, LARGE)]
    found = [result(0, (12, 10, 20, 20), 0.3), result(0, MEDIUM, 0.8), result(1, (60, 50, 110, 120), 0.6)]
    relabeled = [{**entry, "category_id": number} for number, entry in enumerate(found)]
    merged = [(image, 1, box) for image, _, box in objects]
    assert score(truth(*objects), found) == score(truth(*merged), relabeled[::-1])


def test_categories_leave_out_the_others_and_their_images():
    scene = truth((0, 1, SMALL), (0, 2, MEDIUM), (1, 1, LARGE))
    found = [result(0, MEDIUM, 0.9), result(1, (0, 0, 20, 20), 0.95)]
    novel = score(scene, found, categories=["novel"])
    assert novel["mask_ar@1"] == 100
    assert novel["mask_ap"] == pytest.approx(100)  # the false positive is in an image that no longer counts
    assert novel["mask_ar@100_large"] is None
    assert score(scene, found, categories=["known"])["mask_ar@300"] == 0
    with pytest.raises(UserError, match="no category 'cat'; nearest: 'novel'; it has known, novel"):
        score(scene, found, categories=["cat"])


def test_nothing_found_is_zero_and_nothing_to_find_is_none():
    nothing_found = score(truth((0, 1, SMALL)), [])
    assert nothing_found["box_ap"] == nothing_found["mask_ar@100"] == nothing_found["mask_ar@100_small"] == 0
    assert nothing_found["mask_ar@100_large"] is None
    for nothing_there in (score(truth(), [result(0, SMALL, 0.5)]), score(truth(images=0), [])):
        assert set(nothing_there.values()) == {None}


def test_without_segmentations_only_boxes_are_scored():
    boxes_only = score(truth((0, 1, SMALL), masks=False), [result(0, SMALL, 0.5)])
    unasked = score(truth((0, 1, SMALL)), [result(0, SMALL, 0.5)], masks=False)
    unpredicted = score(truth((0, 1, SMALL)), [result(0, SMALL, 0.5, masks=False)])
    for scores in (boxes_only, unasked, unpredicted):
        assert scores["box_ap"] == pytest.approx(100)
        assert {value for name, value in scores.items() if name.startswith("mask_")} == {None}
    names = {name.split("_", 1)[1] for name in boxes_only}
    assert len(names) * 2 == len(boxes_only)


def test_a_crowd_neither_counts_as_missed_nor_makes_false_positives():
    scene = truth((0, 1, SMALL), (0, 1, LARGE))
    scene["annotations"][1]["iscrowd"] = 1
    scores = score(scene, [result(0, (60, 60, 40, 40), 0.9), result(0, SMALL, 0.5)])
    assert scores["mask_ap"] == scores["box_ap"] == pytest.approx(100)


def test_a_missing_box_is_the_box_of_the_mask():
    found = result(0, MEDIUM, 0.5)
    del found["bbox"]
    assert score(truth((0, 1, MEDIUM)), [found])["box_ap"] == pytest.approx(100)


def test_mask_area_decides_the_size_of_a_false_positive_mask():
    # its box is large, its mask (two 10 x 10 corners) small: it spoils the small masks' precision, not the large ones'
    corners = rasterize({"bbox": (20, 20, 10, 10)}, SIDE, SIDE) | rasterize({"bbox": (180, 180, 10, 10)}, SIDE, SIDE)
    wide = {**result(0, (20, 20, 170, 170), 0.9), "segmentation": encode_mask(corners)}
    scores = score(
        truth((0, 1, (0, 0, 15, 15)), (1, 1, LARGE)), [wide, result(0, (0, 0, 15, 15), 0.5), result(1, LARGE, 0.4)]
    )
    assert scores["mask_ap_small"] == pytest.approx(50)
    assert scores["mask_ap_large"] == pytest.approx(100)
    assert scores["box_ap_small"] == pytest.approx(100)
    assert scores["box_ap_large"] == pytest.approx(50)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({"image_id": 0}, "is neither a list"),
        ([3], r"\[0\]: is not an object"),
        ([{"image_id": 7, "bbox": [0, 0, 1, 1], "score": 1}], r"\[0\]: image_id 7 is not an image"),
        ([{"image_id": 0, "score": 1}], r"\[0\]: has no `bbox`"),
        ([{"image_id": 0, "bbox": [0, 0, 1, 1]}], r"\[0\]: score None"),
        ([{"image_id": 0, "bbox": [0, 0, 1, 1], "score": float("nan")}], r"\[0\]: score is NaN"),
        (
            [{"image_id": "0", "bbox": [0, 0, 1, 1], "score": 1}],
            r"image_id '0' is not an image .* \(it has the number 0",
        ),
        ([{"image_id": 0, "bbox": [0.1, 0.1, 0.5, 0.5], "score": 1}], "within 1 px of the corner: are they fractions"),
        ([{"image_id": 0, "bbox": [0, 0, 1], "score": 1}], r"\[0\]: bbox \[0, 0, 1\]"),
        ([{"image_id": 0, "bbox": "box", "score": 1}], r"\[0\]: bbox 'box'"),
        ([{"image_id": 0, "segmentation": {"size": [5, 5], "counts": "a"}, "score": 1}], r"\[0\]: RLE size"),
        ([{"image_id": 0, "bbox": [0, 0, 1, 1], "score": 1, "category_id": "cat"}], r"\[0\]: category_id 'cat'"),
        ([result(0, SMALL, 0.5), result(0, SMALL, 0.5, masks=False)], r"\[1\]: has no `segmentation`"),
    ],
)
def test_bad_predictions_are_named(tmp_path, predictions, message):
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(predictions))
    with pytest.raises(UserError, match=message) as caught:
        score(truth((0, 1, SMALL)), path)
    assert str(caught.value).startswith(str(path))


def test_files_and_their_contents_score_the_same(tmp_path, capsys):
    scene, found = truth((0, 1, SMALL), (1, 2, LARGE)), [result(0, SMALL, 0.9)]
    (tmp_path / "truth.json").write_text(json.dumps(scene))
    (tmp_path / "found.json").write_text(json.dumps(found))
    assert score(tmp_path / "truth.json", str(tmp_path / "found.json")) == score(scene, found)
    assert capsys.readouterr().out == ""


def test_max_dets_must_be_positive():
    with pytest.raises(UsageError, match="max_dets"):
        score(truth(), [], max_dets=(0, 10))


REAL = EVALUATOR_FILES / "coco_val2014_100"
GOLDEN = Path(__file__).parents[1] / "golden"
OURS = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "APs": "ap_small",
    "APm": "ap_medium",
    "APl": "ap_large",
    "ARs": "ar@100_small",
    "ARm": "ar@100_medium",
    "ARl": "ar@100_large",
}


def our_name(name):
    """Translate `AR100`, `ARs300`, `APm` ... ."""
    if name in OURS:
        return OURS[name]
    if name[2] in "sml":
        return f"{OURS[name[:3]].replace('100', name[3:])}"
    return f"ar@{name[2:]}"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs VCLR_SHARED")
@pytest.mark.parametrize(("kind", "theirs"), [("box", "bbox"), ("mask", "segm")])
def test_real_annotations_agree_with_pycocotools(kind, theirs):
    expected = json.loads((REAL / "expected_pycocotools.json").read_text())[f"{theirs}_class_agnostic_useCats0"]
    scores = score(REAL / "instances_val2014_100.json", REAL / f"instances_val2014_fake{theirs}100_results.json")
    for name, value in expected.items():
        assert scores[f"{kind}_{our_name(name)}"] == pytest.approx(100 * value, abs=1e-4), name


def test_agrees_with_the_reference_evaluator():
    expected = json.loads((GOLDEN / "h_results.json").read_text())["max_dets_8"]
    scores = score(
        GOLDEN / "h_gt.json", GOLDEN / "h_pred_contiguous_ids.json", max_dets=(1, 10, 20, 30, 50, 100, 300, 900)
    )
    for kind, theirs in (("box", "bbox"), ("mask", "segm")):
        assert len(expected[theirs]) == 23
        for name, value in expected[theirs].items():
            assert scores[f"{kind}_{our_name(name)}"] == pytest.approx(value, abs=1e-6), f"{theirs} {name}"
