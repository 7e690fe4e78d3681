"""Backbones from elsewhere: torchvision's and DINO's `.pth`, detectron2's `.pkl`; and files that would do harm."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vclr.config import load_config
from vclr.errors import UserError
from vclr.models.array_pickle import load_array_pickle
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.models.resnet import NUM_BLOCKS
from vclr.models.weights import load_weights, read_weights

FROZEN = ["model.backbone.norm=FrozenBN", "model.backbone.freeze_at=1"]
SMALL = ["model.num_queries=10", "model.mask_hidden_dim=32", "model.embed_dim=64"]
SMALL += [
    f"model.transformer.{part}.{key}"
    for part in ("encoder", "decoder")
    for key in ("num_layers=1", "feedforward_dim=64")
]


def build(*overrides: str) -> Detector:
    return build_model(load_config(None, [*FROZEN, *SMALL, *overrides]))


def draw_torchvision_weights(depth: int = 50) -> dict[str, Tensor]:
    """A ResNet as torchvision names it, with random numbers."""
    generator = torch.Generator().manual_seed(depth)
    state: dict[str, Tensor] = {}

    def conv_norm(conv: str, norm: str, out_channels: int, in_channels: int, kernel: int) -> None:
        state[f"{conv}.weight"] = torch.randn(out_channels, in_channels, kernel, kernel, generator=generator)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{name}"] = torch.rand(out_channels, generator=generator)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    conv_norm("conv1", "bn1", 64, 3, 7)
    is_bottleneck, channels = depth >= 50, 64
    for layer, num_blocks in enumerate(NUM_BLOCKS[depth], start=1):
        width = 64 * 2 ** (layer - 1)
        out_channels = width * (4 if is_bottleneck else 1)
        for block in range(num_blocks):
            name = f"layer{layer}.{block}"
            shapes = [(width, channels, 1), (width, width, 3), (out_channels, width, 1)]
            for number, shape in enumerate(shapes if is_bottleneck else [(width, channels, 3), (width, width, 3)], 1):
                conv_norm(f"{name}.conv{number}", f"{name}.bn{number}", *shape)
            if block == 0 and channels != out_channels:
                conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", out_channels, channels, 1)
            channels = out_channels
    state["fc.weight"], state["fc.bias"] = torch.randn(10, channels), torch.randn(10)
    return state


def to_detectron2(state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Rename as the reference's `convert_pth.py` does, arrays for tensors."""
    renamed = {}
    for key, value in state.items():
        name = key if "layer" in key else f"stem.{key}"
        name = re.sub(r"layer(\d)", lambda match: f"res{int(match[1]) + 1}", name)
        name = re.sub(r"bn(\d)", r"conv\1.norm", name)
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        renamed[name] = value.numpy()
    return renamed


def forward_reference(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """The stem and the first block of a bottleneck ResNet, written out."""

    def conv(x: Tensor, name: str, norm: str, **options: Any) -> Tensor:
        x = torch.nn.functional.conv2d(x, state[f"{name}.weight"], **options)
        stats = [state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return torch.nn.functional.batch_norm(x, *stats, eps=1e-5)

    x = conv(images, "conv1", "bn1", stride=2, padding=3).relu()
    x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    y = conv(x, "layer1.0.conv1", "layer1.0.bn1").relu()
    y = conv(y, "layer1.0.conv2", "layer1.0.bn2", padding=1).relu()
    y = conv(y, "layer1.0.conv3", "layer1.0.bn3")
    return (y + conv(x, "layer1.0.downsample.0", "layer1.0.downsample.1")).relu()


def assert_backbone_is_loaded(detector: Detector, state: dict[str, Tensor]) -> None:
    images = torch.randn(1, 3, 64, 64)
    backbone = detector.backbone
    with torch.no_grad():
        kernels = backbone.kernels()
        (stem,) = backbone.stem([images], kernels)
        (ours,) = backbone.res2[0]([backbone.stem_pool(stem.relu())], kernels)
    expected = forward_reference(state, images)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s}], ids=["plain", "state_dict", "model"]
)
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.encoder_q."])
def test_torchvision_and_dino(tmp_path: Path, wrap: Callable[[Any], Any], prefix: str):
    state = draw_torchvision_weights()
    torch.save(wrap({prefix + key: value for key, value in state.items()}), tmp_path / "r50.pth")
    detector = build()
    report = load_weights(detector, tmp_path / "r50.pth")
    assert report.layout == "torchvision"
    assert not report.unexpected
    assert not report.changed_shape
    assert not [key for key in report.missing if key.startswith("backbone.")]
    assert {key.split(".")[-2] for key in report.ignored if "tracked" not in key} == {"fc"}
    assert_backbone_is_loaded(detector, state)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("prefix", ["", "backbone.bottom_up."])
