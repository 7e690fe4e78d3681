"""Several processes are one training: the same gradients, one folder, one answer to signals and errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.engine.same import assert_same_training, checkpoint, records
from vclr.config import Config, dump_config
from vclr.engine.shared_evaluation import evaluate
from vclr.engine.train import train
from vclr.files import read_json, write_json
from vclr.models.build import build_model
from vclr.models.weights import load_weights

MakeConfig = Callable[..., Config]
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
# Images of different sizes, all that is drawn, a layer of objects lost to the crop.
SETTINGS = (
    "dataloader.train.total_batch_size=4",
    "dataloader.train.mapper.short_edge_length=[48,64,80]",
    "dataloader.train.mapper.crop_probability=0.5",
    "dataloader.train.mapper.crop_short_edge_length=[64]",
    "dataloader.train.mapper.crop_size=[32,64]",
    "views.corrupt={mix: True, erase: True, grayscale: True}",
)


def compute(config: Config, folder: Path, num_processes: int) -> list[dict[str, Any]]:
    """Return what each process of tests/engine/gradients.py wrote, started by torchrun."""
    folder.mkdir()
    (folder / "settings.yaml").write_text(dump_config(config))
    program = [f"{ROOT}/tests/engine/gradients.py", f"{folder}/settings.yaml", str(folder)]
    starter = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    command = [sys.executable, *(starter if num_processes > 1 else ()), *program]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{number}.pt", weights_only=True) for number in range(num_processes)]


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the norm of the difference of two gradients as a share of their norm."""
    assert one.keys() == other.keys()
    change = sum((one[name].double() - other[name].double()).square().sum() for name in one)
    return float((change / sum(value.double().square().sum() for value in one.values())).sqrt())


@pytest.fixture(scope="module")
def alone(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process, the batch of four at once."""
    return compute(make_config(*SETTINGS), tmp_path_factory.mktemp("alone") / "1", 1)[0]


def test_two_processes_with_half_the_batch_are_one(alone: dict[str, Any], make_config: MakeConfig, tmp_path: Path):
    assert_one_training(alone, compute(make_config(*SETTINGS), tmp_path / "2", 2), tolerance=1e-5)


ONE_SIZE = (*SETTINGS, "dataloader.train.mapper.short_edge_length=[64]", "dataloader.train.mapper.crop_probability=0.0")
BFLOAT16 = ("train.amp.enabled=True", "train.amp.dtype=bfloat16")


@pytest.mark.slow
def test_two_processes_are_one_with_images_of_one_size(make_config: MakeConfig, tmp_path: Path):
    (alone,) = compute(make_config(*ONE_SIZE), tmp_path / "1", 1)
    assert_one_training(alone, compute(make_config(*ONE_SIZE), tmp_path / "2", 2), tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [SETTINGS, ONE_SIZE], ids=["different", "one"])
def test_two_processes_are_one_in_mixed_precision(sizes: tuple[str, ...], make_config: MakeConfig, tmp_path: Path):
    """But for rounding: how many rows a product has decides how bfloat16 rounds it, and so which of two equally good
    proposals comes first. Without the half of the other process the gradients would differ by 0.7 of their norm.
    """
    (alone,) = compute(make_config(*sizes, *BFLOAT16), tmp_path / "1", 1)
    first, second = compute(make_config(*sizes, *BFLOAT16), tmp_path / "2", 2)
    for step, of_first, of_second in zip(alone["steps"], first["steps"], second["steps"], strict=True):
        assert difference(step["gradients"], of_first["gradients"]) < 0.4
        assert of_first["losses"] == of_second["losses"]
        assert sum(of_first["losses"].values()) == pytest.approx(sum(step["losses"].values()), rel=0.05)
    assert_same_weights(first, second)


# After a step weights differ by rounding. A ReLU whose input is zero but for that passes a gradient on or not: in these
# maps one of a feed-forward block is a thousandth of the norm.
KINK = 0.01


def assert_one_training(alone: dict[str, Any], processes: list[dict[str, Any]], tolerance: float) -> None:
    first, *others = processes
    for step, of_first, gradient_tolerance in zip(alone["steps"], first["steps"], (tolerance, KINK), strict=True):
        assert difference(step["gradients"], of_first["gradients"]) < gradient_tolerance
        assert of_first["losses"] == pytest.approx(step["losses"], rel=tolerance)
    for other in others:
        assert [step["losses"] for step in other["steps"]] == [step["losses"] for step in first["steps"]]
        assert_same_weights(first, other)
    norm = "mask_branch.mapping.1.running_var"
    torch.testing.assert_close(first["student"][norm], alone["student"][norm], rtol=tolerance, atol=tolerance / 100)


def assert_same_weights(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Compare two processes to the bit."""
    for part in ("student", "teacher"):
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), f"{part}.{name}"


