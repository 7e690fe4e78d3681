"""Files of labelme, and pictures of instances as PASCAL VOC has them: odd shapes, masks, names and photos."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from tests.fuzz.judge import Trial
from tests.fuzz.odd import ODD, SECRET, alter_json, damage, damage_text, list_places, put
from tests.fuzz.pictures import PICTURES
from tests.fuzz.shapes import MODES, UNKNOWN, draw, draw_mask
from tests.fuzz.sound import HEIGHT, WIDTH, labelme, photo

SECRET_NAMES = [
    "../beside/secret.png",
    "../../secret.png",
    SECRET,
    "sub/../../beside/secret.png",
    "..\\beside\\secret.png",
]
SECRET_NAMES += ["link.png", "linked/secret.png", "C:\\x\\..\\..\\secret.png", "~/secret.png", "./a.png", "A.png"]


def make(number: int, folder: Path) -> list[Trial]:
    """Write a folder of labelme (two cases of three) or of VOC, and return its import."""
    chance = random.Random(f"importer {number}")
    return (
        _labelme(number // 3 * 2 + number % 3, folder, chance) if number % 3 < 2 else _voc(number // 3, folder, chance)
    )


def _labelme(number: int, folder: Path, chance: random.Random) -> list[Trial]:
    source = folder / "labels"
    source.mkdir()
    (source / "c.json").write_text(json.dumps(labelme("c.png")))
    Image.fromarray(photo(2)).save(source / "c.png")
    (source / "link.png").symlink_to(folder / "beside/secret.png")
    (source / "linked").symlink_to(folder / "beside")
    content = labelme()
    path = source / "hostile.json"
    has_photo = number % 7 != 0
    if has_photo:
        Image.fromarray(photo()).save(source / "a.png")
    data, expected = None, UNKNOWN
    if number % 6 == 5:
        data = damage_text(json.dumps(content).encode(), chance)
    elif number % 6 == 4:
        content["imagePath"] = SECRET_NAMES[number // 6 % len(SECRET_NAMES)]
    elif number % 6 == 3:
        picture, _ = PICTURES[number % len(PICTURES)]() if number % 4 else (damage(_png(photo()), chance), None)
        if chance.random() < 0.5:
            content["imageData"] = base64.b64encode(picture).decode()
        else:
            content["shapes"][3]["mask"] = base64.b64encode(picture).decode()
    elif number % 6 == 1:
        content["shapes"], expected = draw(number // 6, chance)
    elif number % 6 == 0:
        content["shapes"], expected = draw_mask(number // 6, chance)
    elif number % 12 == 2:
        content = alter_json(content, chance)
    else:
        content = put(content, chance.choice(list_places(content)), chance.choice(ODD))
    path.write_bytes(data or json.dumps(content).replace(SECRET, str(folder / "beside/secret.png")).encode())
    out = folder / "out"
    photos = out / "photos" if number % 2 else source
    arguments = ["import", "labelme", str(source), "--output", str(out / "made.json"), "--quiet"]
    arguments += ["--images", str(photos)] if number % 2 else []
    names = ("hostile.json", "a.png", "c.json")

    def check(_: Any) -> None:
        made = check_made(out / "made.json", photos)
        drawn = [
            entry for entry in made["annotations"] if made["images"][entry["image_id"] - 1]["file_name"] == "a.png"
        ]
        assert expected in (UNKNOWN, len(drawn)), f"{len(drawn)} objects, {expected} expected (-1: an error)"
        secret = (folder / "beside/secret.png").read_bytes()
        copies = [file for file in out.rglob("*") if file.is_file() and file.read_bytes() == secret]
        assert not copies, f"{copies} is a file that the folder does not hold"

    return [Trial(arguments, names, (out,), check)]


def _png(values: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(values).save(data, "PNG")
    return data.getvalue()


def _voc(number: int, folder: Path, chance: random.Random) -> list[Trial]:
    root = folder / "voc"
    for name in ("JPEGImages", "SegmentationObject", "SegmentationClass"):
        (root / name).mkdir(parents=True)
    Image.fromarray(photo()).save(root / "JPEGImages/hostile.jpg")
    numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
    numbers[2:12, 2:22], numbers[20:30, 30:50], numbers[20:30, 2:4] = 1, 2, 3
    kinds = np.where(numbers > 0, 15, 0).astype(np.uint8)
    expected: int | None = 3
    masks: bytes = _png(numbers)
    classes: bytes = _png(kinds)
    deed = number % 10
    if deed == 0:
        masks, expected = damage(masks, chance), None
    elif deed == 1:
        classes, expected = damage(classes, chance), None
    elif deed == 2:
        (masks, _), expected = PICTURES[number // 10 * 5 % len(PICTURES)](), None
    elif deed == 3:
        masks = _few_bits(numbers, chance.choice([2, 4]))
    elif deed == 4:
        masks = _png(numbers.astype(np.uint16))
    elif deed == 5:
        values = np.array(chance.sample(range(1, 255), 3), np.uint8)
        masks = _png(np.where(numbers > 0, values[numbers.astype(int) - 1], 0).astype(np.uint8))
    elif deed == 6:
        classes, expected = _png(np.where(numbers > 0, chance.choice([0, 1, 21, 200, 255]), 0).astype(np.uint8)), None
    else:
        write, is_kept = MODES[(number // 10 * 3 + deed) % len(MODES)]
        masks = write(numbers)
        expected = 3 if is_kept else None
    (root / "SegmentationObject/hostile.png").write_bytes(masks)
    (root / "SegmentationClass/hostile.png").write_bytes(classes)
    out = folder / "out"

    def check(_: Any) -> None:
        made = check_made(out / "made.json", root / "JPEGImages")
        if expected is not None:
            assert len(made["annotations"]) == expected, f"{len(made['annotations'])} objects of {expected}"
            assert sorted(entry["area"] for entry in made["annotations"]) == [20, 200, 200]

    return [
        Trial(["import", "voc", str(root), "--output", str(out / "made.json"), "--quiet"], ("hostile",), (out,), check)
    ]


def _few_bits(numbers: np.ndarray, depth: int) -> bytes:
    """Return a gray PNG of few bits, whose values are the numbers."""
    from tests.fuzz.pictures import _png as raw_png

    bits = np.unpackbits(numbers[..., None], axis=-1)[..., 8 - depth :].reshape(HEIGHT, -1)
    rows = b"".join(b"\x00" + np.packbits(row).tobytes() for row in bits)
    return raw_png(WIDTH, HEIGHT, depth, 0, rows)


def check_made(path: Path, photos: Path) -> dict[str, Any]:
    """Check that an imported json is one: its photos there and of their sizes, its areas those of its shapes."""
    made: dict[str, Any] = json.loads(path.read_text())
    sizes = {}
    for image in made["images"]:
        assert ".." not in Path(image["file_name"]).parts and not Path(image["file_name"]).is_absolute()
        with Image.open(photos / image["file_name"]) as opened:
            assert sorted(opened.size) == sorted((image["width"], image["height"]))
        sizes[image["id"]] = image["height"], image["width"]
    for entry in made["annotations"]:
        shape = entry["segmentation"]
        size = sizes[entry["image_id"]]
        if isinstance(shape, list):
            rle = coco_mask.merge(coco_mask.frPyObjects(shape, *size))
        else:
            rle = {"size": list(size), "counts": shape["counts"].encode()}
        assert int(coco_mask.area(rle)) == entry["area"] > 0
        assert np.allclose(coco_mask.toBbox(rle), entry["bbox"])
    return made
