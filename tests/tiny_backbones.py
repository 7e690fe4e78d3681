"""Backbones of transformers, tiny or of published sizes, with random weights, saved as the hub publishes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

STAGED = {"depths": [1, 1, 2, 1], "drop_path_rate": 0.1}
PLAIN = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
CONVOLUTIONS = {**STAGED, "hidden_sizes": [8, 8, 16, 16], "layer_scale_init_value": 1.0}
# The settings of a tiny model of each kind.
TINY: dict[str, dict[str, Any]] = {
    "swin": {**STAGED, "embed_dim": 8, "num_heads": [1, 2, 2, 2], "window_size": 3, "use_absolute_embeddings": True},
    "convnext": CONVOLUTIONS,
    "convnextv2": {**STAGED, "hidden_sizes": [8, 8, 16, 16]},
    "dinov3_convnext": CONVOLUTIONS,
    "vit": {**PLAIN, "intermediate_size": 32, "image_size": 32},
    "dinov2": {**PLAIN, "mlp_ratio": 2, "image_size": 42},
    "dinov2_with_registers": {**PLAIN, "mlp_ratio": 2, "image_size": 42, "patch_size": 14},
    "dinov3_vit": {**PLAIN, "intermediate_size": 32, "num_register_tokens": 2, "rope_theta": 50.0},
}
# The published sizes of two models.
SWIN_TINY: dict[str, Any] = {}
DINOV2_SMALL = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518}
RESNET_DEFAULTS = (
    "model.backbone.depth=50",
    "model.backbone.norm=FrozenBN",
    "model.backbone.stem_out_channels=64",
    "model.backbone.res2_out_channels=256",
)


def save_config(folder: Path, kind: str, **settings: Any) -> Path:
    """Save a model's config.json alone."""
    from transformers import AutoConfig

    AutoConfig.for_model(kind, **settings).save_pretrained(folder)
    return folder


def save_model(folder: Path, kind: str, seed: int = 0) -> Any:
    """Save a tiny model with weights, and return it: the whole one, not that of a backbone."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(seed)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **TINY[kind]))
    model.save_pretrained(folder)
    return model.eval()
