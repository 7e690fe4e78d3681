"""Features of a photo's patches: the keys of the last attention of a self-supervised vision transformer.

Keys of DINO separate objects better than its other features (Wang et al., 2022; Wang et al., 2023). Only what they
depend on is computed: the forward pass ends at them, without the last attention and the last MLP.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from vclr.errors import UserError

GRID = 60  # patches along each side of a photo, whatever the size of a patch: 480 pixels of a ViT-S/8, as published
KEY_LAYERS = ("k_proj", "key")  # what models of transformers call the projection to keys
FIXED_POSITIONS = "interpolate_pos_encoding"  # the option of models whose position embeddings are of one size
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for models whose processor names none


class _Reached(Exception):  # noqa: N818  # it ends a forward pass, nothing is wrong
    def __init__(self, keys: torch.Tensor) -> None:
        super().__init__()
        self.keys = keys


class PatchKeys:
    """The keys of photos, each resized to a square of GRID x GRID patches."""

    def __init__(self, model: Any, processor: Any, name: str, batch_size: int, grid: int = GRID) -> None:
        """Prepare a model.

        Args:
            model: a vision transformer of transformers (ViT, DINOv2, DINOv3 and the like) on its device.
            processor: its image processor, of which mean and standard deviation of the colors are used.
            name: what errors call the model.
            batch_size: the number of photos per forward pass on a GPU.
            grid: patches along each side.

        Raises:
            UserError: the model has no attention keys, or no patches of one size.
        """
        layers = [layer for path, layer in model.named_modules() if path.rpartition(".")[2] in KEY_LAYERS]
        size = getattr(model.config, "patch_size", None)
        side = size[0] if isinstance(size, list | tuple) and len({*size}) == 1 else size
        if not layers or not isinstance(side, int):
            raise UserError(f"{name}: is no vision transformer with keys; name a DINO model, for example")
        layers[-1].register_forward_hook(_stop)
        self.model, self.batch_size, self.side = model, batch_size, grid * side
        self.grid = grid, grid
        colors = (getattr(processor, "image_mean", None) or MEAN, getattr(processor, "image_std", None) or STD)
        self.mean, self.std = (np.array(color, np.float32) for color in colors)
        is_fixed = FIXED_POSITIONS in inspect.signature(model.forward).parameters
        self.options = {FIXED_POSITIONS: True} if is_fixed else {}

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Return the (b, n, d) keys of (h, w, 3) uint8 photos, the patches in rows, in the model's precision."""
        pixels = torch.from_numpy(np.stack([self._prepare(image) for image in images]))
        pixels = pixels.to(self.model.device, self.model.dtype)
        if pixels.device.type == "cpu":  # a batch is no faster there, and one photo always has the same bits
            return torch.cat([self._keys(photo) for photo in pixels.split(1)])
        missing = self.batch_size - len(pixels)  # a full batch always has the same bits
        padded = torch.cat([pixels, pixels[:1].expand(missing, -1, -1, -1)]) if missing > 0 else pixels
        return self._keys(padded)[: len(pixels)]

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        """Resize a photo; return its normalized colors, (3, side, side) float32."""
        square = Image.fromarray(image).resize((self.side, self.side), Image.Resampling.LANCZOS)
        return ((np.asarray(square, np.float32) / 255 - self.mean) / self.std).transpose(2, 0, 1)

    def _keys(self, pixels: torch.Tensor) -> torch.Tensor:
        try:
            self.model(pixels, **self.options)
        except _Reached as reached:
            return reached.keys[:, -self.grid[0] * self.grid[1] :]  # class and register tokens come first
        raise AssertionError("the forward pass did not reach the keys")


def _stop(_: torch.nn.Module, __: Any, keys: torch.Tensor) -> None:
    raise _Reached(keys)
