"""Pictures of objects: masks and boxes on an image, predictions compared with annotations, contact sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SHORT_SIDE = 256  # smaller images are enlarged by a whole factor until their short side has at least this
SHEET_SIDE = 512  # of photos on a sheet that a training draws on its way: many masks are painted
LONG_SIDE = 2048  # but no long side beyond this, to which larger images are shrunk
MASK_OPACITY = 0.5
MIN_IOU = 0.5  # of a prediction that fits an object
SHADE = 0.35
# Distinct for most kinds of color vision, neighbors apart in hue; light enough to stand out on photos.
PALETTE = (
    (255, 196, 0),
    (0, 128, 255),
    (0, 190, 110),
    (168, 88, 255),
    (0, 205, 225),
    (255, 128, 0),
    (150, 205, 0),
    (255, 110, 200),
)
MISSED = (235, 0, 0)

Color = tuple[int, int, int]


def draw_objects(
    image: np.ndarray,
    masks: Sequence[np.ndarray],
    boxes: Sequence[Sequence[float]] | np.ndarray | None = None,
    colors: Sequence[Color] | None = None,
    fill: Sequence[bool] | None = None,
    fade: float = 0.0,
    opacity: float = MASK_OPACITY,
    line: float = 1 / 160,
) -> np.ndarray:
    """Draw objects on an image: translucent masks with crisp outlines, and thin boxes.

    Args:
        image: (h, w, 3) uint8 RGB.
        masks: (h, w) each, nonzero inside; may be empty.
        boxes: xyxy absolute, one for each mask; None draws none.
        colors: one for each mask; the palette in turn by default.
        fill: for each mask whether its inside is tinted or only its outline drawn; all are by default.
        fade: from 0, the image unchanged, to 1, a pale gray image on which the colors of the objects stand out.
        opacity: of the tint inside the objects, from 0 to 1.
        line: width of the outlines as a share of the picture's short side.

    Returns:
        (h * k, w * k, 3) uint8 with the smallest whole k that makes the short side at least 256 pixels, unless the
        long side would then pass 2048. An image whose long side does so by itself is shrunk to it.
    """
    image, masks, boxes = shrink(image, masks, boxes)
    factor = enlargement(image)
    colors = colors or [PALETTE[number % len(PALETTE)] for number in range(len(masks))]
    fill = fill or [True] * len(masks)
    canvas = _fade(enlarge(image, factor).astype(np.float32), fade)
    width = max(1, round(min(canvas.shape[:2]) * line))
    enlarged = [enlarge(np.asarray(mask) > 0, factor) for mask in masks]
    for mask, color, is_filled in zip(enlarged, colors, fill, strict=True):
        if is_filled:
            canvas[mask] += opacity * (np.asarray(color, np.float32) - canvas[mask])
    for mask, color in zip(enlarged, colors, strict=True):
        canvas[_outline(mask, width + 1)] *= SHADE  # a dark line inside the bright one: seen on any background
        canvas[_outline(mask, width)] = color
    picture = Image.fromarray(canvas.round().clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for box, color in zip(boxes if boxes is not None else (), colors, strict=boxes is not None):
        left, top, right, bottom = (float(value) * factor for value in box)
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=color, width=1)
    return np.asarray(picture)


def draw_found(
    image: np.ndarray, objects: Sequence[np.ndarray], predictions: Sequence[np.ndarray], fade: float = 0.0
) -> tuple[np.ndarray, int]:
    """Draw for each object the predicted mask that fits it best; outline in red the objects that none fits.

    Args:
        image: (h, w, 3) uint8 RGB.
        objects: (h, w) each, the masks to find; the n-th has the n-th color of the palette.
        predictions: (h, w) each, the predicted masks to choose from; one mask serves one object at most.
        fade: as of `draw_objects`.

    Returns:
        The picture, enlarged as by `draw_objects`, and the number of objects found.
    """
    pairs = match_masks(objects, predictions)
    found = [index for index in range(len(objects)) if index in pairs]
    missed = [index for index in range(len(objects)) if index not in pairs]
    picture = draw_objects(
        image,
        [predictions[pairs[index]] for index in found] + [objects[index] for index in missed],
        colors=[PALETTE[index % len(PALETTE)] for index in found] + [MISSED] * len(missed),
        fill=[True] * len(found) + [False] * len(missed),
        fade=fade,
    )
    return picture, len(found)


def match_masks(objects: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> dict[int, int]:
    """Pair objects with predictions, best overlap first, each used once; return the prediction of each object found."""
    overlaps = [(mask_iou(mask, other), i, j) for i, mask in enumerate(objects) for j, other in enumerate(predictions)]
    pairs: dict[int, int] = {}
    for iou, i, j in sorted(overlaps, key=lambda overlap: -overlap[0]):
        if iou >= MIN_IOU and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def mask_iou(mask: np.ndarray, other: np.ndarray) -> float:
    """Return intersection over union of two (h, w) masks; 0 if both are empty."""
    inside, other_inside = np.asarray(mask) > 0, np.asarray(other) > 0
    union = np.count_nonzero(inside | other_inside)
    return np.count_nonzero(inside & other_inside) / union if union else 0.0


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    column_captions: Sequence[str] = (),
    cell: int = SHORT_SIDE,
    gap: int = 8,
) -> np.ndarray:
    """Lay pictures out in a grid on white.

    Args:
        rows: (h, w, 3) uint8 pictures, row by row; each is scaled to fit its cell. Rows may differ in length.
        column_captions: a text above each column.
        cell: side of a cell in pixels.
        gap: space between the cells in pixels.

    Returns:
        (h, w, 3) uint8.
    """
    font = _font(max(12, cell // 16))
    columns = max((len(row) for row in rows), default=0)
    top = gap + (math.ceil(font.size * 1.6) if column_captions else 0)
    sheet = Image.new("RGB", (gap + columns * (cell + gap), top + len(rows) * (cell + gap)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, text in enumerate(column_captions):
        pen.text((gap + column * (cell + gap) + cell / 2, top / 2), text, fill=(32, 32, 32), font=font, anchor="mm")
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            fitted = fit(picture, cell)
            x = gap + column * (cell + gap) + (cell - fitted.shape[1]) // 2
            y = top + row * (cell + gap) + (cell - fitted.shape[0]) // 2
            sheet.paste(Image.fromarray(fitted), (x, y))
    return np.asarray(sheet)


def fit(picture: np.ndarray, side: int) -> np.ndarray:
    """Scale an (h, w, 3) uint8 picture so that its long side is `side` pixels."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def enlargement(image: np.ndarray) -> int:
    """Return the whole factor by which `draw_objects` enlarges an image."""
    short, long = sorted(image.shape[:2])
    return max(1, min(math.ceil(SHORT_SIDE / max(1, short)), LONG_SIDE // max(1, long)))


def shrink(
    image: np.ndarray,
    masks: Sequence[np.ndarray],
    boxes: Sequence[Sequence[float]] | np.ndarray | None = None,
    side: int = LONG_SIDE,
) -> tuple[np.ndarray, Sequence[np.ndarray], Sequence[Sequence[float]] | np.ndarray | None]:
    """Shrink an image with its masks and boxes, as of `draw_objects`, if its long side has more than `side` pixels."""
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image, masks, boxes
    small = fit(image, side)
    new_height, new_width = small.shape[:2]
    shrunk = [shrink_mask(np.asarray(mask), (new_height, new_width)) for mask in masks]
    scales = np.array([new_width / width, new_height / height] * 2)
    return small, shrunk, None if boxes is None else np.asarray(boxes, np.float64).reshape(-1, 4) * scales


def shrink_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an (h, w) mask at a smaller (height, width), by the nearest pixel."""
    if mask.shape == size:
        return mask
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]


def enlarge(array: np.ndarray, factor: int) -> np.ndarray:
    """Repeat each pixel of an (h, w) or (h, w, c) array `factor` times in both directions."""
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def _fade(canvas: np.ndarray, fade: float) -> np.ndarray:
    """Mix an (h, w, 3) float image with a pale gray version of itself."""
    gray = canvas @ np.array([0.299, 0.587, 0.114], np.float32)
    pale = 110 + 0.5 * gray[..., None]
    return canvas + fade * (pale - canvas)


def _outline(mask: np.ndarray, width: int) -> np.ndarray:
    """Return the pixels of a bool mask that are within `width` of its outside."""
    # Not scipy's `binary_erosion`, which is the same: its import takes a quarter of the time of a first picture.
    inner = mask
    for _ in range(width):
        padded = np.pad(inner, 1)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # type: ignore[return-value]
