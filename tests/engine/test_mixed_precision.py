"""Trainings in mixed precision on real photos of different sizes, through the command."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.same import records
from tests.shared import PHOTOS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED with photos"),
    pytest.mark.timeout(600),
]
ROOT = Path(__file__).parents[2]
SETTINGS = (
    "train.max_iter=50",
    "train.log_period=10",
    "train.device=cpu",
    "tracking.enabled=False",
    "optimizer.lr=1e-4",  # the published rate: small steps, so that two trainings stay side by side
    "dataloader.train.total_batch_size=2",
    "dataloader.train.mapper.short_edge_length=[96,128,160]",
    f"data.train.images={PHOTOS}/images",
)


def run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "vclr.cli", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("splits") / "voc.json"
    run("split", "voc", "--annotations", f"{PHOTOS}/annotations_train.json", "--output", str(path))
    return path


def losses_of(folder: Path, annotations: Path, *settings: str) -> list[float]:
    """Return the mean loss of each ten steps of a training."""
    own = (f"train.output_dir={folder}", f"data.train.annotations={annotations}", *SETTINGS, *settings)
    run("train", "--quiet", "--config-file", f"{ROOT}/configs/small_detector.yaml", *own)
    return [record["loss"] for record in records(folder)]


@pytest.fixture(scope="module")
def exact(annotations: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses_of(tmp_path_factory.mktemp("float32") / "run", annotations)


def test_fifty_steps_are_near_those_of_float32(exact: list[float], annotations: Path, tmp_path: Path):
    """In bfloat16; `tests/cuda` has float16, which CPUs only imitate."""
    near = losses_of(tmp_path / "run", annotations, "train.amp.enabled=True", "train.amp.dtype=bfloat16")
    assert len(near) == 5
    assert near[-1] == pytest.approx(exact[-1], rel=0.05)
    assert sum(near) == pytest.approx(sum(exact), rel=0.05)
    assert near != exact
    assert near[-1] < 0.9 * near[0], "it learns"


def test_the_command_of_the_reference(annotations: Path, tmp_path: Path):
    """As README.md translates it: batch 8, mixed precision, checkpointing, 2000 queries; here on small images."""
    overrides = [
        "dataloader.train.total_batch_size=8",
        "model.num_queries=2000",
        "train.amp.enabled=True",
        "model.transformer.encoder.use_checkpoint=True",
        "train.init_checkpoint=",
    ]
    here = [
        f"data.train.annotations={annotations}",
        f"data.train.images={PHOTOS}/images",
        "data.train.proposals=''",
        "dataloader.train.mapper.short_edge_length=[64,96]",
        "dataloader.train.mapper.crop_probability=0.0",
        "dataloader.train.num_workers=0",
        "train.max_iter=1",
        "train.log_period=1",
        "train.device=cpu",
        "tracking.enabled=False",
        f"train.output_dir={tmp_path}/run",
    ]
    run("train", "--config-file", f"{ROOT}/configs/experiment/voc_to_nonvoc.yaml", "--num-gpus", "1", *overrides, *here)
    assert [record["iteration"] for record in records(tmp_path / "run")] == [1]
    assert all(math.isfinite(record["loss"]) for record in records(tmp_path / "run"))