@pytest.mark.slow
def test_statistics_of_each_process_alone_differ(alone: dict[str, Any], make_config: MakeConfig, tmp_path: Path):
    """What the reference does is there to be had, and the test above would notice it."""
    first, second = compute(make_config(*SETTINGS, "compat.batch_norm=True"), tmp_path / "2", 2)
    assert difference(alone["steps"][0]["gradients"], first["steps"][0]["gradients"]) > 1e-4
    norm = "mask_branch.mapping.1.running_var"
    assert not torch.equal(first["student"][norm], second["student"][norm])


PER_GROUP = ("compat.batch_norm=True", "compat.consistency_mean=True")


def test_a_group_that_lies_across_processes_is_one(make_config: MakeConfig, tmp_path: Path):
    """Three groups of two images on two processes, which share the second group: its gray, statistics and mean."""
    settings = (*SETTINGS, "dataloader.train.total_batch_size=6", "dataloader.train.group_size=2", *PER_GROUP)
    (alone,) = compute(make_config(*settings), tmp_path / "1", 1)
    assert_one_training(alone, compute(make_config(*settings), tmp_path / "2", 2), tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("compat", [(), (*PER_GROUP, "compat.padding=True")], ids=["default", "as the reference"])
def test_eight_processes_with_a_group_each_are_one(compat: tuple[str, ...], make_config: MakeConfig, tmp_path: Path):
    settings = (*SETTINGS, "dataloader.train.total_batch_size=16", "dataloader.train.group_size=2", *compat)
    (alone,) = compute(make_config(*settings), tmp_path / "1", 1)
    assert_one_training(alone, compute(make_config(*settings), tmp_path / "8", 8), tolerance=1e-5)


@pytest.mark.parametrize("micro_batch_size", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_few_images_at_once_are_the_whole_batch(
    alone: dict[str, Any], micro_batch_size: int, make_config: MakeConfig, tmp_path: Path
):
    config = make_config(*SETTINGS, f"train.micro_batch_size={micro_batch_size}")
    (parts,) = compute(config, tmp_path / "1", 1)
    for step, of_parts in zip(alone["steps"], parts["steps"], strict=True):
        assert difference(step["gradients"], of_parts["gradients"]) < 1e-5
        assert of_parts["losses"] == pytest.approx(step["losses"], rel=1e-5)
    counter = "mask_branch.mapping.1.num_batches_tracked"
    assert parts["student"][counter] == alone["student"][counter] == 2


# --- `vclr train --num-gpus 2` ---------------------------------------------------------------------------------------


def command(config: Config, folder: Path, *arguments: str) -> list[str]:
    (folder / "settings.yaml").write_text(dump_config(config))
    start = [sys.executable, "-m", "vclr.cli", "train", "--num-gpus", "2", "--resume"]
    return [*start, "--config-file", f"{folder}/settings.yaml", f"train.output_dir={folder}/seed0", *arguments]


def finish(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=200)


@pytest.fixture(scope="module")
def shared(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two processes without a stop."""
    folder = tmp_path_factory.mktemp("shared")
    config = make_config("train.eval_period=3", "train.max_iter=30", "dataloader.train.num_workers=1")
    done = finish(command(config, folder))
    assert done.returncode == 0, done.stderr
    return folder / "seed0"


def test_two_processes_leave_the_folder_of_one(shared: Path, make_config: MakeConfig, tmp_path: Path):
    train(make_config(f"train.output_dir={tmp_path}/seed0", "train.eval_period=3", "train.max_iter=30"), quiet=True)
    names = [sorted(p.relative_to(run).as_posix() for p in run.rglob("*")) for run in (shared, tmp_path / "seed0")]
    assert names[0] == names[1]
    ours, theirs = records(shared), records(tmp_path / "seed0")
    assert [(r["kind"], r["iteration"]) for r in ours] == [(r["kind"], r["iteration"]) for r in theirs]
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=1e-5)


def evaluate_last(config: Config, folder: Path) -> dict[str, Any]:
    """Evaluate last.pt in this process, and return the metrics under the names of the evaluation on the way."""
    model = build_model(config)
    load_weights(model, folder / "checkpoints" / "last.pt")
    metrics = evaluate(model, config, folder.parent / "evaluated", quiet=True)
    return {f"student/{key}": value for key, value in metrics.items() if isinstance(value, float)}


@pytest.fixture(scope="module")
def found_objects(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A setting: a test set of some objects that a detector after two steps finds, a little away from where it does."""
    folder = tmp_path_factory.mktemp("found")
    config = make_config(f"train.output_dir={folder}/seed0", "train.max_iter=2")
    train(config, quiet=True)
    evaluate_last(config, folder / "seed0")
    coco = read_json(config.data.test.annotations)
    predictions = read_json(folder / "evaluated" / "predictions.json")[::7]
    classes = [category["id"] for category in coco["categories"]]
    coco["annotations"] = [
        {"id": number, "image_id": one["image_id"], "category_id": classes[number % len(classes)], "iscrowd": 0}
        | {"bbox": [x, y, width * (1 + number % 5 / 10), height], "area": width * height}
        for number, one in enumerate(predictions, start=1)
        for x, y, width, height in [one["bbox"]]
    ]
    write_json(folder / "found.json", coco)
    return f"data.test.annotations={folder}/found.json"


@pytest.mark.slow
@pytest.mark.parametrize("compat", [(), ("compat.batch_norm=True",)])
def test_evaluation_on_the_way_by_two_processes_is_that_of_one(
    compat: tuple[str, ...], found_objects: str, make_config: MakeConfig, tmp_path: Path
):
    """With `compat.batch_norm` each process has its own batch norm; the checkpoint holds that of the first one."""
    config = make_config(found_objects, "train.eval_period=2", "train.max_iter=2", *compat)
    done = finish(command(config, tmp_path))
    assert done.returncode == 0, done.stderr
    (last,) = [record for record in records(tmp_path / "seed0") if record["kind"] == "eval"]
    evaluated = evaluate_last(config, tmp_path / "seed0")
    assert 1 < evaluated["student/box_ar@100"] < 99
    assert {key: last[key] for key in evaluated} == evaluated


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT])
def test_a_signal_stops_both_and_the_rest_is_the_same_to_the_bit(
    number: signal.Signals, shared: Path, make_config: MakeConfig, tmp_path: Path
):
    config = make_config("train.eval_period=3", "train.max_iter=30", "dataloader.train.num_workers=1")
    words = command(config, tmp_path)
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "seed0" / "metrics.jsonl"
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (75 if number == signal.SIGUSR1 else 130), said
    assert [line for line in said.splitlines() if line.startswith("vclr: ")] == [said.strip().splitlines()[-1]], said
    assert 0 < checkpoint(tmp_path / "seed0")["iteration"] < 30
    assert finish(words).returncode == 0
    assert_same_training(shared, tmp_path / "seed0")


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others(make_config: MakeConfig, tmp_path: Path):
    words = command(make_config("train.max_iter=10000", "dataloader.train.num_workers=1"), tmp_path)
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "seed0" / "metrics.jsonl"
    while not metrics.exists() or not metrics.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    victim = next(child for child in family if child.environ().get("RANK") == "1")
    victim.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL, said
    assert "Warning" not in said
    assert "vclr: another process of this training ended" in said
    assert not psutil.wait_procs(family, timeout=2)[1]


@pytest.mark.parametrize(
    ("setting", "exit_code", "message"),
    [
        ("dataloader.train.total_batch_size=3", 2, "must be a multiple of the 2 processes"),
        ("data.train.images=nowhere", 1, "data.train.images=nowhere: does not exist"),
    ],
)
def test_an_error_is_said_once(setting: str, exit_code: int, message: str, make_config: MakeConfig, tmp_path: Path):
    done = finish(command(make_config(), tmp_path, setting))
    assert done.returncode == exit_code, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("vclr: ") and message in line


def test_what_is_odd_about_the_settings_is_said_once(make_config: MakeConfig, tmp_path: Path):
    config = make_config()
    done = finish(
        command(
            config, tmp_path, f"data.train.annotations={config.data.train.annotations}", "data.train.images=nowhere"
        )
    )
    said, error = done.stderr.strip().splitlines()
    assert said.startswith("data.train.annotations and data.train.images are overridden, but ")
    assert "data.train.images=nowhere: does not exist" in error
