"""The state of a training of a model of detectron2: its trainer, optimizer and schedule, driven step by step.

detectron2's `SimpleTrainer` takes each step, with its `LRScheduler` after it. Data, checkpoints, signals, evaluations
and reports are those of `vclr.engine.train`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from vclr.catalog.weights import STUDENT
from vclr.config import Config, dump_config
from vclr.engine.distributed import rank, world_size
from vclr.engine.memory import or_refuse
from vclr.engine.step import mix
from vclr.errors import UsageError, UserError, first_line
from vclr.models.checkpoint import MARK
from vclr.models.detector import Detector
from vclr.models.detectron2_config import (
    dump_model_config,
    flat_model_config,
    is_lazy,
    read_model_config,
    restore_model_config,
)
from vclr.models.detectron2_model import Detectron2Detector, checkpoint_entry, load_detectron2
from vclr.models.weights import read_weights
from vclr.ops.boxes import cxcywh_to_xyxy
from vclr.structures import Batch
from vclr.tracking.secrets import redact_config

log = logging.getLogger("vclr.train")

OF_LENGTH = ("SOLVER.MAX_ITER", "SOLVER.STEPS", "MODEL.DEVICE")  # may differ in a training that goes on


class Detectron2State:
    """Model, optimizer, schedule and position of a training with detectron2; see `vclr.engine.state.State`."""

    def __init__(self, config: Config, device: torch.device) -> None:
        """Build an untrained state; the weights depend on `train.seed` alone.

        Raises:
            UserError: detectron2 is not installed, or cannot build the model.
            UsageError: its configuration cannot be trained here.
        """
        from detectron2.engine import AMPTrainer, SimpleTrainer, hooks
        from detectron2.solver import build_lr_scheduler, build_optimizer

        content = _read(config, device)
        self.config = config
        self.iteration = 0
        # Of the last step, after detectron2's clipping if that is on; none if a scaler skipped the step.
        self.grad_norm: float | None = None
        self.detector = Detectron2Detector(config, content).to(device)
        network = self.detector.network.train()
        wrapped = DistributedDataParallel(network) if world_size() > 1 else network
        self.optimizer: torch.optim.Optimizer = build_optimizer(content, network)
        self.scheduler = build_lr_scheduler(content, self.optimizer)
        self._batch: list[dict[str, Any]] = []
        make_trainer = AMPTrainer if content.SOLVER.AMP.ENABLED else SimpleTrainer
        self._trainer = make_trainer(wrapped, self._read_batches(), self.optimizer)
        self._trainer.register_hooks([hooks.LRScheduler(self.optimizer, self.scheduler)])
        self._trainer.before_train()

    @property
    def detectors(self) -> dict[str, Detector]:
        """What is evaluated."""
        return {STUDENT: self.detector}

    @property
    def device(self) -> torch.device:
        """Where the training computes."""
        return self.detector.pixel_mean.device

    def say_schedule(self) -> str:
        """Say in one line how the learning rate changes."""
        solver = self.detector.content.SOLVER
        steps = ", ".join(map(str, solver.STEPS)) or "no iteration"
        return f"detectron2's {solver.LR_SCHEDULER_NAME}: {solver.BASE_LR:g}, lowered at {steps}"

    def step(self, batch: Batch) -> dict[str, float]:
        """Take one step on this process's part of the batch; return the whole batch's losses on the first process.

        Raises:
            FloatingPointError: a loss is not finite.
            UserError: there is too little memory.
        """
        from detectron2.utils.events import EventStorage

        torch.manual_seed(mix(self.config.train.seed, self.iteration, rank()))  # for the sampling of boxes
        self._batch, trainer = to_training_inputs(self.detector, batch), self._trainer
        with EventStorage(self.iteration) as trainer.storage:
            trainer.iter = self.iteration
            trainer.before_step()
            try:
                or_refuse(trainer.run_step)
            except FloatingPointError:
                images = ", ".join(str(target.image_id) for target in batch.targets)
                raise FloatingPointError(
                    f"iteration {self.iteration}: the loss is not finite on images {images}"
                ) from None
            trainer.after_step()
            values = {name: value for name, (value, _) in trainer.storage.latest().items()}
        self.grad_norm = self._measure_gradient()
        self.iteration += 1
        losses = {name: value for name, value in values.items() if name.startswith("loss")}
        return losses or {"loss_total": values["total_loss"]} if rank() == 0 else {}

    def initialize(self, path: str) -> None:
        """Start from the weights of a file.

        Raises:
            UserError: the file cannot be read, or hardly anything in it fits.
        """
        log.info("%s: %s", path, load_detectron2(self.detector, read_weights(path), path, strict=False))

    def state_dict(self) -> dict[str, Any]:
        """Return a checkpoint that `torch.load(weights_only=True)` reads."""
        scaler = getattr(self._trainer, "grad_scaler", None)
        return {
            "model": self.detector.network.state_dict(),
            "teacher": None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
            "loader": {"next_batch": self.iteration},
            "rng": {"seed": self.config.train.seed, "iteration": self.iteration},
            "iteration": self.iteration,
            "config": dump_config(redact_config(self.config)),
            **checkpoint_entry(self.detector),
        }

    def load_state_dict(self, checkpoint: dict[str, Any]) -> None:
        """Continue from a checkpoint of `state_dict`.

        Raises:
            UsageError: the learning rate of its iterations was another one than this length gives.
            UserError: the configuration of the model has changed since.
        """
        self._compare(restore_model_config(checkpoint[MARK], self.device), checkpoint["iteration"])
        try:
            self.detector.network.load_state_dict(checkpoint["model"])
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            self.scheduler.load_state_dict(checkpoint["scheduler"])
        except (RuntimeError, ValueError, KeyError) as error:
            says = f"the checkpoint does not fit the model of detectron2.config={self.config.detectron2.config}"
            raise UserError(f"{says}: {first_line(error)}") from None
        if checkpoint["scaler"]:
            self._trainer.grad_scaler.load_state_dict(checkpoint["scaler"])
        self.iteration = checkpoint["iteration"]

    def _compare(self, there: Any, iteration: int) -> None:
        """Compare the configuration in a checkpoint with the one that is trained here."""
        here = restore_model_config(dump_model_config(self.detector.content), self.device)  # lists, as there
        where = f"detectron2.config={self.config.detectron2.config}"
        before, now = (flat_model_config(content) for content in (there, here))
        for key, value in now.items():
            if key not in OF_LENGTH and before.get(key) != value:
                raise UserError(f"{where}: {key} is {before.get(key)} in the checkpoint and {value} here")
        passed = [[step for step in content.SOLVER.STEPS if step < iteration] for content in (there, here)]
        warm_up = [min(content.SOLVER.WARMUP_ITERS, content.SOLVER.MAX_ITER) for content in (there, here)]
        if passed[0] != passed[1] or warm_up[0] != warm_up[1]:
            raise UsageError(
                f"train.max_iter={self.config.train.max_iter}: the {iteration} iterations that are done had another "
                f"learning rate, that of {there.SOLVER.MAX_ITER} iterations; keep this length, or give another folder"
            )

    def _read_batches(self) -> Iterator[list[dict[str, Any]]]:
        """Give the trainer the batch of the step that it is to take."""
        while True:
            yield self._batch

    def _measure_gradient(self) -> float | None:
        gradients = [one.grad for one in self.detector.network.parameters() if one.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        return norm if math.isfinite(norm) else None


def to_training_inputs(detector: Detectron2Detector, batch: Batch) -> list[dict[str, Any]]:
    """Return a batch as detectron2's mappers make it: the drawn views, with class-agnostic `Instances`."""
    from detectron2.structures import BitMasks, Boxes, Instances

    inputs = detector.to_inputs(batch.images, batch.image_sizes)
    for entry, target, (height, width) in zip(inputs, batch.targets, batch.image_sizes, strict=True):
        scale = torch.tensor([width, height, width, height], dtype=torch.float32)
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(_on_cpu(cxcywh_to_xyxy(target.boxes)) * scale)
        instances.gt_classes = _on_cpu(target.labels)
        if detector.content.MODEL.MASK_ON:
            instances.gt_masks = BitMasks(_on_cpu(target.masks).bool())
        entry |= {"instances": instances, "height": height, "width": width}
    return inputs


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.cpu()


