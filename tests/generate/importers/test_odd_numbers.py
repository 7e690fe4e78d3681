"""A number of an export that is a text, not finite or huge is imported, or refused in one line, never a traceback."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vclr.coco.annotations import load_coco
from vclr.errors import UserError
from vclr.generate.importers.coco import import_coco
from vclr.generate.importers.cvat import import_cvat
from vclr.generate.importers.labelme import import_labelme
from vclr.generate.importers.labelstudio import import_labelstudio
from vclr.generate.importers.makesense import import_makesense
from vclr.generate.importers.via import import_via
from vclr.generate.importers.yolo import import_yolo
from vclr.pre_annotations.labelstudio import encode_brush

OUTLINE = [10, 5, 30, 5, 30, 15]
NUMBER = re.compile(r"(?<![\w.#-])-?\d+(?:\.\d+)?(?![\w.])")
HUGE = ["1e400", "-1e308", "1e9", "9" * 400]
IN_JSON = ['"abc"', '"nan"', '"1e400"', *HUGE, "null", "[]", "{}", "true", "-1", "0.5"]
IN_TEXT = ["abc", "", "nan", "inf", *HUGE, "9" * 5000, "-1", "0.5"]


def coco() -> str:
    rle = {"size": [40, 80], "counts": [0, 100, 3100]}
    shapes: list[Any] = [[OUTLINE], OUTLINE, [[[10, 5], [30, 5], [30, 15]]], [], rle]
    entries = [
        {"id": key, "image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 10], "iscrowd": 0, "segmentation": shape}
        for key, shape in enumerate(shapes, start=1)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 80, "height": 40}]
    return json.dumps({"images": images, "annotations": entries, "categories": [{"id": 1, "name": "a"}]})


def cvat() -> str:
    shapes = '<box label="a" xtl="10" ytl="5" xbr="30" ybr="15" rotation="0"/>'
    shapes += '<box label="a" xtl="10" ytl="5" xbr="30" ybr="15" rotation="90" group_id="2"/>'
    shapes += '<ellipse label="a" cx="40" cy="20" rx="10" ry="5" rotation="90"/>'
    shapes += '<polygon label="a" points="10,5;30,5;30,15" group_id="1"/>'
    shapes += '<mask label="a" rle="1, 2, 1" left="70" top="30" width="2" height="2" group_id="1"/>'
    return f'<annotations><image id="0" name="a.png" width="80" height="40">{shapes}</image></annotations>'


def label_studio_regions() -> list[dict[str, Any]]:
    mask = np.zeros((40, 80), np.uint8)
    mask[:20, :40] = 1
    place = {"x": 10, "y": 20, "width": 25, "height": 25, "rectanglelabels": ["a"]}
    values: list[dict[str, Any]] = [
        {**place, "rotation": 0},
        {"points": [[10, 20], [35, 20], [35, 45]], "polygonlabels": ["a"]},
        {**place, "rotation": 30},
        {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 30, "ellipselabels": ["a"]},
        {"format": "rle", "rle": encode_brush(mask), "brushlabels": ["a"]},
    ]
    size = {"original_width": 80, "original_height": 40, "image_rotation": 0}
    return [{"id": number, **size, "value": value} for number, value in enumerate(values)]


def label_studio() -> str:
    annotation = {"id": 7, "created_at": 3, "result": label_studio_regions()}
    return json.dumps([{"id": 1, "data": {"image": "a.png"}, "annotations": [annotation]}])


def label_studio_min() -> str:
    regions = [{**region.pop("value"), **region} for region in label_studio_regions()]
    return json.dumps([{"id": 1, "image": "a.png", "label": regions}])


def via_shapes() -> list[dict[str, Any]]:
    return [
        {"name": "polygon", "all_points_x": OUTLINE[::2], "all_points_y": OUTLINE[1::2]},
        {"name": "rect", "x": 10, "y": 5, "width": 20, "height": 10},
        {"name": "circle", "cx": 40, "cy": 20, "r": 10},
        {"name": "ellipse", "cx": 40, "cy": 20, "rx": 10, "ry": 5, "theta": 1.5},
    ]


def via() -> str:
    regions = [{"shape_attributes": shape, "region_attributes": {"kind": 3}} for shape in via_shapes()]
    return json.dumps({"a.png1": {"filename": "a.png", "size": 1, "regions": regions}})


def via_3() -> str:
    shapes = [[7, *OUTLINE], [2, 10, 5, 20, 10], [3, 40, 20, 10], [4, 40, 20, 10, 5]]
    metadata = {
        f"1_{number}": {"vid": "1", "flg": 0, "z": [], "xy": shape, "av": {"1": 0}}
        for number, shape in enumerate(shapes)
    }
    about = {"1": {"aname": "kind", "options": {"0": "a"}}}
    file = {"1": {"fid": 1, "fname": "a.png", "type": 2}}
    content = {"attribute": about, "file": file, "view": {"1": {"fid_list": [1]}}, "metadata": metadata}
    return json.dumps(content)


def labelme() -> str:
    points = [[10, 5], [30, 5], [30, 15]]
    kinds = (("polygon", points), ("rectangle", points[:2]), ("circle", points[:2]))
    shapes = [{"label": "a", "points": these, "shape_type": kind, "group_id": 1} for kind, these in kinds]
    return json.dumps({"shapes": shapes, "imagePath": "a.png", "imageHeight": 40, "imageWidth": 80})


VOC = "<annotation><filename>a.png</filename><size><width>80</width><height>40</height></size><object><name>a</name>"
VOC += "<bndbox><xmin>10</xmin><ymin>5</ymin><xmax>30</xmax><ymax>15</ymax></bndbox></object></annotation>"
NAMES = "names: {0: a}\ntrain: images\n"
LABEL = "0 0.5 0.5 0.25 0.25\n0 0.1 0.1 0.5 0.1 0.5 0.5\n"

# The import, the files of the export, and the one whose numbers are changed.
EXPORTS: dict[str, tuple[Callable[..., str], dict[str, str], str]] = {
    "coco": (import_coco, {"a.json": coco()}, "a.json"),
    "cvat": (import_cvat, {"annotations.xml": cvat()}, "annotations.xml"),
    "labelstudio": (import_labelstudio, {"a.json": label_studio()}, "a.json"),
    "labelstudio min": (import_labelstudio, {"a.json": label_studio_min()}, "a.json"),
    "via": (import_via, {"a.json": via()}, "a.json"),
    "via 3": (import_via, {"a.json": via_3()}, "a.json"),
    "makesense csv": (import_makesense, {"a.csv": "a,10,5,20,10,a.png,80,40\n"}, "a.csv"),
    "makesense voc": (import_makesense, {"a.xml": VOC}, ""),
    "yolo": (import_yolo, {"data.yaml": NAMES, "labels/a.txt": LABEL}, "labels/a.txt"),
    "yolo names": (import_yolo, {"labels/a.txt": LABEL, "data.yaml": NAMES}, "data.yaml"),
    "labelme": (import_labelme, {"a.json": labelme()}, ""),
}


def places_of(text: str) -> Iterator[re.Match[str]]:
    """Yield the numbers of a text, of a long list only the first and the last."""
    found = list(NUMBER.finditer(text))
    keys = [re.sub(r"[\d\s.,;-]+$", "", text[: number.start()]) for number in found]
    for key in dict.fromkeys(keys):
        same = [number for number, own in zip(found, keys, strict=True) if own == key]
        yield from {one.start(): one for one in (same[0], same[-1])}.values()


@pytest.mark.parametrize("tool", EXPORTS)
def test_odd_number(tool: str, tmp_path: Path):
    load, files, changed = EXPORTS[tool]
    (tmp_path / "images").mkdir()
    Image.new("RGB", (80, 40)).save(tmp_path / "images/a.png")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    source = tmp_path / changed if tool != "yolo" else tmp_path
    changed = changed or next(iter(files))

    def run() -> str:
        return load(source, tmp_path / "out", images=tmp_path / "images")

    run()
    assert load_coco(tmp_path / "out")["annotations"]
    text = files[changed]
    failures = []
    values = IN_JSON if changed.endswith(".json") else IN_TEXT
    for turn, number in enumerate(places_of(text)):
        for odd in values[turn % 3 :: 3]:  # all of them would take minutes
            (tmp_path / changed).write_text(text[: number.start()] + odd + text[number.end() :])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", RuntimeWarning)  # of numpy: the user would read it
                    run()
                load_coco(tmp_path / "out", tmp_path / "images")
            except UserError as error:
                if len(str(error)) > 600:
                    failures.append(f"{odd[:20]} after {text[: number.start()][-40:]}: a long line: {error}"[:600])
            except Exception as error:
                failures.append(f"{odd[:20]} after {text[: number.start()][-40:]}: {type(error).__name__}: {error}")
    assert not failures, "\n".join([f"{len(failures)} failures", *failures[:40]])
