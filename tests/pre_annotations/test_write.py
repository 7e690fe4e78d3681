"""Each format keeps masks, label and scores, as its own structure and our importers show."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.pre_annotations.made import SCORES, SIZE, found_photos, iou, masks
from vclr.catalog.annotation_tools import ANNOTATION_TOOLS
from vclr.coco.annotations import load_coco, rasterize, to_mask
from vclr.errors import UsageError
from vclr.evaluation.recall import score
from vclr.files import read_json, write_json
from vclr.generate.importers.labelme import import_labelme
from vclr.pre_annotations.labelstudio import encode_brush
from vclr.pre_annotations.photo import Naming
from vclr.pre_annotations.write import (
    WRITERS,
    check_pre_annotations,
    name_photos,
    read_formats,
    write_pre_annotations,
)

NAMING = Naming("big <thing> & co")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("found")
    write_pre_annotations(list(ANNOTATION_TOOLS), found_photos(folder / "photos"), folder, NAMING)
    return folder


def assert_same(found: list[np.ndarray]) -> None:
    assert len(found) == len(SCORES)
    assert all(iou(mask, other) > 0.9 for mask, other in zip(found, masks(), strict=True))


def test_every_format_of_the_catalog_is_written():
    assert list(WRITERS) == list(ANNOTATION_TOOLS)


def test_coco_is_read_and_scored(written: Path, tmp_path: Path):
    file = written / "coco/annotations.json"
    coco = load_coco(file, written / "photos")
    assert [image["file_name"] for image in coco["images"]] == ["a b.png", "empty.png"]
    assert [category["name"] for category in coco["categories"]] == [NAMING.label]
    assert_same([rasterize(annotation, *SIZE) for annotation in coco["annotations"]])
    assert [annotation["score"] for annotation in coco["annotations"]] == list(SCORES)
    truth = [
        {"id": 1 + number, "image_id": 1, "category_id": 1, "bbox": one["bbox"], "segmentation": one["segmentation"]}
        for number, one in enumerate(coco["annotations"])
    ]
    write_json(tmp_path / "truth.json", {**coco, "annotations": truth})
    metrics = score(tmp_path / "truth.json", file)
    assert metrics["box_ar@10"] == metrics["mask_ar@10"] == 100


def test_labelme_importer_reads_labelme(written: Path, tmp_path: Path):
    import_labelme(written / "labelme", tmp_path / "coco.json", images=written / "photos", quiet=True)
    coco = load_coco(tmp_path / "coco.json", written / "photos")
    assert [category["name"] for category in coco["categories"]] == [NAMING.label]
    assert_same([rasterize(annotation, *SIZE) for annotation in coco["annotations"]])
    content = read_json(written / "labelme/a b.json")
    assert [shape["score"] for shape in content["shapes"]] == list(SCORES)
    assert os.path.samefile(written / "labelme" / content["imagePath"], written / "photos/a b.png")


def test_fiftyone_finds_the_photos_anywhere(written: Path):
    files = [image["file_name"] for image in read_json(written / "fiftyone/labels.json")["images"]]
    assert files == [str(written / "photos/a b.png"), str(written / "photos/empty.png")]


def test_supervision_keeps_every_pixel(written: Path):
    found = read_json(written / "supervision/a b.json")
    assert found["image"] == {"width": 120, "height": 90}
    assert [one["confidence"] for one in found["predictions"]] == list(SCORES)
    np.testing.assert_array_equal([to_mask(one["rle"], *SIZE) for one in found["predictions"]], masks())
    pixel = found["predictions"][3]
    assert [pixel[key] for key in ("x", "y", "width", "height")] == [100.5, 70.5, 1, 1]


def test_cvat_has_shapes_in_images(written: Path):
    first, second = ElementTree.parse(written / "cvat/annotations.xml").getroot().iter("image")
    assert (first.get("name"), first.get("width"), first.get("height")) == ("a b.png", "120", "90")
    assert len(second) == 0
    assert {shape.get("label") for shape in first} == {NAMING.label}
    assert [float(shape.findtext("attribute[@name='score']") or -1) for shape in first] == list(SCORES)
    assert_same([cvat_mask(shape) for shape in first])


def cvat_mask(shape: ElementTree.Element) -> np.ndarray:
    if shape.tag == "polygon":
        points = [float(value) for pair in shape.attrib["points"].split(";") for value in pair.split(",")]
        return to_mask([points], *SIZE)
    left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
    lengths = [int(length) for length in shape.attrib["rle"].split(",")]
    mask = np.zeros(SIZE, np.uint8)
    values = np.repeat(np.arange(len(lengths)) % 2, lengths)
    mask[top : top + height, left : left + width] = values.reshape(height, width)
    return mask


def test_label_studio_has_polygons_in_percent_and_brush_strokes(written: Path):
    first, second = read_json(written / "labelstudio/tasks.json")
    url = first["data"]["image"]
    assert url.startswith("/data/local-files/?d=") and " " not in url
    assert Path("/" + unquote(url.partition("?d=")[2])) == written / "photos/a b.png"
    results = first["predictions"][0]["result"]
    assert second["predictions"][0]["result"] == []
    assert [result["score"] for result in results] == list(SCORES)
    assert_same([label_studio_mask(result["value"]) for result in results])
    config = ElementTree.parse(written / "labelstudio/labeling_config.xml").getroot()
    kinds = {tag.get("name"): (tag.tag.lower(), tag[0].get("value")) for tag in config if tag.tag != "Image"}
    for result in results:
        kind, label = kinds[result["from_name"]]
        assert (result["type"], result["value"][kind]) == (kind, [label])


def label_studio_mask(value: dict) -> np.ndarray:
    if "points" in value:
        return to_mask(
            [[side / 100 * SIZE[1 - axis] for point in value["points"] for axis, side in enumerate(point)]], *SIZE
        )
    return decode_brush(value["rle"]).reshape(*SIZE, 4)[..., 3]


def decode_brush(data: list[int]) -> np.ndarray:
    """Read the format of https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack."""
    bits, at = "".join(f"{byte:08b}" for byte in data), 0

    def read(size: int) -> int:
        nonlocal at
        at += size
        return int(bits[at - size : at], 2)

    count, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        is_run = read(1)
        length = read(sizes[read(2)]) + 1
        values += [read(word)] * length if is_run else [read(word) for _ in range(length)]
    return np.array(values, np.uint8)


@pytest.mark.parametrize("kind", ["empty", "full", "noise", "first pixel", "large"])
def test_brush_strokes_hold_any_mask(kind: str):
    mask = np.zeros((400, 300) if kind == "large" else (7, 5), np.uint8)
    mask[0, 0] = kind in ("full", "first pixel", "large")
    if kind in ("full", "noise"):
        mask[:] = 1 if kind == "full" else np.random.default_rng(0).integers(0, 2, mask.shape)
    decoded = decode_brush(encode_brush(mask)).reshape(*mask.shape, 4)
    np.testing.assert_array_equal(decoded, np.repeat(255 * mask[..., None], 4, axis=-1))


def test_address_of_the_photos_can_be_chosen(tmp_path: Path):
    naming = Naming("x", "https://host/photos/")
    write_pre_annotations(["labelstudio"], found_photos(tmp_path / "photos"), tmp_path, naming)
    tasks = json.loads((tmp_path / "labelstudio/tasks.json").read_text())
    assert tasks[0]["data"]["image"] == "https://host/photos/a%20b.png"


def test_photos_are_named_below_their_common_folder(tmp_path: Path):
    assert name_photos([tmp_path / "x/a.png"]) == ["a.png"]
    assert name_photos([tmp_path / "x/a.png", tmp_path / "x/y/../z/b.png", tmp_path / "w/c.png"]) == [
        *("x/a.png", "x/z/b.png", "w/c.png")
    ]


# --- what is refused -------------------------------------------------------------------------------------------------


def test_formats_are_read_from_several_options():
    assert read_formats(["coco, cvat", "labelme", "coco"]) == ["coco", "cvat", "labelme"]
    assert read_formats([]) == []
    for text in ("labelstudo", "", "coco,"):
        with pytest.raises(
            UsageError, match=rf"--format {text.rpartition(',')[2]}: is not one of coco, cvat, .*nearest: "
        ):
            read_formats([text])


def test_edited_pre_annotations_are_never_replaced(tmp_path: Path):
    for name in ("coco", "cvat"):
        (tmp_path / name).mkdir()
    (tmp_path / "cvat/annotations.xml").write_text("edited")
    check_pre_annotations(["coco", "labelme"], ["a.png"], tmp_path, NAMING)
    with pytest.raises(
        UsageError, match="cvat: exists already, and may have been edited; move it away or name another"
    ):
        check_pre_annotations(["coco", "cvat"], ["a.png"], tmp_path, NAMING)


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "\udcff"])
def test_label_that_is_no_name_is_refused(tmp_path: Path, label: str):
    with pytest.raises(UsageError, match=r"--label .*: is not the name of a class"):
        check_pre_annotations(["coco"], ["a.png"], tmp_path, Naming(label))


def test_photo_whose_name_fits_into_no_file_is_refused(tmp_path: Path):
    for name in ("a\x01.png", "\udcff.png"):
        with pytest.raises(UsageError, match="this name of a photo cannot be written as pre-annotation"):
            check_pre_annotations(["coco"], [name], tmp_path, NAMING)
        check_pre_annotations([], [name], tmp_path, NAMING)
