"""Vision transformers of transformers, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
KINDS = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")


def make_vit(kind: str, **settings: Any) -> Any:
    """Return a small model, in evaluation mode; `settings` are of its configuration."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `models`")
    torch.manual_seed(0)
    patch = 14 if kind.startswith("dinov2") else 8
    config = transformers.AutoConfig.for_model(
        kind, **{**SMALL, "image_size": 5 * patch, "patch_size": patch, **settings}
    )
    return transformers.AutoModel.from_config(config).eval()


def make_vit_s8() -> Any:
    """Return a ViT-S/8, the size of DINO's smallest."""
    return make_vit(
        "vit",
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        intermediate_size=1536,
        image_size=224,
        add_pooling_layer=False,
    )


def save_vit(folder: Path, kind: str = "vit") -> Path:
    """Save a small model with its processor, as the hub publishes them."""
    model = make_vit(kind)
    from transformers import ViTImageProcessorPil

    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 40, "width": 40}).save_pretrained(folder)
    return folder
