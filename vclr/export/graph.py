"""The graphs that are exported: the detector with its processing inside, or beside.

All images of a batch have one size (h, w), without padding. Photos are resized before the graph, and masks after it.

Processing inside: the input `images` is (b, 3, h, w) uint8 RGB. Outputs, best detections first:

- `scores` (b, k);
- `boxes` (b, k, 4) xyxy normalized, clipped to the image;
- `kept` (b, k) bool, False for boxes that are suppressed or empty;
- `mask_logits` (b, k, h', w') of the finest level: resized to the photo, a mask is where they are above 0;
- `queries` (b, k) int64, the detections' queries;
- `cells` (b, q) int64, the cells of the memory that the queries start from.

Processing beside: `images` is float32 RGB, minus the mean, divided by the deviation. Outputs are `pred_logits`,
`pred_boxes`, `mask_embeds` and `mask_features` as in `vclr.structures.Outputs`, and `cells`.
"""

from __future__ import annotations

from torch import Tensor, nn

from vclr.catalog.exports import INSIDE
from vclr.export.suppression import keep_best
from vclr.models.detector import Detector
from vclr.models.postprocess import score_queries
from vclr.models.two_stage import TopkProposals
from vclr.ops.boxes import cxcywh_to_xyxy
from vclr.structures import Outputs


class RawGraph(nn.Module):
    """The detector alone."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map normalized images to raw outputs."""
        outputs, cells = detect(self.detector, images)
        assert outputs.mask_embeds is not None and isinstance(outputs.mask_features, Tensor)
        return outputs.pred_logits, outputs.pred_boxes, outputs.mask_embeds, outputs.mask_features, cells


class ProcessedGraph(nn.Module):
    """The detector with normalization before it, and scores, choice and suppression after it."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images to detections."""
        detector, config = self.detector, self.detector.config
        outputs, cells = detect(detector, (images.float() - detector.pixel_mean) / detector.pixel_std)
        return *choose(outputs, config.select_box_nums_for_evaluation, config.nms_thresh), cells


def build_graph(detector: Detector, processing: str) -> nn.Module:
    """Return the graph of a detector, in evaluation mode."""
    return (ProcessedGraph if processing == INSIDE else RawGraph)(detector).eval()


def detect(detector: Detector, images: Tensor, chosen: Tensor | None = None) -> tuple[Outputs, Tensor]:
    """Return the outputs for normalized images of one size, and the cells (b, q) that the queries start from.

    `chosen` are cells to start from instead.
    """
    cells: list[Tensor] = []

    def impose(stage: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
        return inputs if chosen is None else (*inputs, [chosen])

    def observe(stage: nn.Module, inputs: tuple[object, ...], found: TopkProposals) -> None:
        cells.append(found.cells)

    stage = detector.proposal_stage
    hooks = stage.register_forward_pre_hook(impose), stage.register_forward_hook(observe)
    try:
        return detector(images, None), cells[0]
    finally:
        for hook in hooks:
            hook.remove()


def choose(outputs: Outputs, max_detections: int, nms_threshold: float) -> tuple[Tensor, ...]:
    """Do what `vclr.models.postprocess.postprocess` does up to the masks, for a batch of images of one size.

    Returns:
        scores, boxes, kept, mask_logits and queries; k is at most `max_detections`.
    """
    assert outputs.mask_embeds is not None and isinstance(outputs.mask_features, Tensor)
    features = outputs.mask_features
    mask_logits = (outputs.mask_embeds @ features.flatten(2)).unflatten(2, features.shape[2:])
    scores = score_queries(outputs.pred_logits, mask_logits)
    scores, best = scores.topk(min(max_detections, scores.shape[1]), dim=1)
    boxes = cxcywh_to_xyxy(outputs.pred_boxes.gather(1, best[..., None].expand(-1, -1, 4)))
    kept = keep_best(boxes, nms_threshold)
    boxes = boxes.clamp(0, 1)
    kept = kept & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    chosen = best[..., None, None].expand(-1, -1, features.shape[2], features.shape[3])
    return scores, boxes, kept, mask_logits.gather(1, chosen), best
