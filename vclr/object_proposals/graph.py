"""Object proposals for photos without weights: regions of a hierarchical segmentation, ranked by their boundary.

The paper adds the masks of an unsupervised detector to the known annotations (section 3.2). This method stands in for
it if no weights are at hand. A graph-based segmentation (Felzenszwalb and Huttenlocher, 2004) cuts the photo into
small pieces; neighboring pieces are merged step by step until one is left, as in selective search (Uijlings et al.,
2013); every region on the way is a candidate. All that follows is arithmetic on pieces, not on pixels.

Letters beside the legend of `vclr.structures`: c candidate, r piece, e pair of pieces that touch.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import felzenszwalb

from vclr.object_proposals.options import MethodOptions, OneByOne

WORKING_SIDE = 320  # pixels of the longer side at which pieces are found
BINS = 8  # of each of the four histograms: lightness, two of color, fine contrast
STRONG_EDGE = 10.0  # Lab difference across a pixel that counts as 1 in the merging
# How much the edge between two pieces counts in their merging, against how they look: one hierarchy each. Edges
# find things of one color; looks find textured things, whose inside is full of edges.
EDGE_WEIGHTS = (1.0, 0.0)
MAX_IOU = 0.5  # with a better proposal; above, a candidate is a duplicate
MAX_FRACTION = 0.9  # of the image; a region that covers more is the background


@dataclass
class Pieces:
    """The first segmentation as a graph."""

    labels: np.ndarray  # (h, w) the piece of each pixel
    areas: np.ndarray  # (r,) pixels
    histograms: np.ndarray  # (r, 4 * BINS) pixel counts
    boxes: np.ndarray  # (r, 4) xyxy pixels
    border_lengths: np.ndarray  # (r,) pixels along the image's border
    pairs: np.ndarray  # (e, 2) pieces that touch
    lengths: np.ndarray  # (e,) pixels along which they do
    edges: np.ndarray  # (e,) sum over these pixels of the Lab difference across


def open_proposer(options: MethodOptions) -> OneByOne:
    """Return the method; it uses `max_proposals` alone."""
    return OneByOne(partial(propose_objects, max_proposals=options.max_proposals))


def propose_objects(image: np.ndarray, max_proposals: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Find regions that look like objects.

    Args:
        image: (h, w, 3) uint8 RGB.
        max_proposals: the most to return; a plain image has fewer, a blank one none.

    Returns:
        masks (n, h, w) bool and scores (n,) float64 in (0, 1), best first.
    """
    pieces = _segment(image)
    merged = [_merge(pieces, weight) for weight in EDGE_WEIGHTS]
    candidates = np.concatenate([np.eye(len(pieces.areas), dtype=bool), *merged])
    candidates = candidates[candidates @ pieces.areas <= MAX_FRACTION * pieces.labels.size]
    scores = _score(pieces, candidates)
    best = _suppress(candidates, scores, pieces.areas, max_proposals)
    return candidates[best][:, _enlarge(pieces.labels, *image.shape[:2])], scores[best]


