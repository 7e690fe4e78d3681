"""The weights of our meta-architecture as detectron2's checkpointer keeps them: student and teacher in one `model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vclr.catalog.weights import STUDENT, TEACHER

CONFIG = "config"  # detectron2 leaves this key alone


def join_meta_architecture(
    student: Mapping[str, Tensor], teacher: Mapping[str, Tensor] | None, config: str
) -> dict[str, Any]:
    """Return what `DetectionCheckpointer` loads into a `VclrDetector`, with the configuration beside it."""
    model = {f"{STUDENT}.{key}": value for key, value in student.items()}
    model |= {f"{TEACHER}.{key}": value for key, value in (teacher or {}).items()}
    return {"model": model, CONFIG: config}


def split_meta_architecture(content: dict[Any, Any]) -> dict[Any, Any]:
    """Return a checkpoint of a `VclrDetector` as weights of ours; any other content as it is.

    Optimizer and schedule are those of detectron2's trainer, and are left out.
    """
    model = content.get("model")
    if not isinstance(model, Mapping) or not model:
        return content
    parts = {name: f"{name}." for name in (STUDENT, TEACHER)}
    if not all(isinstance(key, str) and key.startswith(tuple(parts.values())) for key in model):
        return content
    split = {
        name: {key.removeprefix(prefix): value for key, value in model.items() if key.startswith(prefix)}
        for name, prefix in parts.items()
    }
    weights: dict[Any, Any] = {"model": split[STUDENT]}
    if split[TEACHER]:
        weights["teacher"] = split[TEACHER]
    return weights | ({CONFIG: content[CONFIG]} if CONFIG in content else {})
