"""Which object proposals of an image join its annotations (paper section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vclr.catalog.proposal_methods import MAX_IOU as MAX_IOU
from vclr.coco.checks import is_finite_number
from vclr.errors import UserError


def choose_proposals(boxes: np.ndarray, scores: np.ndarray, known: np.ndarray, top_k: int, max_iou: float) -> list[int]:
    """Choose an image's best proposals that overlap neither an annotation nor a better proposal.

    The order of the proposals does not matter: among equal scores the one farther left, then farther up, comes first.

    Args:
        boxes: (n, 4) float64 boxes of the proposals, COCO's [x, y, width, height].
        scores: (n,) float64.
        known: (m, 4) boxes of the annotations.
        top_k: the most proposals to choose.
        max_iou: box IoU above which a proposal is left out.

    Returns:
        Numbers of the chosen proposals, best first.
    """
    if not len(boxes):
        return []
    order = np.lexsort((*boxes.T[::-1], -scores))
    ranked = np.ascontiguousarray(boxes[order], dtype=np.float64)
    others = np.concatenate([np.asarray(known, dtype=np.float64).reshape(-1, 4), ranked])
    overlaps = coco_mask.iou(ranked, others, [0] * len(others)) > max_iou
    num_known = len(others) - len(ranked)
    is_out = overlaps[:, :num_known].any(axis=1)
    return [int(order[rank]) for rank in choose_distinct(overlaps[:, num_known:], is_out, top_k)]


def choose_distinct(are_same: np.ndarray, is_out: np.ndarray, top_k: int) -> list[int]:
    """Choose the best proposals of which no two are the same object.

    Args:
        are_same: (n, n) bool, whether two proposals, best first, are the same object.
        is_out: (n,) bool, proposals that are not chosen in any case.
        top_k: the most proposals to choose.

    Returns:
        Their ranks, ascending.
    """
    is_out = is_out.copy()
    chosen: list[int] = []
    for rank in range(len(is_out)):
        if len(chosen) == top_k:
            break
        if not is_out[rank]:
            chosen.append(rank)
            is_out |= are_same[:, rank]
    return chosen


def read_score(score: Any, entry: str) -> float:
    """Return the score of a proposal.

    Raises:
        UserError: it is not a number; names `entry`.
    """
    if not is_finite_number(score):
        raise UserError(f"{entry}: has no `score` that is a number")
    return float(score)