def test_detectron2(tmp_path: Path, protocol: int, prefix: str):
    state = draw_torchvision_weights()
    arrays = {prefix + key: value for key, value in to_detectron2(state).items()}
    arrays |= {"roi_heads.box_head.fc1.weight": np.zeros((2, 2), np.float32)} if prefix else {}
    content = {"model": arrays, "__author__": "somebody", "matching_heuristics": True}
    (tmp_path / "r50.pkl").write_bytes(pickle.dumps(content, protocol))
    detector = build()
    report = load_weights(detector, tmp_path / "r50.pkl")
    assert report.layout == "detectron2"
    assert not report.unexpected
    assert not [key for key in report.missing if key.startswith("backbone.")]
    assert set(report.ignored.values()) >= {"classifies whole images", "frozen statistics are not counted"}
    assert ("roi_heads.box_head.fc1.weight" in report.ignored) == bool(prefix)
    assert_backbone_is_loaded(detector, state)


@pytest.mark.parametrize("depth", [18, 101])
def test_other_depths(depth: int):
    detector = build(f"model.backbone.depth={depth}", f"model.backbone.res2_out_channels={64 if depth < 50 else 256}")
    report = load_weights(detector, draw_torchvision_weights(depth))
    assert not report.unexpected
    assert not [key for key in report.missing if key.startswith("backbone.")]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("given", "wanted"), [(50, 101), (101, 50), (18, 50), (50, 18), (34, 50), (18, 34)])
def test_backbone_of_another_depth_is_named(given: int, wanted: int, strict: bool):
    """Some of their tensors have the same names and shapes, which must not be loaded."""
    detector = build(f"model.backbone.depth={wanted}")
    before = detector.backbone.stem.conv.weight.clone()
    says = f"its backbone is a ResNet-{given}, the model's a ResNet-{wanted}: .* set model.backbone.depth={given} "
    with pytest.raises(UserError, match=says):
        load_weights(detector, draw_torchvision_weights(given), strict=strict)
    assert torch.equal(detector.backbone.stem.conv.weight, before)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("missing", r"lacks 1 weights of the backbone, for example backbone\.res4\.2\.convs\.1\.conv\.weight"),
        ("shape", r"its backbone is another one: backbone\.res4\.2\.convs\.1\.conv\.weight is \(7, 7\), not \(256,"),
        ("surplus", r"its backbone has 1 weights that the model's lacks, for example layer3\.2\.conv2\.scale"),
    ],
)
def test_part_of_a_backbone_is_none(damage: str, says: str):
    state = draw_torchvision_weights(50)
    if damage == "missing":
        del state["layer3.2.conv2.weight"]
    elif damage == "shape":
        state["layer3.2.conv2.weight"] = torch.zeros(7, 7)
    else:
        state["layer3.2.conv2.scale"] = torch.zeros(7)
    with pytest.raises(UserError, match=says):
        load_weights(build(), state)


def test_backbone_of_a_detector_of_ours_fits_whole():
    other = build("model.backbone.depth=101").state_dict()
    with pytest.raises(UserError, match="its backbone is a ResNet-101, the model's a ResNet-50"):
        load_weights(build(), other)
    own = {key: value for key, value in build().state_dict().items() if key.startswith("backbone.")}
    assert load_weights(build(), {"model": own}).loaded == list(own)


def test_batch_norms_do_not_become_group_norms():
    with pytest.raises(UserError, match=r"set model\.backbone\.norm=FrozenBN"):
        load_weights(build("model.backbone.norm=GN"), draw_torchvision_weights())


# --- pickles of arrays -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back(tmp_path: Path, protocol: int):
    content = {
        "f": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.float16([[1.5], [2.5]]),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        "big endian": np.arange(3, dtype=">f8"),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 4), np.uint8),
        "scalar": np.float32(2.5),
        "text": "somebody",
        "nested": {"list": [1, 2.0, None]},
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    back = load_array_pickle(tmp_path / "a.pkl")
    assert back["text"] == "somebody"
    assert back["nested"] == {"list": [1, 2.0, None]}
    for key in ("f", "half", "fortran", "big endian", "bool", "empty", "scalar"):
        np.testing.assert_array_equal(back[key], content[key])
        assert back[key].dtype == content[key].dtype


class Run:
    """Runs a command where it is unpickled."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".pt"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_file_executes_nothing(tmp_path: Path, suffix: str, protocol: int):
    trace, path = tmp_path / "executed", tmp_path / f"weights{suffix}"
    for call in ((os.system, f"touch {trace}"), (eval, f"open({str(trace)!r}, 'w')"), (os.mkdir, str(trace))):
        payload = {"model": {"stem.conv1.weight": Run(*call)}}
        if suffix == ".pkl":
            path.write_bytes(pickle.dumps(payload, protocol))
        else:
            torch.save(payload, path, pickle_protocol=2, _use_new_zipfile_serialization=protocol > 0)
        with pytest.raises(UserError, match="nothing in it was executed"):
            read_weights(path)
        assert not trace.exists()


def test_an_array_of_objects_is_refused(tmp_path: Path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"model": np.array([{"a": 1}], dtype=object)}))
    with pytest.raises(UserError, match="not of numbers"):
        read_weights(path)


@pytest.mark.parametrize("content", [b"", b"weights", pickle.dumps([1]), pickle.dumps({"a": np.zeros(100)})[:-150]])
def test_a_damaged_pickle_is_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
