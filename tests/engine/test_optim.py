"""The optimizer's groups and the learning rate's steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vclr.config import OptimizerConfig, load_config
from vclr.engine.optim import build_optimizer, build_scheduler
from vclr.models.build import build_model


def rates(config: OptimizerConfig, count: int) -> list[float]:
    """Return the learning rate that each iteration uses."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=config.lr)
    scheduler, used = build_scheduler(optimizer, config), []
    for _ in range(count):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def test_rate_drops_at_each_milestone_exactly():
    config = OptimizerConfig(lr=1.0, milestones=[5, 3], gamma=0.1)
    assert rates(config, 7) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_share_is_refused_until_it_is_an_iteration():
    with pytest.raises(ValueError, match=r"optimizer\.milestones=\[0\.8\]: are not iterations"):
        rates(OptimizerConfig(), 1)


def test_warm_up_is_linear():
    assert rates(OptimizerConfig(lr=1.0, milestones=[], warmup_iters=4), 6) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_published_model_has_the_published_groups():
    """The reference trains 52 backbone tensors and 76 of norms; of its 329 others our losses need no 43."""
    model = build_model(load_config())
    backbone, norms, rest = build_optimizer(model, OptimizerConfig()).param_groups
    assert [len(group["params"]) for group in (backbone, norms, rest)] == [52, 76, 329 - 43]
    assert [group["lr"] for group in (backbone, norms, rest)] == pytest.approx([1e-5, 1e-4, 1e-4])
    assert [group["weight_decay"] for group in (backbone, norms, rest)] == [1e-4, 0.0, 1e-4]
    assert backbone["betas"] == (0.9, 0.999)


def test_every_trainable_parameter_is_in_one_group():
    demo = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"
    model = build_model(load_config(demo))
    grouped = [
        id(parameter)
        for group in build_optimizer(model, OptimizerConfig()).param_groups
        for parameter in group["params"]
    ]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters() if parameter.requires_grad)
