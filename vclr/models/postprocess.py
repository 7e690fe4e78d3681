"""From the detector's outputs to the objects of an image, in its own pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vclr.coco.annotations import Json, encode_mask, encode_run_lengths
from vclr.models.detectron2_model import Detectron2Outputs
from vclr.ops.boxes import cxcywh_to_xyxy, inverse_sigmoid
from vclr.ops.nms import nms
from vclr.ops.run_lengths import run_lengths
from vclr.structures import MaskForm, Outputs, Predictions, Size

MAX_PIXELS = 1 << 25  # of the masks that are encoded together


@torch.no_grad()
def postprocess(
    outputs: Outputs | Detectron2Outputs,
    original_sizes: list[Size],
    max_detections: int,
    nms_threshold: float,
    form: MaskForm = MaskForm.PAINTED,
) -> list[Predictions]:
    """Turn outputs into one `Predictions` per image.

    Args:
        outputs: the detector's outputs for a batch, with masks; or those of a model of detectron2.
        original_sizes: (height, width) of each image on disk.
        max_detections: how many queries are considered, best first.
        nms_threshold: IoU above which the worse of two boxes is dropped.
        form: of the masks. Scores depend on mask logits in any case.
    """
    if isinstance(outputs, Detectron2Outputs):
        return outputs.search(original_sizes, max_detections, nms_threshold, form)
    assert outputs.mask_embeds is not None and outputs.mask_features is not None
    results = []
    images = zip(
        outputs.pred_logits, outputs.pred_boxes, outputs.mask_embeds, outputs.mask_features, original_sizes, strict=True
    )
    for logits, pred_boxes, mask_embeds, mask_features, original_size in images:
        mask_logits = torch.einsum("qe,ehw->qhw", mask_embeds, mask_features).float()
        scores = score_queries(logits.float(), mask_logits)
        top_scores, top = scores.topk(min(max_detections, len(scores)))
        boxes = cxcywh_to_xyxy(pred_boxes[top].float())
        kept = nms(boxes, top_scores, nms_threshold)
        height, width = original_size
        scale = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
        boxes = (boxes[kept] * scale).clamp(min=0).minimum(scale)
        # Boxes that clipping emptied are dropped together with their masks.
        has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        kept, boxes = kept[has_area], boxes[has_area]
        masks, encoded = np.zeros((len(kept), 0, 0), bool), None
        if form is MaskForm.PAINTED:
            masks = paint_masks(mask_logits[top[kept]], original_size).cpu().numpy()
        elif form is MaskForm.ENCODED:
            encoded = encode_masks(mask_logits[top[kept]], original_size)
        queries = top[kept].cpu().numpy()
        results.append(Predictions(boxes.cpu().numpy(), top_scores[kept].cpu().numpy(), masks, encoded, queries))
    return results


def score_queries(logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Return scores (q,) from class logits (q, 1) and mask logits (q, h, w).

    A score is the geometric mean of the class probability and the mean mask probability inside the mask.
    """
    inside = (mask_logits > 0).float()
    # The reference adds 1e-10 to the area, which is the same; but torch's ONNX exporter takes that for zero.
    mask_scores = (mask_logits.sigmoid() * inside).sum((-2, -1)) / inside.sum((-2, -1)).clamp(min=1)
    scores = (logits[..., 0].sigmoid() * mask_scores).sqrt()
    # The reference passes scores through a clamped logit: empty masks tie at the bottom.
    return inverse_sigmoid(scores).sigmoid()


def paint_masks(mask_logits: Tensor, size: Size) -> Tensor:
    """Resize mask logits (n, h, w) of the finest level to the original `size`, bilinear, and threshold them to bool."""
    masks = torch.zeros((len(mask_logits), *size), dtype=torch.bool, device=mask_logits.device)
    for mask, logits in zip(masks, mask_logits, strict=True):  # one at a time: a large photo has large masks
        mask.copy_(
            functional.interpolate(logits[None, None], size=size, mode="bilinear", align_corners=False)[0, 0] > 0
        )
    return masks


def encode_masks(mask_logits: Tensor, size: Size) -> list[Json]:
    """Return what `paint_masks` paints as compressed RLE. Few masks are in memory at a time, and none leaves a GPU."""
    encoded: list[Json] = []
    for some in mask_logits.split(max(1, MAX_PIXELS // (size[0] * size[1]))):
        masks = paint_masks(some, size)
        if masks.device.type == "cpu":
            encoded += map(encode_mask, masks.numpy())
        else:
            encoded += [encode_run_lengths(lengths, *size) for lengths in run_lengths(masks)]
    return encoded
