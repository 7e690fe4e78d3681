"""How much a region looks like an object: the cues of the method `graph`, and their weights.

All cues of all candidates are sums over pieces and over pairs of pieces. c candidates, r pieces, e pairs.
"""

from __future__ import annotations

import numpy as np

from vclr.object_proposals.graph_pieces import BINS, Pieces

CLEAR_EDGE, NO_EDGE, SURE_EDGE = 10.0, 4.0, 12.0  # Lab difference across a border

# Rounded from a logistic regression on photos, `python -m benchmarks.fit_graph`; fitted on either half of them, they
# rank the other half nearly as well. Cues overlap, so the sign of one weight alone says little.
CONSTANT = -12.9
WEIGHTS: dict[str, float] = {
    "edge": 0.61,  # mean edge along the boundary, log
    "edge^2": 0.0083,
    "closed": 0.18,  # the same, each border counting as at most clear
    "open": -0.24,  # share of the boundary without an edge
    "sure": 0.033,  # share of the boundary with a strong edge
    "inner edge": -0.65,  # mean edge between the pieces inside, log
    "one piece": -1.2,  # whether it is a piece, which nothing merged
    "pieces": 0.21,  # their number, log
    "compact": -0.51,  # area in terms of the perimeter; a disk has 1
    "border": -1.9,  # share of the perimeter along the image's border
    "at border": -0.4,  # whether it touches that border
    "size": 0.15,  # share of the image's area, log
    "size^2": -0.071,
    "fill": -2.3,  # share of its box that it fills
    "ellipse": 4.1,  # its area in terms of the ellipse with its moments
    "round": 0.65,  # short axis of that ellipse in terms of the long one
    "wide": 0.09,  # width of the box in terms of its height, log
    "wide^2": -0.096,
    "aside": 3.0,  # distance from the middle column
    "low": 1.0,  # how far down the image
    "from center": -1.8,  # distance from the center of the image
    "color": 2.7,  # difference in color from the pieces around it
    "texture": 1.2,  # difference in fine contrast from them
    "rare": 0.31,  # difference in color from the whole image
    "spread": 1.2,  # standard deviation of its colors, log
    "light": -0.47,  # mean lightness
    "colorful": -1.2,  # mean saturation
    "agreement": 4.8,  # mean over hierarchies of the best IoU with a region
    "agreement^2": -1.5,
    "disagreement": -0.52,  # the lowest of these
    "hierarchies": -0.18,  # how many hierarchies have exactly this region
    "edge * size": -0.11,  # small objects are seen by other cues than large ones
    "color * size": 0.19,
    "ellipse * size": 0.14,
    "fill * size": -0.6,
}


def score_cues(cues: dict[str, np.ndarray]) -> np.ndarray:
    """Return (c,) in (0, 1) how likely each candidate is an object; `cues` as `measure_cues` returns them."""
    evidence = CONSTANT + sum(weight * cues[cue] for cue, weight in WEIGHTS.items())
    return 1 / (1 + np.exp(-evidence))  # type: ignore[no-any-return]


def measure_cues(pieces: Pieces, candidates: np.ndarray, agreement: np.ndarray) -> dict[str, np.ndarray]:
    """Measure each of the (c, r) candidates; the (c, m) agreement is its best IoU with a region of each hierarchy.

    Returns:
        (c,) float64 for each cue.
    """
    members = candidates.astype(np.float32)
    areas = members @ pieces.areas
    cues = _measure_boundary(pieces, members, areas) | _measure_shape(pieces, candidates, areas)
    cues |= _measure_looks(pieces, members, areas)
    mean = agreement.mean(axis=1)
    cues |= {"agreement": mean, "agreement^2": mean**2, "disagreement": agreement.min(axis=1)}
    cues["hierarchies"] = (agreement > 0.999).sum(axis=1)
    for name in ("edge", "color", "ellipse", "fill"):  # small objects are seen by other cues than large ones
        cues[f"{name} * size"] = cues[name] * cues["size"]
    return {name: np.asarray(values, dtype=np.float64) for name, values in cues.items()}


