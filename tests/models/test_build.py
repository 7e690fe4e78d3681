"""Weights depend on the seed alone, and building them leaves every generator, and every GPU, alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vclr.config import Config
from vclr.models.build import build_model

MakeConfig = Callable[..., Config]


def test_the_global_generator_stays_as_it_was(make_config: MakeConfig):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_model(make_config()).state_dict()
    assert torch.equal(torch.rand(3), expected)
    second = build_model(make_config()).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = build_model(make_config("train.seed=1")).state_dict()
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_no_gpu_is_touched(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    """With several of them torch warns, too, when all their generators are saved."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("get_rng_state", "set_rng_state", "manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, name=name: pytest.fail(f"called torch.cuda.{name}"))
    build_model(make_config())
