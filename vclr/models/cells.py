"""Properties of the cells that depend on sizes alone: centers, padding, proposals, positions.

Sizes repeat from batch to batch and from layer to layer, so everything is made once per device
(`vclr.ops.constants.constant`). Letters: b image, l level, s position of all levels flattened.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vclr.models.position import embed_sides
from vclr.ops.constants import constant, upload
from vclr.structures import Size

Shapes = tuple[Size, ...]  # (height, width) of each level
ValidSizes = tuple[tuple[Size, ...], ...]  # per level and image: the part that is not padded


def padding_mask(sizes: tuple[Size, ...], padded_size: Size, device: torch.device) -> Tensor:
    """Return (b, h, w) bool, True where an image of each of the sizes is padded to `padded_size`."""
    heights, widths = upload(sizes, device).T
    rows = torch.arange(padded_size[0], device=device) >= heights[:, None]
    columns = torch.arange(padded_size[1], device=device) >= widths[:, None]
    return rows[:, :, None] | columns[:, None]


@constant
def padded_cells(shapes: Shapes, valid_sizes: ValidSizes, device: torch.device) -> Tensor:
    """Return (b, s) bool, True where a cell is padding."""
    masks = [padding_mask(sizes, shape, device) for sizes, shape in zip(valid_sizes, shapes, strict=True)]
    return torch.cat([mask.flatten(1) for mask in masks], 1)


@constant
def valid_ratios(shapes: Shapes, valid_sizes: ValidSizes, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return (b, l, 2): the share of each level's width and height that is not padded."""
    ratios = [
        [(width / shape[1], height / shape[0]) for height, width in sizes]
        for sizes, shape in zip(valid_sizes, shapes, strict=True)
    ]
    return upload(ratios, device, dtype).transpose(0, 1)


@constant
def reference_points(shapes: Shapes, valid_sizes: ValidSizes, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the cell centers (b, s, l, 2) as (x, y), normalized over the padded map of each level that reads."""
    ratios = valid_ratios(shapes, valid_sizes, device, dtype)
    centers = []
    for level, (height, width) in enumerate(shapes):
        scale = ratios[:, level, None] * upload((width, height), device, dtype)
        centers.append(_cell_centers(height, width, device, dtype) / scale)
    return torch.cat(centers, 1)[:, :, None] * ratios[:, None]


@constant
def proposals(
    shapes: Shapes, valid_sizes: ValidSizes, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return one box per cell, as logits of normalized cxcywh, and which of them are usable.

    The side is 0.05 times 2 to the power of the level. Padded cells, and boxes whose center or size is outside
    (0.01, 0.99), are infinite.

    Returns:
        (b, s, 4) logits and (b, s) bool.
    """
    boxes = []
    for level, ((height, width), sizes) in enumerate(zip(shapes, valid_sizes, strict=True)):
        valid_size = upload(sizes, device, dtype).flip(-1)
        centers = _cell_centers(height, width, device, dtype) / valid_size[:, None]
        boxes.append(torch.cat([centers, torch.full_like(centers, 0.05 * 2.0**level)], -1))
    normalized = torch.cat(boxes, 1)
    usable = ((normalized > 0.01) & (normalized < 0.99)).all(-1) & ~padded_cells(shapes, valid_sizes, device)
    logits = torch.log(normalized / (1 - normalized))
    return logits.masked_fill(~usable[..., None], float("inf")), usable


@constant
def level_sides(shapes: Shapes, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the width and height (l, 2) of the levels."""
    return upload([(width, height) for height, width in shapes], device, dtype)


def positions(shapes: Shapes, embed_dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the sine embedding (1, s, d) of the cells if nothing is padded."""
    levels = []
    for height, width in shapes:
        rows, columns = (_embed_side(side, embed_dim // 2, device, dtype) for side in (height, width))
        size = (height, width, -1)
        levels.append(torch.cat([rows[:, None].expand(size), columns[None].expand(size)], -1).flatten(0, 1))
    return torch.cat(levels)[None]


@constant
def _embed_side(num_cells: int, num_features: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Embed the cells of a side without padding, (n, num_features). Sides are small, so they are kept; maps are not."""
    return embed_sides(torch.arange(1, num_cells + 1, dtype=dtype, device=device), num_features)


def _cell_centers(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the cell centers (height * width, 2) as (x, y), in cells."""
    ys = torch.arange(height, dtype=dtype, device=device) + 0.5
    xs = torch.arange(width, dtype=dtype, device=device) + 0.5
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)