def _measure_boundary(pieces: Pieces, members: np.ndarray, areas: np.ndarray) -> dict[str, np.ndarray]:
    first, second = (members[:, column] for column in pieces.pairs.T)
    is_boundary, is_inside = np.abs(first - second), first * second
    means = pieces.edges / pieces.lengths
    shares = np.stack(
        [np.ones_like(means), means, np.minimum(means / CLEAR_EDGE, 1), means < NO_EDGE, means > SURE_EDGE]
    )
    sums = (shares * pieces.lengths).T.astype(np.float32)
    boundary, *along = (is_boundary @ sums).T
    inside, inner_edges = (is_inside @ sums[:, :2]).T
    mean, closed, open_, sure = (values / np.maximum(boundary, 1) for values in along)
    edge = np.log1p(mean)
    border = members @ pieces.border_lengths
    perimeter = np.maximum(boundary + border, 1)
    return {
        "edge": edge,
        "edge^2": edge**2,
        "closed": closed,
        "open": open_,
        "sure": sure,
        "inner edge": np.log1p(inner_edges / np.maximum(inside, 1)),
        "one piece": inside == 0,
        "pieces": np.log(members.sum(axis=1)),
        "compact": 4 * np.pi * areas / perimeter**2,
        "border": border / perimeter,
        "at border": border > 0,
    }


def _measure_shape(pieces: Pieces, candidates: np.ndarray, areas: np.ndarray) -> dict[str, np.ndarray]:
    height, width = pieces.labels.shape
    x0, y0 = (np.where(candidates, low, np.inf).min(axis=1, initial=np.inf) for low in pieces.boxes.T[:2])
    x1, y1 = (np.where(candidates, high, 0).max(axis=1, initial=0) for high in pieces.boxes.T[2:])
    x, y, xx, yy, xy = (candidates @ pieces.moments / areas[:, None]).T
    # The ellipse with the same second moments; a pixel's own are 1/12.
    xx, yy, xy = xx - x**2 + 1 / 12, yy - y**2 + 1 / 12, xy - x * y
    root = np.sqrt(np.maximum(xx * yy - xy**2, 1 / 144))
    longest = (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    size = np.log(areas / pieces.labels.size)
    aspect = np.log((x1 - x0) / (y1 - y0))
    return {
        "size": size,
        "size^2": size**2,
        "fill": areas / ((x1 - x0) * (y1 - y0)),
        "ellipse": areas / (4 * np.pi * root),
        "round": root / longest,
        "wide": aspect,
        "wide^2": aspect**2,
        "aside": np.abs(x / width - 0.5),
        "low": y / height,
        "from center": np.hypot(x / width - 0.5, y / height - 0.5),
    }


def _measure_looks(pieces: Pieces, members: np.ndarray, areas: np.ndarray) -> dict[str, np.ndarray]:
    shares = (pieces.histograms / pieces.areas[:, None]).astype(np.float32)
    first, second = (members[:, column] for column in pieces.pairs.T)
    lengths = pieces.lengths.astype(np.float32)
    both = first * second
    around = (first - both) @ (lengths[:, None] * shares[pieces.pairs[:, 1]])
    around += (second - both) @ (lengths[:, None] * shares[pieces.pairs[:, 0]])
    around /= np.maximum(around.sum(axis=1, keepdims=True) / 4, 1)
    own = members @ pieces.histograms.astype(np.float32) / areas[:, None]
    everywhere = pieces.histograms.sum(axis=0) / pieces.labels.size
    colors = members @ pieces.colors / areas[:, None]
    spread = np.sqrt(np.maximum(colors[:, 3] - (colors[:, :3] ** 2).sum(axis=1), 0))
    of_color = slice(0, 3 * BINS)
    return {
        "color": 1 - np.minimum(own, around)[:, of_color].sum(axis=1) / 3,
        "texture": 1 - np.minimum(own, around)[:, 3 * BINS :].sum(axis=1),
        "rare": 1 - np.minimum(own, everywhere)[:, of_color].sum(axis=1) / 3,
        "spread": np.log1p(spread),
        "light": colors[:, 0] / 100,
        "colorful": np.hypot(colors[:, 1], colors[:, 2]) / 50,
    }
