"""Inspect views: measure each photo of a sample in every view, and keep a few pictures to look at.

Photos are read one after another and forgotten; what stays is a few numbers per photo and the pictures.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from vclr.catalog.views import NATURAL
from vclr.coco.annotations import Json, rasterize
from vclr.drawing import draw_objects, fit
from vclr.errors import UserError
from vclr.evaluation.intervals import Interval, draw_images, interval
from vclr.progress import track
from vclr.structures import Size
from vclr.studio.appearance import Appearance
from vclr.studio.data import Sample
from vclr.studio.edges import find_edges, shrink
from vclr.studio.structure import Boundaries, mask_outlines, rank_of_own

NUM_OTHERS = 8  # photos that a view is compared with besides its own
NUM_SHOWN = 8  # photos of the contact sheet
NUM_WORST = 3  # photos of each view that keep the least structure
PICTURE_SIDE = 320  # pixels of a picture's long side in the page
OUTLINE = (255, 255, 255)

Values = dict[str, float | None]  # of each measure of a photo in a view; None if it cannot be measured


@dataclass(order=True)
class Pair:
    """A photo beside its view, to look at; ordered by how little structure the view keeps."""

    rank: float
    name: str
    pictures: list[np.ndarray] = field(compare=False)


@dataclass
class Found:
    """What was found of a view.

    Attributes:
        values: what each photo of the sample has in it.
        unusable: why each file that could not be used cannot be.
        worst: the photos that keep the least structure, the least first.
    """

    values: dict[str, Values] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    worst: list[Pair] = field(default_factory=list)

    def summarize(self, measure: str) -> tuple[float, Interval] | None:
        """Return the mean of a measure over the photos with its 95 % bootstrap interval; None if none has it."""
        numbers = [value for one in self.values.values() if (value := one.get(measure)) is not None]
        if not numbers:
            return None
        ends = interval(numbers @ _draws(len(numbers)) / len(numbers))
        assert ends is not None
        return float(np.mean(numbers)), ends

    def misfits(self) -> list[str]:
        """Return the photos whose view fits most of the other photos better."""
        ranks = ((name, values["own_photo"]) for name, values in self.values.items())
        return [name for name, rank in ranks if rank is not None and rank < 0.5]


@lru_cache(maxsize=4)  # most measures of most views are of the same number of photos
def _draws(num_photos: int) -> np.ndarray:
    """Return (i, d) how often each photo is in each draw of the bootstrap."""
    return np.concatenate(list(draw_images(num_photos)), axis=1)


@dataclass
class Inspection:
    """What was found.

    Attributes:
        views: of each view, the photos themselves first, as `NATURAL`.
        unreadable: why each photo of the sample that could not be read cannot be.
        sheet: the names of some photos, each with its picture in every view; None if it has none.
    """

    views: dict[str, Found]
    unreadable: dict[str, str] = field(default_factory=dict)
    sheet: dict[str, list[np.ndarray | None]] = field(default_factory=dict)


class _Picture:
    """A photo or a view, small, with what is measured of it."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = shrink(image)
        self.edges, self.appearance = Boundaries(find_edges(self.image)), Appearance(self.image)


def inspect_views(sample: Sample, quiet: bool = False) -> Inspection:
    """Measure the views of a sample (see `vclr.catalog.view_measures`).

    Raises:
        UserError: no photo of the sample can be read; says why the first cannot be.
    """
    inspection = Inspection({view: Found() for view in (NATURAL, *sample.views)})
    others = _read_others(sample)
    for name in track(sample.names, "inspect views", quiet):
        try:
            _inspect_photo(sample, name, [edges for other, edges in others.items() if other != name], inspection)
        except UserError as error:
            inspection.unreadable[name] = str(error)
    if len(inspection.unreadable) == len(sample.names):
        first = next(iter(inspection.unreadable.values()))
        raise UserError(f"none of the {len(sample.names)} photos of the sample can be read; the first: {first}")
    for found in inspection.views.values():
        found.worst.sort(reverse=True)
    return inspection


