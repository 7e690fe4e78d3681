"""Our detector as a meta-architecture of detectron2: a list of dictionaries in, losses or `Instances` out.

Importing this module registers it. A `CfgNode` names it by `MODEL.META_ARCHITECTURE = "VclrDetector"`, after
`add_settings`; a LazyConfig calls it: `model = L(VclrDetector)(settings=...)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, distributed, nn

from vclr.catalog.weights import TEACHER
from vclr.config import Config, evaluated_weights, load_config
from vclr.device import float32_precision
from vclr.engine.distributed import adopt_processes, world_size
from vclr.engine.step import compute_losses
from vclr.engine.teacher import Teacher
from vclr.errors import UsageError
from vclr.interop.mappers import FORMER_TEACHER_KEY, TEACHER_KEY, VIEW_KEY
from vclr.interop.requirements import need
from vclr.interop.settings import Settings, read_settings
from vclr.losses.objective import Objective
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.models.postprocess import postprocess
from vclr.ops.boxes import xyxy_to_cxcywh
from vclr.structures import Batch, Predictions, Size, Target, padded_size

NODE = "VCLR"  # of a CfgNode
FORMATS = ("BGR", "RGB")


def add_settings(cfg: Any) -> None:
    """Add the node `VCLR` to a CfgNode: `CONFIG_FILE`, a configuration of ours, and `OVERRIDES`, `key=value` texts."""
    node = need("detectron2.config").CfgNode
    cfg[NODE] = node({"CONFIG_FILE": "", "OVERRIDES": []})


class VclrDetector(nn.Module):
    """The student, its teacher if a loss or the evaluation needs one, and the losses between them.

    In training mode, a call takes one step's forward pass, as `vclr train` does: corrupted views for the student,
    photos for the teacher, which moves at the beginning of the next step. Optimizer, clipping and schedule are the
    trainer's.
    """

    def __init__(self, settings: Settings, input_format: str = "RGB") -> None:
        """Build an untrained detector.

        Args:
            settings: see `read_settings`.
            input_format: order of the channels of `image`: RGB, as of our mappers, or BGR, detectron2's default.

        Raises:
            UsageError: a setting is wrong.
        """
        super().__init__()
        if input_format not in FORMATS:
            raise UsageError(f"input_format {input_format!r}: must be {' or '.join(FORMATS)}")
        self.config: Config = read_settings(settings)
        if apart := self.config.model.criterion.tells_apart():
            raise UsageError(f"{apart}: the instances of detectron2 do not say which ones are object proposals")
        self.input_format = input_format
        self.iteration = 0  # of the training forward passes of this process
        self.student = build_model(self.config)
        self.student.pads_like_reference = self.config.compat.padding
        self.student.padding_group = self.config.dataloader.train.group_size
        self.student.images_at_once = self.config.train.micro_batch_size
        self._objective = Objective(self.config.model.criterion)
        self._moving: Teacher | None = None
        if self.config.train.model_ema.enabled:
            self._moving = Teacher(self.student, self.config.train.model_ema.decay)
            self.teacher = self._moving.detector
        self._is_joined = False

    @classmethod
    def from_config(cls, cfg: Any) -> VclrDetector:
        """Build the detector of a CfgNode that `add_settings` has extended."""
        if NODE not in cfg:
            raise UsageError(f"the configuration has no node {NODE}: call vclr.interop.add_settings(cfg) first")
        config = load_config(cfg[NODE].CONFIG_FILE or None, list(cfg[NODE].OVERRIDES))
        return cls(config, cfg.INPUT.FORMAT).to(cfg.MODEL.DEVICE)

    @property
    def device(self) -> torch.device:
        """Where the detector is."""
        return self.student.pixel_mean.device

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Compute the weighted losses in training mode, or find objects.

        Args:
            batched_inputs: for each image, `image` (3, h, w) of 0-255. In training also `instances` with `gt_boxes`
                and, for masks, `gt_masks`; and if the teacher is to see another view, `teacher_image` (in earlier
                versions `natural`, which is still read). In evaluation, `height` and `width` say which size the
                results have (default: that of `image`).

        Returns:
            The losses by name; or for each image `instances` with `pred_boxes`, `scores`, `pred_classes` (all 0) and
            `pred_masks`, best first.
        """
        return self._losses(batched_inputs) if self.training else self._detect(batched_inputs)

    def _losses(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        self._join_processes()
        if self._moving and self.iteration:
            self._moving.update(self.student)  # now that the optimizer has moved the student
        images, image_sizes = self._pad([one["image"] for one in inputs])
        teacher_images = images
        shown = [one.get(TEACHER_KEY, one.get(FORMER_TEACHER_KEY)) for one in inputs]
        if any(image is not None for image in shown):
            own = zip(shown, inputs, strict=True)
            teacher_images, _ = self._pad([one["image"] if image is None else image for image, one in own])
        targets = [
            to_target(one["instances"], size, one.get("image_id", number))
            for number, (one, size) in enumerate(zip(inputs, image_sizes, strict=True))
        ]
        batch = Batch(images, teacher_images, image_sizes, targets, [one.get(VIEW_KEY, "natural") for one in inputs])
        step: Any = SimpleNamespace(
            config=self.config,
            student=self.student,
            wrapped_student=self.student,
            teacher=self._moving,
            iteration=self.iteration,
        )
        losses = compute_losses(step, batch, self._objective)
        self.iteration += 1
        return losses

    @torch.no_grad()
    @float32_precision(tf32=False)
    def _detect(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        detector = self.evaluated
        images, image_sizes = self._pad([one["image"] for one in inputs])
        original = [
            (one.get("height", size[0]), one.get("width", size[1]))
            for one, size in zip(inputs, image_sizes, strict=True)
        ]
        outputs = detector(detector.normalize(images, image_sizes), image_sizes)
        found = postprocess(
            outputs,
            original_sizes=original,
            max_detections=detector.config.select_box_nums_for_evaluation,
            nms_threshold=detector.config.nms_thresh,
        )
        return [{"instances": to_instances(one, size)} for one, size in zip(found, original, strict=True)]

    @property
    def evaluated(self) -> Detector:
        """The teacher or the student, as `train.model_ema.use_ema_weights_for_eval_only` says."""
        return self.teacher if self._moving and evaluated_weights(self.config) == TEACHER else self.student

    def _pad(self, images: Sequence[Tensor]) -> tuple[Tensor, list[Size]]:
        """Pad images bottom and right to one (b, 3, h, w) float32 batch of RGB on the device."""
        sizes: list[Size] = [(image.shape[1], image.shape[2]) for image in images]
        batch = torch.zeros((len(images), 3, *padded_size(sizes)), device=self.device)
        for slot, image, (height, width) in zip(batch, images, sizes, strict=True):
            slot[:, :height, :width] = image if self.input_format == "RGB" else image.flip(0)
        return batch, sizes

    def _join_processes(self) -> None:
        """Let the processes of detectron2's launcher count objects together, and share the statistics of masks."""
        if self._is_joined:
            return
        self._is_joined = True
        if world_size() > 1:
            adopt_processes()
        group_size = self.config.dataloader.train.group_size if self.config.compat.batch_norm else 0
        if group_size or not self.config.compat.batch_norm:
            self.student.mask_branch.share_statistics(distributed.group.WORLD if world_size() > 1 else None, group_size)


def to_target(instances: Any, size: Size, image_id: int) -> Target:
    """Return the objects of a training image; those without a mask get their box as one, as in `vclr train`.

    Args:
        instances: detectron2's, with `gt_boxes` in pixels of the input image, and `gt_masks` of polygons or bits.
        size: (height, width) of the input image.
        image_id: for errors.
    """
    height, width = size
    boxes = instances.gt_boxes.tensor.float()
    scale = boxes.new_tensor([width, height, width, height])
    if not instances.has("gt_masks"):
        masks = torch.zeros((len(boxes), height, width), dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.round().int().tolist(), strict=True):
            mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 1
    elif hasattr(instances.gt_masks, "polygons"):
        structures = need("detectron2.structures")
        bits = structures.BitMasks.from_polygon_masks(instances.gt_masks, height, width)
        masks = bits.tensor.to(torch.uint8)
    else:
        masks = instances.gt_masks.tensor.to(torch.uint8)
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    return Target(labels, xyxy_to_cxcywh(boxes) / scale, masks, image_id)


def to_instances(found: Predictions, size: Size) -> Any:
    """Return what was found in an image of (height, width) `size` as detectron2's `Instances`."""
    structures = need("detectron2.structures")
    instances = structures.Instances(size)
    instances.pred_boxes = structures.Boxes(torch.from_numpy(found.boxes))
    instances.scores = torch.from_numpy(found.scores)
    instances.pred_classes = torch.zeros(len(found), dtype=torch.int64)
    instances.pred_masks = torch.from_numpy(found.masks.reshape(len(found), *size))
    return instances


def _register() -> None:
    registry = need("detectron2.modeling").META_ARCH_REGISTRY
    if VclrDetector.__name__ not in registry:

        def build(cfg: Any) -> VclrDetector:
            return VclrDetector.from_config(cfg)

        build.__name__ = VclrDetector.__name__
        registry.register(build)


_register()