def _segment(image: np.ndarray) -> Pieces:
    height, width = image.shape[:2]
    factor = min(1.0, WORKING_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    labels = felzenszwalb(small, scale=40, sigma=0.8, min_size=25)
    lab = rgb2lab(small)
    count = int(labels.max()) + 1
    sides = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    slices = ndimage.find_objects(labels + 1)
    return Pieces(
        labels,
        np.bincount(labels.ravel()),
        _histograms(lab, labels),
        np.array([(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in slices]),
        np.bincount(sides, minlength=count),
        *_touching(ndimage.gaussian_filter(lab, (1, 1, 0)), labels, count),
    )


def _histograms(lab: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count, for each piece, its pixels by lightness, color (a, b) and fine contrast: (r, 4 * BINS)."""
    contrast = np.abs(lab[..., 0] - ndimage.gaussian_filter(lab[..., 0], 2))
    shares = lab[..., 0] / 100, (lab[..., 1] + 60) / 120, (lab[..., 2] + 60) / 120, contrast / 16
    histograms = []
    for share in shares:
        bins = np.clip((share * BINS).astype(np.intp), 0, BINS - 1)
        counts = np.bincount((labels * BINS + bins).ravel(), minlength=(int(labels.max()) + 1) * BINS)
        histograms.append(counts.reshape(-1, BINS))
    return np.concatenate(histograms, axis=1)


def _touching(lab: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of pieces that touch (e, 2), along how many pixels, and the summed difference across."""
    keys, differences = [], []
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        crossing = labels[near] != labels[far]
        first, second = labels[near][crossing], labels[far][crossing]
        keys.append(np.minimum(first, second) * count + np.maximum(first, second))
        differences.append(np.linalg.norm((lab[near] - lab[far])[crossing], axis=1))
    pairs, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    lengths = np.bincount(inverse, minlength=len(pairs))
    edges = np.bincount(inverse, weights=np.concatenate(differences), minlength=len(pairs))
    return np.stack([pairs // count, pairs % count], axis=1), lengths, edges


def _merge(pieces: Pieces, edge_weight: float) -> np.ndarray:
    """Merge the two most alike neighbors until one is left.

    Returns:
        (c, r) bool: for each region that a merging made, in order, the pieces in it.
    """
    areas, boxes = pieces.areas.tolist(), pieces.boxes.tolist()
    looks = list(pieces.histograms * np.repeat([1 / 3, 1 / 3, 1 / 3, 1], BINS))  # color and texture count the same
    members = list(np.eye(len(areas), dtype=bool))
    neighbors: dict[int, dict[int, tuple[float, float]]] = {region: {} for region in range(len(areas))}
    for (first, second), length, edge in zip(
        pieces.pairs.tolist(), pieces.lengths.tolist(), pieces.edges.tolist(), strict=True
    ):
        neighbors[first][second] = neighbors[second][first] = length, edge

    def distance(first: int, second: int) -> float:
        length, edge = neighbors[first][second]
        unlike = 2 - float(np.minimum(looks[first] / areas[first], looks[second] / areas[second]).sum())
        x0, y0, x1, y1 = _join_boxes(boxes[first], boxes[second])
        # Small regions that fill their common box come first, so that the hierarchy grows evenly.
        growth = (x1 - x0) * (y1 - y0) / pieces.labels.size
        return edge_weight * edge / length / STRONG_EDGE + (1 - edge_weight / 2) * (unlike + growth)

    queue = [(distance(*pair), *pair) for pair in pieces.pairs.tolist()]
    heapq.heapify(queue)
    while queue:
        _, first, second = heapq.heappop(queue)
        if first not in neighbors or second not in neighbors:
            continue
        joined = len(members)
        members.append(members[first] | members[second])
        areas.append(areas[first] + areas[second])
        looks.append(looks[first] + looks[second])
        boxes.append(_join_boxes(boxes[first], boxes[second]))
        neighbors[joined] = _join_neighbors(neighbors, first, second)
        for other, border in neighbors[joined].items():
            neighbors[other][joined] = border
            heapq.heappush(queue, (distance(other, joined), other, joined))
    return np.array(members[len(pieces.areas) :], dtype=bool).reshape(-1, len(pieces.areas))


def _join_boxes(first: list[int], second: list[int]) -> list[int]:
    return [*map(min, first[:2], second[:2]), *map(max, first[2:], second[2:])]


def _join_neighbors(
    neighbors: dict[int, dict[int, tuple[float, float]]], first: int, second: int
) -> dict[int, tuple[float, float]]:
    """Take two regions out of the graph and return the neighbors of their union, with the borders added up."""
    joined: dict[int, tuple[float, float]] = {}
    for region in (neighbors.pop(first), neighbors.pop(second)):
        for other, (length, edge) in region.items():
            if other in neighbors:
                known_length, known_edge = joined.get(other, (0.0, 0.0))
                joined[other] = known_length + length, known_edge + edge
                neighbors[other].pop(first, None)
                neighbors[other].pop(second, None)
    return joined


def _score(pieces: Pieces, candidates: np.ndarray) -> np.ndarray:
    """Return in (0, 1) how much each of the (c, r) candidates looks like an object.

    For: a strong edge along its boundary, colors other than those around it, a compact shape, a filled box. Against: a
    boundary on the image's border, and a small area. The weights are rounded from a logistic regression on photos;
    fitted on either half of them, it ranks the other half nearly as well.
    """
    members = candidates.astype(np.float32)
    areas, border = members @ pieces.areas, members @ pieces.border_lengths
    first, second = (members[:, column] for column in pieces.pairs.T)
    is_boundary = np.abs(first - second)
    boundary = is_boundary @ pieces.lengths
    edge = is_boundary @ pieces.edges / np.maximum(boundary, 1)
    perimeter = np.maximum(boundary + border, 1)
    log_area = np.log(areas / pieces.labels.size)
    evidence = (
        0.6 * np.log1p(edge)
        + 2.0 * _difference_to_surroundings(pieces, members)
        + 1.7 * 4 * np.pi * areas / perimeter**2
        + 1.0 * areas / _box_areas(pieces, candidates)
        - 4.0 * border / perimeter
        + 0.1 * log_area
        - 0.04 * log_area**2
    )
    return 1 / (1 + np.exp(4 - evidence))  # type: ignore[no-any-return]


def _box_areas(pieces: Pieces, candidates: np.ndarray) -> np.ndarray:
    """Return the area of each candidate's box in pixels."""
    x0, y0 = (np.where(candidates, low, np.inf).min(axis=1, initial=np.inf) for low in pieces.boxes.T[:2])
    x1, y1 = (np.where(candidates, high, 0).max(axis=1, initial=0) for high in pieces.boxes.T[2:])
    return (x1 - x0) * (y1 - y0)  # type: ignore[no-any-return]


def _difference_to_surroundings(pieces: Pieces, members: np.ndarray) -> np.ndarray:
    """Return in [0, 1] how the colors of each (c, r) candidate differ from those of the pieces along its boundary."""
    colors = pieces.histograms[:, : 3 * BINS].astype(np.float32)
    shares = colors / pieces.areas[:, None].astype(np.float32)
    lengths = pieces.lengths.astype(np.float32)
    first, second = (members[:, column] for column in pieces.pairs.T)
    around = (first * (1 - second) * lengths) @ shares[pieces.pairs[:, 1]]
    around += (second * (1 - first) * lengths) @ shares[pieces.pairs[:, 0]]
    around /= np.maximum(around.sum(axis=1, keepdims=True) / 3, 1)
    own = members @ colors
    own /= np.maximum(own.sum(axis=1, keepdims=True) / 3, 1)
    return 1 - np.minimum(own, around).sum(axis=1) / 3  # type: ignore[no-any-return]


def _suppress(candidates: np.ndarray, scores: np.ndarray, areas: np.ndarray, count: int) -> list[int]:
    """Return the `count` best candidates that overlap no better one by more than MAX_IOU, best first."""
    totals = candidates.astype(np.float32) @ areas
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if len(kept) == count:
            break
        shared = (candidates[kept] & candidates[index]) @ areas
        if (shared <= MAX_IOU * (totals[kept] + totals[index] - shared)).all():
            kept.append(index)
    return kept


def _enlarge(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a label map to the size of the photo, each pixel taking the label that it lies in."""
    rows = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    return labels[np.ix_(rows, columns)]
