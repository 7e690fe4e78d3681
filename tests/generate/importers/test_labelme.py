"""labelme: shapes become the right objects, and errors name the bad shape."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.generate.importers.as_labelme import write_labelme
from tests.png_files import chunk, insert_chunk
from tests.shared import PHOTOS
from vclr.coco.annotations import load_coco, rasterize
from vclr.errors import UserError
from vclr.generate.importers.labelme import import_labelme

Json = dict[str, Any]
HEIGHT, WIDTH = 40, 60
SQUARE = {"label": "dog", "points": [[4, 4], [24, 4], [24, 14], [4, 14]], "group_id": None, "shape_type": "polygon"}


def write(path: Path, *shapes: Json, photo: Path | None = None, **other: Any) -> Path:
    """Write a labelme json, and its photo next to it or at `photo`."""
    photo = photo or path.with_suffix(".png")
    photo.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(photo)
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    content = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": photo.name, "imageData": None}
    path.write_text(json.dumps({**content, **size, **other}))
    return path


def run(folder: Path, **options: Any) -> Json:
    import_labelme(folder, folder / "out.json", quiet=True, **options)
    return load_coco(folder / "out.json", options.get("images", folder))


def masks(coco: Json) -> list[np.ndarray]:
    return [rasterize(annotation, HEIGHT, WIDTH) for annotation in coco["annotations"]]


def picture(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask * 255).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_polygon(tmp_path: Path):
    write(tmp_path / "a.json", SQUARE)
    coco = run(tmp_path)
    assert coco["images"] == [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}]
    assert coco["categories"] == [{"id": 1, "name": "dog"}]
    (annotation,) = coco["annotations"]
    assert annotation["segmentation"] == [[4, 4, 24, 4, 24, 14, 4, 14]]
    assert annotation["bbox"] == [4, 4, 20, 10]
    assert (annotation["area"], annotation["iscrowd"]) == (200, 0)


@pytest.mark.parametrize(
    "shape",
    [
        {"shape_type": "rectangle", "points": [[24, 14], [4, 4]]},
        {"shape_type": "rectangle", "points": [[4, 4], [24, 4], [24, 14], [4, 14]]},
        {"shape_type": None},
        {"shape_type": "mask", "points": [[4, 4], [23, 13]], "mask": picture(np.ones((10, 20), np.uint8))},
    ],
)
def test_other_ways_to_the_same_object(tmp_path: Path, shape: Json):
    write(tmp_path / "a.json", {**SQUARE, **shape})
    coco = run(tmp_path)
    assert coco["annotations"][0]["bbox"] == [4, 4, 20, 10]
    assert masks(coco)[0][4:14, 4:24].all()
    assert masks(coco)[0].sum() == 200


def test_circle(tmp_path: Path):
    write(tmp_path / "a.json", {**SQUARE, "shape_type": "circle", "points": [[30, 20], [30, 32]]})
    (mask,) = masks(run(tmp_path))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    disk = (x - 30) ** 2 + (y - 20) ** 2 <= 12**2
    assert (mask & disk).sum() / (mask | disk).sum() > 0.97


def test_groups_are_one_object(tmp_path: Path):
    def at(left: float, label: str, group: int | None, kind: str = "rectangle") -> Json:
        more = {"mask": picture(np.ones((11, 6), np.uint8))} if kind == "mask" else {}
        return {**more, "label": label, "shape_type": kind, "points": [[left, 2], [left + 5, 12]], "group_id": group}

    write(
        tmp_path / "a.json",
        at(2, "dog", 1),
        at(12, "dog", 1),
        at(22, "cat", 1),
        at(32, "dog", None),
        at(42, "dog", None),
    )
    coco = run(tmp_path)
    assert [annotation["bbox"] for annotation in coco["annotations"]] == [
        *([2, 2, 15, 10], [22, 2, 5, 10], [32, 2, 5, 10], [42, 2, 5, 10])
    ]
    assert len(coco["annotations"][0]["segmentation"]) == 2
    write(tmp_path / "a.json", at(2, "dog", 1), at(12, "dog", 1, "mask"))
    (mask,) = masks(run(tmp_path))
    assert mask.sum() == 5 * 10 + 6 * 11


def test_what_has_no_area_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    line = {"label": "rope", "shape_type": "linestrip", "points": [[1, 1], [5, 5], [9, 1]]}
    click = {"label": "dog", "shape_type": "rectangle", "points": [[9, 9], [9, 9]]}
    write(tmp_path / "a.json", line, SQUARE, click)
    with caplog.at_level(logging.WARNING, "vclr.generate"):
        coco = run(tmp_path)
    assert len(coco["annotations"]) == 1
    assert [category["name"] for category in coco["categories"]] == ["dog"]
    assert caplog.messages == [
        f"{tmp_path}/a.json: shapes[0] (rope): left out, because a linestrip has no area",
        f"{tmp_path}/a.json: shapes[2] (dog): left out, because it covers no pixel of the photo",
    ]


def test_ids_go_by_name(tmp_path: Path):
    for name, label in (("c", "dog"), ("a", "cat"), ("b/d", "bird")):
        write(tmp_path / f"{name}.json", {**SQUARE, "label": label})
    write(tmp_path / "e.json")
    coco = run(tmp_path)
    assert [(image["id"], image["file_name"]) for image in coco["images"]] == [
        *((1, "a.png"), (2, "b/d.png"), (3, "c.png"), (4, "e.png"))
    ]
    assert [(category["id"], category["name"]) for category in coco["categories"]] == [
        (1, "bird"),
        (2, "cat"),
        (3, "dog"),
    ]
    owners = [
        (annotation["id"], annotation["image_id"], annotation["category_id"]) for annotation in coco["annotations"]
    ]
    assert owners == [(1, 1, 2), (2, 2, 1), (3, 3, 3)]
    first = (tmp_path / "out.json").read_bytes()
    run(tmp_path)
    assert (tmp_path / "out.json").read_bytes() == first, "its own output is no input"


# --- photos ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["a.png", "../photos/a.png", r"..\photos\a.png", r"C:\Users\me\a.png"])
def test_photos_in_a_folder_of_their_own(tmp_path: Path, named: str):
    write(tmp_path / "json" / "a.json", SQUARE, photo=tmp_path / "photos" / "a.png", imagePath=named)
    before = (tmp_path / "photos" / "a.png").stat().st_ino
    assert run(tmp_path / "json", images=tmp_path / "photos")["images"][0]["file_name"] == "a.png"
    assert (tmp_path / "photos" / "a.png").stat().st_ino == before


def test_photos_come_into_the_folder(tmp_path: Path):
    write(tmp_path / "json" / "b" / "a.json", SQUARE)
    for _ in range(2):
        assert run(tmp_path / "json", images=tmp_path / "photos")["images"][0]["file_name"] == "b/a.png"


def test_photo_in_the_json_is_written(tmp_path: Path):
    source = write(tmp_path / "json" / "a.json", SQUARE)
    photo = source.with_suffix(".png")
    content = photo.read_bytes()
    photo.unlink()
    write_embedded = {"imageData": base64.b64encode(content).decode()}
    source.write_text(json.dumps({**json.loads(source.read_text()), **write_embedded}))
    with pytest.raises(UserError, match=r"a\.json: its photo a\.png is only in the json; .* --images"):
        run(tmp_path / "json")
    run(tmp_path / "json", images=tmp_path / "photos")
    assert (tmp_path / "photos" / "a.png").read_bytes() == content


def test_polygons_under_three_points_are_dropped_and_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    line, point = ({**SQUARE, "points": points} for points in ([[1, 1], [2, 2]], [[1, 1]]))
    write(tmp_path / "a.json", SQUARE, line)
    write(tmp_path / "b.json", {**point, "group_id": 7}, {**SQUARE, "group_id": 7}, point)
    coco = run(tmp_path)
    assert [annotation["segmentation"] for annotation in coco["annotations"]] == [[sum(SQUARE["points"], [])]] * 2
    (said,) = caplog.messages
    assert said == (
        f"{tmp_path}: 3 of 5 shapes dropped (3 polygons under three points); first: {tmp_path}/a.json: shapes[1] "
        "(dog): a polygon has 2 points, fewer than 3"
    )


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shapes": None}, "is not a labelme json"),
        ({"shapes": [None]}, "shapes[0]: has no label"),
        ({"shapes": [{**SQUARE, "label": 5}]}, "shapes[0]: has no label"),
        (
            {"shapes": [{**SQUARE, "shape_type": "rotation", "points": [[1, 1], [2, 2]]}]},
            "shapes[0] (dog): a rotation has 2 points",
        ),
        ({"shapes": [{**SQUARE, "points": [[1, 1], [2]]}]}, "shapes[0] (dog): `points` is not a list of [x, y]"),
        ({"shapes": [{**SQUARE, "points": [[1, 1], [2, "2"]]}]}, "shapes[0] (dog): `points` is not a list of [x, y]"),
        (
            {"shapes": [{**SQUARE, "points": [[1, 1], [2, 2], [1e9, 0]]}]},
            "shapes[0] (dog): polygon 0 contains a number",
        ),
        ({"shapes": [{**SQUARE, "shape_type": "circle"}]}, "shapes[0] (dog): a circle has 4 points"),
        ({"shapes": [{**SQUARE, "shape_type": "cuboid"}]}, "shapes[0] (dog): cannot import a cuboid with 4 points"),
        ({"shapes": [{**SQUARE, "shape_type": "mask", "mask": "x"}]}, "shapes[0] (dog): `mask` is not an image"),
        ({"shapes": [{**SQUARE, "shape_type": "mask"}]}, "shapes[0] (dog): `mask` is not an image"),
        (
            {"shapes": [{**SQUARE, "shape_type": "mask", "mask": picture(np.ones((37, 5), np.uint8))}]},
            "shapes[0] (dog): its mask reaches beyond the photo, which is 60x40 px",
        ),
        (
            {"shapes": [{**SQUARE, "points": [[1, 1], [2, 10**400]]}]},
            "shapes[0] (dog): `points` is not a list of [x, y]",
        ),
        (
            {"shapes": [{**SQUARE, "shape_type": "circle", "points": [[0, 0], [1e200, 0]]}]},
            "shapes[0] (dog): a radius of 1e+200 px is too large",
        ),
        ({"imagePath": "b\0.png"}, "not the name of a photo"),
        ({"imageHeight": 41}, "imageHeight is 41, but its photo a.png is 60x40 px"),
        ({"imagePath": None}, "imagePath is None, not the name of a photo"),
        ({"imagePath": "b.png"}, "its photo b.png does not exist, and is not embedded in the json"),
        ({"imagePath": "b.png", "imageData": "!"}, "its photo b.png is only in the json"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, change: Json, says: str):
    write(tmp_path / "a.json", SQUARE, **change)
    with pytest.raises(UserError) as caught:
        run(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/a.json: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.json").exists()


def test_embedded_data_that_is_no_image_is_one_line(tmp_path: Path):
    for data in ("!", base64.b64encode(b"not an image").decode(), 5):
        write(tmp_path / "json" / "a.json", SQUARE, imagePath="b.png", imageData=data)
        with pytest.raises(UserError, match=r"a\.json: imageData is not an image in base64"):
            run(tmp_path / "json", images=tmp_path / "photos")
    assert not (tmp_path / "photos").exists()


@pytest.mark.parametrize("is_embedded", [True, False])
def test_no_photo_comes_before_all_files_are_read(tmp_path: Path, is_embedded: bool):
    source = write(tmp_path / "json" / "a.json", SQUARE)
    if is_embedded:
        data = base64.b64encode(source.with_suffix(".png").read_bytes()).decode()
        source.with_suffix(".png").unlink()
        source.write_text(json.dumps({**json.loads(source.read_text()), "imageData": data}))
    write(tmp_path / "json" / "b.json", {**SQUARE, "points": [[1]]})
    with pytest.raises(UserError, match=r"b\.json: shapes\[0\] \(dog\): `points` is not a list"):
        run(tmp_path / "json", images=tmp_path / "photos")
    assert not (tmp_path / "photos").exists()
    write(tmp_path / "json" / "b.json", SQUARE)
    assert len(run(tmp_path / "json", images=tmp_path / "photos")["images"]) == 2


def test_photo_annotated_twice_is_one_line(tmp_path: Path):
    write(tmp_path / "a.json", SQUARE)
    write(tmp_path / "b.json", SQUARE, imagePath="a.png")
    with pytest.raises(UserError, match=r"b\.json: its photo a\.png is also annotated in .*/a\.json"):
        run(tmp_path)


def test_folder_without_labelme_files(tmp_path: Path):
    with pytest.raises(UserError, match="absent: no such folder"):
        run(tmp_path / "absent")
    with pytest.raises(UserError, match="no annotated photo was found"):
        run(tmp_path)


# --- what somebody else's file asks for ------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return an image outside of all folders that the importer may read."""
    path = tmp_path / "secret" / "key.png"
    path.parent.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    return path


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["{}", "../secret/key.png", r"..\secret\key.png", "x/../../secret/key.png"])
@pytest.mark.parametrize("with_photos", [True, False])
def test_image_path_does_not_leave_the_folders(tmp_path: Path, secret: Path, form: str, with_photos: bool):
    source = write(tmp_path / "json" / "a.json", SQUARE, imagePath=form.format(secret))
    source.with_suffix(".png").unlink()
    options = {"images": tmp_path / "photos"} if with_photos else {}
    with pytest.raises(UserError, match=r"a\.json: its photo .*key\.png is outside of .*json; .* --images"):
        run(tmp_path / "json", **options)
    assert not (tmp_path / "photos").exists()
    # Its name may still be that of a photo beside the json, or in the folder of the photos.
    write(tmp_path / "json" / "a.json", SQUARE, photo=tmp_path / "json" / "key.png", imagePath=form.format(secret))
    assert run(tmp_path / "json", **options)["images"][0]["file_name"] == "key.png"


