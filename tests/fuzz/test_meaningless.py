"""Alterations that mean nothing give the same result: order of keys, unknown keys, white space, forms of numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fuzz.loading import load_training
from tests.fuzz.sound import coco, results, write_json, write_world
from vclr.evaluation.recall import score

pytestmark = pytest.mark.slow


def _shuffle_keys(content: Any, chance: random.Random) -> Any:
    if isinstance(content, dict):
        items = [(key, _shuffle_keys(value, chance)) for key, value in content.items()]
        chance.shuffle(items)
        return dict(items)
    return [_shuffle_keys(value, chance) for value in content] if isinstance(content, list) else content


def _add_keys(content: Any, chance: random.Random) -> Any:
    """Add what other tools write into every object but run lengths."""
    if isinstance(content, dict):
        added = {"attributes": {"occluded": False}, "track_id": chance.random(), "caption": "\u00e9", "keypoints": []}
        altered = {key: _add_keys(value, chance) for key, value in content.items()}
        return altered if "counts" in content else {**altered, **added}
    return [_add_keys(value, chance) for value in content] if isinstance(content, list) else content


def _as_floats(content: Any, chance: random.Random) -> Any:
    """Write the coordinates of boxes and polygons as 4.0 in the place of 4, or the other way round."""
    for entry in content["annotations"] if isinstance(content, dict) else content:
        whole = all(float(side).is_integer() for side in entry["bbox"])
        if whole and "area" in entry:
            entry["bbox"] = [int(side) if isinstance(side, float) else float(side) for side in entry["bbox"]]
    return content


def _without_optional(content: Any, chance: random.Random) -> Any:
    """Leave out what has a default: `iscrowd` 0, no segmentation."""
    for entry in content["annotations"] if isinstance(content, dict) else content:
        if not entry.get("iscrowd", 1):
            del entry["iscrowd"]
        if entry.get("segmentation") == []:
            del entry["segmentation"]
    return content


ALTERATIONS: dict[str, tuple[Callable[[Any, random.Random], Any], dict[str, Any]]] = {
    "order of keys": (_shuffle_keys, {}),
    "unknown keys": (_add_keys, {}),
    "numbers": (_as_floats, {}),
    "defaults": (_without_optional, {}),
    "white space": (lambda content, _: content, {"indent": 3}),
    "no white space": (lambda content, _: content, {"separators": (",", ":")}),
    "characters": (lambda content, _: content, {"ensure_ascii": False}),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meaningless")
    write_world(folder)
    return folder


def _write(path: Path, content: Any, name: str, number: int) -> Path:
    alter, options = ALTERATIONS[name]
    path.write_text(json.dumps(alter(content, random.Random(number)), **options), encoding="utf-8")
    return path


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("name", ALTERATIONS)
def test_training_reads_the_same(name: str, number: int, world: Path):
    altered = _write(world / "altered.json", coco(), name, number)
    before, after = load_training(world, world / "sound.json")(), load_training(world, altered)()
    assert [image_id for image_id, _ in after] == [image_id for image_id, _ in before]
    for (_, mine), (_, theirs) in zip(after, before, strict=True):
        assert torch.equal(mine.image, theirs.image)
        assert torch.equal(mine.target.boxes, theirs.target.boxes)
        assert torch.equal(mine.target.masks, theirs.target.masks)


@pytest.mark.parametrize("name", ALTERATIONS)
def test_scores_are_the_same(name: str, world: Path):
    before = score(world / "sound.json", world / "results.json")
    truth = _write(world / "truth.json", coco(), name, 0)
    found = _write(world / "found.json", results(), name, 1)
    assert score(truth, found) == before


@pytest.mark.parametrize("number", range(3))
def test_order_of_entries_does_not_change_scores(number: int, world: Path):
    """Where no two predictions of an image have the same score."""
    chance = random.Random(number)
    truth, found = coco(), results()
    for entries in (truth["images"], truth["annotations"], truth["categories"], found):
        chance.shuffle(entries)
    before = score(world / "sound.json", world / "results.json")
    assert score(write_json(world / "truth.json", truth), write_json(world / "found.json", found)) == before
