"""`total_batch_size=auto` on a GPU that has room for some images of the training set."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.cuda.checks import assert_sound
from tests.cuda.start import Programs
from tests.engine.same import assert_same_training
from vclr.config import load_config
from vclr.engine.batch_size import GPU_MARGIN

Train = Callable[[str], tuple[Path, list[dict[str, Any]]]]
CAPACITY = 60 << 20
NUM_IMAGES = 10  # of the training set: no larger batch is tried


@pytest.fixture(scope="module")
def train(on_gpu: Programs, write_settings: Callable[..., str]) -> Train:
    """Return what trains with a batch size, and returns the run folder and what is known of each step."""

    def train(batch_size: str) -> tuple[Path, list[dict[str, Any]]]:
        settings = write_settings(f"dataloader.train.total_batch_size={batch_size}", "train.eval_period=0")
        found = on_gpu("batch_size", config_file=settings, overrides=["train.max_iter=3"], capacity=CAPACITY)
        assert_sound(found["notes"])
        return Path(settings).parent / "run", found["steps"]

    return cache(train)


def batch_size_of(folder: Path) -> int:
    return int(load_config(folder / "config.yaml").dataloader.train.total_batch_size)


@pytest.mark.slow
def test_the_largest_that_fits_is_found(train: Train):
    """Every step of the training then goes in one piece and leaves the margin."""
    folder, steps = train("auto")
    number = batch_size_of(folder)
    assert 2 < number < NUM_IMAGES
    assert all(step["is_whole"] and step["peak"] < (1 - GPU_MARGIN) * CAPACITY for step in steps)


@pytest.mark.slow
def test_the_training_is_that_of_the_number(train: Train):
    """Bit for bit, and no memory of the search is left."""
    folder, steps = train("auto")
    other, steps_of_number = train(str(batch_size_of(folder)))
    assert_same_training(folder, other)
    assert steps == steps_of_number
