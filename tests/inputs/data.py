"""The inputs of docs/inputs.md that are data: photos, names, json, shapes, predictions."""

from __future__ import annotations

import io
import json
import os
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from tests.inputs.case import HEIGHT, WIDTH, Answer, Case
from tests.png_files import chunk
from tests.test_pictures import write_tiff
from vclr.files import write_json
from vclr.picture_limits import PNG_SIGNATURE
from vclr.pictures import write_png


def gray(dtype: str) -> Image.Image:
    return Image.fromarray(np.full((HEIGHT, WIDTH), 90, dtype))


def turned(case: Case) -> Answer:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT), "red").save("photos/a.png", exif=exif)
    return case.doctor()


def frames(case: Case) -> Answer:
    first, second = (Image.new("RGB", (WIDTH, HEIGHT), color) for color in ("red", "blue"))
    first.save("photos/a.png", save_all=True, append_images=[second])
    return case.doctor()


def mask_in_colors(case: Case) -> Answer:
    write_png(Path("masks/a.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write_png(Path("masks/b.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return case.vclr("import", "voc", "--images", "photos", "--masks", "masks", "--output", "made.json")


def view_of_another_size(case: Case) -> Answer:
    write_png(Path("depth/a.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write_png(Path("depth/b.png"), np.zeros((HEIGHT, 5, 3), np.uint8))
    return case.doctor("--view", "depth=depth")


def signed(case: Case) -> Answer:
    write_tiff(Path("photos/a.tif"), np.zeros((24, 40), "<i2").tobytes(), 16, sample_format=2)
    case.json["images"][0] |= {"file_name": "a.tif", "height": 24, "width": 40}
    return case.doctor()


def half_floats(case: Case) -> Answer:
    write_tiff(Path("photos/a.tif"), np.zeros((24, 40), "<f2").tobytes(), 16, sample_format=3)
    case.json["images"][0] |= {"file_name": "a.tif", "height": 24, "width": 40}
    return case.doctor()


def text_for_a_photo(case: Case) -> Answer:
    Path("photos/a.png").write_text("hello")
    return case.doctor()


def bytes_for_a_photo(data: bytes) -> Callable[[Case], Answer]:
    def ask(case: Case) -> Answer:
        Path("photos/a.png").write_bytes(data)
        return case.doctor()

    return ask


def bomb() -> bytes:
    """Return a PNG of 400 million pixels, whose data are missing."""
    return PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")


def many_scans() -> bytes:
    """Return a JPEG that draws its last scan again and again."""
    data = io.BytesIO()
    Image.new("RGB", (40, 30)).save(data, "JPEG", progressive=True)
    start = data.getvalue().rindex(b"\xff\xda")
    return data.getvalue()[:-2] + data.getvalue()[start:-2] * 100 + b"\xff\xd9"


def many_chunks() -> bytes:
    """Return the beginning of a PNG with very many notes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, 0))
    return PNG_SIGNATURE + header + chunk(b"tEXt", b"a\0b") * 1001


def raw() -> bytes:
    """Return the preview at the beginning of a DNG."""
    tags, data = TiffImagePlugin.ImageFileDirectory_v2(), io.BytesIO()
    tags[50706] = b"\1\4\0\0"
    Image.new("RGB", (40, 30)).save(data, "TIFF", tiffinfo=tags)
    return data.getvalue()


def size(case: Case) -> Answer:
    case.json["images"][0]["width"] += 1
    return case.doctor()


def labelme_link(case: Case) -> Answer:
    Path("labels").mkdir()
    os.symlink(Path("photos/a.png").resolve(), "labels/c.png")
    return case.labelme("c.png")


def view_without_a_file(case: Case) -> Answer:
    write_png(Path("depth/a.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return case.doctor("--view", "depth=depth")


def other_form_of_a_name(case: Case) -> Answer:
    os.rename("photos/a.png", unicodedata.normalize("NFC", "photos/é.png"))
    return case.named(unicodedata.normalize("NFD", "é.png"))


def backslash(case: Case) -> Answer:
    Path("photos/x").mkdir()
    os.rename("photos/a.png", "photos/x/a.png")
    return case.named("x\\a.png")


def percent(case: Case) -> Answer:
    os.rename("photos/a.png", "photos/my a.png")
    return case.named("my%20a.png")


def linked(case: Case) -> Answer:
    Path("disk").mkdir()
    os.rename("photos/a.png", "disk/1.png")
    os.symlink(Path("disk/1.png").resolve(), "photos/a.png")
    return case.doctor()


def twice_in_patches(case: Case) -> Answer:
    for patch in ("patch8", "patch9"):
        write_png(Path("photos", patch, "c.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return case.named("c.png")


def text_ids(case: Case) -> Answer:
    case.json["annotations"][0]["image_id"] = "1"
    return case.split()


def category(number: int, **entry: Any) -> Callable[[Case], Answer]:
    def ask(case: Case) -> Answer:
        case.json["categories"][number] |= entry
        return case.doctor()

    return ask


def not_a_number(case: Case) -> Answer:
    case.json["annotations"][0]["area"] = "AREA"
    return case.split_text(json.dumps(case.json).replace('"AREA"', "NaN").encode())


def other_encoding(case: Case) -> Answer:
    case.json["categories"][0]["name"] = "café"
    return case.split_text(json.dumps(case.json, ensure_ascii=False, indent=1).encode("windows-1252"))


def cut_off(case: Case) -> Answer:
    return case.split_text(b'{"images": [')


def annotation(**entry: Any) -> Callable[[Case], Answer]:
    def ask(case: Case) -> Answer:
        case.json["annotations"][0] |= entry
        return case.split()

    return ask


def in_doctor(**entry: Any) -> Callable[[Case], Answer]:
    def ask(case: Case) -> Answer:
        case.json["annotations"][0] |= entry
        return case.doctor()

    return ask


def repair(case: Case) -> Answer:
    case.json["annotations"][0] |= {"bbox": [4, 4, -20, 8]}
    write_json(Path("a.json"), case.json)
    return case.vclr("repair", "a.json", "--output", "b.json")


def shares(case: Case) -> Answer:
    for one in case.json["annotations"]:
        one["bbox"] = [0.1, 0.1, 0.5, 0.25]
    return case.split()


def corners(case: Case) -> Answer:
    for one in case.json["annotations"]:
        one["bbox"] = [20, 10, 39, 29]
    case.json["annotations"] *= 3
    case.json["annotations"] = [one | {"id": number} for number, one in enumerate(case.json["annotations"])]
    return case.doctor()


def predictions(name: str, width: int) -> Callable[[Case], Answer]:
    def ask(case: Case) -> Answer:
        images = [{"id": 9, "file_name": name, "height": HEIGHT, "width": width}]
        found = [{"id": 1, "image_id": 9, "category_id": 1, "bbox": [4, 4, 20, 8], "score": 0.5}]
        return case.score({"images": images, "annotations": found, "categories": case.json["categories"]})

    return ask


# By the first cell of a row.
DATA: dict[str, Callable[[Case], Answer]] = {
    "a photo that is transparent everywhere": lambda case: case.photo(
        "a.png", Image.new("RGBA", (WIDTH, HEIGHT), (9, 9, 9, 0))
    ),
    "floating-point pixels": lambda case: case.photo("a.tif", gray("float32")),
    "32 bits per channel": lambda case: case.photo("a.tif", gray("int32")),
    "signed numbers": signed,
    "LAB colors": lambda case: case.photo("a.tif", Image.new("LAB", (WIDTH, HEIGHT))),
    "another kind of TIFF (half floats, say)": half_floats,
    "a file that is no image": text_for_a_photo,
    "a photo whose header is damaged": bytes_for_a_photo(b"\xff\xd8\xff\xe0" + bytes(99)),
    "a raw photo of a camera (DNG, CR2, NEF, ARW)": bytes_for_a_photo(raw()),
    "a photo in HEIC, JPEG XL, PSD or SVG": bytes_for_a_photo(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
    "a photo of more than 178 million pixels, also in a small file (a decompression bomb)": bytes_for_a_photo(bomb()),
    "a JPEG that draws its pixels more than 100 times, which would take hours": bytes_for_a_photo(many_scans()),
    "metadata in more than 1000 pieces, or of more than 64 MiB (in a TIFF 256 MiB)": bytes_for_a_photo(many_chunks()),
    "several frames or pages": frames,
    "an entry with the size of a photo before it is turned": turned,
    "an entry with another size than its photo": size,
    "a mask in colors": mask_in_colors,
    "a view with another size than its photo": view_of_another_size,
    "a photo without a file among the views": view_without_a_file,
    "accents as a Mac writes them, in json or zip": other_form_of_a_name,
    r"`x\a.png` of Windows, in json or zip": backslash,
    "other case, `%20`, suffix or folder": percent,
    r"`../a.png`, `/a.png`, `C:\a.png` in json, zip or manifest": lambda case: case.named("../a.png"),
    "a line break or a zero byte in a name": lambda case: case.named("a\nb.png"),
    "a photo that is not there": lambda case: case.named("zebra.png"),
    "links in the image folder to files elsewhere": linked,
    "two photos of one name in the `patchN` folders of Objects365": twice_in_patches,
    "`imagePath` of labelme out of the folder": lambda case: case.labelme("../photos/b.png"),
    "a link out of the folder of labelme's files": labelme_link,
    "ids as text in one list and as numbers in another": text_ids,
    "one id for two categories": category(1, id=1),
    "one name for two categories": category(1, name="dog"),
    "`NaN`, `Infinity` anywhere in a json": not_a_number,
    "another encoding": other_encoding,
    "a json that was cut off": cut_off,
    "polygons under three points or with an odd number of coordinates": in_doctor(segmentation=[[1, 1, 2, 2]]),
    "a box whose width or height is not positive": in_doctor(bbox=[4, 4, 0, 8]),
    "a file with such entries, to be cleaned": repair,
    "a box that is not four numbers": annotation(bbox=[4, 4, 20]),
    "an annotation of an image that is not listed": annotation(image_id=900),
    "an annotation of a category that is not listed": annotation(category_id=9),
    "boxes or polygons in shares of the image, also in results": shares,
    "boxes as `[x, y, x2, y2]`, or percentages": corners,
    "the same, and no image is one of the data set": predictions("c.png", WIDTH),
    "the same, and an image has another size": predictions("a.png", WIDTH + 1),
}