def test_links_out_of_the_folder_are_refused(tmp_path: Path, secret: Path):
    source = write(tmp_path / "json" / "a.json", SQUARE, imagePath="b.png")
    (tmp_path / "json" / "b.png").symlink_to(secret)
    for options in ({}, {"images": tmp_path / "photos"}):
        with pytest.raises(UserError, match=r"a\.json: its photo .*b\.png is a link to .*key\.png, outside of"):
            run(tmp_path / "json", **options)
    assert not (tmp_path / "photos").exists()
    (tmp_path / "json" / "b.png").unlink()
    (tmp_path / "json" / "sub").symlink_to(secret.parent)
    source.write_text(source.read_text().replace("b.png", "sub/key.png"))
    with pytest.raises(UserError, match=r"a\.json: its photo .*sub/key\.png is a link to"):
        run(tmp_path / "json")


def test_links_in_the_folder_that_the_user_names_are_read_and_said(
    tmp_path: Path, secret: Path, caplog: pytest.LogCaptureFixture
):
    write(tmp_path / "json" / "a.json", SQUARE).with_suffix(".png").unlink()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").symlink_to(secret)
    with caplog.at_level(logging.WARNING, "vclr.generate"):
        assert run(tmp_path / "json", images=tmp_path / "photos")["images"][0]["file_name"] == "a.png"
    assert len(caplog.messages) == 1
    assert "photos/a.png: is a link to a file outside of" in caplog.messages[0]


