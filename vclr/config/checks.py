"""Which values a setting may have, beyond what its type says."""

from __future__ import annotations

import math
from typing import Any

from vclr.errors import UsageError

CHOICES: dict[str, tuple[Any, ...]] = {
    "model.backbone.norm": ("FrozenBN", "GN"),
    "model.backbone.depth": (10, 18, 34, 50, 101),
    "model.backbone.freeze_at": (0, 1, 2, 3, 4, 5),
    "model.num_classes": (1,),
    "dataloader.train.mapper.instance_mask_format": ("polygon", "bitmask"),
    "train.amp.dtype": ("bfloat16", "float16"),
    "proposals.method": ("graph",),
    "evaluation.dtype": ("float32", "bfloat16", "float16"),
    "launcher.backend": ("slurm", "local", "debug"),
    "launcher.on_interrupt": ("cancel", "detach"),
}
# For lists: each number.
AT_LEAST_ONE = [
    "model.num_queries",
    "model.embed_dim",
    "model.norm_groups",
    "model.mask_hidden_dim",
    "model.select_box_nums_for_evaluation",
    "model.backbone.stem_out_channels",
    "model.backbone.res2_out_channels",
    "model.transformer.num_feature_levels",
    "model.transformer.encoder.num_heads",
    "model.transformer.encoder.num_points",
    "model.transformer.encoder.num_layers",
    "model.transformer.decoder.num_heads",
    "model.transformer.decoder.num_points",
    "model.transformer.decoder.num_layers",
    "model.transformer.encoder.feedforward_dim",
    "model.transformer.decoder.feedforward_dim",
    "model.criterion.num_points",
    "model.criterion.oversample_ratio",
    "dataloader.train.total_batch_size",
    "dataloader.train.prefetch_factor",
    "dataloader.train.mapper.short_edge_length",
    "dataloader.train.mapper.max_size",
    "dataloader.train.mapper.crop_short_edge_length",
    "dataloader.train.mapper.crop_size",
    "dataloader.test.batch_size",
    "dataloader.test.mapper.short_edge_length",
    "dataloader.test.mapper.max_size",
    "train.max_iter",
    "train.log_period",
    "train.checkpointer.period",
    "evaluation.max_dets",
    "launcher.nodes",
    "launcher.tasks_per_node",
    "launcher.warning_seconds",
    "launcher.max_failures",
]
AT_LEAST_ZERO = [
    "model.criterion.weight_dict.loss_class",
    "model.criterion.weight_dict.loss_bbox",
    "model.criterion.weight_dict.loss_giou",
    "model.criterion.weight_dict.loss_mask",
    "model.criterion.weight_dict.loss_dice",
    "model.criterion.weight_dict.loss_consistency",
    "dataloader.train.num_workers",
    "dataloader.test.num_workers",
    "optimizer.lr",
    "optimizer.backbone_lr_factor",
    "optimizer.weight_decay",
    "optimizer.weight_decay_norm",
    "optimizer.milestones",
    "optimizer.gamma",
    "optimizer.warmup_iters",
    "train.seed",
    "train.eval_period",
    "train.micro_batch_size",
    "train.checkpointer.max_to_keep",
    "views.seed",
    "proposals.top_k",
    "launcher.cpus_per_task",
    "launcher.mem_mb",
    "launcher.runtime",
    "launcher.max_resubmissions",
]
SHARES = [
    "model.transformer.encoder.attn_dropout",
    "model.transformer.encoder.ffn_dropout",
    "model.transformer.decoder.attn_dropout",
    "model.transformer.decoder.ffn_dropout",
    "model.criterion.importance_sample_ratio",
    "model.nms_thresh",
    "dataloader.train.mapper.crop_probability",
    "optimizer.betas",
    "train.model_ema.decay",
    "proposals.max_iou",
]
MAX_THREADS = 1024  # far more crash the process that starts them
ABOVE_ZERO = ["model.pixel_std", "train.clip_grad.params.max_norm"]
RANGES = {
    **dict.fromkeys(AT_LEAST_ONE, (1.0, math.inf)),
    **dict.fromkeys(AT_LEAST_ZERO, (0.0, math.inf)),
    **dict.fromkeys(SHARES, (0.0, 1.0)),
    **dict.fromkeys(ABOVE_ZERO, (1e-12, math.inf)),
    "train.num_threads": (0.0, MAX_THREADS),
    "launcher.gpus_per_node": (-1.0, math.inf),
    "launcher.poll_seconds": (1.0, math.inf),
}
LENGTHS = {"model.pixel_mean": 3, "model.pixel_std": 3, "optimizer.betas": 2, "dataloader.train.mapper.crop_size": 2}
MAY_BE_EMPTY = ("optimizer.milestones",)


