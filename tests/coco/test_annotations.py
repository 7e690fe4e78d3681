"""COCO json: problems are named in one line; selections, masks and run lengths keep their content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vclr.coco.annotations import (
    category_ids,
    encode_mask,
    load_coco,
    rasterize,
    select,
    summarize,
    to_rle,
)
from vclr.errors import UserError
from vclr.pictures import write_png

TRIANGLE = [[1.0, 1.0, 9.0, 1.0, 5.0, 7.0]]


@pytest.fixture
def world() -> dict[str, Any]:
    """Two images, three objects of two classes, one of them a crowd."""
    objects = [(1, 1, 1, 0), (2, 1, 2, 0), (3, 2, 2, 1)]
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 10}]
        + [{"id": 2, "file_name": "deep/b.png", "height": 6, "width": 6}],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "bbox": [1, 1, 4, 4]}
            for number, image, category, crowd in objects
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def refuse(tmp_path: Path, content: Any, images: Path | None = None) -> str:
    """Return the error line of a json that is refused."""
    path = tmp_path / "world.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError) as caught:
        load_coco(path, images)
    line = str(caught.value)
    assert "\n" not in line
    assert caught.value.exit_code == 1
    return line.removeprefix(f"{path}: ")


def test_sound_json_is_read_unchanged(tmp_path: Path, world: dict[str, Any]):
    world["annotations"][0]["segmentation"] = TRIANGLE
    (tmp_path / "world.json").write_text(json.dumps(world))
    assert load_coco(tmp_path / "world.json") == world


@pytest.mark.parametrize("content", [[], 5, None, "text", {}, {"images": []}, {"images": {}, "annotations": []}])
def test_other_json_is_refused(tmp_path: Path, content: Any):
    assert "is not a COCO json" in refuse(tmp_path, json.dumps(content))


def test_json_cut_off_is_refused(tmp_path: Path, world: dict[str, Any]):
    text = json.dumps(world)
    for cut in range(0, len(text), 37):
        assert "not valid json" in refuse(tmp_path, text[:cut])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (5, "images[0]: is not an object"),
        ({"id": None}, "images[0]: `id` is None"),
        ({"id": 2}, "images[1]: id 2 occurs twice"),
        ({"file_name": 7}, "images[0]: `file_name` is 7"),
        ({"file_name": ""}, "images[0]: file_name '' is not the name of a file"),
        ({"file_name": "."}, "images[0]: file_name '.' is not the name of a file"),
        ({"file_name": "../../etc/passwd"}, "images[0]: file_name '../../etc/passwd' leaves"),
        ({"file_name": "/etc/passwd"}, "images[0]: file_name '/etc/passwd' leaves"),
        ({"file_name": "a/../../b.png"}, "images[0]: file_name 'a/../../b.png' leaves"),
        ({"file_name": "..\\..\\b.png"}, "leaves the image folder"),
        ({"file_name": "C:\\b.png"}, "leaves the image folder"),
        ({"height": 0}, "images[0]: size 10x0 is empty"),
        ({"height": -4}, "images[0]: size 10x-4 is empty"),
        ({"height": 8.0}, "images[0]: `height` is 8.0, but must be a whole number"),
        ({"height": True}, "images[0]: `height` is True"),
        ({"height": "8"}, "images[0]: `height` is '8'"),
        ({"height": 10**30}, "is too large"),
    ],
)
def test_bad_images_are_named(tmp_path: Path, world: dict[str, Any], change: Any, says: str):
    image = world["images"][0]
    world["images"][0] = {**image, **change} if isinstance(change, dict) else change
    assert says in refuse(tmp_path, world)


@pytest.mark.parametrize("key", ["id", "file_name", "height", "width"])
def test_images_need_every_key(tmp_path: Path, world: dict[str, Any], key: str):
    del world["images"][1][key]
    assert f"images[1]: has no `{key}`" in refuse(tmp_path, world)


@pytest.mark.parametrize("key", ["id", "image_id", "category_id", "bbox"])
def test_annotations_need_every_key(tmp_path: Path, world: dict[str, Any], key: str):
    del world["annotations"][1][key]
    assert f"annotations[1]: has no `{key}`" in refuse(tmp_path, world)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (None, "annotations[1]: is not an object"),
        ({"image_id": 99}, "annotations[1] (id 2): image 99 is not in `images`"),
        ({"image_id": "1"}, "annotations[1] (id 2): image '1' is not in `images` (it has the number 1)"),
        ({"image_id": [1]}, "annotations[1]: `image_id` is [1]"),
        ({"category_id": 7}, "annotations[1] (id 2): category 7 is not in `categories`"),
        ({"id": 1}, "annotations[1] (id 1): the id occurs twice"),
        ({"bbox": "1 1 4 4"}, "annotations[1]: `bbox` is '1 1 4 4'"),
        ({"bbox": ["1", "1", "4", "4"]}, "is not [x, y, width, height]"),
        ({"bbox": [1, 1, 4]}, "is not [x, y, width, height]"),
        ({"bbox": [float("nan"), 1, 4, 4]}, "annotations[1] (id 2): bbox[0] is NaN, which is not valid json"),
        ({"bbox": [1, 1, float("inf"), 4]}, "annotations[1] (id 2): bbox[2] is Infinity"),
        ({"bbox": [1, 1, 10**400, 4]}, "is not [x, y, width, height]"),
        ({"bbox": [[1], 1, 4, 4]}, "is not [x, y, width, height]"),
        ({"segmentation": "polygon"}, "segmentation is neither polygons nor RLE"),
        ({"segmentation": [[1, 1, "x"]]}, "polygon 0 is not a list of numbers"),
        ({"bbox": [1, 1, 0, 4], "area": "16"}, "area '16' is not a number of pixels"),
        ({"bbox": [1, 1, 0, 4], "id": 1}, "annotations[1] (id 1): the id occurs twice"),
        ({"segmentation": [[1, 1, 5, 5, 3, "x"]]}, "polygon 0 is not a list of numbers"),
        ({"segmentation": [1, 1, 5, 5, 3, 3]}, "polygon 0 is not a list of numbers"),
        ({"segmentation": [[1, 1, 5, 5, 3, float("nan")]]}, "segmentation[0][5] is NaN"),
        ({"segmentation": [[1, 1, 5, 5, 3, 1e9]]}, "polygon 0 contains a number that cannot be a coordinate"),
        ({"segmentation": {"size": [8, 10]}}, "RLE counts are neither a list nor text"),
        ({"segmentation": {"size": [10, 8], "counts": [80]}}, "RLE size [10, 8] differs from the image's [8, 10]"),
        ({"segmentation": {"counts": [80]}}, "RLE size None differs"),
        ({"segmentation": {"size": [8, 10], "counts": [79]}}, "RLE counts do not add up to 8x10 pixels"),
        ({"segmentation": {"size": [8, 10], "counts": [90, -10]}}, "RLE counts do not add up"),
        ({"segmentation": {"size": [8, 10], "counts": ["80"]}}, "RLE counts do not add up"),
        ({"area": "16"}, "area '16' is not a number of pixels"),
        ({"area": None}, "area None is not a number of pixels"),
        ({"area": float("nan")}, "annotations[1] (id 2): area is NaN, which is not valid json"),
        ({"quality": [{"of": float("-inf")}]}, "annotations[1] (id 2): quality[0].of is -Infinity"),
        ({"iscrowd": "no"}, "iscrowd 'no' is neither 0 nor 1"),
        ({"iscrowd": None}, "iscrowd None is neither 0 nor 1"),
    ],
)
def test_bad_annotations_are_named(tmp_path: Path, world: dict[str, Any], change: Any, says: str):
    annotation = world["annotations"][1]
    world["annotations"][1] = {**annotation, **change} if isinstance(change, dict) else change
    line = refuse(tmp_path, world)
    assert says in line
    assert line.startswith("annotations[1]")


# pycocotools reads past the end of such counts, and gives masks of uninitialized memory or none at all.
@pytest.mark.parametrize(
    "counts", ["", "0", "zzzz", "ooooooooo0", "1000", "\x01\x02", "ü", "0" * 500, "P2P", "PPPPPPPPPP1"]
)
def test_damaged_run_lengths_are_named(tmp_path: Path, world: dict[str, Any], counts: str):
    world["annotations"][0]["segmentation"] = {"size": [8, 10], "counts": counts}
    assert "RLE counts are damaged or do not add up to 8x10 pixels" in refuse(tmp_path, world)


def test_damage_to_good_run_lengths_is_found_or_harmless(tmp_path: Path, world: dict[str, Any]):
    generator = np.random.default_rng(0)
    good = encode_mask(generator.random((8, 10)) < 0.5)
    path, num_refused = tmp_path / "world.json", 0
    for _ in range(200):
        counts = list(good["counts"])
        counts[generator.integers(len(counts))] = chr(generator.integers(33, 127))
        world["annotations"][0]["segmentation"] = {**good, "counts": "".join(counts)}
        path.write_text(json.dumps(world))
        try:
            mask = rasterize(load_coco(path)["annotations"][0], 8, 10)
        except UserError:
            num_refused += 1
        else:
            assert mask.max() <= 1
    assert num_refused > 100


@pytest.mark.parametrize(
    ("categories", "says"),
    [
        ({"1": "cat"}, "`categories` is not a list"),
        ([None], "categories[0]: is not an object"),
        ([{"name": "cat"}], "categories[0]: has no `id`"),
        ([{"id": 1}], "categories[0]: has no `name`"),
        ([{"id": [1], "name": "cat"}], "categories[0]: `id` is [1]"),
    ],
)
def test_bad_categories_are_named(tmp_path: Path, world: dict[str, Any], categories: Any, says: str):
    world["categories"] = categories
    assert says in refuse(tmp_path, world)


def test_every_image_file_must_be_there(tmp_path: Path, world: dict[str, Any]):
    write_png(tmp_path / "a.png", np.zeros((8, 10, 3), np.uint8))
    assert f"image 2: file {tmp_path / 'deep' / 'b.png'} does not exist" in refuse(tmp_path, world, tmp_path)
    assert "no such folder" in refuse(tmp_path, world, tmp_path / "absent")
    world["images"][1]["file_name"] = "x" * 5000
    assert "image 2: file" in refuse(tmp_path, world, tmp_path)
    for impossible in ("a\0b", "a\nb.jpg"):
        world["images"][1]["file_name"] = impossible
        assert f"images[1]: file_name {impossible!r} contains a control character" in refuse(tmp_path, world, tmp_path)


def test_select_keeps_images_with_an_object_outside_crowds(world: dict[str, Any]):
    dogs = select(world, lambda annotation: annotation["category_id"] == 2)
    assert [image["id"] for image in dogs["images"]] == [1]
    assert [annotation["id"] for annotation in dogs["annotations"]] == [2]


def test_category_ids_by_name(world: dict[str, Any]):
    assert category_ids(world, ["dog"], "world.json") == {2}
    with pytest.raises(UserError, match="world.json: has no category 'cow'; nearest: 'dog'; it has cat, dog"):
        category_ids(world, ["cow"], "world.json")


def test_summary_counts_objects_and_crowds(world: dict[str, Any]):
    assert summarize(world) == "2 images, 2 objects, 1 crowd"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_masks_survive_run_lengths(share: float):
    mask = (np.random.default_rng(1).random((13, 17)) < share).astype(np.uint8)
    assert (rasterize({"segmentation": encode_mask(mask)}, 13, 17) == mask).all()
    uncompressed, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            uncompressed.append(0)
            value = pixel
        uncompressed[-1] += 1
    assert (rasterize({"segmentation": {"size": [13, 17], "counts": uncompressed}}, 13, 17) == mask).all()


def test_rectangle_as_polygon_box_and_run_lengths_is_one_mask():
    bbox, polygon = [2, 3, 4, 5], [[2, 3, 6, 3, 6, 8, 2, 8]]
    expected = np.zeros((10, 12), np.uint8)
    expected[3:8, 2:6] = 1
    assert (rasterize({"bbox": bbox}, 10, 12) == expected).all()
    assert (rasterize({"bbox": bbox, "segmentation": polygon}, 10, 12) == expected).all()
    assert to_rle(polygon, 10, 12)["size"] == [10, 12]


def test_several_polygons_are_one_object():
    left, right = [0, 0, 2, 0, 2, 2, 0, 2], [4, 0, 6, 0, 6, 2, 4, 2]
    assert rasterize({"segmentation": [left, right]}, 4, 8).sum() == 8


def test_box_beyond_the_image_is_clipped():
    assert rasterize({"bbox": [-5, -5, 8, 7]}, 4, 4).sum() == 2 * 3
    assert rasterize({"bbox": [100, 100, 8, 7]}, 4, 4).sum() == 0


def test_an_empty_segmentation_is_a_box(tmp_path: Path, world: dict[str, Any]):
    world["annotations"][1] |= {"segmentation": [], "bbox": [1, 2, 4, 3]}
    (tmp_path / "world.json").write_text(json.dumps(world))
    annotation = load_coco(tmp_path / "world.json")["annotations"][1]
    assert annotation["segmentation"] is None
    assert rasterize(annotation, 8, 10).sum() == 12
