"""Weights into a detector, with an account of what did and did not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vclr.errors import UserError
from vclr.models.detector import Detector


@dataclass
class WeightsReport:
    """What `load_weights` did.

    Attributes:
        loaded: keys whose values the model now has.
        missing: keys of the model that the weights do not hold; they keep their values.
        unexpected: keys of the weights that the model does not have.
        changed_shape: keys of both whose shapes differ, with (in the weights, in the model); they keep their values.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    changed_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded"]
        for name, keys in (("missing", self.missing), ("unexpected", self.unexpected)):
            if keys:
                parts.append(f"{len(keys)} {name} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})")
        for key, (given, wanted) in self.changed_shape.items():
            parts.append(f"{key} is {given}, not {wanted}")
        return "; ".join(parts)


def load_weights(model: Detector, source: str | Path | Mapping[str, Any], use_teacher: bool = False) -> WeightsReport:
    """Load a checkpoint, a state dict, or the file of one into a detector.

    Args:
        model: the detector; its device and dtype stay.
        source: a file, or what was read from one; either a checkpoint (`model`, `teacher`) or the state dict itself.
        use_teacher: take the checkpoint's teacher instead of its student.

    Raises:
        UserError: the file cannot be read or nothing in it fits.
    """
    name = str(source) if isinstance(source, (str, Path)) else "weights"
    content = read_weights(source) if isinstance(source, (str, Path)) else source
    if use_teacher and not content.get("teacher"):
        raise UserError(f"{name}: holds no teacher (train.model_ema was off)")
    given = content["teacher"] if use_teacher else content.get("model", content)
    if not isinstance(given, Mapping):
        raise UserError(f"{name}: its weights are no dictionary of tensors")
    own = model.state_dict()
    report = WeightsReport()
    for key, value in given.items():
        if key not in own:
            report.unexpected.append(key)
        elif not isinstance(value, Tensor) or value.shape != own[key].shape:
            report.changed_shape[key] = tuple(getattr(value, "shape", ())), tuple(own[key].shape)
        else:
            own[key].copy_(value)
            report.loaded.append(key)
    report.missing = sorted(own.keys() - given.keys())
    if not report.loaded:
        raise UserError(f"{name}: nothing in it fits the model ({report})")
    return report


def read_weights(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values onto the CPU; nothing in it is executed.

    Raises:
        UserError: the file is missing, damaged, or holds more than tensors and plain values.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises zipfile's, pickle's and its own errors here
        raise UserError(f"{path}: cannot be read as a checkpoint: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a checkpoint")
    return content
