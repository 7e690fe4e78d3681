"""Everything that a resumed training needs, in one object."""

from __future__ import annotations

import inspect
import logging
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from vclr.catalog.weights import STUDENT, TEACHER
from vclr.config import Config, dump_config, say_milestones
from vclr.engine.distributed import world_size
from vclr.engine.optim import build_optimizer, build_scheduler, load_schedule
from vclr.engine.teacher import Teacher
from vclr.models.backbone import with_architecture
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.models.layouts import BACKBONE_LAYOUTS
from vclr.models.weights import load_weights
from vclr.structures import Size
from vclr.tracking.secrets import redact_config

log = logging.getLogger("vclr.train")


class State(Protocol):
    """What the loop of a training needs to know about its state, whatever is trained."""

    config: Config
    iteration: int
    grad_norm: float | None
    optimizer: torch.optim.Optimizer

    @property
    def detectors(self) -> dict[str, Detector]:
        """What is evaluated, by the name of the weights."""

    @property
    def device(self) -> torch.device:
        """Where the training computes."""

    def say_schedule(self) -> str:
        """Say in one line how the learning rate changes."""

    def initialize(self, path: str) -> None:
        """Start from the weights of a file."""

    def state_dict(self) -> dict[str, Any]:
        """Return a checkpoint."""

    def load_state_dict(self, checkpoint: dict[str, Any]) -> None:
        """Continue from a checkpoint."""


class TrainState:
    """Student, teacher, optimizer, schedule, gradient scaler and position of a training."""

    def __init__(self, config: Config, device: torch.device, architecture: str = "") -> None:
        """Build an untrained state; the weights depend on `train.seed` and `model.backbone.source` alone.

        With the `architecture` of a checkpoint, the backbone does not need its source.
        """
        self.config = config
        self.student = build_model(with_architecture(config, architecture)).to(device).train()
        self.student.pads_like_reference = config.compat.padding
        self.student.padding_group = config.dataloader.train.group_size
        self.student.images_at_once = config.train.micro_batch_size
        has_teacher = config.train.model_ema.enabled
        self.teacher = Teacher(self.student, config.train.model_ema.decay) if has_teacher else None
        self.wrapped_student = self._wrap_student()
        self.optimizer: torch.optim.Optimizer = build_optimizer(self.student, config.optimizer)
        self.scheduler = build_scheduler(self.optimizer, config.optimizer)
        self.scaler = self._new_scaler()
        self.iteration = 0
        self.grad_norm: float | None = None  # of the last step, before clipping; none if the scaler skipped the step
        # Weights of a converted training that only the reference has, of its student and its teacher; they are kept.
        self.reference: dict[str, dict[str, Tensor]] = {}

    @property
    def detectors(self) -> dict[str, Detector]:
        """What is evaluated, by the name of the weights: the student and, if there is one, the teacher."""
        return {STUDENT: self.student, **({TEACHER: self.teacher.detector} if self.teacher else {})}

    @property
    def device(self) -> torch.device:
        """Where the training computes."""
        return self.student.pixel_mean.device

    def say_schedule(self) -> str:
        """Say in one line when the learning rate is lowered."""
        return say_milestones(self.config)

    @property
    def images_at_once(self) -> int:
        """How many images go through student and teacher at once; 0: all."""
        return self.student.images_at_once

    @images_at_once.setter
    def images_at_once(self, count: int) -> None:
        self.student.images_at_once = count
        if self.teacher:
            self.teacher.detector.images_at_once = count

    def _wrap_student(self) -> nn.Module:
        """Return the student as the step calls it; its gradients are the mean over all processes."""
        if self.config.train.compile:
            self.student.backbone.compile()
        group_size = self.config.dataloader.train.group_size if self.config.compat.batch_norm else 0
        if group_size or not self.config.compat.batch_norm:
            self.student.mask_branch.share_statistics(distributed.group.WORLD if world_size() > 1 else None, group_size)
        if world_size() == 1:
            return self.student
        # DDP repacks gradients once it has seen their order, unless it looks for unused parameters. With three or more
        # processes the packing affects rounding, so a resumed training would end with other bits. On a GPU it repacks
        # anyway.
        is_on_cpu = next(self.student.parameters()).device.type == "cpu"
        # DDP must leave buffers alone: statistics are shared already, or belong to each process. Torch 2.13 renamed the
        # option.
        is_renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
        options: dict[str, Any] = {"forward_sync_buffers" if is_renamed else "broadcast_buffers": False}
        return DistributedDataParallel(
            self.student,
            gradient_as_bucket_view=True,
            find_unused_parameters=is_on_cpu or not self.config.model.aux_loss,
            **options,
        )

    def _new_scaler(self) -> torch.amp.GradScaler:
        amp = self.config.train.amp
        return torch.amp.GradScaler(self.student.pixel_mean.device.type, enabled=amp.enabled and amp.dtype == "float16")

    def forget_step(self) -> None:
        """Undo what a failed step has left: gradients, and the scaler's note that it has unscaled them."""
        self.optimizer.zero_grad(set_to_none=True)
        scaler = self._new_scaler()
        scaler.load_state_dict(self.scaler.state_dict())
        self.scaler = scaler

    def use_less_memory(self, image_sizes: list[Size]) -> bool:
        """Let fewer images go through the detectors at once from now on; return False if it is one already.

        Images of different sizes then go one by one: there is nothing between a whole batch and single images.
        """
        transformer = self.student.encoder, self.student.decoder
        if self.images_at_once == 1 and all(part.use_checkpoint for part in transformer):
            return False
        at_once = self.images_at_once or self.config.dataloader.train.total_batch_size
        differ = len(set(image_sizes)) > 1 and not self.config.compat.padding
        self.images_at_once = 1 if differ else max(1, at_once // 2)
        for part in transformer:
            part.use_checkpoint = True
        return True

    def initialize(self, path: str) -> None:
        """Start from the weights of a file; the teacher starts as the student's copy.

        Raises:
            UserError: the file cannot be read, hardly anything in it fits, or its backbone fits only in part.
        """
        report = load_weights(self.student, path)
        is_doubtful = (
            report.unexpected or report.changed_shape or (report.missing and report.layout not in BACKBONE_LAYOUTS)
        )
        log.log(logging.WARNING if is_doubtful else logging.INFO, "%s: %s", path, report)
        if self.teacher:
            load_weights(self.teacher.detector, self.student.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return a checkpoint that `torch.load(weights_only=True)` reads."""
        architecture: str = getattr(self.student.backbone, "architecture", "")
        return {
            "model": self.student.state_dict(),
            "teacher": self.teacher.detector.state_dict() if self.teacher else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            # Samples and steps draw from (seed, epoch, index) and (seed, iteration), so the position is enough.
            "loader": {"next_batch": self.iteration},
            "rng": {"seed": self.config.train.seed, "iteration": self.iteration},
            "iteration": self.iteration,
            "reference": self.reference,
            # Without secrets: checkpoints are given away.
            "config": dump_config(redact_config(with_architecture(self.config, architecture))),
        }

    def load_state_dict(self, checkpoint: dict[str, Any]) -> None:
        """Continue from a checkpoint of `state_dict` that `check_form` and `check_fit` have accepted."""
        self.student.load_state_dict(checkpoint["model"])
        if self.teacher and checkpoint["teacher"]:
            self.teacher.detector.load_state_dict(checkpoint["teacher"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        load_schedule(self.scheduler, checkpoint["scheduler"], self.config.optimizer)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(checkpoint["scaler"])
        self.iteration = checkpoint["iteration"]
        self.reference = checkpoint.get("reference", {})
