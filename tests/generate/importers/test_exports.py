"""The exports of annotation tools import to the annotations of the COCO json from which they were made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.generate.importers import exports
from tests.shared import PHOTOS
from vclr.coco.annotations import load_coco, rasterize
from vclr.data.doctor.check import DataSet, check_files
from vclr.files import read_json
from vclr.finding import OK
from vclr.generate.importers.coco import import_coco
from vclr.generate.importers.cvat import import_cvat
from vclr.generate.importers.labelstudio import import_labelstudio
from vclr.generate.importers.makesense import import_makesense
from vclr.generate.importers.roboflow import import_roboflow
from vclr.generate.importers.via import import_via
from vclr.generate.importers.yolo import import_yolo
from vclr.worker_pool import WorkerPool

Json = dict[str, Any]

EXPORTS: dict[str, tuple[Callable[[Json, Path], Path], Callable[..., str]]] = {
    "yolo": (exports.as_yolo, import_yolo),
    "roboflow": (exports.as_roboflow, import_roboflow),
    "cvat": (exports.as_cvat, import_cvat),
    "cvat masks": (exports.as_cvat_masks, import_cvat),
    "cvat coco": (exports.as_cvat_coco, import_cvat),
    "labelstudio": (exports.as_label_studio, import_labelstudio),
    "labelstudio brush": (exports.as_label_studio_brush, import_labelstudio),
    "labelstudio min": (exports.as_label_studio_min, import_labelstudio),
    "labelstudio coco": (exports.as_label_studio_coco, import_labelstudio),
    "via": (exports.as_via, import_via),
    "via csv": (exports.as_via_csv, import_via),
    "via 3": (exports.as_via3, import_via),
    "via coco": (exports.as_via_coco, import_via),
    "makesense": (exports.as_makesense, import_makesense),
    "makesense coco": (exports.as_makesense_coco, import_makesense),
    "coco": (exports.as_roboflow, import_coco),
    "coco of cvat": (exports.as_cvat_coco, import_coco),
    "coco of labelstudio": (exports.as_label_studio_coco, import_coco),
}
BOXES = {
    "yolo boxes": (exports.as_yolo_boxes, import_yolo),
    "makesense csv": (exports.as_makesense_csv, import_makesense),
    "makesense voc": (exports.as_voc_xml, import_makesense),
}


def drawn() -> Json:
    """Return three photos with objects of one part and of two, with gaps between the ids."""
    square, flag = [10.0, 10, 40, 10, 40, 30.5, 10, 30.5], [60.0, 20, 90, 35.25, 60, 50]
    corner = [99.5, 60, 120, 60, 120, 90, 99.5, 90]
    shapes = [(3, 7, [square]), (3, 9, [flag, corner]), (8, 7, [corner]), (8, 9, [square]), (8, 9, [flag])]
    annotations = []
    for number, (image, category, polygons) in enumerate(shapes):
        points = np.concatenate([np.array(polygon).reshape(-1, 2) for polygon in polygons])
        box = [*points.min(0).tolist(), *(points.max(0) - points.min(0)).tolist()]
        ids = {"id": 100 + 3 * number, "image_id": image, "category_id": category}
        annotations.append({**ids, "segmentation": polygons, "bbox": box, "area": 1.0, "iscrowd": 0})
    images = [
        {"id": key, "file_name": name, "width": 120, "height": 90} for key, name in ((3, "a.png"), (8, "b c.png"))
    ]
    categories = [{"id": 7, "name": "big dog"}, {"id": 9, "name": "thing, red"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "set/images"
    folder.mkdir(parents=True)
    for image in drawn()["images"]:
        Image.new("RGB", (120, 90)).save(folder / image["file_name"])
    return folder


def assert_same(found: Json, wanted: Json, min_iou: float) -> None:
    """Check that two json files have the same photos with the same objects, in any order."""
    sizes = {(one["file_name"], one["width"], one["height"]) for one in wanted["images"]}
    assert {(Path(one["file_name"]).name, one["width"], one["height"]) for one in found["images"]} == sizes
    objects = {Path(image["file_name"]).name: (image, found_here) for image, found_here in exports.by_photo(found)}
    for image, wanted_here in exports.by_photo(wanted):
        own, found_here = objects[image["file_name"]]
        assert sorted(name for name, _ in found_here) == sorted(name for name, _ in wanted_here), image
        left = [(name, rasterize(one, own["height"], own["width"]), one) for name, one in found_here]
        for name, one in wanted_here:
            mask = rasterize(one, image["height"], image["width"])
            same = [iou(mask, other) if kind == name else -1 for kind, other, _ in left]
            best = int(np.argmax(same))
            assert same[best] >= min_iou, (image["file_name"], name, same)
            assert left[best][2].get("iscrowd", 0) == one.get("iscrowd", 0)
            del left[best]


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


@pytest.mark.parametrize("tool", EXPORTS)
def test_export_imports_to_the_original_and_is_clean(tool: str, photos: Path, tmp_path: Path):
    write, load = EXPORTS[tool]
    source = write(drawn(), photos.parent)
    load(source, tmp_path / "out.json", images=photos)
    assert_same(load_coco(tmp_path / "out.json", photos), drawn(), min_iou=0.99)
    assert {one["name"] for one in read_json(tmp_path / "out.json")["categories"]} == {"big dog", "thing, red"}
    report = check_files(DataSet(tmp_path / "out.json", photos), WorkerPool(1, quiet=True))
    assert [finding for finding in report.findings if finding.level != OK or "habit" in finding.topic] == []


@pytest.mark.parametrize("tool", BOXES)
def test_boxes(tool: str, photos: Path, tmp_path: Path):
    write, load = BOXES[tool]
    load(write(drawn(), photos.parent), tmp_path / "out.json", images=photos)
    found = load_coco(tmp_path / "out.json", photos)
    wanted = drawn()
    assert all(one["segmentation"] is None for one in found["annotations"])
    for (_, here), (_, wanted_here) in zip(exports.by_photo(found), exports.by_photo(wanted), strict=True):
        assert [name for name, _ in here] == [name for name, _ in wanted_here]
        np.testing.assert_allclose([one["bbox"] for _, one in here], [one["bbox"] for _, one in wanted_here], atol=0.51)


def test_same_files_make_the_same_json(photos: Path, tmp_path: Path):
    source = exports.as_cvat(drawn(), photos.parent)
    texts = []
    for name in ("one.json", "two.json"):
        import_cvat(source, tmp_path / name)
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]


# --- photos of COCO --------------------------------------------------------------------------------------------------

HARD = {"yolo", "via", "via csv", "via 3", "via coco", "makesense", "makesense coco"}  # parts are joined by lines


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs shared photos")
@pytest.mark.parametrize("tool", EXPORTS)
def test_photos_of_coco(tool: str, tmp_path: Path):
    coco = read_json(PHOTOS / "annotations.json")
    images = [image for image in coco["images"] if image["file_name"].endswith("5.jpg")][:4]
    ids = {image["id"] for image in images}
    annotations = [one for one in coco["annotations"] if one["image_id"] in ids and not one["iscrowd"]]
    coco = {"images": images, "annotations": annotations, "categories": coco["categories"]}
    folder = tmp_path / "images"
    folder.mkdir()
    for image in images:
        shutil.copy(PHOTOS / "images" / image["file_name"], folder)
    write, load = EXPORTS[tool]
    load(write(coco, tmp_path), tmp_path / "out.json", images=folder)
    assert_same(load_coco(tmp_path / "out.json", folder), coco, min_iou=0.6 if tool in HARD else 0.93)


def test_every_tool_of_the_catalog_has_a_verb():
    code = "from vclr.catalog.import_tools import IMPORT_TOOLS; from vclr.cli.options import importers; import vclr.cli"
    code += "; assert [one.name for one in importers.registered_commands] == list(IMPORT_TOOLS)"
    subprocess.run([sys.executable, "-c", code], check=True)
