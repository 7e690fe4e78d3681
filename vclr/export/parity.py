"""Check an exported file against its detector: the outputs, the detections and their masks.

Two cells of the memory whose logits differ by less than rounding may change ranks, and with the rank goes the content
of a query, which changes all that follows. So if the file ranks cells otherwise, the detector is run again from the
cells that the file has chosen; the logits that it gives these cells must be in the same order up to the tolerance.

A score is a mean over the pixels of its mask, and jumps when a pixel whose logit is zero up to rounding changes sides.
So scores are compared with those that the detector gives the file's mask logits, which are compared themselves; and
such pixels do not count in the IoU of masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vclr.catalog.exports import INSIDE
from vclr.device import float32_precision
from vclr.export.exported import Exported, stretch
from vclr.export.graph import detect
from vclr.models.detector import Detector
from vclr.models.postprocess import postprocess, score_queries
from vclr.ops.boxes import cxcywh_to_xyxy
from vclr.structures import MaskForm, Outputs, Predictions, Size

TOLERANCE = 1e-4  # of outputs, relative to the largest value of each
MIN_MASK_IOU = 0.999
SAME = 1e-3  # of scores, and of boxes relative to the image's longer side, between equal detections
TIE = 1e-5  # between scores: closer to the last score that is considered, a detection may fall on either side
BATCHES = (1, 2)


@dataclass
class BatchParity:
    """How a file and its detector agree on one batch.

    Attributes:
        batch: number of images.
        size: (height, width) of the images.
        errors: per output, the largest difference, relative to the largest value.
        reranked: number of queries that start from another cell than in the detector.
        rank_error: how far the logits of the chosen cells are out of order, relative to the largest logit.
        detections: number of objects that the detector finds.
        unmatched: number of objects that only one of the two finds.
        mask_iou: the lowest IoU of the masks of an object that both find; 1 without objects.
    """

    batch: int
    size: Size
    errors: dict[str, float]
    reranked: int
    rank_error: float
    detections: int
    unmatched: int
    mask_iou: float

    @property
    def holds(self) -> bool:
        """Whether the file does what the detector does."""
        errors = [*self.errors.values(), self.rank_error]
        return max(errors) <= TOLERANCE and self.unmatched == 0 and self.mask_iou >= MIN_MASK_IOU

    def describe(self) -> str:
        """Return one line."""
        worst = max(self.errors, key=lambda name: self.errors[name])
        reranked = f", {self.reranked} queries reranked within {self.rank_error:.0e}" if self.reranked else ""
        return (
            f"{self.batch} x {self.size[0]}x{self.size[1]}: error {self.errors[worst]:.1e} ({worst}){reranked}, "
            f"{self.detections} detections, {self.unmatched} differ, lowest mask IoU {self.mask_iou:.5f}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"size": list(self.size), "holds": self.holds}


def check_parity(detector: Detector, exported: Exported, photos: Sequence[np.ndarray]) -> list[BatchParity]:
    """Run both on all photos (h, w, 3) uint8 RGB, in batches of each of the sizes and numbers of images.

    There are three sizes, and one and two images, if neither is fixed.
    """
    about = exported.about
    sizes = [about.size] if about.size else choose_sizes(about.short_edge, about.min_side)
    cases = [(size, batch) for size in sizes for batch in ([about.batch] if about.batch else BATCHES)]
    cases *= -(-len(photos) // sum(batch for _, batch in cases))
    waiting = cycle(photos)
    return [
        compare_batch(detector, exported, np.stack([stretch(next(waiting), size) for _ in range(batch)]))
        for size, batch in cases
    ]


def choose_sizes(short_edge: int, min_side: int) -> list[Size]:
    """Return three sizes of different proportions: the largest has the shorter side of evaluation, up to 480 pixels."""
    base = min(short_edge, 480)
    sides = [max(min_side, round(base * share)) for share in (0.6, 0.8, 1.0)]
    return [(sides[0], sides[0]), (round(sides[1] * 1.5), sides[1] + 1), (sides[2], round(sides[2] * 4 / 3))]


@torch.no_grad()
@float32_precision(tf32=False)
def compare_batch(detector: Detector, exported: Exported, pixels: np.ndarray) -> BatchParity:
    """Compare on images (b, 3, h, w) uint8 RGB."""
    about, device = exported.about, detector.pixel_mean.device
    theirs = exported.run(pixels)
    images = (torch.from_numpy(pixels).to(device).float() - detector.pixel_mean) / detector.pixel_std
    stage: list[Tensor] = []
    hook = detector.proposal_stage.register_forward_hook(lambda module, inputs, found: stage.append(found.logits))
    try:
        outputs, cells = detect(detector, images)
        own_logits = stage[-1].amax(-1)
        their_cells = torch.from_numpy(theirs["cells"]).to(device)
        moved = cells != their_cells
        rank_error = 0.0
        if moved.any():
            outputs, _ = detect(detector, images, their_cells)
            # In the same order up to rounding, the two lists hold the same logits up to rounding.
            rank_error = _relative(stage[-1].amax(-1), own_logits)
    finally:
        hook.remove()
    height, width = pixels.shape[2:]
    sizes = [(height, width)] * len(pixels)
    ours = postprocess(outputs, sizes, about.max_detections, about.nms_threshold, MaskForm.PAINTED)
    pairs = [
        match_detections(one, other, (height, width), partial(_undecided_pixels, outputs, image, one))
        for image, (one, other) in enumerate(zip(ours, exported.interpret(theirs, sizes), strict=True))
    ]
    return BatchParity(
        batch=len(pixels),
        size=(height, width),
        errors=_compare_outputs(outputs, theirs, about.processing),
        reranked=int(moved.sum()),
        rank_error=rank_error,
        detections=sum(map(len, ours)),
        unmatched=sum(unmatched for unmatched, _ in pairs),
        mask_iou=min(iou for _, iou in pairs),
    )


def _compare_outputs(outputs: Outputs, theirs: dict[str, np.ndarray], processing: str) -> dict[str, float]:
    """Return the relative error of each output that holds numbers."""
    assert outputs.mask_embeds is not None and isinstance(outputs.mask_features, Tensor)
    if processing == INSIDE:
        device = outputs.pred_logits.device
        queries, masks = (torch.from_numpy(theirs[name]).to(device) for name in ("queries", "mask_logits"))
        ours = _of_queries(outputs, queries, masks)
    else:
        names = ("pred_logits", "pred_boxes", "mask_embeds", "mask_features")
        ours = {name: getattr(outputs, name) for name in names}
    return {name: _relative(torch.from_numpy(theirs[name]), own.cpu()) for name, own in ours.items()}


def _of_queries(outputs: Outputs, queries: Tensor, their_masks: Tensor) -> dict[str, Tensor]:
    """Return scores, boxes and mask logits of queries (b, k), in the form of the graph; scores are of their masks."""
    found: dict[str, list[Tensor]] = {"scores": [], "boxes": [], "mask_logits": []}
    assert outputs.mask_embeds is not None and outputs.mask_features is not None
    for image, own in enumerate(queries):
        mask_logits = torch.einsum("qe,ehw->qhw", outputs.mask_embeds[image][own], outputs.mask_features[image])
        found["scores"].append(score_queries(outputs.pred_logits[image][own], their_masks[image]))
        found["boxes"].append(cxcywh_to_xyxy(outputs.pred_boxes[image][own]).clamp(0, 1))
        found["mask_logits"].append(mask_logits)
    return {name: torch.stack(tensors) for name, tensors in found.items()}


def _relative(theirs: Tensor, ours: Tensor) -> float:
    """Return the largest difference, relative to the largest value; infinite if one has numbers that are not finite."""
    difference = float((theirs - ours).abs().max() / ours.abs().max().clamp(min=1e-12))
    return difference if np.isfinite(difference) else float("inf")


def _undecided_pixels(outputs: Outputs, image: int, found: Predictions, number: int) -> np.ndarray:
    """Return the pixels (h, w) bool of an object whose mask logit is zero up to the tolerance."""
    assert found.queries is not None and outputs.mask_embeds is not None and outputs.mask_features is not None
    embed, features = outputs.mask_embeds[image, int(found.queries[number])], outputs.mask_features[image]
    logits = torch.einsum("e,ehw->hw", embed, features)
    size = found.masks.shape[1:]
    painted = functional.interpolate(logits[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    return (painted.abs() <= TOLERANCE * logits.abs().max()).cpu().numpy()


def match_detections(
    ours: Predictions, theirs: Predictions, size: Size, undecided: Callable[[int], np.ndarray] | None = None
) -> tuple[int, float]:
    """Pair equal detections; return the number of those without a partner, and the lowest IoU of masks of a pair.

    `undecided` returns pixels (h, w) of our object of a number that do not count; it is asked if the masks differ.
    """
    if not len(ours) or not len(theirs):
        return len(ours) + len(theirs), 1.0
    distance = np.abs(ours.boxes[:, None] - theirs.boxes[None]).max(-1) / max(size)
    distance = np.maximum(distance, np.abs(ours.scores[:, None] - theirs.scores[None]))
    pairs: list[tuple[int, int]] = []
    lowest = 1.0
    for place in np.argsort(distance, axis=None, kind="stable").tolist():
        one, other = divmod(place, len(theirs))
        if distance[one, other] > SAME:
            break
        if any(one == mine or other == yours for mine, yours in pairs):
            continue
        pairs.append((one, other))
        first, second = ours.masks[one], theirs.masks[other]
        if undecided and (first != second).any():
            decided = ~undecided(one)
            first, second = first & decided, second & decided
        lowest = min(lowest, _mask_iou(first, second))
    cut = min(ours.scores.min(), theirs.scores.min()) + TIE
    alone = [ours.scores[one] for one in set(range(len(ours))) - {one for one, _ in pairs}]
    alone += [theirs.scores[other] for other in set(range(len(theirs))) - {other for _, other in pairs}]
    return sum(bool(score > cut) for score in alone), lowest


def _mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0
