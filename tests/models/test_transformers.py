"""Backbones of transformers: maps, weights, frozen parts, layers of the learning rate, and what is refused."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers", reason="needs transformers")

from tests.tiny_backbones import RESNET_DEFAULTS, TINY, save_config, save_model  # noqa: E402
from vclr.config import BackboneConfig, Config, OptimizerConfig, load_config  # noqa: E402
from vclr.errors import UsageError, UserError  # noqa: E402
from vclr.models.build import build_model  # noqa: E402
from vclr.models.learning_rates import parameter_groups  # noqa: E402
from vclr.models.optimizer_state import check_rates  # noqa: E402
from vclr.models.pyramid import SimplePyramid  # noqa: E402
from vclr.models.transformers import Backbone  # noqa: E402
from vclr.models.transformers_source import MAY_LACK, PLAIN  # noqa: E402

MakeConfig = Callable[..., Config]


def open_tiny(folder: Path, kind: str, **settings: Any) -> Backbone:
    """Return the backbone of a tiny model with random weights."""
    torch.manual_seed(0)
    return Backbone(settings_of(save_config(folder / kind, kind, **TINY[kind]), **settings), 8)


def settings_of(source: Path, **settings: Any) -> BackboneConfig:
    return BackboneConfig(**{"name": "transformers", "source": str(source), "freeze_at": 0, **settings})


@pytest.mark.parametrize("kind", TINY)
def test_each_kind_gives_three_maps_of_each_group(tmp_path: Path, kind: str) -> None:
    """They cover sides that are no multiples of patches and windows; every weight that trains gets a gradient."""
    backbone = open_tiny(tmp_path, kind, drop_path=0.0)
    groups = [torch.randn(2, 3, 64, 96), torch.randn(1, 3, 33, 40)]
    maps = backbone(groups)
    assert backbone.strides == ([7, 14, 28] if TINY[kind].get("patch_size") == 14 or kind == "dinov2" else [8, 16, 32])
    for images, levels in zip(groups, maps, strict=True):
        sizes = [tuple(-(-side // stride) for side in images.shape[2:]) for stride in backbone.strides]
        assert [tuple(level.shape[2:]) for level in levels] == sizes
        assert [level.shape[1] for level in levels] == backbone.out_channels
    for beside, level in zip(maps[1], backbone(groups[1:])[0], strict=True):
        assert torch.equal(beside, level)
    sum(level.square().mean() for levels in maps for level in levels).backward()
    idle = {name for name, parameter in backbone.named_parameters() if parameter.grad is None}
    assert idle == {name for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert idle <= {"body.embeddings.mask_token", "body.swin.layernorm.weight", "body.swin.layernorm.bias"}


@pytest.mark.parametrize("kind", TINY)
def test_weights_of_a_folder_are_loaded_and_a_text_stands_for_the_folder(tmp_path: Path, kind: str) -> None:
    published = save_model(tmp_path / kind, kind).state_dict()
    backbone = Backbone(settings_of(tmp_path / kind), 8)
    state = backbone.body.state_dict()
    # The whole model has other norms after the last block and a pooler; its names may lack a prefix.
    left_out = ("layernorm.", "layer_norm.", "pooler.")
    taken = {name: value for name, value in published.items() if not name.startswith(left_out) or kind in PLAIN}
    taken = {name: value for name, value in taken.items() if not name.startswith("pooler.")}
    for name, value in taken.items():
        own = next(key for key in state if f".{key}".endswith(f".{name.removeprefix('model.')}"))
        assert torch.equal(state[own], value), name
    assert len(taken) >= len([key for key in state if not MAY_LACK.match(key)])
    shutil.rmtree(tmp_path / kind)
    again = Backbone(settings_of(tmp_path / kind, architecture=backbone.architecture), 8)
    assert again.architecture == backbone.architecture
    again.load_state_dict(backbone.state_dict())
    images = [torch.randn(1, 3, 50, 64)]
    with torch.no_grad():
        for one, other in zip(again.eval()(images)[0], backbone.eval()(images)[0], strict=True):
            assert torch.equal(one, other)


def test_a_pyramid_brings_patches_to_strides_near_eight() -> None:
    for patch, strides in ((8, [8, 16, 32]), (14, [7, 14, 28]), (16, [8, 16, 32]), (32, [8, 16, 32])):
        pyramid = SimplePyramid(32, patch)
        maps = pyramid(torch.randn(1, 32, 5, 3))
        assert pyramid.strides == strides
        for level, stride, channels in zip(maps, strides, pyramid.out_channels, strict=True):
            assert level.shape == (1, channels, -(-5 * patch // stride), -(-3 * patch // stride))


@pytest.mark.parametrize("kind", ["swin", "dinov2"])
def test_frozen_parts_begin_at_the_stem(tmp_path: Path, kind: str) -> None:
    frozen = []
    most = 5 if kind == "swin" else 3
    for count in range(most + 1):
        backbone = open_tiny(tmp_path, kind, freeze_at=count)
        frozen.append({name for name, parameter in backbone.named_parameters() if not parameter.requires_grad})
    assert all(fewer < more for fewer, more in zip(frozen[:-1], frozen[1:], strict=True))
    embeddings = {name for name, _ in backbone.named_parameters() if ".embeddings." in name}
    assert frozen[1] - frozen[0] == embeddings - frozen[0]
    first = "body.swin.encoder.layers.0." if kind == "swin" else "body.encoder.layer.0."
    assert frozen[2] - frozen[1] == {name for name, _ in backbone.named_parameters() if name.startswith(first)}
    assert {name for name, _ in backbone.named_parameters()} - frozen[-1]  # the norms of the maps, or the pyramid
    with pytest.raises(UsageError, match=rf"model\.backbone\.freeze_at={most + 1}: must be from 0 to {most}"):
        open_tiny(tmp_path, kind, freeze_at=most + 1)


EXPECTED = {
    "swin": {  # layers after it, and whether it decays
        "swin.embeddings.patch_embeddings.projection.weight": (5, True),
        "swin.embeddings.norm.bias": (5, False),
        "swin.embeddings.position_embeddings": (5, False),
        "swin.encoder.layers.0.blocks.0.mlp.fc1.weight": (4, True),
        "swin.encoder.layers.0.downsample.reduction.weight": (4, True),
        "swin.encoder.layers.1.blocks.0.layernorm_before.weight": (3, False),
        "swin.encoder.layers.2.blocks.0.attention.q_proj.weight": (2, True),
        "swin.encoder.layers.2.blocks.1.attention.relative_position_bias.relative_position_bias_table": (1, False),
        "swin.encoder.layers.3.blocks.0.mlp.fc2.bias": (0, False),
        "hidden_states_norms.stage2.weight": (0, False),
    },
    "convnext": {
        "embeddings.patch_embeddings.weight": (5, True),
        "encoder.stages.0.layers.0.dwconv.weight": (4, True),
        "encoder.stages.2.downsampling_layer.1.weight": (2, True),
        "encoder.stages.2.layers.1.layer_scale_parameter": (1, False),
        "encoder.stages.3.layers.0.pwconv1.weight": (0, True),
    },
    "dinov3_vit": {
        "embeddings.register_tokens": (2, False),
        "embeddings.patch_embeddings.weight": (2, True),
        "model.layer.0.attention.q_proj.weight": (1, True),
        "model.layer.1.layer_scale1.lambda1": (0, False),
        "norm.weight": (0, False),
    },
    "vit": {
        "embeddings.cls_token": (2, False),
        "embeddings.position_embeddings": (2, False),
        "layers.0.mlp.fc1.weight": (1, True),
        "layers.1.mlp.fc1.bias": (0, False),
    },
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_groups_of_the_optimizer_by_name(tmp_path: Path, make_config: MakeConfig, kind: str) -> None:
    source = save_config(tmp_path / kind, kind, **TINY[kind])
    model = build_model(configure(make_config, source, "model.backbone.freeze_at=0"))
    decay = {"layer_decay": 0.75, "weight_decay": 0.1, "weight_decay_norm": 0.01}
    config = OptimizerConfig(lr=1.0, backbone_lr_factor=0.5, milestones=[], **decay)
    groups = parameter_groups(model, config)
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    parameters = dict(model.named_parameters())
    for name, (after, decays) in EXPECTED[kind].items():
        group = of[id(parameters[f"backbone.body.{name}"])]
        assert group["lr"] == pytest.approx(0.5 * 0.75**after), name
        assert group["weight_decay"] == (0.1 if decays else 0.01), name
    for name, parameter in parameters.items():
        if not parameter.requires_grad:
            assert id(parameter) not in of, name
        elif name.startswith("backbone.pyramid"):
            assert of[id(parameter)]["lr"] == 0.5
        elif not name.startswith("backbone."):
            assert of[id(parameter)]["lr"] == 1, name
    rates = [group["lr"] for group in groups]
    assert rates == sorted(rates)
    plain = parameter_groups(model, replace(config, layer_decay=1.0))
    assert [(group["lr"], group["weight_decay"]) for group in plain] == [(0.5, 0.1), (0.5, 0.01), (1, 0.01), (1, 0.1)]
    state = torch.optim.AdamW(groups, betas=(0.9, 0.999))
    schedule = torch.optim.lr_scheduler.LambdaLR(state, lambda iteration: 1.0).state_dict()
    schedule["lr_lambdas"] = [None] * len(groups)
    check_rates(state.state_dict(), schedule, config, 0, "last.pt")
    with pytest.raises(UserError, match="initial_lr is not that of its settings"):
        check_rates(state.state_dict(), schedule, replace(config, layer_decay=0.7), 0, "last.pt")


def configure(make_config: MakeConfig, source: Path, *overrides: str) -> Config:
    chosen = "model.backbone.name=transformers", f"model.backbone.source={source}"
    return make_config("model.num_queries=20", *RESNET_DEFAULTS, *chosen, *overrides)


def test_drop_path_drops_in_training_alone(tmp_path: Path) -> None:
    images = [torch.randn(4, 3, 64, 64)]
    for kind in ("swin", "dinov2"):
        backbone = open_tiny(tmp_path, kind, drop_path=0.5)
        with torch.no_grad():
            assert not torch.equal(backbone(images)[0][-1], backbone(images)[0][-1])
            backbone.eval()
            assert torch.equal(backbone(images)[0][-1], backbone(images)[0][-1])
        steady = open_tiny(tmp_path, kind)  # whatever rate the model's own configuration has
        with torch.no_grad():
            assert torch.equal(steady(images)[0][-1], steady(images)[0][-1])
    with pytest.raises(UsageError, match=r"model\.backbone\.drop_path=0\.5: a model of type vit has no drop path"):
        open_tiny(tmp_path, "vit", drop_path=0.5)


def test_dinov3_has_the_same_positions_at_each_step(tmp_path: Path) -> None:
    backbone = open_tiny(tmp_path, "dinov3_vit")
    images = [torch.randn(1, 3, 64, 64)]
    assert torch.equal(backbone(images)[0][1], backbone(images)[0][1])


def test_random_weights_are_said_and_half_a_model_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_tiny(tmp_path, "swin")
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 'swin'}: holds no weights, so the backbone starts from random ones"
    ]
    save_model(tmp_path / "whole", "dinov2")
    save_config(tmp_path / "half", "dinov2", **TINY["dinov2"] | {"num_hidden_layers": 3})
    shutil.copy(tmp_path / "whole" / "model.safetensors", tmp_path / "half")
    save_config(tmp_path / "bert", "bert")
    save_config(tmp_path / "three", "swin", **TINY["swin"] | {"depths": [1, 1, 1], "num_heads": [1, 1, 2]})
    (tmp_path / "empty").mkdir()
    for name, says in {
        "half": r"half: its file lacks \d+ of the model's weights, for example encoder\.layer\.2\.",
        "bert": "bert: is a model of type bert; a backbone is one of swin, convnext, ",
        "three": "three: has 3 stages and patches of 4, not 4 stages and patches of 4",
        "empty": "empty: cannot be loaded as a model of features: ",
        "no/such/folder": "no/such/folder: no such folder; name a folder, or a model of the hub",
    }.items():
        with pytest.raises(UserError, match=says) as error:
            Backbone(settings_of(tmp_path / name), 8)
        assert "\n" not in str(error.value)


def test_a_hub_that_cannot_be_reached_is_one_line_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"facebook/dinov2-small: no such folder, and the hub gave no model ") as error:
        Backbone(BackboneConfig(name="transformers", source="facebook/dinov2-small"), 8)
    assert "\n" not in str(error.value)


def test_a_revision_of_a_hub_model_is_its_own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two commits in the hub's cache, with nothing but the cache to ask."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    kept, commits = tmp_path / "models--someone--tiny", {"main": "a" * 40, "older": "b" * 40}
    for seed, (branch, commit) in enumerate(commits.items()):
        save_model(kept / "snapshots" / commit, "convnext", seed)
        (kept / "refs").mkdir(exist_ok=True)
        (kept / "refs" / branch).write_text(commit)

    def first_weight(revision: str) -> torch.Tensor:
        source = BackboneConfig(name="transformers", source="someone/tiny", revision=revision)
        return next(Backbone(source, 8).body.parameters())

    assert torch.equal(first_weight(""), first_weight(commits["main"]))
    assert torch.equal(first_weight("older"), first_weight(commits["older"]))
    assert not torch.equal(first_weight(""), first_weight("older"))
    with pytest.raises(UserError, match=r"^someone/tiny: no such folder, and the hub gave no model"):
        first_weight("newer")
    with pytest.raises(UsageError, match=r"^model\.backbone\.revision=main: .* is a folder, which has no revisions"):
        Backbone(settings_of(save_config(tmp_path / "own", "swin", **TINY["swin"]), revision="main"), 8)


def test_without_the_extra_one_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"transformers, which is not installed; pip install 'vclr\[backbones\]'"):
        Backbone(settings_of(tmp_path), 8)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["model.backbone.source=x"], r"source=x: has no effect on model.backbone.name=resnet"),
        (["model.backbone.revision=main"], r"revision=main: has no effect on model.backbone.name=resnet"),
        (["model.backbone.drop_path=0.1"], r"drop_path=0.1: has no effect on model.backbone.name=resnet"),
        (["optimizer.layer_decay=0.9"], r"optimizer.layer_decay=0.9: has no effect on a resnet"),
        (["model.backbone.freeze_at=6"], r"model.backbone.freeze_at=6: must be from 0 to 5"),
        (["model.backbone.name=transformers"], "needs model.backbone.source"),
        (
            ["model.backbone.name=transformers", "model.backbone.depth=18", "model.backbone.norm=GN"],
            "depth=18 model.backbone.norm=GN: has no effect on model.backbone.name=transformers; "
            "set model.backbone.depth=50 model.backbone.norm=FrozenBN",
        ),
        (["model.backbone.architecture={}"], "architecture"),
        (["model.backbone.architecture=x"], r"architecture: cannot be set; .* model\.backbone\.source"),
    ],
)
def test_settings_without_effect_are_refused(overrides: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        load_config(None, overrides)
    assert "\n" not in str(error.value)
