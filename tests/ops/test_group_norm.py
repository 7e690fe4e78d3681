"""GroupNorm in its exported form: the same values, and no loss of precision on large images."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vclr.export.packages import import_package, quiet_exporters
from vclr.ops.group_norm import GroupNorm
from vclr.ops.plain import plain_operations


def draw(side: int) -> tuple[GroupNorm, Tensor]:
    """Return a GroupNorm and features of a nearly constant image."""
    generator = torch.Generator().manual_seed(0)
    norm = GroupNorm(2, 8)
    for parameter in norm.parameters():
        nn.init.normal_(parameter, 1.0, 0.3, generator)
    return norm.requires_grad_(False), 0.7 + 0.05 * torch.randn(2, 8, side, side, generator=generator)


def test_means_one_after_the_other_give_the_same() -> None:
    norm, features = draw(24)
    with plain_operations():
        torch.testing.assert_close(norm(features), nn.GroupNorm.forward(norm, features), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_onnxruntime_keeps_the_precision_of_large_images() -> None:
    norm, features = draw(512)
    written = io.BytesIO()
    with plain_operations(), quiet_exporters():
        program = torch.onnx.export(norm, (features,), dynamo=True, verbose=False)
        assert program is not None
        program.save(written)
    session = import_package("onnxruntime").InferenceSession(written.getvalue(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: features.numpy()})
    expected = nn.GroupNorm.forward(norm.double(), features.double()).numpy()
    assert np.abs(found - expected).max() <= 3e-6 * np.abs(expected).max()
