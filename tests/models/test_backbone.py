"""A backbone family keeps its contract, and another one takes its place under its name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vclr.catalog.backbones import BACKBONES
from vclr.config import BackboneConfig, Config, config_hash
from vclr.engine.same_training import training_hash
from vclr.errors import UserError
from vclr.models.backbone import build_backbone
from vclr.models.build import build_model
from vclr.models.learning_rates import parameter_groups
from vclr.models.reference import reference_keys
from vclr.models.weights import load_weights

MakeConfig = Callable[..., Config]


class Strided(nn.Module):
    """Three strided convolutions on pixels that are pooled by four."""

    def __init__(self, config: BackboneConfig, norm_groups: int) -> None:
        super().__init__()
        self.out_channels = [4, 8, 12]
        self.convs = nn.ModuleList(nn.Conv2d(*sizes, 3, 2, 1) for sizes in ((3, 4), (4, 8), (8, 12)))

    def forward(self, groups: list[Tensor]) -> list[list[Tensor]]:
        return [list(self._maps(functional.avg_pool2d(images, 4, ceil_mode=True))) for images in groups]

    def _maps(self, features: Tensor) -> list[Tensor]:
        maps = []
        for conv in self.convs:
            features = conv(features).relu()
            maps.append(features)
        return maps


@pytest.fixture
def strided(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Return a configuration whose backbone is another family."""
    module = ModuleType("vclr.models.strided")
    monkeypatch.setattr(module, "Backbone", Strided, raising=False)
    monkeypatch.setitem(sys.modules, "vclr.models.strided", module)
    config = make_config("model.num_queries=20")
    return replace(config, model=replace(config.model, backbone=replace(config.model.backbone, name="strided")))


@pytest.mark.parametrize("name", BACKBONES.keys() - {"transformers"})  # tests/models/test_transformers.py has those
def test_a_family_gives_three_maps_finest_first_for_each_group(name: str):
    config = BackboneConfig(name=name, norm="GN", freeze_at=0)
    backbone = build_backbone(config, norm_groups=32)
    groups = [torch.randn(2, 3, 64, 96), torch.randn(1, 3, 33, 40)]
    with torch.no_grad():
        maps = backbone(groups)
        (alone,) = backbone(groups[1:])
    assert [len(levels) for levels in maps] == [3, 3]
    assert [level.shape[1] for level in maps[0]] == backbone.out_channels
    assert [tuple(level.shape[2:]) for level in maps[0]] == [(8, 12), (4, 6), (2, 3)]
    for beside, level in zip(maps[1], alone, strict=True):
        torch.testing.assert_close(beside, level)
    assert import_module(f"vclr.models.{name}").Backbone is type(backbone)


def test_another_family_trains_at_the_rate_of_backbones_and_loads(strided: Config):
    detector = build_model(strided)
    outputs = detector.train()(torch.randn(2, 3, 64, 64), [(64, 64), (40, 48)])
    outputs.queries.sum().backward()
    rates = {
        id(parameter): group["lr"]
        for group in parameter_groups(detector, strided.optimizer)
        for parameter in group["params"]
    }
    expected = strided.optimizer.lr * strided.optimizer.backbone_lr_factor
    for parameter in detector.backbone.parameters():
        assert parameter.grad is not None
        assert rates[id(parameter)] == expected
    other = build_model(replace(strided, train=replace(strided.train, seed=1)))
    assert load_weights(other, detector.state_dict(), strict=True).is_complete


def test_another_family_has_no_names_in_the_reference(strided: Config):
    with pytest.raises(UserError, match=r"model\.backbone\.name=strided: .* only .* resnet"):
        reference_keys(build_model(strided))


def test_the_family_counts_in_hashes_unless_it_is_the_first(make_config: MakeConfig, strided: Config):
    plain = make_config("model.num_queries=20")
    assert plain.model.backbone.name == "resnet"
    assert training_hash(plain) != training_hash(strided)
    assert config_hash(plain, ("model",)) != config_hash(strided, ("model",))
