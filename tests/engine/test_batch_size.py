"""`dataloader.train.total_batch_size=auto`: the number, and that nothing else of the training depends on the search."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.engine.same import assert_same_training, checkpoint
from vclr.config import Config, load_config
from vclr.config.checks import check_share
from vclr.data.samples import TrainingSamples
from vclr.engine import batch_size
from vclr.engine.batch_size import find_batch_size, largest_that_fits
from vclr.engine.run_folder import RunFolder
from vclr.engine.same_training import differing_settings, is_same_training, training_hash
from vclr.engine.signals import StoppedError
from vclr.engine.train import is_finished, train
from vclr.engine.trial import Trial, largest_batch, many_objects
from vclr.errors import UsageError, UserError

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
AUTO = "dataloader.train.total_batch_size=auto"
MIB = 1 << 20


def batch_size_of(config: Config) -> int:
    return load_config(f"{config.train.output_dir}/config.yaml").dataloader.train.total_batch_size


@pytest.mark.parametrize("unit", [1, 2, 8])
def test_the_largest_multiple_that_fits(unit: int):
    for most in range(unit, 70, unit):
        for limit in range(0, 80):
            tried: list[int] = []

            def fits(number: int, limit: int = limit, tried: list[int] = tried) -> bool:
                tried.append(number)
                return number <= limit

            assert largest_that_fits(fits, unit, most) == min(limit // unit * unit, most)
            assert len(tried) == len(set(tried)) <= 2 * np.log2(most / unit + 1) + 2
            assert max(tried) <= most


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return what searches on a CPU where a step needs the given memory, of which some is free."""

    def search(needed: Callable[[int], int], free: int, most: int = 1024, unit: int = 1) -> int:
        tried = [0]

        def fits(number: int) -> bool:
            tried.append(number)
            assert needed(number) <= free, "the system kills the process"
            return True

        monkeypatch.setattr(batch_size, "process_bytes", lambda: 0)
        monkeypatch.setattr(batch_size, "available_bytes", lambda: free * MIB)
        monkeypatch.setattr(batch_size, "peak_process_bytes", lambda: needed(tried[-1]) * MIB)
        number = batch_size._search_cpu(fits, unit, most, CPU)
        assert number in tried
        assert number == unit or needed(number) <= (1 - batch_size.CPU_MARGIN) * free
        return number

    return search


def test_on_a_cpu_no_step_is_tried_that_may_not_fit(search: Callable[..., int]):
    for per_image in (0, 1, 10, 100, 1000):
        for free in (2000, 3000, 8000):
            room = max(1, min(int((0.8 * free - 100) / max(per_image, 0.01)), 1024))
            number = search(lambda number, per_image=per_image: 100 + per_image * number, free)
            assert room - 1 <= number <= room, (per_image, free)
    assert search(lambda number: 100 + 10 * number, 3000, unit=8) == 224
    assert search(lambda number: 100 + 10 * number, 3000, most=40, unit=8) == 40


def test_memory_that_is_used_again_hides_what_images_need(search: Callable[..., int]):
    """The first steps seem to need the same; then each image more shows."""
    assert search(lambda number: max(600, 100 * number), 2000) in (15, 16)
    assert search(lambda number: 600 + 100 * max(0, number - 4), 3000) in range(20, 23)


def test_on_a_cpu_a_step_that_needs_more_than_computed_is_not_taken(search: Callable[..., int]):
    assert search(lambda number: 10 * number**2, 1000) == 8
    assert search(lambda number: 900, 1000) == 1


def test_trials_are_as_large_as_the_training_draws(make_config: MakeConfig):
    config = make_config(
        "dataloader.train.mapper={short_edge_length: [48, 80], crop_probability: 0.5, crop_short_edge_length: [64], "
        "crop_size: [32, 64]}"
    )
    samples = TrainingSamples(config)
    drawn = [samples[epoch, index] for epoch in range(15) for index in range(len(samples))]
    image, padded = largest_batch(samples, has_groups=True)
    assert max(sample.image[0].numel() for sample in drawn) <= 1.05 * image[0] * image[1]
    for axis in (0, 1):
        assert max(sample.image.shape[1 + axis] for sample in drawn) <= 1.05 * padded[axis] <= 1.05 * 160
    assert many_objects(samples) == max(len(samples.objects[place]) for place in range(len(samples)))
    batch = Trial(config, samples, CPU)._draw(2)
    assert batch.images.shape == batch.teacher_images.shape == (2, 3, *padded)
    assert batch.images is not batch.teacher_images


