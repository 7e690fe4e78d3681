"""Swin, ConvNeXt, ViT, DINOv2 and DINOv3 of transformers as backbones.

Hierarchical models give their last three stages. A plain vision transformer gives a simple feature pyramid on its last
map. Images are padded to multiples of the coarsest stride or of the patches, with zeros at the bottom and the right,
and the maps are cropped to the images. Position embeddings are interpolated.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from vclr.config import BackboneConfig
from vclr.errors import UsageError
from vclr.models.pyramid import SimplePyramid
from vclr.models.transformers_layers import UNUSED, Layers, decays
from vclr.models.transformers_source import PLAIN, describe, open_body

STRIDES = [8, 16, 32]


class Backbone(nn.Module):
    """A model of transformers (see `vclr.models.backbone`).

    Attributes:
        architecture: the model without its weights, as text for `model.backbone.architecture` of checkpoints.
        needs_fixed_size: positions and windows are computed from the size when a program is exported.
        strides: pixels per cell of each map: 8, 16 and 32; or 7, 14 and 28 for patches of 14 pixels.
    """

    needs_fixed_size = True

    def __init__(self, config: BackboneConfig, norm_groups: int) -> None:
        """Build it; the weights of the source are loaded (`open_body` says what may go wrong)."""
        super().__init__()
        body: Any = open_body(config)
        own = body.config
        self.body = body
        self.architecture = describe(own)
        self.is_plain_vit = own.model_type == "vit"
        self.reads_positions = own.model_type == "swin" and own.use_absolute_embeddings
        self.pyramid: SimplePyramid | None = None
        if own.model_type in PLAIN:
            self.layers = Layers([own.num_hidden_layers])
            patch = own.patch_size if isinstance(own.patch_size, int) else own.patch_size[0]
            self.pyramid = SimplePyramid(own.hidden_size, patch)
            self.multiple, self.strides = patch, self.pyramid.strides
            self.out_channels = self.pyramid.out_channels
        else:
            self.layers = Layers(own.depths)
            self.multiple, self.strides = STRIDES[-1], STRIDES
            self.out_channels = list(body.channels)
        self._freeze(config.freeze_at)

    def _freeze(self, count: int) -> None:
        if count > self.layers.num_parts:
            raise UsageError(f"model.backbone.freeze_at={count}: must be from 0 to {self.layers.num_parts}")
        for name, parameter in self.body.named_parameters():
            if UNUSED.search(name) or self.layers.part(name) < count:
                parameter.requires_grad_(False)

    def place(self, name: str, parameter: nn.Parameter) -> tuple[int, bool]:
        """Return how many layers come after a parameter, and whether its weights decay (see `vclr.models.backbone`)."""
        part, _, own = name.partition(".")
        after = self.layers.num_layers - self.layers.layer(own) if part == "body" else 0
        return after, decays(name, parameter)

    def forward(self, groups: list[Tensor]) -> list[list[Tensor]]:
        """Map groups of normalized images (n, 3, h, w) to the three maps of each group, finest first."""
        return [self._maps(images) for images in groups]

    def _maps(self, images: Tensor) -> list[Tensor]:
        height, width = images.shape[2:]
        padded = functional.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        maps = self._features(padded)
        if self.pyramid is not None:
            maps = self.pyramid(maps[-1])
        return [
            level[:, :, : -(-height // stride), : -(-width // stride)]
            for level, stride in zip(maps, self.strides, strict=True)
        ]

    def _features(self, images: Tensor) -> list[Tensor]:
        if self.is_plain_vit:  # its first token stands for the whole image
            states = self.body(images, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
            size = images.shape[2] // self.multiple, images.shape[3] // self.multiple
            return [states.movedim(1, 2).unflatten(2, size)]
        more = {"interpolate_pos_encoding": True} if self.reads_positions else {}
        return list(self.body(images, **more).feature_maps)
