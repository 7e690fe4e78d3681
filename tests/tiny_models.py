"""Models of transformers, tiny and with random weights, saved with their processors as the hub publishes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def save_depth_anything(folder: Path, **settings: Any) -> Path:
    """Save a Depth Anything whose output is relative (inverse) unless the settings say `metric`."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessorPil

    backbone = Dinov2Config(
        image_size=28,
        patch_size=14,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        out_indices=[1, 2],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        reassemble_factors=[1, 0.5],
        neck_hidden_sizes=[8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        **settings,
    )
    processor = DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14, resample=3
    )
    return _save(folder, DepthAnythingForDepthEstimation, config, processor)


def save_zoedepth(folder: Path) -> Path:
    """Save a ZoeDepth, whose output is metric depth."""
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation, ZoeDepthImageProcessorPil

    backbone = BeitConfig(
        image_size=32,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        use_relative_position_bias=True,
    )
    config = ZoeDepthConfig(
        backbone_config=backbone,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=16,
        num_relative_features=4,
        bottleneck_features=16,
        bin_embedding_dim=8,
        num_attractors=[4, 2, 1, 1],
        bin_configurations=[{"name": "nyu", "n_bins": 8, "min_depth": 0.001, "max_depth": 10.0}],
    )
    processor = ZoeDepthImageProcessorPil(size={"height": 64, "width": 64}, ensure_multiple_of=32)
    return _save(folder, ZoeDepthForDepthEstimation, config, processor)


def save_dpt(folder: Path) -> Path:
    """Save a DPT, whose output is inverse depth."""
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessorPil

    config = DPTConfig(
        image_size=64,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        is_hybrid=False,
    )
    return _save(folder, DPTForDepthEstimation, config, DPTImageProcessorPil(size={"height": 64, "width": 64}))


DEPTH_MODELS: dict[str, Callable[[Path], Path]] = {
    "depth-anything": save_depth_anything,
    "zoedepth": save_zoedepth,
    "dpt": save_dpt,
}


def _save(folder: Path, kind: Any, config: Any, processor: Any) -> Path:
    torch.manual_seed(0)
    model = kind(config)
    for name, values in model.named_parameters():  # the published initialization gives an almost constant depth
        if values.ndim > 1:
            torch.nn.init.xavier_normal_(values, 1.5)
        elif name.endswith("bias") and "norm" not in name:
            torch.nn.init.constant_(values, 0.1)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA tiny model.\n")
    return folder
