"""Merged proposals: no object twice, nothing known, the same for any order of the files; agreement comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.object_proposals.made_proposals import HEIGHT, WIDTH, images_of, random_entries, write_source
from vclr.coco.annotations import load_coco, to_mask
from vclr.errors import UserError
from vclr.files import read_json, write_json
from vclr.object_proposals.merge import merge_proposals
from vclr.object_proposals.proposals_file import describe_mask


def masks_of(coco: dict[str, Any], image_id: int) -> np.ndarray:
    found = [to_mask(one["segmentation"], HEIGHT, WIDTH) for one in coco["annotations"] if one["image_id"] == image_id]
    return np.array(found, float).reshape(-1, HEIGHT * WIDTH)


def ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    shared = first @ second.T
    return shared / (first.sum(1)[:, None] + second.sum(1) - shared)


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    return [write_source(tmp_path / f"p{seed}.json", random_entries(seed)) for seed in range(3)]


def test_no_two_are_one_object_and_none_is_known(sources: list[Path], tmp_path: Path) -> None:
    known = write_source(tmp_path / "known.json", random_entries(7, count=2))
    merge_proposals(sources, tmp_path / "m.json", known, top_k=20, max_iou=0.4, quiet=True)
    merged, objects = load_coco(tmp_path / "m.json"), load_coco(known)
    num_left_out = 0
    for image in merged["images"]:
        masks, others = masks_of(merged, image["id"]), masks_of(objects, image["id"])
        assert 0 < len(masks) <= 20
        assert (ious(masks, masks) - np.eye(len(masks))).max() <= 0.4
        assert ious(masks, others).max() <= 0.4
        scores = [one["score"] for one in merged["annotations"] if one["image_id"] == image["id"]]
        assert scores == sorted(scores, reverse=True) and min(scores) > 0 and max(scores) <= 1
        num_left_out += 36 - len(masks)
    assert num_left_out
    assert [one["id"] for one in merged["annotations"]] == [*range(1, len(merged["annotations"]) + 1)]


def test_the_order_of_files_and_of_their_proposals_does_not_matter(sources: list[Path], tmp_path: Path) -> None:
    merge_proposals(sources, tmp_path / "a.json", quiet=True)
    merge_proposals(sources[::-1], tmp_path / "b.json", quiet=True)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    for path in sources:
        content = read_json(path)
        write_json(path, {**content, "annotations": content["annotations"][::-1]})
    merge_proposals(sources, tmp_path / "c.json", quiet=True)
    assert load_coco(tmp_path / "c.json")["annotations"] == load_coco(tmp_path / "a.json")["annotations"]


def test_what_was_merged_stays_as_it_is(sources: list[Path], tmp_path: Path) -> None:
    merge_proposals(sources, tmp_path / "a.json", top_k=8, quiet=True)
    merge_proposals([tmp_path / "a.json"], tmp_path / "b.json", top_k=8, quiet=True)
    first, second = load_coco(tmp_path / "a.json"), load_coco(tmp_path / "b.json")
    assert first["annotations"] == second["annotations"] and first["images"] == second["images"]


def test_an_object_that_two_sources_propose_comes_first(tmp_path: Path) -> None:
    def entry(left: int, score: float) -> dict[str, Any]:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[5:15, left : left + 10] = True
        return {**describe_mask(mask, score), "image_id": 10, "id": left}

    first = write_source(tmp_path / "1.json", [entry(0, 0.9), entry(20, 0.2)], num_images=1)
    second = write_source(tmp_path / "2.json", [entry(21, 700.0), entry(40, 800.0)], num_images=1)
    merge_proposals([first, second], tmp_path / "m.json", quiet=True)
    lefts = [one["bbox"][0] for one in load_coco(tmp_path / "m.json")["annotations"]]
    assert len(lefts) == 3 and lefts[0] in (20, 21)


def test_boxes_and_masks_are_compared_by_their_boxes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entries = random_entries(1)
    masks = write_source(tmp_path / "masks.json", entries)
    boxes = write_source(tmp_path / "boxes.json", random_entries(1, with_masks=False))
    merge_proposals([masks, boxes], tmp_path / "m.json", max_iou=0.99, top_k=50, quiet=True)
    assert len(load_coco(tmp_path / "m.json")["annotations"]) == len(entries)  # each box is that of a mask
    assert "boxes.json: has no masks, the others do; its boxes become masks" in caplog.text


def test_photos_that_only_some_sources_have(tmp_path: Path) -> None:
    first = write_source(tmp_path / "1.json", random_entries(1, num_images=2), num_images=2)
    second = write_source(tmp_path / "2.json", random_entries(2, num_images=3), num_images=3)
    merge_proposals([first, second], tmp_path / "m.json", quiet=True)
    merged = load_coco(tmp_path / "m.json")
    assert merged["images"] == images_of(3)
    assert {one["image_id"] for one in merged["annotations"]} == {10, 11, 12}


def test_bad_input_is_one_line(sources: list[Path], tmp_path: Path) -> None:
    unscored = [{key: value for key, value in one.items() if key != "score"} for one in random_entries(0)]
    for name, content, says in (
        ("none.json", None, "none.json"),
        ("list.json", [1], "is not a COCO json"),
        (
            "unscored.json",
            {"images": images_of(3), "annotations": unscored},
            "none of its annotations .* has a `score`",
        ),
        (
            "size.json",
            {"images": [{**images_of(1)[0], "width": 61}], "annotations": []},
            "has two sizes in these files",
        ),
    ):
        if content is not None:
            write_json(tmp_path / name, content)
        with pytest.raises(UserError, match=says) as caught:
            merge_proposals([sources[0], tmp_path / name], tmp_path / "m.json", quiet=True)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "m.json").exists()
