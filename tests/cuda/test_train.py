"""Trainings of 20 steps on images of different sizes, with evaluation and checkpoints on the way, and a resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cuda.checks import MAX_WAITS, assert_sound, num_waits
from tests.cuda.start import Programs
from tests.engine.same import assert_same_training, records
from vclr.config import load_config
from vclr.engine.train import train as train_here

WriteSettings = Callable[..., str]
FLOAT32: tuple[str, ...] = ()
BFLOAT16 = ("train.amp.enabled=True", "train.amp.dtype=bfloat16")
FLOAT16 = ("train.amp.enabled=True", "train.amp.dtype=float16")
MICRO_BATCHES = ("train.micro_batch_size=1",)
CHECKPOINTING = ("model.transformer.encoder.use_checkpoint=True", "model.transformer.decoder.use_checkpoint=True")
FLOAT16_TOO = "little memory"

WAYS = {
    "float32": FLOAT32,
    "bfloat16": BFLOAT16,
    "micro-batches": (*BFLOAT16, *MICRO_BATCHES),
    "checkpointing": (*BFLOAT16, *CHECKPOINTING),
    FLOAT16_TOO: (*FLOAT16, *MICRO_BATCHES, *CHECKPOINTING),
}
FAST = {"bfloat16"}


@pytest.fixture(scope="session")
def train(on_gpu: Programs, write_settings: WriteSettings) -> Callable[[str], tuple[Path, list[dict[str, Any]]]]:
    """Return what trains in one of the `WAYS`, once, and returns the run folder and the notes of each step."""
    done: dict[str, tuple[Path, list[dict[str, Any]]]] = {}

    def train(way: str) -> tuple[Path, list[dict[str, Any]]]:
        if way not in done:
            settings = write_settings(*WAYS[way])
            # It stops after 10 steps and resumes.
            steps = on_gpu("train", trainings=[[settings, ["train.max_iter=10"]], [settings, []]])["steps"]
            done[way] = Path(settings).parent / "run", steps
        return done[way]

    return train


def ways() -> list[Any]:
    return [way if way in FAST else pytest.param(way, marks=pytest.mark.slow) for way in WAYS]


def losses(folder: Path) -> list[float]:
    return [record["loss"] for record in records(folder) if record["kind"] == "train"]


@pytest.mark.parametrize("way", ways())
def test_a_training_goes_through(way: str, train: Callable[..., Any]):
    folder, steps = train(way)
    assert [step["iteration"] for step in steps] == list(range(1, 21))
    for step in steps:
        assert_sound(step)
    assert (folder / "DONE").exists()
    assert [record["iteration"] for record in records(folder) if record["kind"] == "eval"] == [10, 20]
    assert len(losses(folder)) == 20
    assert all(map(math.isfinite, losses(folder)))


@pytest.mark.parametrize("way", ways())
def test_the_host_waits_rarely_in_every_iteration(way: str, train: Callable[..., Any]):
    """Loader, step and log together; the first iteration builds everything, the one after 10 resumes."""
    _, steps = train(way)
    waits = {step["iteration"]: num_waits(step) for step in steps if step["iteration"] not in (1, 11)}
    assert max(waits.values()) <= MAX_WAITS, waits


@pytest.fixture(scope="session")
def losses_on_cpu(write_settings: WriteSettings) -> list[float]:
    settings = write_settings("train.device=cpu")
    train_here(load_config(settings), quiet=True)
    return losses(Path(settings).parent / "run")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_losses_are_those_of_a_cpu_in_float32(way: str, train: Callable[..., Any], losses_on_cpu: list[float]):
    assert sum(losses(train(way)[0])[-5:]) == pytest.approx(sum(losses_on_cpu[-5:]), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["float32", "bfloat16", FLOAT16_TOO])
def test_a_training_that_resumes_is_the_same_to_the_bit(
    way: str, train: Callable[..., Any], on_gpu: Programs, write_settings: WriteSettings
):
    settings = write_settings(*WAYS[way])
    on_gpu("train", trainings=[[settings, []]])
    assert_same_training(train(way)[0], Path(settings).parent / "run")


@pytest.mark.slow
@pytest.mark.parametrize("way", [BFLOAT16, FLOAT32], ids=["bfloat16", "float32"])
def test_two_processes_train_each_on_its_own_gpu(way: tuple[str, ...], on_gpu: Programs, write_settings: WriteSettings):
    settings = write_settings("train.max_iter=3", "train.eval_period=2", "train.checkpointer.period=3", *way)
    results = on_gpu.run("train", 2, num_devices=2, trainings=[[settings, []]])
    for rank, result in enumerate(results):
        assert result["touched"] == [rank]
        assert [step["iteration"] for step in result["steps"]] == [1, 2, 3]
        for step in result["steps"]:
            assert_sound(step)
        assert num_waits(result["steps"][1]) <= MAX_WAITS, result["steps"][1]["waits"]
    assert all(map(math.isfinite, losses(Path(settings).parent / "run")))


@pytest.mark.slow
@pytest.mark.parametrize("is_on", [False, True])
def test_tf32_is_a_setting_of_training_alone(is_on: bool, on_gpu: Programs, write_settings: WriteSettings):
    settings = write_settings("train.max_iter=2", f"train.tf32={is_on}", "train.eval_period=1")
    for step in on_gpu("train", trainings=[[settings, []]])["steps"]:
        places = set(step["tf32"])
        assert any(place.startswith("models/resnet.py") for place in places) == is_on
