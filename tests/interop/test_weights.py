"""Weights between vclr, detectron2's checkpoints and Caffe2's names."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.interop.fixtures import run_python
from vclr import build_model, load_config, load_weights
from vclr.engine.convert import convert
from vclr.errors import UserError
from vclr.models.detector import Detector
from vclr.models.reference import reference_keys

BRANCHES = {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}
TINY = ["model.num_queries=20", "model.embed_dim=32", "model.mask_hidden_dim=16"]
TINY += ["model.transformer.encoder.num_layers=1", "model.transformer.decoder.num_layers=1"]
SMALL = [*TINY, "model.backbone.depth=18", "model.backbone.stem_out_channels=8", "model.backbone.res2_out_channels=8"]
PARTS = {"weight": "w", "norm.weight": "bn_s", "norm.bias": "bn_b"}


def caffe2_name(key: str) -> str | None:
    """Return Caffe2's name of one of detectron2's for a backbone's weight; None for statistics of norms."""
    name = key.removeprefix("backbone.")
    if name.startswith("stem.conv1."):
        part = PARTS.get(name.removeprefix("stem.conv1."))
        return part and ("conv1_w" if part == "w" else f"res_conv1_{part}")
    stage, block, conv, rest = name.split(".", 3)
    return f"{stage}_{block}_{BRANCHES[conv]}_{PARTS[rest]}" if rest in PARTS else None


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_model(load_config(None, TINY))


def write_caffe2(path: Path, detector: Detector, has_blobs: bool) -> dict[str, np.ndarray]:
    """Write a ResNet-50 of random values as the model zoo's oldest files have it; return its arrays."""
    state, generator = detector.state_dict(), np.random.default_rng(0)
    arrays = {
        name: generator.random(tuple(state[ours].shape), dtype=np.float32)
        for ours, theirs in reference_keys(detector).items()
        if theirs.startswith("backbone.") and (name := caffe2_name(theirs))
    }
    arrays |= {
        "conv1_b": np.zeros(64, np.float32),
        "fc1000_w": np.zeros((1000, 8), np.float32),
        "fc1000_b": np.zeros(1000, np.float32),
        "conv1_w_momentum": np.ones(3, np.float32),
    }
    with path.open("wb") as file:
        pickle.dump({"blobs": arrays} if has_blobs else arrays, file, protocol=2)
    return arrays


@pytest.mark.parametrize("has_blobs", [True, False])
def test_a_backbone_with_the_names_of_caffe2(tmp_path: Path, detector: Detector, has_blobs: bool) -> None:
    arrays = write_caffe2(tmp_path / "R-50.pkl", detector, has_blobs)
    report = load_weights(detector, tmp_path / "R-50.pkl")
    assert report.layout == "caffe2" and not report.unexpected and not report.changed_shape
    assert "BGR" in str(report) and {*report.ignored.values()} == {
        *("is a bias of 0", "classifies whole images", "is of the optimizer")
    }
    state = detector.state_dict()
    for ours, theirs in reference_keys(detector).items():
        if not theirs.startswith("backbone."):
            continue
        if name := caffe2_name(theirs):
            np.testing.assert_array_equal(state[ours].numpy(), arrays[name])
        else:
            expected = 0.0 if theirs.endswith("mean") else 1 - 1e-5
            assert (state[ours] == torch.tensor(expected)).all(), ours


def test_a_backbone_of_caffe2_that_lacks_a_weight(tmp_path: Path, detector: Detector) -> None:
    arrays = write_caffe2(tmp_path / "R-50.pkl", detector, has_blobs=False)
    del arrays["res3_1_branch2b_w"]
    with (tmp_path / "less.pkl").open("wb") as file:
        pickle.dump(arrays, file, protocol=2)
    with pytest.raises(UserError, match="lacks 1 weights of the backbone"):
        load_weights(detector, tmp_path / "less.pkl")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint whose teacher differs from its student."""
    from vclr.engine.state import TrainState

    state = TrainState(load_config(None, SMALL), torch.device("cpu"))
    assert state.teacher is not None
    for weight in state.teacher.detector.parameters():
        weight.add_(1.0)
    path = tmp_path_factory.mktemp("weights") / "last.pt"
    torch.save(state.state_dict(), path)
    return path


def test_a_checkpoint_goes_to_detectron2_and_back(checkpoint: Path, tmp_path: Path) -> None:
    convert(checkpoint, tmp_path / "there.pth", to="detectron2")
    there = torch.load(tmp_path / "there.pth", weights_only=True)
    assert {key.partition(".")[0] for key in there["model"]} == {"student", "teacher"}
    convert(tmp_path / "there.pth", tmp_path / "back.pt")
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / "back.pt"))
    assert before["config"] == after["config"]
    for part in ("model", "teacher"):
        assert before[part].keys() == after[part].keys()
        assert all(torch.equal(before[part][key], after[part][key]) for key in before[part])


LOAD = """
import json, sys, torch
from detectron2.checkpoint import DetectionCheckpointer
from vclr.interop import VclrDetector
from vclr.config import config_from_text
content = torch.load(sys.argv[1], weights_only=True)
model = VclrDetector(config_from_text(content["config"], "config"))
left = DetectionCheckpointer(model).load(sys.argv[1])
same = all(torch.equal(value, content["model"][key]) for key, value in model.state_dict().items())
DetectionCheckpointer(model, sys.argv[2]).save("saved")
print(json.dumps({"same": same, "left": sorted(left)}))
"""

CAFFE2 = """
import sys, numpy, pickle, torch
from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names
from vclr.models.caffe2 import from_caffe2
with open(sys.argv[1], "rb") as file:
    arrays = {key: torch.from_numpy(value) for key, value in pickle.load(file)["blobs"].items()}
ours, ignored = from_caffe2(arrays)
theirs, _ = convert_c2_detectron_names({key: value for key, value in arrays.items() if key not in ignored})
assert {key for key in ours if "running" not in key} == set(theirs), set(ours) ^ set(theirs)
assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
print(len(theirs))
"""


@pytest.mark.slow
def test_their_checkpointer_loads_it_and_ours_loads_theirs(checkpoint: Path, tmp_path: Path) -> None:
    convert(checkpoint, tmp_path / "there.pth", to="detectron2")
    printed = json.loads(run_python(LOAD, str(tmp_path / "there.pth"), str(tmp_path)).splitlines()[-1])
    assert printed["same"]
    detector = build_model(load_config(None, SMALL))
    assert load_weights(detector, tmp_path / "saved.pth", strict=True).is_complete
    before = torch.load(checkpoint, weights_only=True)["model"]
    assert all(torch.equal(value, before[key]) for key, value in detector.state_dict().items())


@pytest.mark.slow
def test_names_of_caffe2_are_read_as_detectron2_reads_them(tmp_path: Path, detector: Detector) -> None:
    write_caffe2(tmp_path / "R-50.pkl", detector, has_blobs=True)
    assert int(run_python(CAFFE2, str(tmp_path / "R-50.pkl"))) == 53 * 3
