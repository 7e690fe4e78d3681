"""What people draw: shapes of labelme of every odd type, and masks in all modes that a picture has."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from tests.fuzz.sound import HEIGHT, WIDTH

REFUSED, UNKNOWN = -1, None

# The type of a shape, its points, and how many objects it is: one, none, REFUSED, or UNKNOWN where that is a choice.
Points = list[Any]
SQUARE: Points = [[4, 4], [24, 4], [24, 24], [4, 24]]
TWO: Points = [[30, 5], [50, 20]]
KINDS: list[tuple[Any, Any, int | None]] = [
    ("polygon", SQUARE, 1), ("polygon", [[4.5, 4], [24, 4.25], [24, 24]], 1), (None, SQUARE, 1),
    ("polygon", SQUARE[:2], 0), ("polygon", [], 0), ("polygon", [[9, 9]] * 3, 0),
    ("polygon", [[4, 4], [24, 4], [14, 4]], UNKNOWN), ("polygon", [[4, 4], [24, 24], [24, 4], [4, 24]], UNKNOWN),
    ("polygon", [[200, 200], [240, 200], [240, 240]], UNKNOWN), ("polygon", [[-9, -9], [20, -9], [20, 20]], UNKNOWN),
    ("polygon", [[4, 4, 0], [24, 4, 0], [24, 24, 0]], REFUSED), ("polygon", [4, 4, 24, 4, 24, 24], REFUSED),
    ("polygon", {"x": [4, 24, 24], "y": [4, 4, 24]}, REFUSED), ("polygon", [{"x": 4, "y": 4}] * 3, REFUSED),
    ("polygon", [["4", "4"], ["24", "4"], ["24", "24"]], REFUSED), ("polygon", None, REFUSED),
    ("polygon", [[True, False], [24, 4], [24, 24]], REFUSED), ("polygon", [[None, 4], [24, 4], [24, 24]], REFUSED),
    ("polygon", [[4, 4], [24, 4], [float("nan"), 24]], REFUSED), ("polygon", [[4, 4], [1e300, 4], [24, 24]], REFUSED),
    ("polygon", [[4, 4], [24, 4], [24, 10**400]], REFUSED), ("polygon", [SQUARE], REFUSED), ("polygon", "4 4", REFUSED),
    ("polygon", [[30 + index % 20, 5 + index % 13] for index in range(3000)], UNKNOWN),
    ("rectangle", TWO, 1), ("rectangle", TWO[::-1], 1), ("rectangle", [[30, 20], [50, 5]], 1),
    ("rectangle", SQUARE, 1), ("rectangle", [[9, 9], [9, 9]], 0), ("rectangle", [[9, 9], [30, 9]], 0),
    ("rectangle", TWO[:1], REFUSED), ("rectangle", SQUARE[:3], REFUSED), ("rectangle", [[-20, -20], [90, 90]], 1),
    ("circle", [[40, 30], [44, 30]], 1), ("circle", [[40, 30], [40, 30]], UNKNOWN), ("circle", SQUARE, REFUSED),
    ("circle", [[40, 30], [40.1, 30]], UNKNOWN), ("circle", [[40, 30], [1e7, 30]], REFUSED),
    ("circle", [[40, 30], [900, 30]], 1), ("circle", [[40, 30]], REFUSED),
    ("oriented_rectangle", SQUARE, 1), ("rotation", SQUARE, 1), ("oriented_rectangle", TWO, REFUSED),
    ("line", TWO, 0), ("linestrip", SQUARE, 0), ("point", TWO[:1], 0), ("points", SQUARE, 0), ("line", None, UNKNOWN),
    ("cuboid", SQUARE * 2, REFUSED), ("brush", SQUARE, REFUSED), ("Polygon", SQUARE, REFUSED), ("", SQUARE, 1),
    (5, SQUARE, REFUSED), ([1], SQUARE, REFUSED), ({"a": 1}, SQUARE, REFUSED), (True, SQUARE, REFUSED),
    ("polygon\x1b[31m\n", SQUARE, REFUSED), ("x" * 5000, SQUARE, REFUSED),
]  # fmt: skip
LABELS = ["person", "", " ", "\u00e9", "e\u0301", "\U0001f600", "line\nbreak", "x" * 3000, "\x1b[31m", "0", "null"]
GROUPS: list[Any] = [None, 0, 7, -1, "7", 7.5, True, [], {}, [7], 10**30, "", "\u202e"]


def draw(number: int, chance: random.Random) -> tuple[list[dict[str, Any]], int | None]:
    """Return some shapes of labelme, each an object of its own, and how many objects they are."""
    drawn = [KINDS[number % len(KINDS)], *chance.choices(KINDS[:3], k=chance.randrange(3))]
    if number >= len(KINDS):
        drawn += chance.choices(KINDS, k=chance.choice([0, 1, 3]))
    shapes: list[dict[str, Any]] = []
    for position, (kind, points, _) in enumerate(drawn):
        label = f"{chance.choice(LABELS)} {position}"  # no two of one group
        shapes.append(
            {"label": label, "points": points, "group_id": chance.choice(GROUPS), "shape_type": kind, "flags": {}}
        )
    counts = [count for _, _, count in drawn]
    if REFUSED in counts:
        return shapes, REFUSED
    known = [count for count in counts if count is not None]
    return shapes, sum(known) if len(known) == len(counts) else UNKNOWN


def draw_mask(number: int, chance: random.Random) -> tuple[list[dict[str, Any]], int | None]:
    """Return a shape of labelme that is a mask in some mode, and how many objects it is where that is known."""
    make, is_kept = MODES[number % len(MODES)]
    corner = chance.choice([[2, 2], [2.0, 2.0], [-1, 0], [59, 39], [0, 0], [1e9, 1e9]])
    text = base64.b64encode(make(np.eye(20, 30, dtype=np.uint8))).decode()
    text = chance.choice([text, text, text, f"data:image/png;base64,{text}", text[:-7], f"{text[:40]}\n{text[40:]}"])
    points = chance.choice([[corner, [31, 21]], [corner], [corner], []])
    shape = {"label": "hole", "points": points, "group_id": None, "shape_type": "mask", "mask": text}
    fits = not points or (corner[0] in (0, 2) and corner[1] in (0, 2))
    is_whole = text.isalnum() or text.replace("\n", "").rstrip("=").replace("+", "").replace("/", "").isalnum()
    if not fits:
        return [shape], REFUSED
    return [shape], 1 if is_kept and is_whole and len(text) % 4 == 0 else UNKNOWN


# --- masks -----------------------------------------------------------------------------------------------------------


def _save(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _with_palette(values: np.ndarray, colors: bytes, mode: str = "RGB") -> Image.Image:
    image = Image.fromarray(values, "P")
    image.putpalette(colors, mode)
    return image


def _turned(orientation: int) -> Callable[[np.ndarray], bytes]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return lambda values: _save(Image.fromarray(values), exif=exif)


def _with_text(values: np.ndarray) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "x" * 5000)
    return _save(Image.fromarray(values), pnginfo=text)


def _converted(mode: str, kind: str) -> Callable[[np.ndarray], bytes]:
    return lambda values: _save(Image.fromarray(np.stack([values] * 3, axis=-1)).convert(mode), kind)


GRAYS = bytes(value for index in range(256) for value in [index] * 3)
BLACK, RANDOM = bytes(768), random.Random("palette").randbytes(768)

# What writes values from 0 to 3 as a picture, and whether it says the values: else they may be refused.
MODES: list[tuple[Callable[[np.ndarray], bytes], bool]] = [
    (lambda values: _save(Image.fromarray(values)), True), (lambda values: _save(_with_palette(values, GRAYS)), True),
    (lambda values: _save(_with_palette(values, RANDOM)), True), (lambda values: _save(_with_palette(values, BLACK)),
    True),
    (lambda values: _save(_with_palette(values, RANDOM[:12])), True),
    (lambda values: _save(_with_palette(values, RANDOM), bits=2), True),
    (lambda values: _save(_with_palette(values, RANDOM), bits=4), True),
    (lambda values: _save(_with_palette(values, RANDOM), transparency=0), True),
    (lambda values: _save(_with_palette(values, RANDOM), transparency=bytes([0, 9, 99, 200])), True),
    (lambda values: _save(Image.fromarray(values), transparency=0), True),
    (lambda values: _save(Image.fromarray(values.astype(np.uint16))), True),
    (lambda values: _save(Image.fromarray(values.astype(np.uint16) << 8)), False), (_with_text, True),
    (lambda values: _save(Image.fromarray(values), compress_level=0), True), (_turned(1), True), (_turned(3), False),
    (_turned(6), False), (_turned(99), False), (lambda values: _save(Image.fromarray(values > 0)), False),
    (lambda values: _save(Image.fromarray(values), save_all=True, append_images=[Image.fromarray(values)]), False),
    (_converted("RGB", "PNG"), False), (_converted("RGBA", "PNG"), False), (_converted("LA", "PNG"), False),
    (_converted("CMYK", "TIFF"), False), (_converted("LAB", "TIFF"), False), (_converted("YCbCr", "TIFF"), False),
    (_converted("F", "TIFF"), False), (_converted("I", "TIFF"), False), (_converted("L", "TIFF"), False),
    (_converted("P", "GIF"), False), (_converted("L", "JPEG"), False), (_converted("CMYK", "JPEG"), False),
    (_converted("RGB", "WEBP"), False), (_converted("L", "BMP"), False), (_converted("1", "BMP"), False),
    (_converted("P", "PCX"), False), (_converted("L", "PPM"), False), (_converted("L", "JPEG2000"), False),
    (_converted("L", "ICO"), False), (_converted("RGB", "PDF"), False), (_converted("L", "TGA"), False),
    (lambda values: _save(Image.fromarray(values).resize((1, 1))), False),
    (lambda values: _save(Image.fromarray(values).resize((2 * WIDTH, HEIGHT))), False),
    (lambda values: _save(Image.fromarray(values.T.copy())), False),
    (lambda values: _save(Image.fromarray(np.zeros_like(values))), False),
    (lambda values: _save(Image.fromarray(values * 255)), False), (lambda values: values.tobytes(), False),
]  # fmt: skip
