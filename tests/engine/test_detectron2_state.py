"""Training a model of detectron2: our data in its form, exact resumption, stops by signal, and evaluation by ours."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.interop.fixtures import need_detectron2
from tests.tiny_mask_rcnn import EXPERIMENT, TINY_MASK_RCNN, tiny_environment
from vclr.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# The same rates whatever the length; else the warm-up of a short training ends with it.
STEPS = ("detectron2.settings.SOLVER.STEPS=[2]", "detectron2.settings.SOLVER.WARMUP_ITERS=2")

INPUTS = """
import sys
import torch
from vclr.config import load_config
from vclr.data.loader import TrainingLoader
from vclr.data.samples import TrainingSamples
from vclr.engine.detectron2_state import Detectron2State, to_training_inputs

config = load_config(sys.argv[1], sys.argv[2:])
state = Detectron2State(config, torch.device("cpu"))
batch = next(iter(TrainingLoader(config, TrainingSamples(config))))
assert batch.views == ["edge", "edge"] and not torch.equal(batch.images, torch.zeros(()))
for is_bgr in (False, True):
    state.detector.is_bgr = is_bgr
    for entry, target, image, (height, width) in zip(
        to_training_inputs(state.detector, batch), batch.targets, batch.images, batch.image_sizes, strict=True
    ):
        assert torch.equal(entry["image"], (image.flip(0) if is_bgr else image)[:, :height, :width])
        objects = entry["instances"]
        assert objects.image_size == (height, width) and len(objects) == len(target) > 0
        assert (objects.gt_classes == 0).all() and torch.equal(objects.gt_masks.tensor, target.masks.bool())
        painted = objects.gt_masks.get_bounding_boxes().tensor
        assert (objects.gt_boxes.tensor - painted).abs().max() < 1.5  # pixels
first = state.step(batch)
assert set(first) == {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"} and state.iteration == 1
again = Detectron2State(config, torch.device("cpu"))
torch.rand(5)
assert again.step(batch) == first and again.grad_norm == state.grad_norm > 0
broken = Detectron2State(config, torch.device("cpu"))
broken.detector.network.roi_heads.box_predictor.cls_score.weight.data.fill_(float("nan"))
try:
    broken.step(batch)
except FloatingPointError as error:
    print(error)
"""


@pytest.fixture
def data(world):
    raw = world / "raw" / "toy"
    return [
        f"data.train.annotations={world / 'splits/toy_train_toy_known.json'}",
        f"data.train.images={raw / 'images'}",
        f"data.test.annotations={raw / 'annotations_val.json'}",
        f"data.test.images={raw / 'images'}",
        "evaluation.protocol=",
        "tracking.enabled=False",
    ]


@pytest.fixture
def start(data, tmp_path):
    """Return what starts `vclr` on the toy scenes, in a process that can import detectron2."""
    need_detectron2()

    def start(verb: str, *options: str) -> subprocess.Popen[str]:
        configured = ["--config-file", str(EXPERIMENT), *data, *TINY_MASK_RCNN] if verb in ("train", "evaluate") else []
        return subprocess.Popen(
            [sys.executable, "-m", "vclr.cli", verb, *configured, *options],
            cwd=tmp_path,
            env=tiny_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture
def vclr(start):
    """Return what runs `vclr` to its end, and returns its output."""

    def run(verb: str, *options: str, code: int = 0) -> str:
        process = start(verb, *options)
        output, _ = process.communicate(timeout=280)
        assert process.returncode == code, output
        return output

    return run


def read_checkpoint(path):
    return torch.load(path, weights_only=True)


def test_batches_and_steps(data):
    need_detectron2()
    command = [sys.executable, "-c", INPUTS, str(EXPERIMENT), *data, *TINY_MASK_RCNN, "views.weights={edge: 1}"]
    ended = subprocess.run(
        [*command, "views.weights.natural=0"], env=tiny_environment(), capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert ended.stdout.startswith("iteration 0: the loss is not finite on images ")


def test_a_resumed_training_is_the_same_and_its_checkpoint_is_evaluated(vclr, tmp_path):
    often = ("train.log_period=2", "train.eval_period=6", *STEPS)
    vclr("train", "train.output_dir=whole", "train.max_iter=6", *often)
    vclr("train", "train.output_dir=parts", "train.max_iter=3", *often)
    vclr("train", "--resume", "train.output_dir=parts", "train.max_iter=6", *often)
    whole, parts = (read_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "parts"))
    assert whole["iteration"] == parts["iteration"] == 6
    assert all(torch.equal(value, parts["model"][key]) for key, value in whole["model"].items())
    assert (tmp_path / "whole" / "DONE").is_file()
    records = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [(one["kind"], one["iteration"]) for one in records] == [
        ("train", 2),
        ("train", 4),
        ("train", 6),
        ("eval", 6),
    ]
    assert records[0]["loss"] == pytest.approx(sum(v for k, v in records[0].items() if k.startswith("loss_")))
    assert records[2]["lr"] == pytest.approx(0.002)  # a tenth, after iteration 2

    vclr("evaluate", *STEPS, "--checkpoint", "whole", "--output", "found")
    metrics = read_json(tmp_path / "found" / "metrics.json")
    assert metrics["box_ar@100"] == pytest.approx(records[3]["student/box_ar@100"])
    assert metrics["provenance"]["weights"] == "student" and metrics["provenance"]["checkpoint"]["iteration"] == 6
    often = often[:2]
    longer = vclr("train", "--resume", "train.output_dir=parts", "train.max_iter=60", *often, STEPS[1], code=2)
    assert "holds a training with other settings or data: detectron2.settings.SOLVER.STEPS" in longer
    changed = vclr(
        "train", "--resume", "train.output_dir=parts", "train.max_iter=6", "train.seed=1", *often, *STEPS, code=2
    )
    assert "holds a training with other settings or data: train.seed" in changed

    wrong = vclr("convert", "whole/checkpoints/last.pt", "--to", "reference", "--output", "x.pth", code=2)
    assert "is for the project's own detector alone" in wrong


def test_a_signal_saves_and_the_checkpoint_predicts(start, vclr, world, tmp_path):
    process = start("train", "train.output_dir=run", "train.max_iter=100000", "train.log_period=1")
    metrics, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 240
    while not (metrics.is_file() and metrics.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 75, output
    saved = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert saved["iteration"] > 0 and "MASK_ON" in saved["detectron2"]
    photo = next((world / "raw" / "toy" / "images").glob("val_*.png"))
    vclr("predict", "--checkpoint", "run", "--output", "found", "--device", "cpu", str(photo))
    results = read_json(tmp_path / "found" / f"{photo.stem}.json")
    assert results and all(one["category_id"] == 1 and "segmentation" in one for one in results)
