"""The feature levels of a batch as one sequence, split and joined."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vclr.models import cells
from vclr.models.position import embed_cells
from vclr.structures import Size, padded_size


@dataclass
class Levels:
    """All levels of a batch as one sequence.

    Attributes:
        features: (b, s, d), finest level first.
        spatial_shapes: (height, width) of each level.
        valid_sizes: per level, the (height, width) of the part of each image that is not padded.
        pads_like_reference: padding leaks into what is computed, as it does in the reference (`compat.padding`).
    """

    features: Tensor
    spatial_shapes: cells.Shapes
    valid_sizes: cells.ValidSizes
    pads_like_reference: bool = False

    @property
    def is_padded(self) -> bool:
        """Whether any image is smaller than the batch."""
        return any(size != shape for shape, sizes in self._by_level() for size in sizes)

    @property
    def padding_mask(self) -> Tensor | None:
        """(b, s) bool, True where padded; None if nothing is."""
        return cells.padded_cells(*self._sizes(), self.features.device) if self.is_padded else None

    @property
    def valid_ratios(self) -> Tensor:
        """(b, l, 2) share of each level's width and height that is not padded; b is 1 if nothing is padded."""
        return cells.valid_ratios(*self._sizes(), self.features.device, torch.float32)

    def positions(self) -> Tensor:
        """Return the sine embedding (b, s, d) of the cell centers, without the level embedding; b as above."""
        device, embed_dim = self.features.device, self.features.shape[-1]
        if not self.is_padded:
            return cells.positions(self.spatial_shapes, embed_dim, device, torch.float32)
        masks = [cells.padding_mask(sizes, shape, device) for shape, sizes in self._by_level()]
        return torch.cat([embed_cells(mask, embed_dim).flatten(1, 2) for mask in masks], 1)

    def reference_points(self) -> Tensor:
        """Return the cell centers (b, s, l, 2) as (x, y), normalized over the padded map of each level; b as above."""
        return cells.reference_points(*self._sizes(), self.features.device, torch.float32)

    def proposals(self) -> tuple[Tensor, Tensor]:
        """Return one box per cell (b, s, 4), and which are usable (b, s), as `cells.proposals` does; b as above."""
        return cells.proposals(*self._sizes(), self.features.device, torch.float32)

    def split(self) -> list[Tensor]:
        """Return the features as one (b, d, h, w) map per level."""
        return [level.permute(0, 3, 1, 2) for level in self._maps()]

    def padded_features(self, shapes: cells.Shapes) -> Tensor:
        """Return the features (b, s, d), each level padded with zeros, bottom and right, to another shape."""
        if shapes == self.spatial_shapes:
            return self.features
        padded = [
            functional.pad(level, (0, 0, 0, width - level.shape[2], 0, height - level.shape[1])).flatten(1, 2)
            for level, (height, width) in zip(self._maps(), shapes, strict=True)
        ]
        return torch.cat(padded, 1)

    def _maps(self) -> list[Tensor]:
        """View the features as one (b, h, w, d) map per level."""
        parts = self.features.split([height * width for height, width in self.spatial_shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.spatial_shapes, strict=True)]

    def _by_level(self) -> zip[tuple[Size, tuple[Size, ...]]]:
        return zip(self.spatial_shapes, self.valid_sizes, strict=True)

    def _sizes(self) -> tuple[cells.Shapes, cells.ValidSizes]:
        """Return the sizes that determine the cells of the batch; if nothing is padded, one image stands for all."""
        sizes = self.valid_sizes if self.is_padded else tuple((shape,) for shape in self.spatial_shapes)
        return self.spatial_shapes, sizes


def flatten_levels(maps: list[Tensor], num_sizes: int = 0) -> Levels:
    """Flatten one (b, d, h, w) map per level, finest first, of images of one size: nothing is padded.

    `num_sizes` is the number of images whose sizes are kept (default: all; 1 stands for all).
    """
    num_sizes = num_sizes or len(maps[0])
    return Levels(_flatten(maps), _shapes(maps), tuple((shape,) * num_sizes for shape in _shapes(maps)))


def flatten_padded_levels(maps: list[Tensor], image_sizes: list[Size], padded_size: Size) -> Levels:
    """Flatten the (b, d, h, w) maps of a padded batch as the reference does: the mask of each level is the images' own,
    resized to the nearest cell.
    """
    sizes = tuple(
        tuple(
            (_nearest_cells(h, padded_size[0], height), _nearest_cells(w, padded_size[1], width))
            for h, w in image_sizes
        )
        for height, width in _shapes(maps)
    )
    return Levels(_flatten(maps), _shapes(maps), sizes, pads_like_reference=True)


def join_levels(parts: list[Levels]) -> Levels:
    """Join the parts of a batch; if sizes differ, each level is padded, bottom and right."""
    if len(parts) == 1:
        return parts[0]
    shapes = tuple(padded_size(level) for level in zip(*(part.spatial_shapes for part in parts), strict=True))
    sizes = tuple(
        tuple(size for of_part in level for size in of_part)
        for level in zip(*(part.valid_sizes for part in parts), strict=True)
    )
    padded = [part.padded_features(shapes) for part in parts]
    return Levels(torch.cat(padded), shapes, sizes, parts[0].pads_like_reference)


def _flatten(maps: list[Tensor]) -> Tensor:
    return torch.cat([level_map.flatten(2).transpose(1, 2) for level_map in maps], 1)


def _shapes(maps: list[Tensor]) -> cells.Shapes:
    return tuple((level_map.shape[2], level_map.shape[3]) for level_map in maps)


def _nearest_cells(valid_side: int, padded_side: int, num_cells: int) -> int:
    """Return how many of a side's cells have a nearest pixel (to their left) that is not padding."""
    return -(-valid_side * num_cells // padded_side)
