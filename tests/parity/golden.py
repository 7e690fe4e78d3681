"""Arrays that the reference implementation computed, and a detector with the weights that it had.

`tests/golden` holds what most tests need; the rest is read from the folder that `VCLR_SHARED` names, if there is one.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.shared import SHARED
from vclr.config import Config, load_config
from vclr.losses import criterion as criterion_module
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.models.reference import HEADS, HEADS_PREFIX, initial_unused, to_reference, with_aliases
from vclr.models.weights import load_weights
from vclr.structures import Target

COMPACT = Path(__file__).parents[1] / "golden"
SMALL = [
    f"model.transformer.{part}.{key}"
    for part in ("encoder", "decoder")
    for key in ("num_layers=2", "feedforward_dim=256")
]


def find(name: str) -> Path:
    """Return where a file is; skip the test where it is not at hand."""
    for folder in (COMPACT, SHARED / "golden"):
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"needs VCLR_SHARED for {name}")


def load_json(name: str) -> Any:
    return json.loads(find(name).read_text(encoding="utf-8"))


class Arrays:
    """The arrays of one golden file, as tensors."""

    def __init__(self, name: str) -> None:
        with np.load(find(name), allow_pickle=False) as file:
            self.arrays = dict(file)

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(np.array(self.arrays[key]))

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def names(self, prefix: str) -> list[str]:
        return [name.removeprefix(prefix) for name in self.arrays if name.startswith(prefix)]


def assert_close(ours: Tensor, reference: Tensor, tolerance: float = 1e-5) -> None:
    """Compare up to `tolerance` of the largest value."""
    assert ours.shape == reference.shape
    torch.testing.assert_close(ours, reference, rtol=0, atol=tolerance * max(1.0, reference.abs().max().item()))


def assert_near_peak(ours: Tensor, reference: Tensor, tolerance: float) -> None:
    """Compare up to `tolerance` of the largest value, however small that is."""
    assert ours.shape == reference.shape
    error = (ours.double() - reference.double()).abs().max().item()
    peak = reference.abs().max().item()
    assert error <= tolerance * peak, f"{error:.3g} of {peak:.3g}"


def replay_points(
    monkeypatch: pytest.MonkeyPatch, layers: list[Tensor], targets: list[Target], num_groups: int = 0
) -> None:
    """Let the criterion read masks at the reference's points: for each layer (k, p, 2), images' objects in order.

    Denoising follows in layers of its own, with the objects of each image `num_groups` times.
    """
    num_objects = sum(map(len, targets))
    drawn = []
    for groups in sorted({1, num_groups or 1}):
        own = [points for points in layers if len(points) == groups * num_objects]
        by_image = zip(*(points.split([groups * len(target) for target in targets]) for points in own), strict=True)
        drawn += [torch.cat(of_layers) for of_layers in by_image]
    parts = iter(drawn)
    monkeypatch.setattr(criterion_module, "draw_uncertain_points", lambda *_: next(parts))


# --- weights ---------------------------------------------------------------------------------------------------------

# What a random matrix is scaled by; the first that fits its name.
GAINS = (
    (r"sampling_offsets\.weight$", 0.5),
    (r"(attention_weights\.weight|in_proj_weight)$", 2.0),
    (r"(output|out)_proj\.weight$", 0.2),
    (r"\.ffns\..*layers\.1\.weight$", 0.2),
    (r"^mapping_fpn_features_for_seg\.3\.weight$", 0.3),
    (r"\.bbox_embed\..*layers\.2\.weight$", 0.25),
    (r"\.mask_embed\..*layers\.2\.weight$", 0.2),
    (r"\.mask_embed\.", 1.4),
    (r"\.class_embed\.", 1.5),
    (r"^backbone\.", 1.5),
    (r"", 1.0),
)


def fill_value(key: str, shape: tuple[int, ...], salt: str = "") -> Tensor:
    """Return what the reference had under a key: random numbers, seeded by the key and scaled by its kind."""
    key = HEADS_PREFIX + key if key.startswith(HEADS) else key
    generator = torch.Generator().manual_seed(zlib.crc32(f"{salt}{key}".encode()))
    kind = key.rsplit(".", 1)[-1]
    if kind == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if kind == "running_var":
        return torch.rand(shape, generator=generator) * 0.2 + 1.0
    if key.endswith("sampling_offsets.bias"):
        return _ring_of_offsets(num_heads=8, num_levels=4, num_points=4)
    normal = torch.randn(shape, generator=generator)
    if key.endswith(("tgt_embed.weight", "label_enc.weight", "level_embeds")):
        return normal
    if kind == "running_mean":
        return normal * 0.05
    if len(shape) > 1:
        gain = next(gain for pattern, gain in GAINS if re.search(pattern, key))
        return normal * (gain / math.sqrt(math.prod(shape[1:])))
    if kind == "weight":
        return normal * 0.1 + 1.0
    bias = normal * 0.02
    if ".class_embed." in key:
        return bias - 2.0
    return -bias if key == "transformer.enc_output.bias" else bias


def _ring_of_offsets(num_heads: int, num_levels: int, num_points: int) -> Tensor:
    """Each head looks into a direction of its own, point k at a distance of k cells."""
    angles = torch.arange(num_heads, dtype=torch.float32) * (2.0 * math.pi / num_heads)
    directions = torch.stack([angles.cos(), angles.sin()], -1)
    directions = directions / directions.abs().max(-1, keepdim=True)[0]
    offsets = directions[:, None, None] * torch.arange(1, num_points + 1)[:, None]
    return offsets.expand(-1, num_levels, -1, -1).reshape(-1)


def parity_config(is_small: bool = False, *overrides: str) -> Config:
    """Return the published architecture with 300 queries, or with 2 + 2 narrow layers."""
    return load_config(None, ["model.num_queries=300", *(SMALL if is_small else []), *overrides])


@cache
def reference_state(is_small: bool = False, salt: str = "") -> dict[str, Tensor]:
    """Return the reference's `model`, all keys; do not change it."""
    detector = build_model(parity_config(is_small))
    full = with_aliases(to_reference(detector, initial_unused(detector.config, 0)))
    return {key: fill_value(key, tuple(value.shape), salt) for key, value in full.items()}


def filled_detector(is_small: bool = False, salt: str = "") -> Detector:
    """Return a detector with the reference's weights."""
    detector = build_model(parity_config(is_small))
    assert load_weights(detector, reference_state(is_small, salt)).is_complete
    return detector