def _read(config: Config, device: torch.device) -> Any:
    """Read the configuration of the model, with the length and the batch of this training.

    The iterations at which the learning rate is lowered move with the length, unless they are set.
    """
    chosen, content = config.detectron2, read_model_config(config.detectron2, device)
    where = f"detectron2.config={chosen.config}"
    if is_lazy(content):
        raise UsageError(f"{where}: a LazyConfig can be evaluated, but only a YAML configuration trained")
    classes = {"GeneralizedRCNN": content.MODEL.ROI_HEADS, "RetinaNet": content.MODEL.RETINANET}
    part = classes.get(content.MODEL.META_ARCHITECTURE)
    if part is not None and part.NUM_CLASSES != 1:
        name = "ROI_HEADS" if part is content.MODEL.ROI_HEADS else "RETINANET"
        raise UsageError(
            f"{where}: has {part.NUM_CLASSES} classes, but training is class-agnostic; set "
            f"detectron2.settings.MODEL.{name}.NUM_CLASSES=1"
        )
    solver, length = content.SOLVER, config.train.max_iter
    if "STEPS" not in chosen.settings.get("SOLVER", {}):
        shares = [step / solver.MAX_ITER for step in solver.STEPS]
        solver.STEPS = tuple(step for share in shares if 0 < (step := round(share * length)) < length)
    elif late := [step for step in solver.STEPS if step >= length]:
        raise UsageError(f"detectron2.settings.SOLVER.STEPS: {late[0]} is not before the end (train.max_iter={length})")
    solver.MAX_ITER, solver.IMS_PER_BATCH = length, int(config.dataloader.train.total_batch_size)
    return content
