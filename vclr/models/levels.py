"""The feature levels flattened to one sequence, and what padding does to their coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vclr.models.position import embed_cells


@dataclass
class Levels:
    """All levels of a batch as one sequence.

    Attributes:
        features: (b, s, d), finest level first.
        positions: (b, s, d) sine embedding of the cell centers (without the level embedding).
        padding_mask: (b, s) True where padded.
        spatial_shapes: (height, width) of each level.
        valid_ratios: (b, l, 2) share of each level's width and height that is not padded.
    """

    features: Tensor
    positions: Tensor
    padding_mask: Tensor
    spatial_shapes: list[tuple[int, int]]
    valid_ratios: Tensor

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
        for level, ((height, width), mask) in enumerate(zip(self.spatial_shapes, self._masks(), strict=True)):
            ys, xs = _cell_centers(height, width, self.features.device)
            valid_size = torch.stack([(~mask[:, 0]).sum(1), (~mask[:, :, 0]).sum(1)], -1)
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

    def _masks(self) -> list[Tensor]:
        parts = self.padding_mask.split([height * width for height, width in self.spatial_shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.spatial_shapes, strict=True)]


def flatten_levels(maps: list[Tensor], padding_mask: Tensor) -> Levels:
    """Flatten one (b, d, h, w) map a level; `padding_mask` (b, H, W) is that of the images."""
    masks = []
    for level_map in maps:
        resized = functional.interpolate(padding_mask[:, None].float(), size=level_map.shape[-2:])
        masks.append(resized[:, 0].bool())
    return Levels(
        features=torch.cat([level_map.flatten(2).transpose(1, 2) for level_map in maps], 1),
        positions=torch.cat([embed_cells(mask, maps[0].shape[1]).flatten(1, 2) for mask in masks], 1),
        padding_mask=torch.cat([mask.flatten(1) for mask in masks], 1),
        spatial_shapes=[(level_map.shape[2], level_map.shape[3]) for level_map in maps],
        valid_ratios=torch.stack([_valid_ratio(mask) for mask in masks], 1),
    )


def _valid_ratio(mask: Tensor) -> Tensor:
    """Return the (b, 2) share of width and height of a (b, h, w) padding mask that is not padded."""
    return torch.stack([(~mask[:, 0]).float().mean(1), (~mask[:, :, 0]).float().mean(1)], -1)


def _cell_centers(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the y and x (height, width) of the cell centers, in cells."""
    ys = torch.arange(height, dtype=torch.float32, device=device) + 0.5
    xs = torch.arange(width, dtype=torch.float32, device=device) + 0.5
    return torch.meshgrid(ys, xs, indexing="ij")  # type: ignore[return-value]
