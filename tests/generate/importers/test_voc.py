"""Pictures of instances: their numbered objects are imported with their classes, and without borders."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.png_files import write_gray_png
from tests.shared import PHOTOS
from vclr.catalog.classes import VOC_CLASSES
from vclr.cli import app
from vclr.coco.annotations import load_coco, rasterize
from vclr.errors import UsageError, UserError
from vclr.generate.importers.voc import VOC_NAMES, import_voc

Json = dict[str, Any]
HEIGHT, WIDTH = 40, 60


def save(path: Path, numbers: np.ndarray, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(numbers)
    if palette and numbers.dtype == np.uint8:
        image = image.convert("P")
        image.putdata(numbers.ravel().tolist())  # the values themselves, not their nearest colors
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(path)


def scene(dtype: type = np.uint8) -> np.ndarray:
    """Return two objects with a border around the first."""
    numbers = np.zeros((HEIGHT, WIDTH), dtype)
    numbers[3:15, 3:25] = np.iinfo(dtype).max
    numbers[4:14, 4:24] = 1
    numbers[20:30, 30:50] = 2
    return numbers


def classes() -> np.ndarray:
    kinds = np.zeros((HEIGHT, WIDTH), np.uint8)
    kinds[3:15, 3:25] = 255
    kinds[4:14, 4:24] = 15  # person
    kinds[20:30, 30:50] = 1  # airplane
    return kinds


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Return a folder in VOC's layout with two photos, one of which has masks."""
    for name in ("2007_01", "2007_02"):
        (tmp_path / "JPEGImages").mkdir(exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
    save(tmp_path / "SegmentationObject" / "2007_01.png", scene())
    save(tmp_path / "SegmentationClass" / "2007_01.png", classes())
    return tmp_path


def run(folder: Path | None, output: Path, **options: Path) -> Json:
    import_voc(folder, output, quiet=True, **options)
    return load_coco(output)


def test_layout_of_voc(voc: Path, tmp_path: Path):
    coco = run(voc, tmp_path / "out.json")
    assert [image["file_name"] for image in coco["images"]] == ["2007_01.jpg"]
    assert [category["name"] for category in coco["categories"]] == sorted(VOC_NAMES)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    first, second = coco["annotations"]
    assert [names[one["category_id"]] for one in (first, second)] == ["person", "airplane"]
    assert [one["bbox"] for one in (first, second)] == [[4, 4, 20, 10], [30, 20, 20, 10]]
    assert [one["area"] for one in (first, second)] == [200, 200]
    assert [rasterize(one, HEIGHT, WIDTH).sum() for one in (first, second)] == [200, 200]


def test_names_are_those_of_the_splits():
    assert set(VOC_NAMES) == set(VOC_CLASSES)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("palette", [True, False])
def test_folders_of_their_own(voc: Path, tmp_path: Path, dtype: type, palette: bool):
    save(tmp_path / "masks" / "2007_01.png", scene(dtype), palette)
    options = {"images": voc / "JPEGImages", "masks": tmp_path / "masks"}
    coco = run(None, tmp_path / "out.json", **options)
    assert [category["name"] for category in coco["categories"]] == ["object"]
    assert [one["bbox"] for one in coco["annotations"]] == [[4, 4, 20, 10], [30, 20, 20, 10]]
    coco = run(None, tmp_path / "out.json", **options, classes=voc / "SegmentationClass")
    assert [category["name"] for category in coco["categories"]] == ["1", "15"]


@pytest.mark.parametrize("palette", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_masks_of_every_depth_keep_their_objects_and_classes(voc: Path, tmp_path: Path, bits: int, palette: bool):
    if palette and bits == 16:
        return
    # Of fewer than 8 bits the highest value is an object as others are.
    values = [value for value in (1, 2, 3, 14, 15, 20, 254, 300) if value < 2**bits and value not in (255, 65535)]
    numbers = np.zeros((HEIGHT, WIDTH), np.int64)
    for place, value in enumerate(values):
        numbers[2:6, 2 + 7 * place : 6 + 7 * place] = value
    for folder in ("masks", "classes"):
        (tmp_path / folder).mkdir()
        write_gray_png(tmp_path / folder / "2007_01.png", numbers, bits, palette)
    options = {"images": voc / "JPEGImages", "masks": tmp_path / "masks", "classes": tmp_path / "classes"}
    coco = run(None, tmp_path / "out.json", **options)
    assert [one["bbox"] for one in coco["annotations"]] == [[2 + 7 * place, 2, 4, 4] for place in range(len(values))]
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert [names[one["category_id"]] for one in coco["annotations"]] == [str(value) for value in values]


def test_photo_upside_down_by_its_exif_data(voc: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (WIDTH, HEIGHT)).save(voc / "JPEGImages/2007_01.jpg", exif=exif)
    with caplog.at_level(logging.WARNING):
        run(voc, tmp_path / "out.json")
    assert "taken as upright: 1; first: 2007_01.jpg" in caplog.text


def test_more_than_255_objects(voc: Path, tmp_path: Path):
    numbers = np.zeros((HEIGHT, WIDTH), np.uint16)
    numbers[::2, ::2] = np.arange(600).reshape(HEIGHT // 2, WIDTH // 2) + 1
    save(tmp_path / "masks" / "2007_01.png", numbers)
    coco = run(None, tmp_path / "out.json", images=voc / "JPEGImages", masks=tmp_path / "masks")
    assert len(coco["annotations"]) == 600


def test_mask_of_black_and_white_is_no_object(voc: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    save(tmp_path / "masks" / "2007_01.png", (scene() == 1).astype(np.uint8) * 255)
    with caplog.at_level(logging.WARNING, "vclr.generate"):
        run(None, tmp_path / "out.json", images=voc / "JPEGImages", masks=tmp_path / "masks")
    assert "2007_01.png: has no object; the value 255 does not count as one" in caplog.messages[0]


def test_photos_without_masks_are_counted(voc: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "vclr.generate"):
        run(voc, tmp_path / "out.json")
    assert "left out 1 of 2 photos without a picture in" in caplog.messages[0]


@pytest.mark.parametrize(
    "case", ["colors", "size", "text", "no photo", "no class", "class 21", "classes missing", "stem"]
)
def test_what_is_wrong_is_one_line(voc: Path, tmp_path: Path, case: str):
    masks, kinds = voc / "SegmentationObject" / "2007_01.png", voc / "SegmentationClass" / "2007_01.png"
    says = {
        "colors": f"{masks}: its pixels are colors (RGB)",
        "size": f"{masks}: is 59x40, but its photo 2007_01.jpg is 60x40",
        "text": f"{masks}: is not an image",
        "no photo": "SegmentationObject/2007_09.png: has no photo in",
        "no class": f"{masks}: object 1: none of its pixels has a class",
        "class 21": f"{masks}: object 1: has class 21, but there are only 20",
        "classes missing": f"{kinds}: cannot be read",
        "stem": "JPEGImages/2007_01.png: has the same stem as 2007_01.jpg",
    }
    if case == "colors":
        Image.new("RGB", (WIDTH, HEIGHT)).save(masks)
    elif case == "size":
        save(masks, scene()[:, 1:])
    elif case == "text":
        masks.write_text("not an image")
    elif case == "no photo":
        save(masks.with_name("2007_09.png"), scene())
    elif case == "no class":
        save(kinds, np.zeros((HEIGHT, WIDTH), np.uint8))
    elif case == "class 21":
        save(kinds, np.where(classes() == 15, 21, classes()).astype(np.uint8))
    elif case == "classes missing":
        kinds.unlink()
    else:
        Image.new("RGB", (WIDTH, HEIGHT)).save(voc / "JPEGImages" / "2007_01.png")
    with pytest.raises(UserError) as caught:
        run(voc, tmp_path / "out.json")
    assert says[case] in str(caught.value)
    assert not (tmp_path / "out.json").exists()


def test_needs_a_layout_or_two_folders(voc: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="--images FOLDER and --masks FOLDER"):
        run(None, tmp_path / "out.json", images=voc / "JPEGImages")
    with pytest.raises(UserError, match="SegmentationObject: no such folder"):
        run(voc / "SegmentationClass", tmp_path / "out.json", images=voc / "JPEGImages")


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED")
def test_real_photos_there_and_back(tmp_path: Path):
    """The visible part of each object is imported; for an object that nothing hides, all of it."""
    original = load_coco(PHOTOS / "annotations_val.json")
    painted: dict[str, list[tuple[str, np.ndarray]]] = {}
    names = {category["id"]: category["name"] for category in original["categories"]}
    values = {name: number for number, name in enumerate(sorted(names.values()), start=1)}
    whole = 0
    for image in original["images"]:
        size = image["height"], image["width"]
        numbers, kinds = np.zeros(size, np.uint16), np.zeros(size, np.uint8)
        objects = [one for one in original["annotations"] if one["image_id"] == image["id"] and not one["iscrowd"]]
        masks = [rasterize(one, *size).astype(bool) for one in objects]
        for number, (one, mask) in enumerate(zip(objects, masks, strict=True), start=1):
            numbers[mask], kinds[mask] = number, values[names[one["category_id"]]]
        stem = Path(image["file_name"]).stem
        save(tmp_path / "masks" / f"{stem}.png", numbers)
        save(tmp_path / "kinds" / f"{stem}.png", kinds)
        painted[image["file_name"]] = [
            (str(values[names[one["category_id"]]]), numbers == number)
            for number, one in enumerate(objects, start=1)
            if (numbers == number).any()
        ]
        whole += sum((mask == (numbers == number)).all() for number, mask in enumerate(masks, start=1))
    assert whole > 100, "of objects that come back as COCO has them"
    folders = {"images": PHOTOS / "images", "masks": tmp_path / "masks", "classes": tmp_path / "kinds"}
    imported = run(None, tmp_path / "out.json", **folders)
    again = {category["id"]: category["name"] for category in imported["categories"]}
    for image in imported["images"]:
        after = [one for one in imported["annotations"] if one["image_id"] == image["id"]]
        for (name, mask), one in zip(painted[image["file_name"]], after, strict=True):
            assert again[one["category_id"]] == name
            assert (rasterize(one, image["height"], image["width"]) == mask).all()
            assert one["area"] == mask.sum()
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert one["bbox"] == [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]


@pytest.mark.parametrize("below", ["Annotations", "."])
def test_boxes_without_masks_are_imported_by_another_command(tmp_path: Path, below: str):
    """The error holds the command, which works as it stands."""
    folder = tmp_path / "my set"
    save(folder / "JPEGImages" / "a.png", scene())
    place = folder / below
    place.mkdir(exist_ok=True)
    box = "<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>25</xmax><ymax>15</ymax></bndbox>"
    text = f"<annotation><filename>a.png</filename><object><name>dog</name>{box}</object></annotation>"
    (place / "a.xml").write_text(text)
    with pytest.raises(UserError, match="SegmentationObject: no such folder; `vclr import makesense ") as error:
        import_voc(folder, tmp_path / "out.json")
    command = str(error.value).split("`")[1].replace("NEW.json", shlex.quote(str(tmp_path / "out.json")))
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert load_coco(tmp_path / "out.json")["annotations"][0]["bbox"] == [3, 3, 22, 12]