def test_json_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    write(tmp_path / "other" / "a.json", SQUARE)
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "a.json").symlink_to(tmp_path / "other" / "a.json")
    with pytest.raises(UserError, match=r"a\.json: is a link to a file outside of .*json"):
        run(tmp_path / "json")


def test_nothing_but_images_comes_into_the_folder_of_the_photos(tmp_path: Path):
    source = write(tmp_path / "json" / "a.json", SQUARE, imagePath="notes.png")
    (tmp_path / "json" / "notes.png").write_text("not an image")
    with pytest.raises(UserError, match=r"notes\.png: is not an image"):
        run(tmp_path / "json", images=tmp_path / "photos")
    data = base64.b64encode(source.with_suffix(".png").read_bytes()).decode()
    write(source, SQUARE, imagePath="run.sh", imageData=data)
    with pytest.raises(UserError, match=r"a\.json: its photo run\.sh has no image suffix"):
        run(tmp_path / "json", images=tmp_path / "photos")
    assert not (tmp_path / "photos").exists()


def test_embedded_photo_is_not_written_through_a_link(tmp_path: Path, secret: Path):
    data = base64.b64encode(secret.read_bytes()).decode()
    write(tmp_path / "json" / "a.json", SQUARE, imagePath="sub/new.png", imageData=data)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "sub").symlink_to(secret.parent)
    before = listing(secret.parent)
    with pytest.raises(UserError, match=r"a\.json: .*photos/sub is a link out of .*photos; nothing is written there"):
        run(tmp_path / "json", images=tmp_path / "photos")
    assert listing(secret.parent) == before


