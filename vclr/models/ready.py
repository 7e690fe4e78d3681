"""A detector ready for inference: weights, configuration, device and evaluation mode in one place."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vclr.catalog.weights import TEACHER
from vclr.config import Config, evaluated_weights, with_weights
from vclr.device import choose_device
from vclr.errors import UserError
from vclr.models.backbone import with_architecture
from vclr.models.build import build_model
from vclr.models.checkpoint import MARK, is_checkpoint
from vclr.models.detector import Detector
from vclr.models.detectron2_model import open_detectron2
from vclr.models.weights import config_of, find_checkpoint, held_weights, load_weights, read_weights
from vclr.option_names import option

log = logging.getLogger("vclr")


def open_detector(
    checkpoint: str | Path, device: str = "auto", config_file: str | Path | None = None, weights: str = ""
) -> tuple[Detector, Config]:
    """Open the detector of a checkpoint, ready for inference, with its configuration.

    Args:
        checkpoint: a checkpoint, the folder of a training (its last checkpoint is taken), or weights of the reference
            or of detectron2.
        device: auto, cpu, cuda ...
        config_file: the configuration of weights that hold none (default: the published one), or of detectron2's
            model that they are of.
        weights: student or teacher (default: what the configuration says).

    Raises:
        UsageError: `config_file` is given for a checkpoint that holds its own configuration.
        UserError: the checkpoint cannot be read, does not fit the configuration, or lacks these weights.
    """
    path = find_checkpoint(Path(checkpoint))
    content = read_weights(path)
    configured = config_of(content, path, None if config_file is None else Path(config_file))
    config = with_weights(configured, weights)
    return fill_detector(config, content, str(path), choose_device(device, option("device", device))), config


def fill_detector(config: Config, content: Mapping[str, Any] | None, name: str, device: torch.device) -> Detector:
    """Build a detector for inference with all the weights that a file holds.

    Args:
        config: chooses the teacher or the student (`evaluated_weights`).
        content: what `read_weights` read; None leaves the detector untrained.
        name: the name of the file, for errors.
        device: where the detector works.

    Raises:
        UserError: the weights do not fit, or the file lacks those of the teacher or the student.
    """
    if config.detectron2.config:
        return open_detectron2(config, content, name, device)
    if content is not None and is_checkpoint(content) and MARK in content:
        raise UserError(f"{name}: holds a model of detectron2; set {say_model(content, name)}")
    if content is not None and is_checkpoint(content):
        trained, asked = config_of(content, name).model.backbone, config.model.backbone
        if (trained.name, trained.source) == (asked.name, asked.source):
            config = with_architecture(config, trained.architecture)  # the source may be gone
    detector = build_model(config).to(device).eval()
    if content is not None:
        weights, held = evaluated_weights(config), held_weights(content)
        if weights not in held:
            other = option("weights", held[0])
            raise UserError(f"{name}: has no weights of the {weights}; `{other}` takes the {held[0]}'s")
        report = load_weights(detector, content, weights == TEACHER, strict=True, name=name)
        log.info("%s: %s; %s", name, weights, report)
    return detector


def say_model(content: Mapping[str, Any], name: str) -> str:
    """Return the setting that names the model of detectron2 that a checkpoint holds."""
    return f"detectron2.config={config_of(content, name).detectron2.config}"
