"""What single tools do: rotated shapes, EXIF data, groups, choices of annotations and attributes, errors."""

from __future__ import annotations

import json
import logging
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pre_annotations.made import found_photos, iou, masks
from vclr.coco.annotations import Json, load_coco, rasterize
from vclr.errors import UserError
from vclr.generate.importers.coco import import_coco
from vclr.generate.importers.cvat import import_cvat
from vclr.generate.importers.labelstudio import import_labelstudio
from vclr.generate.importers.makesense import import_makesense
from vclr.generate.importers.roboflow import import_roboflow
from vclr.generate.importers.via import import_via
from vclr.generate.importers.yolo import import_yolo
from vclr.pictures import read_image
from vclr.pre_annotations.photo import Naming
from vclr.pre_annotations.write import write_pre_annotations


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Return a folder with the photo a.png of 80x40 px."""
    Image.new("RGB", (80, 40)).save(tmp_path / "a.png")
    return tmp_path


def read(folder: Path) -> list[Json]:
    return load_coco(folder / "out.json", folder)["annotations"]


def cvat(folder: Path, shapes: str, size: str = 'width="80" height="40"', name: str = "a.png") -> Path:
    path = folder / "annotations.xml"
    path.write_text(f'<annotations><image id="0" name="{name}" {size}>{shapes}</image></annotations>')
    return path


def tasks(folder: Path, *results: Json, **other: Any) -> Path:
    size = {"original_width": 80, "original_height": 40, "image_rotation": 0}
    regions = [{"id": str(number), "type": "x", **size, "value": value} for number, value in enumerate(results)]
    path = folder / "tasks.json"
    task = {"id": 5, "data": {"image": "http://host/a.png?x=1"}, "annotations": [{"result": regions}], **other}
    path.write_text(json.dumps([task]))
    return path


# --- CVAT ------------------------------------------------------------------------------------------------------------


def test_cvat_shapes(photo: Path, caplog: pytest.LogCaptureFixture):
    shapes = '<box label="a" xtl="10" ytl="5" xbr="30" ybr="15"/>'
    shapes += '<box label="b" xtl="10" ytl="5" xbr="30" ybr="15" rotation="90"/>'
    shapes += '<ellipse label="c" cx="40" cy="20" rx="10" ry="5" rotation="90"/>'
    shapes += (
        '<mask label="d" rle="1, 2, 1" left="70" top="30" width="2" height="2"/><polyline label="d" points="1,1;2,2"/>'
    )
    with caplog.at_level(logging.WARNING):
        import_cvat(cvat(photo, shapes), photo / "out.json")
    box, turned, ellipse, mask = read(photo)
    assert (box["bbox"], box["segmentation"]) == ([10, 5, 20, 10], None)
    assert turned["bbox"] == [15, 0, 10, 20]
    assert ellipse["bbox"] == pytest.approx([35, 10, 10, 20], abs=1)
    assert rasterize(mask, 40, 80).sum() == 2 and mask["bbox"] == [70, 30, 2, 2]
    assert "shapes without an area (polyline), left out: 1" in caplog.text


def test_cvat_groups(photo: Path):
    parts = [
        (f'points="{x},1;{x + 5},1;{x + 5},9"', label, group)
        for x, label, group in ((1, "a", 3), (9, "a", 3), (20, "b", 3))
    ]
    shapes = "".join(f'<polygon label="{label}" group_id="{group}" {points}/>' for points, label, group in parts)
    import_cvat(
        cvat(photo, shapes + '<box label="a" group_id="3" xtl="1" ytl="1" xbr="14" ybr="9"/>'), photo / "out.json"
    )
    first, second = read(photo)
    assert len(first["segmentation"]) == 2 and len(second["segmentation"]) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<annotations><track/></annotations>", "has tracks, as `CVAT for video` writes"),
        ("<annotation/>", "is not an export of CVAT"),
        ("<annotations>", "is not valid XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares a document type"),
    ],
)
def test_cvat_refuses(photo: Path, text: str, says: str):
    (photo / "annotations.xml").write_text(text)
    with pytest.raises(UserError, match=says):
        import_cvat(photo, photo / "out.json")


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ('<box xtl="1" ytl="1" xbr="2" ybr="2"/>', "has no label"),
        ('<box label="a" xtl="x" ytl="1" xbr="2" ybr="2"/>', "`xtl` is 'x', not a usable number"),
        ('<polygon label="a" points="1,2;3"/>', "`points` is not a list of x,y"),
        ('<mask label="a" rle="1" left="0" top="0" width="2" height="2"/>', "do not add up to 2x2 pixels"),
        ('<mask label="a" rle="4" left="79" top="0" width="2" height="2"/>', "reaches beyond the photo"),
    ],
)
def test_cvat_names_the_bad_shape(photo: Path, shape: str, says: str):
    with pytest.raises(UserError, match=says) as error:
        import_cvat(cvat(photo, shape), photo / "out.json")
    assert "image 'a.png'" in str(error.value)


def test_crowds_of_cvats_coco(photo: Path):
    rle = {"size": [40, 80], "counts": [0, 100, 3100]}
    one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 40], "iscrowd": 1, "segmentation": rle}
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 80, "height": 40}],
        "categories": [{"id": 1, "name": "a"}],
    }
    (photo / "c.json").write_text(json.dumps({**coco, "annotations": [one]}))
    import_cvat(photo / "c.json", photo / "out.json")
    assert [found["iscrowd"] for found in read(photo)] == [0]
    import_cvat(photo / "c.json", photo / "out.json", keep_crowds=True)
    assert [found["iscrowd"] for found in read(photo)] == [1]
    others = [{**one, "id": key, "iscrowd": 0} for key in (2, 3)]
    (photo / "c.json").write_text(json.dumps({**coco, "annotations": [one, *others]}))
    import_coco(photo / "c.json", photo / "out.json")
    assert sorted(found["iscrowd"] for found in read(photo)) == [0, 0, 1], "nothing says that CVAT wrote it"


def test_subsets_of_a_cvat_project(photo: Path):
    subsets = ("Train", "Test")
    for subset in subsets:
        (photo / "images" / subset).mkdir(parents=True)
        shutil.copy(photo / "a.png", photo / "images" / subset)
    shapes = '<box label="{}" xtl="1" ytl="1" xbr="5" ybr="6"/>'
    images = "".join(
        f'<image id="0" subset="{subset}" name="a.png" width="80" height="40">{shapes.format(subset)}</image>'
        for subset in subsets
    )
    (photo / "annotations.xml").write_text(f"<annotations>{images}</annotations>")
    import_cvat(photo, photo / "out.json", images=photo)
    assert load_coco(photo / "out.json")["images"][0]["file_name"] == "images/Test/a.png"
    import_cvat(photo, photo / "out.json")
    coco = load_coco(photo / "out.json", photo / "images")
    classes = {one["id"]: one["name"] for one in coco["categories"]}
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    found = {(names[one["image_id"]], classes[one["category_id"]]) for one in coco["annotations"]}
    assert found == {("Train/a.png", "Train"), ("Test/a.png", "Test")}
    shutil.rmtree(photo / "images")
    (photo / "annotations.xml").write_text(f"<annotations>{images.split('</image>')[0]}</image></annotations>")
    import_cvat(photo, photo / "out.json")
    assert load_coco(photo / "out.json", photo)["images"][0]["file_name"] == "a.png", "exported without folders"


MASK = '<mask label="a" group_id="1" rle="0, 4" left="0" top="0" width="2" height="2"/>'


@pytest.mark.parametrize("number", ["nan", "inf", "1e9", "-1e300"])
def test_outline_beside_a_mask_is_checked(photo: Path, number: str):
    """The library that draws outlines crashes on such numbers."""
    shapes = MASK + f'<polygon label="a" group_id="1" points="{number},1;3,4;5,6"/>'
    with pytest.raises(UserError, match="polygon 1: a coordinate is not a number of pixels"):
        import_cvat(cvat(photo, shapes), photo / "out.json")


def test_outline_and_mask_are_one_object(photo: Path, caplog: pytest.LogCaptureFixture):
    outlines = "".join(
        f'<polygon label="a" group_id="1" points="{points}"/>' for points in ("10,0;20,0;20,10;10,10", "1,1;2,2")
    )
    with caplog.at_level(logging.WARNING):
        import_cvat(cvat(photo, MASK + outlines), photo / "out.json")
    (one,) = read(photo)
    assert rasterize(one, 40, 80).sum() == 104 and one["bbox"] == [0, 0, 20, 10]
    assert "1 polygon dropped from objects that are kept (1 polygon under three points)" in caplog.text


def test_masks_of_a_large_photo_fit_into_memory(tmp_path: Path):
    Image.new("L", (2000, 1500)).save(tmp_path / "a.png")
    shapes = "".join(
        f'<mask label="a" rle="0, 4" left="{left}" top="0" width="2" height="2"/>' for left in range(0, 40, 2)
    )
    source = cvat(tmp_path, shapes, 'width="2000" height="1500"')
    tracemalloc.start()
    import_cvat(source, tmp_path / "out.json", quiet=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(read(tmp_path)) == 20
    assert peak < 8 * 2000 * 1500, "all masks are in memory at once"


def test_run_lengths_that_are_not_finite(photo: Path):
    rle = {"size": [40, 80], "counts": [0, 100, 3100]}
    one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 40], "segmentation": rle}
    images = [{"id": 1, "file_name": "a.png", "width": 80, "height": 40}]
    text = json.dumps({"images": images, "annotations": [one], "categories": [{"id": 1, "name": "a"}]})
    (photo / "c.json").write_text(text.replace("3100", "1e400"))
    with pytest.raises(UserError, match=r"annotations\[0\]: RLE counts do not add up to 40x80 pixels"):
        import_coco(photo / "c.json", photo / "out.json")


# --- photos ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_exif_orientation(tmp_path: Path, orientation: int):
    """A corner that is marked in the stored pixels and one in the upright photo are the same pixel of the picture."""
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[5:15, 10:30] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    box = '<box label="a" xtl="10" ytl="5" xbr="30" ybr="15"/>'
    outline = '<polygon label="b" points="10,5;30,5;30,15;10,15"/>'
    mask = '<mask label="c" rle="0, 200" left="10" top="5" width="20" height="10"/>'
    import_cvat(cvat(tmp_path, box + outline + mask), tmp_path / "out.json")
    bright = read_image(tmp_path / "a.png")[..., 0] > 127
    assert bright.shape == (80, 40)
    for one in read(tmp_path):
        assert (rasterize(one, 80, 40) == bright).all()
    x, y, width, height = read(tmp_path)[0]["bbox"]
    upright = f'<box label="a" xtl="{x}" ytl="{y}" xbr="{x + width}" ybr="{y + height}"/>'
    import_cvat(cvat(tmp_path, upright, 'width="40" height="80"'), tmp_path / "out.json")
    assert read(tmp_path)[0]["bbox"] == [x, y, width, height]


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_photo_that_may_have_been_annotated_as_stored(
    tmp_path: Path, orientation: int, caplog: pytest.LogCaptureFixture
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (80, 40)).save(tmp_path / "a.png", exif=exif)
    Image.new("RGB", (80, 40)).save(tmp_path / "empty.png", exif=exif)
    (tmp_path / "classes.txt").write_text("a")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    (tmp_path / "empty.txt").write_text("")
    imports: list[Callable[[], str]] = [
        lambda: import_yolo(tmp_path, tmp_path / "out.json", quiet=True),
        lambda: import_via(via(tmp_path, (RECT, {})), tmp_path / "out.json"),
    ]
    for run in imports:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            run()
        says = "without a size that tells how they were annotated; taken as upright: 1; first: a.png"
        assert (says in caplog.text) == (orientation != 1)


def test_photo_of_another_size(photo: Path):
    with pytest.raises(UserError, match="its size is 90x40, but its photo a.png is 80x40 px"):
        import_cvat(cvat(photo, "", 'width="90" height="40"'), photo / "out.json")


def test_photo_that_is_missing_outside_or_ambiguous(photo: Path):
    with pytest.raises(UserError, match=r"its photo 'x/a2.png' is not in .*; nearest: .*a.png"):
        import_cvat(cvat(photo, "", name="x/a2.png"), photo / "out.json")
    import_cvat(cvat(photo, "", name="..\\..\\job 7\\a.png"), photo / "out.json")
    assert load_coco(photo / "out.json")["images"][0]["file_name"] == "a.png"
    for folder in ("x", "y"):
        (photo / folder).mkdir()
        shutil.copy(photo / "a.png", photo / folder / "b.png")
    with pytest.raises(UserError, match="its photo 'b.png' may be x/b.png or y/b.png"):
        import_cvat(cvat(photo, "", name="b.png"), photo / "out.json")


# --- Label Studio ----------------------------------------------------------------------------------------------------


def test_label_studio_shapes(photo: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        source = tasks(
            photo,
            {"x": 10, "y": 20, "width": 25, "height": 25, "rotation": 0, "rectanglelabels": ["a"]},
            {"x": 50, "y": 25, "width": 25, "height": 25, "rotation": 90, "rectanglelabels": ["b", "c"]},
            {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 0, "ellipselabels": ["d"]},
            {"x": 50, "y": 50, "width": 1, "keypointlabels": ["e"]},
            {"x": 50, "y": 50, "width": 10, "height": 10},
        )
        import_labelstudio(source, photo / "out.json", quiet=True)
    box, turned, ellipse = read(photo)
    assert (box["bbox"], box["segmentation"]) == ([8, 8, 20, 10], None)
    assert turned["bbox"] == [30, 10, 10, 20]
    assert ellipse["bbox"] == pytest.approx([32, 16, 16, 8], abs=1)
    assert "regions with several labels, of which the first is read: 1" in caplog.text
    assert "regions without an area, left out: 1" in caplog.text
    assert "regions without a label, left out: 1" in caplog.text


def test_label_studio_bit_masks_are_named(photo: Path, caplog: pytest.LogCaptureFixture):
    picture = {"format": "png", "imageDataURL": "data:image/png;base64,AAAA", "bitmasklabels": ["a"]}
    with caplog.at_level(logging.WARNING):
        import_labelstudio(tasks(photo, picture), photo / "out.json", quiet=True)
    assert "masks of the tag BitMask (imageDataURL), which are not read, left out" in caplog.text


def test_label_studio_chooses_an_annotation(photo: Path):
    region = {"id": "r", "value": {"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": ["a"]}}
    cancelled, done = {"was_cancelled": True, "result": [region]}, {"result": []}
    whole = {"result": [region]}
    cases = [([cancelled, done], [whole], 0), ([], [whole], 1), ([whole], [], 1)]
    for number, (finished, predictions, count) in enumerate(cases):
        source = tasks(photo, annotations=finished, predictions=predictions)
        import_labelstudio(source, photo / f"out{number}.json", quiet=True)
        assert len(load_coco(photo / f"out{number}.json")["annotations"]) == count
    with pytest.raises(UserError, match="no annotated photo was found"):
        import_labelstudio(tasks(photo, annotations=[cancelled]), photo / "out.json", quiet=True)


@pytest.mark.parametrize("dates", [("2024-02-01T00:00:00Z", "2024-01-01T00:00:00Z"), ("", "")])
def test_newest_annotation_of_json_min(photo: Path, dates: tuple[str, str], caplog: pytest.LogCaptureFixture):
    size = {"original_width": 80, "original_height": 40}
    rows = [
        {
            "id": 5,
            "image": "/data/upload/1/a.png",
            "annotator": number,
            "updated_at": date,
            "label": [{"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": [str(number)], **size}],
        }
        for number, date in enumerate(dates)
    ]
    (photo / "min.json").write_text(json.dumps(rows))
    with caplog.at_level(logging.WARNING):
        import_labelstudio(photo / "min.json", photo / "out.json", quiet=True)
    newest = "0" if dates[0] else "1"
    assert [one["name"] for one in load_coco(photo / "out.json")["categories"]] == [newest]
    assert "tasks with several annotations, of which the newest is read: 1" in caplog.text


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"rle": [1, 2, 3], "brushlabels": ["a"]}, "its run lengths end too early"),
        ({"rle": [0, 0, 0, 9, 56, 0, 0, 0, 0, 0], "brushlabels": ["a"]}, "not those of a picture of 80x40 px"),
        ({"points": [[1, 2], [3]], "polygonlabels": ["a"]}, "region 0"),
        ({"x": 1, "width": 1, "height": 2, "rectanglelabels": ["a"]}, "has no 'y'"),
        ({"x": 1, "y": 1, "width": 1, "height": 2, "rotation": "abc", "rectanglelabels": ["a"]}, "`rotation` is 'abc'"),
    ],
)
def test_label_studio_names_the_bad_region(photo: Path, value: Json, says: str):
    with pytest.raises(UserError, match=says) as error:
        import_labelstudio(tasks(photo, value), photo / "out.json", quiet=True)
    assert "task 5: region 0" in str(error.value)


@pytest.mark.parametrize(
    "change",
    [{"id": []}, {"original_width": {}}, {"original_height": 7}, {"value": 3}, {"value": {"rectanglelabels": [[]]}}],
)
def test_label_studio_survives_odd_regions(photo: Path, change: Json):
    source = tasks(photo, {"x": 10, "y": 20, "width": 25, "height": 25, "rectanglelabels": ["a"]})
    content = json.loads(source.read_text())
    content[0]["annotations"][0]["result"][0].update(change)
    source.write_text(json.dumps(content))
    try:
        import_labelstudio(source, photo / "out.json", quiet=True)
    except UserError:
        return
    load_coco(photo / "out.json", photo)


def test_class_that_no_file_can_hold(photo: Path):
    for name in ("\ud800", " ", "a\nb"):
        source = tasks(photo, {"x": 10, "y": 20, "width": 25, "height": 25, "rectanglelabels": [name]})
        with pytest.raises(UserError, match="is not the name of a class"):
            import_labelstudio(source, photo / "out.json", quiet=True)


# --- VIA and makesense -----------------------------------------------------------------------------------------------


def via(folder: Path, *regions: tuple[Json, Json]) -> Path:
    listed = [{"shape_attributes": shape, "region_attributes": attributes} for shape, attributes in regions]
    path = folder / "via.json"
    path.write_text(json.dumps({"a.png1": {"filename": "a.png", "size": 1, "regions": listed}}))
    return path


RECT = {"name": "rect", "x": "10", "y": 5, "width": 20, "height": 10}


def test_via_shapes(photo: Path):
    circle = {"name": "circle", "cx": 40, "cy": 20, "r": 10}
    ellipse = {"name": "ellipse", "cx": 40, "cy": 20, "rx": 10, "ry": 5, "theta": np.pi / 2}
    kinds = [{"kind": {"dog": True, "cat": False}}, {"kind": "dog"}, {"kind": "cat"}, {"kind": "cat"}]
    point = {"name": "point", "cx": 1, "cy": 1}
    import_via(via(photo, *zip((RECT, circle, ellipse, point), kinds, strict=True)), photo / "out.json")
    box, disk, turned = read(photo)
    assert (box["bbox"], box["category_id"], disk["category_id"]) == ([10, 5, 20, 10], 2, 2)
    assert disk["bbox"] == pytest.approx([30, 10, 20, 20], abs=1)
    assert turned["bbox"] == pytest.approx([35, 10, 10, 20], abs=1)


def test_via_checkbox_with_several_classes(photo: Path, caplog: pytest.LogCaptureFixture):
    about = {"1": {"aname": "kind", "type": 2, "options": {"0": "cat", "1": "dog"}}}
    file, view = {"1": {"fname": "a.png", "type": 2}}, {"1": {"fid_list": [1]}}
    metadata = {"1_a": {"vid": "1", "xy": [2, 10, 5, 20, 10], "av": {"1": "1,0"}}}
    (photo / "via3.json").write_text(json.dumps({"attribute": about, "file": file, "view": view, "metadata": metadata}))
    for source in (via(photo, (RECT, {"kind": {"dog": True, "cat": True}})), photo / "via3.json"):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            import_via(source, photo / "out.json")
        assert [one["name"] for one in load_coco(photo / "out.json")["categories"]] == ["dog"]
        assert "regions with several classes, of which the first is read: 1" in caplog.text


def test_via_attribute_of_the_class(photo: Path):
    source = via(photo, (RECT, {"note": "x", "mood": "y"}))
    with pytest.raises(UserError, match="its regions have note, mood; name the one of the class with --attribute"):
        import_via(source, photo / "out.json")
    import_via(source, photo / "out.json", attribute="mood")
    assert load_coco(photo / "out.json")["categories"][0]["name"] == "y"
    import_via(via(photo, (RECT, {"note": "x", "Label": "z"})), photo / "out.json")
    assert load_coco(photo / "out.json")["categories"][0]["name"] == "z"
    import_via(via(photo, (RECT, {})), photo / "out.json")
    assert load_coco(photo / "out.json")["categories"][0]["name"] == "object"


def test_makesense_csv_names_the_bad_line(photo: Path):
    (photo / "b.csv").write_text("a,1,2,3\n")
    with pytest.raises(UserError, match=r"b.csv: line 1: has 4 columns; makesense writes 8"):
        import_makesense(photo / "b.csv", photo / "out.json")


# --- Roboflow --------------------------------------------------------------------------------------------------------


def test_roboflow_parts_and_originals(photo: Path):
    for part in ("train", "valid"):
        (photo / "export" / part).mkdir(parents=True)
        name = f"a_png.rf.{part[0]}0.png"
        Image.new("RGB", (80, 40)).save(photo / "export" / part / name)
        one = {"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [], "iscrowd": 0}
        categories = [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "pets"},
        ]
        images = [{"id": 0, "file_name": name, "width": 80, "height": 40}]
        content = {"images": images, "annotations": [one], "categories": categories}
        (photo / "export" / part / "_annotations.coco.json").write_text(json.dumps(content))
    import_roboflow(photo / "export", photo / "out.json")
    coco = load_coco(photo / "out.json", photo / "export")
    assert [image["file_name"] for image in coco["images"]] == ["train/a_png.rf.t0.png", "valid/a_png.rf.v0.png"]
    assert coco["categories"] == [{"id": 1, "name": "cat"}]
    import_roboflow(photo / "export", photo / "out.json", images=photo, part="val")
    (photo / "export/valid/a_png.rf.v0.png").unlink()
    import_roboflow(photo / "export", photo / "out.json", images=photo, part="val")
    assert load_coco(photo / "out.json", photo)["images"][0]["file_name"] == "a.png"
    with pytest.raises(UserError, match=r"has no _annotations.coco.json, neither itself nor in test"):
        import_roboflow(photo / "export", photo / "out.json", part="test")


# --- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "file", "load"),
    [
        ("coco", "annotations.json", import_coco),
        ("cvat", "annotations.xml", import_cvat),
        ("labelstudio", "tasks.json", import_labelstudio),
    ],
)
def test_pre_annotations_come_back(tmp_path: Path, tool: str, file: str, load: Any):
    photos = tmp_path / "photos"
    write_pre_annotations([tool], found_photos(photos), tmp_path, Naming("big <thing> & co"))
    load(tmp_path / tool / file, tmp_path / "out.json", images=photos)
    coco = load_coco(tmp_path / "out.json", photos)
    assert [image["file_name"] for image in coco["images"]] == ["a b.png", "empty.png"]
    assert [category["name"] for category in coco["categories"]] == ["big <thing> & co"]
    found = [rasterize(one, 90, 120) for one in coco["annotations"]]
    assert len(found) == len(masks())
    assert all(iou(mask, other) > 0.9 for mask, other in zip(found, masks(), strict=True))
