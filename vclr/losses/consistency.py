"""The consistency loss: the student's view of an object must give the query that the teacher's photo gives."""

from __future__ import annotations

from torch import Tensor

from vclr.losses.functional import cosine_consistency
from vclr.losses.matcher import Matching
from vclr.structures import Outputs


def consistency_loss(student: Outputs, teacher: Outputs, matching: Matching, num_pairs: float) -> Tensor:
    """Pair student and teacher queries through the objects both are matched to (paper section 3.3).

    Args:
        student: outputs on the student's view, whose last layer is the first of the matching.
        teacher: outputs on the natural view, without gradient, whose last layer is the last of the matching.
        matching: as the criterion returns it, or its part for some images.
        num_pairs: the divisor of the sum over the pairs.

    Returns:
        The loss without its weight, computed in float32.
    """
    of_student, of_teacher = matching.meetings(0, -1)
    student_queries = student.queries.flatten(0, 1)[of_student].float()
    teacher_queries = teacher.queries.flatten(0, 1)[of_teacher].float().detach()
    return cosine_consistency(student_queries, teacher_queries, num_pairs)
