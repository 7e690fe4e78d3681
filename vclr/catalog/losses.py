"""The names of the losses that compare the student with the annotations, on its own queries and on denoising queries.

Every other weight of `model.criterion.weight_dict` belongs to a teacher-driven loss, which compares the student with
the teacher (`vclr/losses/objective.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

DETECTION_LOSSES = ("loss_class", "loss_bbox", "loss_giou", "loss_mask", "loss_dice")
DENOISING_LOSSES = tuple(f"{name}_dn" for name in DETECTION_LOSSES)
DENOISING_MASK_LOSSES = DENOISING_LOSSES[3:]


def teacher_losses(weights: Mapping[str, float]) -> list[str]:
    """Return the names of the teacher-driven losses that are on, given the weight of each loss by its name."""
    known = DETECTION_LOSSES + DENOISING_LOSSES
    return [name for name, weight in weights.items() if weight > 0 and name not in known]


def denoising_losses(weights: Mapping[str, float]) -> list[str]:
    """Return the names of the denoising losses that are on, given the weight of each loss by its name."""
    return [name for name in DENOISING_LOSSES if weights[name] > 0]
