"""The batch norm of the mask branch with statistics of each group, as the reference's GPUs have their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vclr.models.joint_norm import JointBatchNorm


def draw(num_images: int, height: int, width: int, shift: float) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.randn(num_images, 4, height, width, generator=generator) * (1 + shift) + shift


def grouped_norm() -> JointBatchNorm:
    norm = JointBatchNorm(4).train()
    norm.group_size = 2
    return norm


def test_groups_are_normalized_as_by_a_norm_of_their_own():
    """Values, gradients, and what is remembered: the first group's statistics."""
    ours, images = grouped_norm(), torch.cat([draw(2, 5, 7, 0.0), draw(2, 5, 7, 2.0) * 3]).requires_grad_()
    gpus = [nn.BatchNorm2d(4).train() for _ in range(2)]
    weights = torch.randn(4, 4, 5, 7, generator=torch.Generator().manual_seed(1))
    results = ours([images])[0], torch.cat([gpu(part) for gpu, part in zip(gpus, images.split(2), strict=True)])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad((result * weights).sum(), images)[0] for result in results]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.running_mean, gpus[0].running_mean)
    torch.testing.assert_close(ours.running_var, gpus[0].running_var)
    assert ours.num_batches_tracked == 1


def test_images_of_a_group_may_come_in_several_parts():
    """Images of different sizes come one by one; those of one size may be of two groups."""
    whole = draw(4, 5, 7, 1.0)
    together, apart = grouped_norm()([whole])[0], grouped_norm()([whole[:1], whole[1:3], whole[3:]])
    assert [len(part) for part in apart] == [1, 2, 1]
    torch.testing.assert_close(torch.cat(apart), together)
    wide, tall = draw(1, 5, 9, 0.0), draw(1, 9, 5, 3.0)
    pixels = torch.cat([wide.flatten(2), tall.flatten(2)], 2)
    normalized = grouped_norm()([wide, tall, whole[:2]])
    expected = nn.BatchNorm2d(4).train()(pixels[..., None])[..., 0]
    torch.testing.assert_close(torch.cat([one.flatten(2) for one in normalized[:2]], 2), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(normalized[2], nn.BatchNorm2d(4).train()(whole[:2]), rtol=1e-4, atol=1e-5)


def test_without_groups_the_statistics_are_those_of_all():
    images = torch.cat([draw(2, 5, 7, 0.0), draw(2, 5, 7, 2.0)])
    result = JointBatchNorm(4).train()([images[:1], images[1:]])
    torch.testing.assert_close(torch.cat(result), nn.BatchNorm2d(4).train()(images), rtol=1e-4, atol=1e-5)
