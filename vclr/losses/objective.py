"""What a training minimizes: the detection losses, and the losses that compare the student with the teacher."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add

from torch import Tensor

from vclr.catalog.losses import teacher_losses
from vclr.config import CriterionConfig
from vclr.losses.consistency import consistency_loss
from vclr.losses.criterion import Criterion, Generators, Losses
from vclr.losses.denoising import denoising_losses
from vclr.losses.matcher import Matching
from vclr.structures import Outputs, Target

# Arguments: student, teacher, the matching of both, and the divisor of the sum over the matched pairs. A loss is an
# entry here, its own file beside this one, and its weight in `WeightDict` (vclr/config).
TEACHER_LOSSES: dict[str, Callable[[Outputs, Outputs, Matching, float], Tensor]] = {
    "loss_consistency": consistency_loss,
}


class Objective:
    """All losses of a training step behind one call."""

    def __init__(self, config: CriterionConfig) -> None:
        self.detection = Criterion(config)
        weights = vars(config.weight_dict)
        self.teacher_driven = [(name, weights[name], TEACHER_LOSSES[name]) for name in teacher_losses(weights)]

    @property
    def needs_teacher(self) -> bool:
        """Whether any loss with a weight above 0 compares the student with the teacher."""
        return bool(self.teacher_driven)

    def __call__(
        self,
        student: Outputs,
        teacher: Outputs | None,
        targets: list[Target],
        num_boxes: float,
        num_pairs: dict[range, float],
        generators: Generators = None,
    ) -> Losses:
        """Compute the weighted losses by name.

        Args:
            student: outputs of a training forward pass on the student's view.
            teacher: outputs on the natural view, without gradient; None unless `needs_teacher`.
            targets: the objects of each image; their masks cover what the image's mask features cover.
            num_boxes: the divisor of the detection losses: the mean number of objects per process.
            num_pairs: the divisor of the teacher-driven losses for each group of consecutive images: for the whole
                batch as one group, the mean number of matched objects per process.
            generators: one per image, on its device, for the points at which masks are compared.
        """
        losses, matching = self.detection(student, targets, num_boxes, generators, teacher)
        if (denoised := student.denoising) is not None:
            features = student.mask_features
            losses |= denoising_losses(self.detection, denoised, features, targets, num_boxes, generators)
        for name, weight, loss in self.teacher_driven:
            assert teacher is not None  # callers ask needs_teacher
            of_groups = [
                loss(student, teacher, matching.only(images), divisor) for images, divisor in num_pairs.items()
            ]
            losses[name] = weight * reduce(add, of_groups)
        return losses
