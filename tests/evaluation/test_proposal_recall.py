"""The recall of proposals is that of `vclr score` and of pycocotools; precision counts what finds an object."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

from tests.object_proposals.made_proposals import images_of, random_entries, write_source
from vclr.cli import app
from vclr.errors import UsageError
from vclr.evaluation.proposal_recall import COUNTS, measure_recall
from vclr.evaluation.recall import score
from vclr.files import read_json, write_json

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 2, "name": "kite"}, {"id": 3, "name": "dog"}]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Proposals for four images, and their objects of three classes, of which one is a crowd."""
    objects = random_entries(3, num_images=4, count=9)
    for number, one in enumerate(objects):
        one["category_id"] = 1 + number % 3
        del one["score"]
    objects[5]["iscrowd"] = 1
    truth = tmp_path / "truth.json"
    write_json(truth, {"images": images_of(4), "annotations": objects, "categories": CATEGORIES})
    near = [{**one, "iscrowd": 0, "score": 0.01 * number} for number, one in enumerate(objects) if number % 2]
    found = write_source(tmp_path / "p.json", [*random_entries(4, num_images=4, count=40), *near], num_images=4)
    return found, truth


def evaluate(proposals: Path, truth: Path, classes: list[int], kind: str) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = COCO(str(truth))
        results = read_json(proposals)["annotations"]
        judge = COCOeval(annotations, annotations.loadRes([{**one, "category_id": 1} for one in results]), kind)
        kept = [one for one in annotations.dataset["annotations"] if one["category_id"] in classes]
        annotations.dataset["annotations"] = [{**one, "category_id": 1} for one in kept]
        annotations.createIndex()
        judge.cocoGt = annotations
        judge.params.catIds, judge.params.maxDets = [1], list(COUNTS)
        judge.evaluate()
        judge.accumulate()
    return judge


def test_figures_equal_score_and_pycocotools(files: tuple[Path, Path]) -> None:
    found = measure_recall(*files, known="person, dog")
    assert [*found.groups] == ["all", "known", "novel"]
    for group, names in (("all", None), ("known", ["person", "dog"]), ("novel", ["kite"])):
        expected = score(files[1], files[0], categories=names)
        classes = [one["id"] for one in CATEGORIES if names is None or one["name"] in names]
        for kind, judge_kind in (("box", "bbox"), ("mask", "segm")):
            recall = evaluate(*files, classes, judge_kind).eval["recall"][:, 0]  # (t, a, m)
            for number, count in enumerate(COUNTS):
                figures = found.groups[group]
                assert figures[f"{kind}_ar@{count}"] == pytest.approx(expected[f"{kind}_ar@{count}"])
                assert figures[f"{kind}_recall@{count}"] == pytest.approx(100 * recall[0, 0, number])
                for area, size in enumerate(("small", "medium", "large"), start=1):
                    values = recall[:, area, number]
                    mean = 100 * values.mean() if values[0] > -1 else None
                    assert figures[f"{kind}_ar@{count}_{size}"] == pytest.approx(mean)


def test_precision_counts_the_proposals_that_find_an_object(files: tuple[Path, Path]) -> None:
    figures = measure_recall(*files).groups["all"]
    for kind, judge_kind in (("box", "bbox"), ("mask", "segm")):
        judge = evaluate(*files, [1, 2, 3], judge_kind)
        images = [one for one in judge.evalImgs if one is not None and one["aRng"] == judge.params.areaRng[0]]
        for count in COUNTS:
            is_found = np.concatenate([one["dtMatches"][0, :count] > 0 for one in images])
            is_ignored = np.concatenate([one["dtIgnore"][0, :count] > 0 for one in images])
            expected = 100 * is_found[~is_ignored].mean()
            assert figures[f"{kind}_precision@{count}"] == pytest.approx(expected)


def test_boxes_alone_have_no_figures_of_masks(files: tuple[Path, Path], tmp_path: Path) -> None:
    boxes = write_source(tmp_path / "boxes.json", random_entries(4, 4, with_masks=False), num_images=4)
    figures = measure_recall(boxes, files[1]).groups["all"]
    assert figures["box_ar@10"] is not None
    assert {value for name, value in figures.items() if name.startswith("mask_")} == {None}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"iou": 0.52}, "--iou 0.52: must be one of 0.50, 0.55"),
        ({"known": "vocc"}, "is neither a list of classes nor a category; nearest: voc"),
        ({"known": "person,kite,dog"}, "these are all categories"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, object], says: str, files: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=says):
        measure_recall(*files, **options)  # type: ignore[arg-type]


def test_the_command_prints_a_table_and_writes_all_figures(files: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ["proposals", "recall", *map(str, files), "--known", "person", "--output", str(tmp_path / "f.json")]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0
    figures = read_json(tmp_path / "f.json")["groups"]
    (line,) = [line for line in shown.output.splitlines() if line.startswith("novel mask_ar ")]
    assert line.split()[2:] == [f"{figures['novel'][f'mask_ar@{count}']:.1f}" for count in COUNTS]


def test_photos_that_the_proposals_do_not_list_are_said(
    files: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    measure_recall(*files)
    assert not caplog.messages
    content = read_json(files[0])
    kept = [one for one in content["annotations"] if one["image_id"] != content["images"][0]["id"]]
    write_json(files[0], {**content, "images": content["images"][1:], "annotations": kept})
    measure_recall(*files)
    [warning] = caplog.messages
    assert "lists only 3 of the 4 images of" in warning
