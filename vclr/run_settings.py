"""The settings that say how a training runs and where it writes, not what it learns."""

from __future__ import annotations

RUN_SETTINGS = (  # a name that ends in a dot stands for all below it
    "train.output_dir",
    "train.device",
    "train.log_period",
    "train.eval_period",
    "train.num_threads",
    "train.micro_batch_size",
    "train.compile",
    "train.checkpointer.",
    "dataloader.train.num_workers",
    "dataloader.train.prefetch_factor",
    "tracking.",
    "launcher.",
)