def test_the_training_is_that_of_the_number(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """Bit for bit, also when it is stopped and resumed, which keeps the number without another search."""

    def config_of(size: int | str, folder: str, *overrides: str) -> Config:
        short = "train.max_iter=2", "train.checkpointer.period=1", f"train.output_dir={tmp_path}/{folder}"
        return make_config(f"dataloader.train.total_batch_size={size}", *short, *overrides)

    found = config_of("auto", "found")
    with caplog.at_level(logging.INFO, "vclr"):
        train(config_of("auto", "found", "train.max_iter=1"), quiet=True)
    said = [text for text in caplog.messages if text.startswith("dataloader.train.total_batch_size=auto: ")]
    assert said == ["dataloader.train.total_batch_size=auto: 10 images per step (no more are in the training set)"]
    assert said[0] in (tmp_path / "found" / "log.txt").read_text()
    assert batch_size_of(found) == 10
    monkeypatch.setattr(batch_size, "find_batch_size", None)  # called by nobody
    train(found, resume=True, quiet=True)
    assert batch_size_of(found) == 10
    assert "total_batch_size: 10\n" in checkpoint(tmp_path / "found")["config"]
    train(config_of(10, "given"), quiet=True)
    assert_same_training(tmp_path / "found", tmp_path / "given")
    assert is_finished(found)
    assert is_finished(config_of(10, "found"))
    assert not is_finished(config_of(9, "found"))
    with pytest.raises(UsageError, match="total_batch_size is 10 there and 9 here"):
        train(config_of(9, "found"), resume=True, quiet=True)


def test_auto_takes_the_number_of_a_training_and_is_none_itself(make_config: MakeConfig):
    auto, number = make_config(AUTO), make_config("dataloader.train.total_batch_size=7")
    assert is_same_training(auto, auto)
    assert is_same_training(number, auto)
    assert differing_settings(auto, number) == {"dataloader.train.total_batch_size": ["auto", 7]}
    assert training_hash(auto) == training_hash(make_config(AUTO)) != training_hash(number)


def test_too_little_memory_is_one_line(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    config = make_config(AUTO)
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_, **__: _raise(torch.OutOfMemoryError("no memory")))
    with pytest.raises(
        UserError, match=r"^dataloader\.train\.total_batch_size=auto: out of memory with 1 of 64x64; a "
    ):
        find_batch_size(config, TrainingSamples(config), CPU, quiet=True)


def _raise(error: Exception) -> None:
    raise error


def test_a_search_leaves_the_random_numbers_alone(make_config: MakeConfig):
    config = make_config(AUTO)
    before = torch.random.get_rng_state()
    samples = TrainingSamples(config)
    assert find_batch_size(config, samples, CPU, quiet=True, unit=4) == 8
    with pytest.raises(UsageError, match=f"group_size={len(samples) + 1}: auto finds no batch of whole groups"):
        find_batch_size(config, samples, CPU, quiet=True, unit=len(samples) + 1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_ctrl_c_during_the_search(make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing is saved, because there is nothing yet."""
    fits = Trial.fits

    def interrupted(self: Trial, number: int) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return fits(self, number)

    monkeypatch.setattr(Trial, "fits", interrupted)
    config = make_config(AUTO, f"train.output_dir={tmp_path}/run")
    with pytest.raises(StoppedError, match="^SIGINT: stopped before the training began$") as stopped:
        train(config, quiet=True)
    assert stopped.value.exit_code == 130
    assert not RunFolder(config).path.exists()


def test_several_processes_need_a_number():
    check_share("auto", 1)
    with pytest.raises(
        UsageError, match=r"^dataloader\.train\.total_batch_size=auto: needs one process; set a multipl"
    ):
        check_share("auto", 8)


@pytest.mark.parametrize("value", ["many", "2.5", "[4]", "true", "''", "0"])
def test_anything_else_is_refused_in_one_line(make_config: MakeConfig, value: str):
    says = r"^dataloader\.train\.total_batch_size=.*: must be from 1 to 1000000 \(a whole number\), or auto$"
    with pytest.raises(UsageError, match=says):
        make_config(f"dataloader.train.total_batch_size={value}")
