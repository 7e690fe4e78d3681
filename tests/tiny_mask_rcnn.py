"""Settings of a Mask R-CNN of detectron2 that takes a CPU a fraction of a second per step."""

from __future__ import annotations

import os
from pathlib import Path

from tests.interop.detectron2_build import environment

EXPERIMENT = Path(__file__).parents[1] / "configs" / "experiment" / "mask_rcnn_voc_to_nonvoc.yaml"
CHANGES = {
    "MODEL.RESNETS.DEPTH": 18,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 16,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 50,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 50,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 20,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 20,
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 16,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 8,
}
TINY_MASK_RCNN = (
    *(f"detectron2.settings.{key}={value}" for key, value in CHANGES.items()),
    "train.init_checkpoint=",
    "train.device=cpu",
    "train.num_threads=1",
    "train.eval_period=0",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.train.mapper.short_edge_length=[64]",
    "dataloader.test.num_workers=0",
    "dataloader.test.mapper.short_edge_length=64",
)


def tiny_environment() -> dict[str, str]:
    """Return the environment of a process that imports detectron2; compiling `roi_align` would take longer than it."""
    return {
        **environment(),
        "TORCHDYNAMO_DISABLE": "1",
        "PYTHONWARNINGS": "ignore",
        "COLUMNS": os.environ.get("COLUMNS", "400"),
    }
