"""The operators of torchvision that detectron2 calls, for a torch without CUDA beside a torchvision with CUDA.

`tests/interop/detectron2_build.py` copies this file into that torchvision.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vclr.ops.nms import nms

MAX_POINTS = 1 << 17  # read at once


def define_nms() -> torch.library.Library:
    """Define the operators that must exist when torchvision is imported; they last as long as the result."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):  # the second one, of quantized boxes, is only named
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CompositeExplicitAutograd")
    return library


def roi_align(
    features: Tensor, rois: Tensor, scale: float, height: int, width: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Return the mean of bilinear samples in each cell of each region: (k, c, height, width).

    Args:
        features: (b, c, h, w).
        rois: (k, 5) index in the batch and xyxy box.
        scale: cells of the features per unit of the boxes.
        height: rows of the result.
        width: columns of the result.
        sampling_ratio: samples per cell and direction; 0 for one per cell of the features.
        aligned: whether pixels are squares around half coordinates (else a box is at least one cell large).
    """
    num_channels, rows, columns = features.shape[1:]
    boxes = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    extent = boxes[:, 2:] - boxes[:, :2]
    extent = extent if aligned else extent.clamp(min=1.0)
    cells = extent / extent.new_tensor([width, height])  # of the result, in cells of the features
    counts = (
        cells.detach().ceil().long().clamp(min=1)
        if sampling_ratio <= 0
        else torch.full_like(cells, sampling_ratio).long()
    )
    pooled = features.new_zeros((len(rois), num_channels, height, width))
    kinds = torch.cat([rois[:, :1].long(), counts], 1)
    for image, across, down in kinds.unique(dim=0).tolist():
        group = (kinds == kinds.new_tensor([image, across, down])).all(1).nonzero()[:, 0]
        for some in group.split(max(1, MAX_POINTS // (height * width * across * down))):
            x = _positions(boxes[some, 0], cells[some, 0], width, across)
            y = _positions(boxes[some, 1], cells[some, 1], height, down)
            inside = ((y >= -1) & (y <= rows))[:, :, None] & ((x >= -1) & (x <= columns))[:, None]
            grid = torch.stack(
                [
                    (2 * x / max(columns - 1, 1) - 1)[:, None].expand(-1, y.shape[1], -1),
                    (2 * y / max(rows - 1, 1) - 1)[:, :, None].expand(-1, -1, x.shape[1]),
                ],
                -1,
            )
            sampled = functional.grid_sample(
                features[image : image + 1],
                grid.flatten(0, 1)[None],
                padding_mode="border",
                align_corners=True,
            )
            sampled = sampled[0].unflatten(1, (len(some), -1)) * inside
            means = sampled.unflatten(3, (width, across)).unflatten(2, (height, down)).mean((3, 5))
            pooled = pooled.index_put((some,), means.transpose(0, 1))
    return pooled


def _positions(start: Tensor, cell: Tensor, num_cells: int, samples: int) -> Tensor:
    """Return the coordinates (k, num_cells * samples) of the samples in one direction."""
    offsets = (torch.arange(num_cells * samples, dtype=start.dtype, device=start.device) + 0.5) / samples
    return start[:, None] + offsets * cell[:, None]
