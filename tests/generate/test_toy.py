"""The toy world: one seed gives one world, every object is seen, and appearance gives known objects away only."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from vclr.coco.annotations import load_coco, rasterize
from vclr.errors import UsageError
from vclr.files import read_json, sha256
from vclr.generate.toy import CATEGORIES, MIN_PIXELS, NUM_OBJECTS, Scene, render_scene, write_toy_world
from vclr.generate.toy_shapes import KNOWN_SHAPES, NOVEL_SHAPES, SHAPES, Pose, draw_turn, stamp
from vclr.generate.toy_textures import LATTICE, PATTERNS
from vclr.pictures import read_image

KNOWN = {category["id"] for category in CATEGORIES if category["supercategory"] == "known"}
NOVEL = {category["id"] for category in CATEGORIES if category["supercategory"] == "novel"}

# Of the decoded pixels of the three pictures and the masks. They change when, and only when, the world changes.
PINNED_SCENES = {
    ("train", 0): "12f22bb5b972c8b483cb476896c593deaa62edfe9c3c72f2b30b7d235c5e8138",
    ("train", 5): "bedce543cf6139b00a3bd2ce4f761723b695372f656ed6caf4ccd90a0cf3b245",
    ("val", 0): "735175a7636c84416f3f4075ed8537b3b5c89e7e03932b1d77aa26526c579c1f",
    ("val", 1): "495f70756e4d77415ad4ce45668544c3610d126b0ecd88a1801045f2cb52866d",
}
PINNED_JSON = "6beafb3181588e9ef313b185889174d64b6b6be70cf1a2060ca7fadfe99fcecf"


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Scene]]:
    return {split: [render_scene(0, index, split) for index in range(24)] for split in ("train", "val")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_toy_world(root, seed=3, num_train=4, num_val=4, quiet=True)
    return root


def fingerprint(scene: Scene) -> str:
    digest = hashlib.sha256()
    for array in (scene.natural, scene.depth, scene.style, *(item.mask for item in scene.objects)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def files_of(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): sha256(path) for path in root.rglob("*") if path.is_file()}


def warmth(picture: np.ndarray, mask: np.ndarray) -> float:
    """How much redder than blue the pixels of a mask are."""
    red, _, blue = picture[mask].astype(np.float64).mean(axis=0)
    return float(red - blue)


@pytest.mark.parametrize(("split", "index"), list(PINNED_SCENES))
def test_scene_is_the_pinned_one(split: str, index: int) -> None:
    assert fingerprint(render_scene(0, index, split)) == PINNED_SCENES[split, index]


def test_json_is_the_pinned_one(world: Path) -> None:
    assert sha256(world / "raw" / "toy" / "annotations_train.json") == PINNED_JSON


def test_world_written_twice_has_the_same_bytes(world: Path, tmp_path: Path) -> None:
    write_toy_world(tmp_path, seed=3, num_train=4, num_val=4, quiet=True)
    assert files_of(tmp_path) == files_of(world)


def test_scene_does_not_depend_on_how_many_there_are(world: Path) -> None:
    for split, index in (("train", 2), ("val", 3)):
        scene, name = render_scene(3, index, split), f"{split}_{index:05d}.png"
        assert np.array_equal(read_image(world / "raw/toy/images" / name), scene.natural)
        assert np.array_equal(read_image(world / "views/toy/depth" / name), scene.depth)
        assert np.array_equal(read_image(world / "views/toy/style" / name), scene.style)


def test_seed_split_and_number_each_change_the_scene() -> None:
    scenes = [render_scene(*arguments) for arguments in ((0, 0, "train"), (1, 0, "train"), (0, 1, "train"))]
    assert len({fingerprint(scene) for scene in [*scenes, render_scene(0, 0, "val")]}) == 4


def test_manifests_name_every_file(world: Path) -> None:
    for folder in (world / "raw/toy", world / "views/toy/depth", world / "views/toy/style"):
        listed = {name: entry["sha256"] for name, entry in read_json(folder / "manifest.json")["files"].items()}
        assert {**listed, "manifest.json": sha256(folder / "manifest.json")} == files_of(folder)


@pytest.mark.parametrize("split", ["train", "val"])
def test_json_passes_the_checks_and_holds_the_scenes_masks(world: Path, split: str) -> None:
    coco = load_coco(world / f"raw/toy/annotations_{split}.json", world / "raw/toy/images")
    assert coco["categories"] == CATEGORIES
    for index, image in enumerate(coco["images"]):
        annotations = [item for item in coco["annotations"] if item["image_id"] == image["id"]]
        objects = render_scene(3, index, split).objects
        assert [item["category_id"] for item in annotations] == [item.category_id for item in objects]
        for annotation, item in zip(annotations, objects, strict=True):
            mask = rasterize(annotation, image["height"], image["width"])
            assert np.array_equal(mask, item.mask)
            assert annotation["area"] == mask.sum()
            x, y, width, height = annotation["bbox"]
            assert mask[y : y + height, x : x + width].sum() == mask.sum()
            inside = mask[y : y + height, x : x + width]
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


@pytest.mark.parametrize("split", ["train", "val"])
def test_objects_are_visible_disjoint_and_three_to_ten(scenes: dict[str, list[Scene]], split: str) -> None:
    for scene in scenes[split]:
        assert NUM_OBJECTS[0] <= len(scene.objects) <= NUM_OBJECTS[1]
        assert sum(item.mask.astype(int) for item in scene.objects).max() == 1
        assert min(item.mask.sum() for item in scene.objects) >= MIN_PIXELS


def test_every_class_occurs_where_it_should(scenes: dict[str, list[Scene]]) -> None:
    kinds = [{item.category_id for item in scene.objects} for scene in scenes["train"]]
    assert all(kind & KNOWN for kind in kinds)
    assert 0 < sum(bool(kind & NOVEL) for kind in kinds) < len(kinds) / 2
    assert set().union(*({item.category_id for item in scene.objects} for scene in scenes["val"][::2])) == KNOWN
    assert set().union(*({item.category_id for item in scene.objects} for scene in scenes["val"][1::2])) == NOVEL


def test_warmth_gives_away_the_known_objects_of_the_natural_view_only(scenes: dict[str, list[Scene]]) -> None:
    known, novel, restyled, grounds = [], [], [], []
    for scene in scenes["train"] + scenes["val"]:
        ground = ~np.logical_or.reduce([item.mask for item in scene.objects])
        is_known = any(item.category_id in KNOWN for item in scene.objects)
        if is_known:
            grounds.append(warmth(scene.natural, ground))
        for item in scene.objects:
            (known if item.category_id in KNOWN else novel).append(warmth(scene.natural, item.mask))
            restyled.append(warmth(scene.style, item.mask) > warmth(scene.style, ground))
    assert min(known) > max(grounds)
    assert 0.2 < np.mean(np.array(novel) > max(grounds)) < 0.8
    assert 0.3 < np.mean(restyled) < 0.7


def test_depth_grows_brighter_from_back_to_front(scenes: dict[str, list[Scene]]) -> None:
    for scene in scenes["train"] + scenes["val"]:
        ground = ~np.logical_or.reduce([item.mask for item in scene.objects])
        masks = [ground, *(item.mask for item in scene.objects)]
        brightness = [float(np.median(scene.depth[mask][:, 1])) for mask in masks]
        assert brightness == sorted(brightness)


def test_size_scales_the_picture() -> None:
    scene = render_scene(0, 0, "train", size=96)
    assert {scene.natural.shape, scene.depth.shape, scene.style.shape} == {(96, 96, 3)}


@pytest.mark.parametrize("setting", [{"seed": -1}, {"num_train": 0}, {"num_val": 1}, {"size": 32}])
def test_number_out_of_range_is_named_and_nothing_is_written(setting: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=next(iter(setting))):
        write_toy_world(tmp_path, quiet=True, **setting)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", list(SHAPES))
def test_shape_fills_a_fair_part_of_its_disk_and_never_leaves_it(name: str) -> None:
    x, y = np.meshgrid(np.linspace(-1.5, 1.5, 301), np.linspace(-1.5, 1.5, 301))
    covered = SHAPES[name](x, y)
    assert not covered[x * x + y * y > 1.01].any()
    assert 0.2 < covered.sum() / (x * x + y * y <= 1.0).sum() < 0.95


def test_stamp_counts_what_lies_outside_the_image() -> None:
    turn = draw_turn(np.random.Generator(np.random.PCG64(0)))
    inside, outside = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    area = stamp(inside, Pose("disk", 32.0, 32.0, 20.0, turn, 1.0), 1)
    assert area == stamp(outside, Pose("disk", 0.0, 32.0, 20.0, turn, 1.0), 1) == inside.sum()
    assert area == pytest.approx(np.pi * 0.9 * 400, rel=0.01)
    assert outside.sum() == pytest.approx(area / 2, rel=0.01)


def test_shape_classes_are_apart() -> None:
    assert not set(KNOWN_SHAPES) & set(NOVEL_SHAPES)
    x, y = np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-1, 1, 201))
    covered = [shape(x, y) for shape in SHAPES.values()]
    for first in range(len(covered)):
        for second in range(first):
            union = (covered[first] | covered[second]).sum()
            assert (covered[first] & covered[second]).sum() / union < 0.8


def test_turns_are_rotations_all_around() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    turns = np.array([draw_turn(rng) for _ in range(400)])
    assert np.allclose((turns * turns).sum(axis=1), 1.0, atol=1e-12)
    quadrants, counts = np.unique(turns > 0, axis=0, return_counts=True)
    assert len(quadrants) == 4
    assert counts.min() > 60


@pytest.mark.parametrize("name", list(PATTERNS))
def test_pattern_mixes_between_its_two_colors(name: str) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    x, y, lattice = 40 * rng.random(5000) - 20, 40 * rng.random(5000) - 20, rng.random((LATTICE, LATTICE))
    share = np.asarray(PATTERNS[name](x, y, lattice), np.float64)
    assert share.min() >= 0.0
    assert share.max() <= 1.0
    assert share.max() - share.min() > 0.2