@pytest.mark.parametrize("height", [WIDTH, HEIGHT])
def test_annotations_of_the_upright_photo_are_imported(tmp_path: Path, height: int):
    """labelme turns a photo by any orientation that it has; here EXIF data after the pixels."""
    source = write(tmp_path / "a.json", SQUARE, imageHeight=height, imageWidth=WIDTH + HEIGHT - height)
    exif = Image.Exif()
    exif[0x0112] = 6
    insert_chunk(source.with_suffix(".png"), chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")), behind=True)
    if height == HEIGHT:
        says = r"imageHeight is 40, but its photo a\.png is 40x60 px turned upright by its EXIF data"
        with pytest.raises(UserError, match=says):
            run(tmp_path)
        return
    assert run(tmp_path)["images"] == [{"id": 1, "file_name": "a.png", "height": WIDTH, "width": HEIGHT}]


# --- real photos -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED")
def test_real_photos_there_and_back(tmp_path: Path):
    original = load_coco(PHOTOS / "annotations_val.json")
    write_labelme(original, tmp_path)
    import_labelme(tmp_path, tmp_path / "out.json", PHOTOS / "images", quiet=True)
    imported = load_coco(tmp_path / "out.json", PHOTOS / "images")
    assert {image["file_name"] for image in imported["images"]} == {image["file_name"] for image in original["images"]}
    names = {category["id"]: category["name"] for category in original["categories"]}
    again = {category["id"]: category["name"] for category in imported["categories"]}
    ids = {image["file_name"]: image["id"] for image in imported["images"]}
    for image in original["images"]:
        before = [one for one in original["annotations"] if one["image_id"] == image["id"] and not one["iscrowd"]]
        after = [one for one in imported["annotations"] if one["image_id"] == ids[image["file_name"]]]
        assert [names[one["category_id"]] for one in before] == [again[one["category_id"]] for one in after]
        for one, other in zip(before, after, strict=True):
            first, second = (rasterize(item, image["height"], image["width"]) for item in (one, other))
            assert (first == second).all()
            assert other["area"] == first.sum()
            rows, columns = np.flatnonzero(first.any(1)), np.flatnonzero(first.any(0))
            tight = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
            assert other["bbox"] == tight
            assert np.abs(np.array(one["bbox"]) - tight).max() < 8, "COCO's own boxes are a little loose"
