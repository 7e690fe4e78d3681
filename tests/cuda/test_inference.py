"""Finding objects on a GPU: by evaluation, by `vclr predict`, and by the Python interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda.checks import assert_sound, num_waits
from tests.cuda.start import Programs
from vclr.files import read_json

PUBLISHED = "configs/experiment/voc_to_nonvoc.yaml"
CONFIGS = ["configs/small_detector.yaml", pytest.param(PUBLISHED, marks=pytest.mark.slow)]
# One for the size of each image's result, and one for each of the results.
MAX_WAITS_PER_IMAGE = 12


@pytest.mark.parametrize("config_file", CONFIGS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_predictions_are_those_of_a_cpu(dtype: str, config_file: str, on_gpu: Programs):
    found = on_gpu("inference", dtype=dtype, config_file=config_file)
    for notes in (found["batch"], found["photo"], found["encoding"]):
        assert_sound(notes)
        assert not notes["tf32"]
    for notes in (found["batch"], found["encoding"]):
        assert num_waits(notes) <= 2 * MAX_WAITS_PER_IMAGE, notes["waits"]
    assert found["encoded"] == found["painted"]
    for on_cpu, gpu in zip(found["cpu"], found["gpu"], strict=True):
        assert gpu["scores"]
        if dtype == "float32":
            np.testing.assert_allclose(gpu["scores"], on_cpu["scores"], atol=1e-4)
            np.testing.assert_allclose(gpu["boxes"], on_cpu["boxes"], atol=0.05)


@pytest.fixture(scope="module")
def checkpoint(on_gpu: Programs, write_settings: Callable[..., str]) -> Path:
    """The last checkpoint of a training of two steps on the GPU."""
    settings = write_settings("train.max_iter=2", "train.eval_period=0")
    on_gpu("train", trainings=[[settings, []]])
    return Path(settings).parent / "run" / "checkpoints" / "last.pt"


def test_predict(checkpoint: Path, world: Path, on_gpu: Programs, tmp_path: Path):
    photo = next((world / "raw" / "toy" / "images").iterdir())
    command = ["predict", str(photo), "--checkpoint", str(checkpoint), "--output", str(tmp_path), "--device", "cuda"]
    result = on_gpu("command", arguments=command)
    assert not result["failure"]
    assert_sound(result["notes"])
    assert not result["notes"]["tf32"]
    assert read_json(tmp_path / f"{photo.stem}.json")
    assert (tmp_path / f"{photo.stem}.png").exists()


def evaluate(checkpoint: Path, dtype: str, output: Path) -> list[str]:
    settings = checkpoint.parents[2] / "settings.yaml"
    options = ["--checkpoint", str(checkpoint), "--output", str(output), "--quiet"]
    return ["evaluate", "--config-file", str(settings), *options, f"evaluation.dtype={dtype}"]


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float32", marks=pytest.mark.slow)])
def test_evaluate(dtype: str, checkpoint: Path, on_gpu: Programs, tmp_path: Path):
    result = on_gpu("command", arguments=evaluate(checkpoint, dtype, tmp_path / dtype))
    assert not result["failure"]
    assert_sound(result["notes"])
    assert not result["notes"]["tf32"]
    assert read_json(tmp_path / dtype / "metrics.json")["num_images"] == 4


@pytest.mark.slow
def test_processes_evaluate_together_or_not_at_all(checkpoint: Path, on_gpu: Programs, tmp_path: Path):
    """Each on its own GPU; if it is refused, before anything was put on one."""
    settings, alone, shared = str(checkpoint.parents[2] / "settings.yaml"), tmp_path / "alone", tmp_path / "shared"
    only = ["train", "--eval-only", "--quiet", "--config-file", settings, f"train.init_checkpoint={checkpoint}"]
    assert not on_gpu("command", arguments=[*only, f"train.output_dir={alone}"])["failure"]
    arguments = [*only, f"train.output_dir={shared}"]
    results = on_gpu.run("command", 2, num_devices=2, arguments=arguments)
    if any(result["failure"] for result in results):
        assert all(result["touched"] == [] for result in results)
        return
    assert [result["touched"] for result in results] == [[0], [1]]
    for file in ("metrics.json", "predictions.json"):
        assert (alone / file).read_bytes() == (shared / file).read_bytes()


@pytest.mark.slow
def test_a_step_that_is_not_finite_is_taken_again(on_gpu: Programs, write_settings: Callable[..., str]):
    settings = write_settings("optimizer.lr=1.0e+30", "train.max_iter=6", "dataloader.train.num_workers=0")
    trained = on_gpu("command", arguments=["train", "--quiet", "--config-file", settings])
    assert "not finite" in trained["failure"]
    (kept,) = (Path(settings).parent / "run").glob("nonfinite-*.pt")
    arguments = ["train", "--replay", str(kept)]
    replayed: dict[str, Any] = on_gpu("command", arguments=arguments)
    assert "not finite" in replayed["failure"]
    assert_sound(trained["notes"])
    assert_sound(replayed["notes"])
