"""What a backbone is, and how the configuration chooses one.

A family is a module of this folder whose name is in `vclr.catalog.backbones`, with a class `Backbone(nn.Module)`:

- `Backbone(config: BackboneConfig, norm_groups: int)` builds it with fresh weights, drawn from torch's generator.
- `out_channels` is a list of three numbers: the channels of its maps, finest first.
- `forward(groups)` takes groups of normalized images, a list of (n, 3, h, w) tensors whose h and w are each group's
  own, and returns for each group its three maps (n, d, h', w'), finest first, each half as fine as the one before. A
  group's maps must not depend on the other groups. Strides are usually 8, 16 and 32; neck, encoder and heads read sizes
  from the maps.
- Layers that do not train have `requires_grad` False.
- `place(name, parameter)`, if it has it, returns for one of its own parameters how many of its layers come after it,
  for `optimizer.layer_decay`, and whether the parameter decays by `weight_decay` or by `weight_decay_norm`. Without it,
  all decay by `weight_decay`, and `optimizer.layer_decay` is refused.
- `architecture`, if it has it, is a text that checkpoints hold as `model.backbone.architecture`: with it, the backbone
  is built without the files that `model.backbone.source` names.
- `needs_fixed_size`, if it is True, says that an exported program can be of one image size only.
- It refuses, with a UsageError, a setting of `BackboneConfig` that it would otherwise ignore.

The detector holds it as `backbone`, so all its weights are named `backbone.`: this prefix gives them the learning rate
`optimizer.lr * optimizer.backbone_lr_factor` (`learning_rates.py`) and finds them when weights are loaded
(`weights.py`). A checkpoint of vclr loads for every family. Files of detectron2, torchvision and the reference are
known for ResNet alone (`layouts.py`, `reference.py`).
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from torch import nn

from vclr.config import BackboneConfig, Config


def build_backbone(config: BackboneConfig, norm_groups: int) -> nn.Module:
    """Build the backbone of the family `config.name`; `norm_groups` is the number of groups of each GroupNorm."""
    family = import_module(f"vclr.models.{config.name}")
    backbone: nn.Module = family.Backbone(config, norm_groups)
    return backbone


def with_architecture(config: Config, architecture: str) -> Config:
    """Return settings whose backbone is built from a checkpoint's text; "" changes nothing."""
    if not architecture:
        return config
    backbone = replace(config.model.backbone, architecture=architecture)
    return replace(config, model=replace(config.model, backbone=backbone))