def check_values(settings: dict[str, Any]) -> None:
    """Check every setting, given by its dotted name.

    Raises:
        UsageError: a value that the setting cannot have; says what it may be.
    """
    for key, allowed in CHOICES.items():
        if settings[key] not in allowed:
            raise UsageError(f"{key}={settings[key]}: must be one of {', '.join(map(str, allowed))}")
    for key, length in LENGTHS.items():
        if len(settings[key]) != length:
            raise UsageError(f"{key}={settings[key]}: must be {length} numbers")
    for key, (low, high) in RANGES.items():
        value = settings[key]
        numbers = [value] if isinstance(value, (int, float)) else list(value)
        if not numbers and key not in MAY_BE_EMPTY:
            raise UsageError(f"{key}: must not be empty")
        if not all(low <= number <= high for number in numbers):
            limits = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise UsageError(f"{key}={value}: must be {limits}")
    _check_views({key: value for key, value in settings.items() if key.startswith("views.weights.")})
    _check_channels(settings)
    _check_folders(settings)
    smallest, largest = settings["dataloader.train.mapper.crop_size"]
    if smallest > largest:
        raise UsageError(f"dataloader.train.mapper.crop_size={[smallest, largest]}: the smallest side comes first")
    if settings["model.criterion.weight_dict.loss_consistency"] and not settings["train.model_ema.enabled"]:
        raise UsageError(
            "train.model_ema.enabled=False: the consistency loss needs the teacher; "
            "set model.criterion.weight_dict.loss_consistency=0 too"
        )


def check_share(batch_size: int, world_size: int) -> None:
    """Check that processes can share a batch evenly.

    Raises:
        UsageError: they cannot.
    """
    if batch_size % world_size:
        raise UsageError(
            f"dataloader.train.total_batch_size={batch_size}: must be a multiple of the {world_size} processes"
        )


def _check_views(weights: dict[str, float]) -> None:
    for key, weight in weights.items():
        if not weight >= 0:
            raise UsageError(f"{key}={weight}: must not be negative")
    if weights and not sum(weights.values()) > 0:
        raise UsageError("views.weights: at least one view needs a weight above 0")


def _check_folders(settings: dict[str, Any]) -> None:
    """Check the settings that are a folder or a list of folders, which their type does not say."""
    for key, value in settings.items():
        if not (key.startswith(("data.", "evaluation.test_sets.")) and key.endswith(".images")):
            continue
        is_list = isinstance(value, list) and value and all(isinstance(folder, str) and folder for folder in value)
        if not isinstance(value, str) and not is_list:
            raise UsageError(f"{key}={value}: must be a folder or a list of folders")


def _check_channels(settings: dict[str, Any]) -> None:
    """Channels are shared out among attention heads, norm groups, and the sines and cosines of two axes."""
    shares = [("model.embed_dim", f"model.transformer.{part}.num_heads") for part in ("encoder", "decoder")]
    shares.append(("model.embed_dim", "model.norm_groups"))
    if settings["model.backbone.norm"] == "GN":
        shares += [(f"model.backbone.{part}_out_channels", "model.norm_groups") for part in ("stem", "res2")]
    for channels, divisor in shares:
        if settings[channels] % settings[divisor]:
            raise UsageError(f"{channels}={settings[channels]}: must be a multiple of {divisor}={settings[divisor]}")
    if settings["model.embed_dim"] % 4:
        raise UsageError(f"model.embed_dim={settings['model.embed_dim']}: must be a multiple of 4")
