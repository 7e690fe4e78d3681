"""The feature levels flattened to one sequence, and what padding does to their coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vclr.models.position import embed_cells
from vclr.structures import Size


@dataclass
class Levels:
    """All levels of a batch as one sequence.

    Attributes:
        features: (b, s, d), finest level first.
        positions: (b, s, d) sine embedding of the cell centers (without the level embedding).
        padding_mask: (b, s) True where padded.
        spatial_shapes: (height, width) of each level.
        valid_sizes: for each level the (height, width) of each image's part that is not padded.
        valid_ratios: (b, l, 2) share of each level's width and height that is not padded.
        pads_like_reference: padding leaks into what is computed, as it does in the reference (`compat.padding`).
    """

    features: Tensor
    positions: Tensor
    padding_mask: Tensor
    spatial_shapes: list[Size]
    valid_sizes: list[list[Size]]
    valid_ratios: Tensor
    pads_like_reference: bool

    def reference_points(self) -> Tensor:
        """Return the cell centers (b, s, l, 2) as (x, y), normalized over the padded map of each level that reads."""
        centers = []
        for level, (height, width) in enumerate(self.spatial_shapes):
            ys, xs = _cell_centers(height, width, self.features.device)
            scale = self.valid_ratios[:, level, None] * torch.tensor([width, height], device=xs.device)
            centers.append(torch.stack([xs, ys], -1).flatten(0, 1) / scale)
        return torch.cat(centers, 1)[:, :, None] * self.valid_ratios[:, None]

    def proposals(self) -> tuple[Tensor, Tensor]:
        """Return one box a cell, as logits of normalized cxcywh, and which may be used.

        The side is 0.05 times 2 to the level. Boxes whose center or size is not in (0.01, 0.99), and padded cells, are
        infinite.

        Returns:
            (b, s, 4) logits and (b, s) bool.
        """
        boxes = []
        for level, ((height, width), sizes) in enumerate(zip(self.spatial_shapes, self.valid_sizes, strict=True)):
            ys, xs = _cell_centers(height, width, self.features.device)
            valid_size = torch.tensor(sizes, dtype=torch.float32, device=xs.device).flip(-1)
            centers = torch.stack([xs, ys], -1).flatten(0, 1) / valid_size[:, None]
            boxes.append(torch.cat([centers, torch.full_like(centers, 0.05 * 2.0**level)], -1))
        proposals = torch.cat(boxes, 1)
        usable = ((proposals > 0.01) & (proposals < 0.99)).all(-1) & ~self.padding_mask
        logits = torch.log(proposals / (1 - proposals))
        return logits.masked_fill(~usable[..., None], float("inf")), usable

    def split(self, sequence: Tensor) -> list[Tensor]:
        """Turn a sequence (b, s, d) into one (b, d, h, w) map a level."""
        parts = sequence.split([height * width for height, width in self.spatial_shapes], dim=1)
        shapes = zip(parts, self.spatial_shapes, strict=True)
        return [part.transpose(1, 2).unflatten(2, shape) for part, shape in shapes]


def flatten_levels(maps: list[Tensor]) -> Levels:
    """Flatten one (b, d, h, w) map a level, finest first, of images of one size: nothing is padded."""
    return _flatten(maps, [[_size(level_map)] * len(level_map) for level_map in maps], pads_like_reference=False)


def join_levels(parts: list[Levels], sequences: list[Tensor]) -> tuple[Levels, Tensor]:
    """Join parts of a batch; where their sizes differ, each level is padded bottom and right with zeros.

    Args:
        parts: the levels of images of one size each, or of parts of one padded batch.
        sequences: (n, s, d) of each part.

    Returns:
        The levels of the batch and the sequences (b, s, d).
    """
    if len(parts) == 1:
        return parts[0], sequences[0]
    levels = list(zip(*(part.split(sequence) for part, sequence in zip(parts, sequences, strict=True)), strict=True))
    sizes = [
        [size for of_part in level for size in of_part] for level in zip(*(p.valid_sizes for p in parts), strict=True)
    ]
    joined = _flatten([_pad(level) for level in levels], sizes, parts[0].pads_like_reference)
    return joined, joined.features


def flatten_padded_levels(maps: list[Tensor], image_sizes: list[Size], padded_size: Size) -> Levels:
    """Flatten the (b, d, h, w) maps of a padded batch as the reference does: the mask of each level is the images' own,
    resized to the nearest cell.
    """
    sizes = [
        [
            (
                _nearest_cells(h, padded_size[0], _size(level_map)[0]),
                _nearest_cells(w, padded_size[1], _size(level_map)[1]),
            )
            for h, w in image_sizes
        ]
        for level_map in maps
    ]
    return _flatten(maps, sizes, pads_like_reference=True)


def _flatten(maps: list[Tensor], valid_sizes: list[list[Size]], pads_like_reference: bool) -> Levels:
    masks = [
        padding_mask(sizes, _size(level_map), level_map.device)
        for level_map, sizes in zip(maps, valid_sizes, strict=True)
    ]
    ratios = [
        [(width / level_map.shape[3], height / level_map.shape[2]) for height, width in sizes]
        for level_map, sizes in zip(maps, valid_sizes, strict=True)
    ]
    return Levels(
        features=torch.cat([level_map.flatten(2).transpose(1, 2) for level_map in maps], 1),
        positions=torch.cat([embed_cells(mask, maps[0].shape[1]).flatten(1, 2) for mask in masks], 1),
        padding_mask=torch.cat([mask.flatten(1) for mask in masks], 1),
        spatial_shapes=[_size(level_map) for level_map in maps],
        valid_sizes=valid_sizes,
        valid_ratios=torch.tensor(ratios, dtype=torch.float32, device=maps[0].device).transpose(0, 1),
        pads_like_reference=pads_like_reference,
    )


def padding_mask(sizes: list[Size], padded_size: Size, device: torch.device) -> Tensor:
    """Return (b, h, w) bool, True where an image of one of the sizes is padded to `padded_size`."""
    heights, widths = torch.tensor(sizes, device=device).T
    rows = torch.arange(padded_size[0], device=device) >= heights[:, None]
    columns = torch.arange(padded_size[1], device=device) >= widths[:, None]
    return rows[:, :, None] | columns[:, None]


def _pad(maps: Sequence[Tensor]) -> Tensor:
    """Join (n, d, h, w) maps of different sizes to one batch, padded bottom and right with zeros."""
    height, width = (max(level_map.shape[axis] for level_map in maps) for axis in (2, 3))
    return torch.cat([functional.pad(m, (0, width - m.shape[3], 0, height - m.shape[2])) for m in maps])


def _nearest_cells(valid_side: int, padded_side: int, num_cells: int) -> int:
    """Return how many of a side's cells have a nearest pixel (to their left) that is not padding."""
    return -(-valid_side * num_cells // padded_side)


def _size(level_map: Tensor) -> Size:
    return level_map.shape[2], level_map.shape[3]


def _cell_centers(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the y and x (height, width) of the cell centers, in cells."""
    ys = torch.arange(height, dtype=torch.float32, device=device) + 0.5
    xs = torch.arange(width, dtype=torch.float32, device=device) + 0.5
    return torch.meshgrid(ys, xs, indexing="ij")  # type: ignore[return-value]
