"""Several processes that evaluate write what one does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vclr.config import Config, dump_config
from vclr.engine.train import train
from vclr.files import read_json

MakeConfig = Callable[..., Config]
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
VCLR = [sys.executable, "-m", "vclr.cli"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "vclr.cli"]


def run(words: list[str], exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == exit_code, done.stderr
    return done


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def settings(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The settings of a small training that was made, and its checkpoint; batches of three of the four test images."""
    folder = tmp_path_factory.mktemp("trained")
    config = make_config(f"train.output_dir={folder}/seed0", "train.max_iter=1", "dataloader.test.batch_size=3")
    train(config, quiet=True)
    (folder / "settings.yaml").write_text(dump_config(config))
    return ["--config-file", f"{folder}/settings.yaml", f"train.init_checkpoint={folder}/seed0/checkpoints/last.pt"]


@pytest.fixture(scope="module")
def alone(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """What one process says and writes."""
    folder = tmp_path_factory.mktemp("alone")
    done = run([*VCLR, "train", "--eval-only", "--quiet", *settings, f"train.output_dir={folder}"])
    return done.stdout, files(folder)


@pytest.mark.parametrize("starter", ["--num-gpus", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_two_processes_evaluate_to_the_same_bytes(
    starter: str, settings: list[str], alone: tuple[str, dict[str, bytes]], tmp_path: Path
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".predictions.json.3of4.partial").write_text("left by a process that was killed")
    words = ["train", "--eval-only", *settings, f"train.output_dir={tmp_path}/out"]
    done = run([*VCLR, *words, "--num-gpus", "2"] if starter == "--num-gpus" else [*TORCHRUN, *words])
    assert "evaluating: 3/3" in done.stderr, "the first process's share of four images"
    assert alone[1].keys() == {"bootstrap.npz", "metrics.json", "predictions.json"}
    assert (done.stdout, files(tmp_path / "out")) == alone
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(alone[1])


@pytest.mark.slow
def test_evaluate_is_shared_by_the_processes_of_torchrun_and_not_in_shards_too(
    settings: list[str], alone: tuple[str, dict[str, bytes]], tmp_path: Path
):
    checkpoint = settings[-1].partition("=")[2]
    words = [*TORCHRUN, "evaluate", "--quiet", *settings, "--checkpoint", checkpoint, "--output", f"{tmp_path}/out"]
    assert run(words).stdout == alone[0]
    assert files(tmp_path / "out") == alone[1]
    said = run([*words, "--shard", "1/2"], exit_code=1).stderr
    (line,) = [line for line in said.splitlines() if line.startswith("vclr: ")]
    assert line == "vclr: --shard 1/2: the 2 processes share the images already; leave it out"


@pytest.mark.slow
def test_a_process_that_cannot_evaluate_says_so_once(settings: list[str], tmp_path: Path):
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    words = [*VCLR, "train", "--eval-only", "--num-gpus", "2", *settings, f"train.output_dir={tmp_path}/out"]
    said = run([*words, f"train.init_checkpoint={tmp_path}/broken.pt"], exit_code=1).stderr
    (line,) = said.splitlines()
    assert line.startswith("vclr: process ")
    assert "broken.pt" in line


@pytest.mark.slow
def test_output_that_is_a_file_is_said_once(settings: list[str], tmp_path: Path):
    (tmp_path / "out").write_text("in the way")
    words = [*VCLR, "train", "--eval-only", "--quiet", "--num-gpus", "2", *settings]
    said = run([*words, f"train.output_dir={tmp_path}/out"], exit_code=1).stderr
    (line,) = [line for line in said.splitlines() if line.startswith("vclr: ")]
    assert str(tmp_path / "out") in line


@pytest.mark.slow
def test_evaluation_that_failed_goes_on(
    settings: list[str], alone: tuple[str, dict[str, bytes]], make_config: MakeConfig, tmp_path: Path
):
    """Broken is the last photo, so the first process's batch of three is found."""
    shutil.copytree(make_config().data.test.images, tmp_path / "images")
    last = tmp_path / "images" / read_json(make_config().data.test.annotations)["images"][-1]["file_name"]
    photo, output = last.read_bytes(), tmp_path / "out"
    last.write_bytes(b"no picture")
    words = [*VCLR, "train", "--eval-only", "--num-gpus", "2", *settings, f"data.test.images={tmp_path}/images"]
    words.append(f"train.output_dir={output}")
    said = run(words, exit_code=1).stderr
    (line,) = [line for line in said.splitlines() if line.startswith("vclr: ")]
    assert last.name in line
    assert [path.name for path in output.iterdir()] == [".predictions.json.1of2.partial"]
    last.write_bytes(photo)
    done = run(words)
    assert "going on after 3 images that were evaluated before" in done.stderr
    assert done.stdout == alone[0]
    assert files(output)["predictions.json"] == alone[1]["predictions.json"]
    assert sorted(path.name for path in output.iterdir()) == sorted(alone[1])