def _read_others(sample: Sample) -> dict[str, Boundaries]:
    """Return the edges of some photos, one more than a photo is compared with: it may be one of them."""
    others: dict[str, Boundaries] = {}
    for name in sample.names:
        if len(others) > NUM_OTHERS:
            break
        try:
            others[name] = Boundaries(find_edges(shrink(np.asarray(sample.images.open(name)))))
        except UserError:
            continue  # the walk over the sample says so
    return others


def _inspect_photo(sample: Sample, name: str, others: list[Boundaries], inspection: Inspection) -> None:
    image = sample.images.open(name)
    size = (image.height, image.width)
    if (said := sample.sizes.get(name, size)) != size:
        path = sample.images.path_of(name)
        raise UserError(f"{path}: is {image.width}x{image.height}, its annotations are of {said[1]}x{said[0]}")
    photo = _Picture(np.asarray(image))
    masks = None if sample.objects is None else _small_masks(sample.objects[name], size, photo.image.shape[:2])
    outlines = None if masks is None else Boundaries(mask_outlines(masks, photo.image.shape[:2]))
    pictures: list[_Picture | None] = []
    for view, found in inspection.views.items():
        shown: _Picture | None = photo
        if view != NATURAL:
            try:
                opened = sample.views[view].open(name, view, image)
                shown = None if opened is None else _Picture(np.asarray(opened))
            except UserError as error:
                found.unusable[name] = str(error)
                shown = None
        if shown is not None:
            found.values[name] = values = _measure(photo, shown, outlines, others[:NUM_OTHERS])
            if view != NATURAL:
                _keep_worst(found, Pair(-float(values["structure"] or 0.0), name, []), photo, shown, masks or [])
        pictures.append(shown)
    if len(inspection.sheet) < NUM_SHOWN:
        drawn = [None if one is None else _draw(one.image, masks or []) for one in pictures]
        inspection.sheet[name] = drawn


def _small_masks(objects: list[Json], size: Size, small: Size) -> list[np.ndarray]:
    """Return the masks (h, w) bool of objects in an image of `size`, at another size, by the nearest pixel."""
    rows, columns = ((np.arange(after) + 0.5) * before // after for before, after in zip(size, small, strict=True))
    places = np.ix_(rows.astype(np.int64), columns.astype(np.int64))
    return [rasterize(item, *size)[places] > 0 for item in objects]


def _measure(photo: _Picture, view: _Picture, outlines: Boundaries | None, others: list[Boundaries]) -> Values:
    kept = view.edges.agreement(photo.edges)
    color = view.appearance.color_distance(photo.appearance)
    texture = view.appearance.texture_distance(photo.appearance)
    values: Values = {
        "structure": kept.f_measure,
        "edges_kept": kept.recall,
        "outlines": None,
        "outlines_kept": None,
        "own_photo": rank_of_own(view.edges, kept.f_measure, others),
        "color": color,
        "texture": texture,
        "change": (color + texture) / 2,
    }
    if outlines is not None and len(outlines):
        of_masks = view.edges.agreement(outlines)
        values |= {"outlines": of_masks.f_measure, "outlines_kept": of_masks.recall}
    return values


def _keep_worst(found: Found, pair: Pair, photo: _Picture, view: _Picture, masks: list[np.ndarray]) -> None:
    """Remember a photo in a view if it is one of those that keep the least structure."""
    if len(found.worst) == NUM_WORST and not found.worst[0] < pair:
        return
    pair.pictures = [_draw(photo.image, masks), _draw(view.image, masks)]
    (heapq.heappush if len(found.worst) < NUM_WORST else heapq.heappushpop)(found.worst, pair)


def _draw(image: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Draw the outlines of masks on a picture."""
    picture = draw_objects(image, masks, colors=[OUTLINE] * len(masks), fill=[False] * len(masks))
    return fit(picture, PICTURE_SIDE) if max(picture.shape) > PICTURE_SIDE else picture
