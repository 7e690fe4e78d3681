"""Batch norm over images of different sizes in mixed precision."""

from __future__ import annotations

from typing import Any

import torch

from tests.cuda.machine import Machine
from vclr.models.joint_norm import JointBatchNorm


def main(machine: Machine, dtypes: list[str]) -> list[dict[str, Any]]:
    """Return what `measure` does for each precision."""
    return [measure(machine, dtype) for dtype in dtypes]


def measure(machine: Machine, dtype: str) -> dict[str, Any]:
    """Return the running statistics after one batch: as the layer has them, and those of float64."""
    norm = JointBatchNorm(4).to("cuda").train()
    maps = [3 + 0.5 * torch.randn(1, 4, *size, dtype=torch.float64) for size in ((90, 107), (60, 101))]
    with torch.autocast("cuda", getattr(torch, dtype)):
        norm([one.to("cuda", getattr(torch, dtype)) for one in maps])
    pixels = torch.cat([one.to(getattr(torch, dtype)).double().flatten(2) for one in maps], 2)[0]
    assert norm.running_mean is not None and norm.running_var is not None
    return {
        "mean": norm.running_mean.tolist(),
        "variance": norm.running_var.tolist(),
        "exact_mean": (0.1 * pixels.mean(1)).tolist(),
        "exact_variance": (0.9 + 0.1 * pixels.var(1)).tolist(),
        "notes": machine.notes.take(),
    }
