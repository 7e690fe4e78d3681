"""From the detector's outputs to the objects of an image, in its own pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vclr.ops.boxes import cxcywh_to_xyxy, inverse_sigmoid
from vclr.ops.nms import nms
from vclr.structures import Outputs, Predictions


@torch.no_grad()
def postprocess(
    outputs: Outputs,
    input_sizes: list[tuple[int, int]],
    padded_size: tuple[int, int],
    original_sizes: list[tuple[int, int]],
    max_detections: int,
    nms_threshold: float,
) -> list[Predictions]:
    """Turn outputs into predictions, one for each image.

    Args:
        outputs: of a batch, with masks.
        input_sizes: (height, width) of each image as it entered the model, without padding.
        padded_size: (height, width) of the batch.
        original_sizes: (height, width) of each image on disk.
        max_detections: queries that are looked at, by score.
        nms_threshold: IoU above which the worse of two boxes goes.
    """
    assert outputs.mask_embeds is not None and outputs.mask_features is not None
    mask_logits = torch.einsum("bqe,behw->bqhw", outputs.mask_embeds, outputs.mask_features).float()
    scores = score_queries(outputs.pred_logits.float(), mask_logits)
    results = []
    for index, (input_size, original_size) in enumerate(zip(input_sizes, original_sizes, strict=True)):
        top_scores, top = scores[index].topk(min(max_detections, scores.shape[1]))
        boxes = cxcywh_to_xyxy(outputs.pred_boxes[index, top].float())
        kept = nms(boxes, top_scores, nms_threshold)
        height, width = original_size
        scale = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
        boxes = (boxes[kept] * scale).clamp(min=0).minimum(scale)
        # Boxes that clipping emptied go, together with their masks.
        has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        kept, boxes = kept[has_area], boxes[has_area]
        masks = resize_masks(mask_logits[index, top[kept]], input_size, padded_size, original_size)
        results.append(
            Predictions(
                boxes=boxes.cpu().numpy(), scores=top_scores[kept].cpu().numpy(), masks=(masks > 0).cpu().numpy()
            )
        )
    return results


def score_queries(logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Return scores (b, q): the geometric mean of class probability and mean mask probability inside the mask.

    Args:
        logits: (b, q, 1) class logits.
        mask_logits: (b, q, h, w).
    """
    inside = (mask_logits > 0).float()
    mask_scores = (mask_logits.sigmoid() * inside).sum((-2, -1)) / (inside.sum((-2, -1)) + 1e-10)
    scores = (logits[..., 0].sigmoid() * mask_scores).sqrt()
    # The reference passes scores through a clamped logit: empty masks tie at the bottom.
    return inverse_sigmoid(scores).sigmoid()


def resize_masks(
    mask_logits: Tensor, input_size: tuple[int, int], padded_size: tuple[int, int], original_size: tuple[int, int]
) -> Tensor:
    """Resize mask logits (n, h, w) to the original image, bilinear, without the padded part.

    Where the batch has no padding this is one resize from the finest level straight to the original size.
    """
    if len(mask_logits) == 0:
        return mask_logits.new_zeros((0, *original_size))
    if input_size != padded_size:
        # Cells that hold only padding are cut off, so that each image gets what it would get alone.
        rows, columns = map(_count_cells, mask_logits.shape[-2:], input_size, padded_size)
        mask_logits = mask_logits[:, :rows, :columns]
    return functional.interpolate(mask_logits[None], size=original_size, mode="bilinear", align_corners=False)[0]


def _count_cells(num_cells: int, input_side: int, padded_side: int) -> int:
    """Return how many of a padded side's cells the image itself reaches; a cell's side is a power of two."""
    cell_side = 1 << (-(-padded_side // num_cells) - 1).bit_length()
    return -(-input_side // cell_side)
