"""The teacher: a moving average that follows the student, parameters and buffers, and takes no gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vclr.config import Config
from vclr.engine.teacher import Teacher
from vclr.models.build import build_model
from vclr.models.detector import Detector


@pytest.fixture
def student(make_config: Callable[..., Config]) -> Detector:
    return build_model(make_config()).train()


def test_starts_as_a_copy_that_shares_nothing(student: Detector):
    teacher = Teacher(student, 0.9)
    for key, value in student.state_dict().items():
        copied = teacher.detector.state_dict()[key]
        assert torch.equal(value, copied)
        assert value.data_ptr() != copied.data_ptr() or value.numel() == 0
    assert not any(parameter.requires_grad for parameter in teacher.detector.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_every_parameter_and_buffer_is_averaged(student: Detector, momentum: float):
    teacher = Teacher(student, momentum)
    before = {key: value.clone() for key, value in teacher.detector.state_dict().items()}
    with torch.no_grad():
        for value in student.state_dict().values():
            value += 10
    teacher.update(student)
    for key, value in teacher.detector.state_dict().items():
        moved = (value - before[key]).double()
        torch.testing.assert_close(moved, torch.full_like(moved, 10 * (1 - momentum)), rtol=1e-4, atol=1e-4)
    assert "mask_branch.mapping.1.running_mean" in before


def test_converges_to_a_student_that_stands_still(student: Detector):
    teacher = Teacher(student, 0.5)
    with torch.no_grad():
        student.query_content.weight += 1
    for _ in range(40):
        teacher.update(student)
    torch.testing.assert_close(teacher.detector.query_content.weight, student.query_content.weight)


def test_call_has_no_gradient_no_masks_and_moves_no_statistics(student: Detector):
    teacher = Teacher(student, 0.9)
    before = {key: value.clone() for key, value in teacher.detector.state_dict().items()}
    outputs = teacher(torch.randn(2, 3, 64, 64), [(64, 64)] * 2)
    assert not outputs.queries.requires_grad
    assert outputs.mask_features is None
    assert all(torch.equal(value, before[key]) for key, value in teacher.detector.state_dict().items())


def test_sees_what_the_student_sees(student: Detector):
    """On the same image, before any update, teacher and student have the same queries."""
    images, sizes = torch.randn(2, 3, 64, 64), [(64, 64), (50, 40)]
    torch.testing.assert_close(Teacher(student, 0.9)(images, sizes).queries, student(images, sizes).queries)
