"""Object proposals for photos without weights: regions of hierarchical segmentations, ranked by how they look.

The paper adds the masks of an unsupervised detector to the known annotations (section 3.2). This method stands in for
it if no weights are at hand. A graph-based segmentation (Felzenszwalb and Huttenlocher, 2004) cuts the photo into
small pieces (`graph_pieces.py`); neighboring pieces are merged step by step until one is left, as in selective search
(Uijlings et al., 2013), in several ways (`graph_merging.py`); every region on the way is a candidate, and simple cues
tell which look like objects (`graph_cues.py`). All that follows is arithmetic on pieces, not on pixels.

Letters beside the legend of `vclr.structures`: c candidate, r piece, e pair of pieces that touch, m merging.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from vclr.object_proposals.graph_cues import measure_cues, score_cues
from vclr.object_proposals.graph_merging import MERGINGS, merge_pieces
from vclr.object_proposals.graph_pieces import Pieces, cut_into_pieces
from vclr.object_proposals.options import MethodOptions, OneByOne

MAX_IOU = 0.45  # with a better proposal; above, a candidate is a duplicate
MAX_FRACTION = 0.9  # of the image; a region that covers more is the background


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
    pieces = cut_into_pieces(image)
    candidates, cues = find_candidates(pieces)
    scores = score_cues(cues)
    best = suppress(candidates, scores, pieces.areas, max_proposals)
    return candidates[best][:, enlarge(pieces.labels, *image.shape[:2])], scores[best]


def find_candidates(pieces: Pieces) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return all regions of all hierarchies, each once, (c, r) bool, and their cues (c,)."""
    hierarchies = [merge_pieces(pieces, merging) for merging in MERGINGS]
    regions = np.concatenate(hierarchies)
    first = np.unique(np.packbits(regions, axis=1), axis=0, return_index=True)[1]
    candidates = regions[np.sort(first)]
    candidates = candidates[candidates @ pieces.areas <= MAX_FRACTION * pieces.labels.size]
    agreement = np.stack([_best_iou(candidates, hierarchy, pieces.areas) for hierarchy in hierarchies], axis=1)
    return candidates, measure_cues(pieces, candidates, agreement)


def suppress(candidates: np.ndarray, scores: np.ndarray, areas: np.ndarray, count: int) -> list[int]:
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


def enlarge(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a label map to the size of the photo, each pixel taking the label that it lies in."""
    rows = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    return labels[np.ix_(rows, columns)]


def _best_iou(candidates: np.ndarray, regions: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return the IoU of each candidate (c, r) with the region of a hierarchy that fits it best."""
    own, others, weights = candidates.astype(np.float32), regions.astype(np.float32), areas.astype(np.float32)
    shared = (own * weights) @ others.T
    union = (own @ weights)[:, None] + others @ weights - shared
    return (shared / union).max(axis=1)  # type: ignore[no-any-return]
