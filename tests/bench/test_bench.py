"""`vclr bench`: figures that mean what their names say, one object on stdout, misuse in one line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from vclr.bench import attention, inference, loader, measure, step
from vclr.bench.measure import Measurement
from vclr.bench.run import run_benchmark
from vclr.bench.settings import DEFAULTS, choose_settings
from vclr.bench.text import describe
from vclr.cli import app
from vclr.config import Config, dump_config
from vclr.device import uses_tf32
from vclr.engine.state import TrainState
from vclr.errors import UsageError, UserError
from vclr.generate import random_scenes
from vclr.models.attention import DeformableAttention
from vclr.models.levels import flatten_levels
from vclr.ops.boxes import cxcywh_to_xyxy

CPU = torch.device("cpu")
SMALL_DETECTOR = Path(__file__).parents[2] / "configs" / "small_detector.yaml"
SMALL = {"config_file": SMALL_DETECTOR, "size": "64x96", "queries": 20, "runs": 2, "device": "cpu", "calibrate": False}
KEYS = {
    *("name", "median_s", "min_s", "max_s", "seconds", "runs", "peak_gib", "peak_process_gib", "threads", "dtype"),
    *("device", "size", "queries", "objects", "batch", "torch", "machine", "calibration"),
}


def bench(*arguments: str) -> tuple[dict[str, Any], str]:
    """Run `vclr bench ... --json` in a process of its own; return its object and what it said on stderr."""
    command = [sys.executable, "-m", "vclr.cli", "bench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def assert_sane(figures: dict[str, Any]) -> None:
    assert figures.keys() >= KEYS
    assert len(figures["seconds"]) == figures["runs"]
    assert 0 < figures["min_s"] <= figures["median_s"] <= figures["max_s"] < 300
    assert 0.1 < figures["peak_gib"] == figures["peak_process_gib"] < 64
    assert figures["device"] == "cpu"
    assert figures["threads"] >= 1
    assert figures["torch"] == torch.__version__
    assert describe(figures).startswith(f"what             {figures['name']}, batch of {figures['batch']}")


# --- the four benchmarks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 2, "micro_batch": 1, "checkpoint": True},
        *(pytest.param(options, marks=pytest.mark.slow) for options in ({}, {"dtype": "bfloat16"}, {"objects": 0})),
    ],
    ids=str,
)
def test_step_of_a_small_detector(options: dict[str, Any]):
    figures = run_benchmark("step", {**SMALL, **options})
    assert_sane(figures)
    wanted = {"size": "64x96", "queries": 20, "objects": 10, "batch": 1, "dtype": "float32", "runs": 2, **options}
    assert {key: figures[key] for key in wanted} == wanted
    assert figures["calibration"] is None
    assert "skipped_steps" not in figures


@pytest.mark.slow
def test_float16_counts_the_steps_without_an_update(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    figures = run_benchmark("step", {**SMALL, "dtype": "float16"})
    assert figures["skipped_steps"] in range(5)
    assert "this may take very long" in caplog.text
    monkeypatch.setattr(step, "_num_updates", lambda state: 3)
    assert "1 steps, whose gradient overflowed" in describe(run_benchmark("step", {**SMALL, "dtype": "float16"}))


def test_every_timed_step_and_warm_up_updates_the_weights(monkeypatch: pytest.MonkeyPatch):
    states = []
    monkeypatch.setattr(step, "TrainState", lambda *arguments: states.append(TrainState(*arguments)) or states[0])
    run_benchmark("step", {**SMALL, "runs": 3})
    assert states[0].iteration == step._num_updates(states[0]) == step.NUM_WARM_UPS + 3
    assert states[0].teacher is not None


def test_step_that_fits_only_in_smaller_parts_is_refused(monkeypatch: pytest.MonkeyPatch):
    def run_out_of_memory(state: TrainState, *_: Any) -> None:
        state.use_less_memory([(64, 96)])

    monkeypatch.setattr(step, "training_step", run_out_of_memory)
    with pytest.raises(UserError, match="^out of memory"):
        run_benchmark("step", {**SMALL, "batch": 2})


def test_images_of_a_batch_have_the_sizes_by_turns(monkeypatch: pytest.MonkeyPatch):
    settings = choose_settings("step", {"size": "64x96,48x64", "batch": 3})
    batch = step.random_batch(settings)
    assert batch.image_sizes == [(64, 96), (48, 64), (64, 96)]
    assert batch.images.shape == (3, 3, 64, 96)
    assert [target.masks.shape[1:] for target in batch.targets] == batch.image_sizes
    figures = run_benchmark("step", {**SMALL, "size": "64x96,48x64", "batch": 2, "runs": 1})
    assert_sane(figures)
    assert figures["size"] == "64x96,48x64"
    seen = []
    monkeypatch.setattr(inference, "predict_samples", lambda _, samples: seen.append(samples) or [[]])
    run_benchmark("inference", {**SMALL, "size": "64x96,48x64", "batch": 2, "runs": 1})
    assert [(sample.image.shape[1:], sample.original_size) for sample in seen[0]] == [((64, 96),) * 2, ((48, 64),) * 2]


@pytest.mark.parametrize("tf32", [True, False])
def test_a_step_is_measured_in_the_precision_of_training(tf32: bool, monkeypatch: pytest.MonkeyPatch):
    seen = []
    for name in ("step", "inference"):
        note = lambda *_: seen.append(uses_tf32()) or Measurement([1.0])  # noqa: E731
        monkeypatch.setitem(run_benchmark.__globals__["MEASURES"], name, note)
        figures = run_benchmark(name, {**SMALL, "overrides": (f"train.tf32={tf32}",)})
        assert figures["tf32"] is None, "a CPU has none"
    assert seen == [tf32, False]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_inference_of_a_small_detector(dtype: str):
    figures = run_benchmark("inference", {**SMALL, "dtype": dtype, "batch": 2})
    assert_sane(figures)
    assert figures["objects"] is None
    assert len(figures["found"]) == 2
    assert all(0 < found <= 20 for found in figures["found"])


def test_memory_that_runs_out_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def run_out_of_memory(*_: Any) -> None:
        raise torch.OutOfMemoryError("tried to allocate 80 GiB\nmore lines")

    monkeypatch.setitem(run_benchmark.__globals__["MEASURES"], "inference", run_out_of_memory)
    with pytest.raises(UserError, match="^out of memory: tried to allocate 80 GiB$"):
        run_benchmark("inference", SMALL)


@pytest.mark.parametrize("backend", ["", "gather", "grid_sample"])
def test_attention(backend: str):
    figures = run_benchmark(
        "attention", {"size": "64x96", "batch": 2, "runs": 3, "backend": backend, "calibrate": False}
    )
    assert_sane(figures)
    assert figures["both_s"] == figures["median_s"]
    assert 0 < figures["forward_s"] < figures["both_s"]
    assert figures["positions"] == 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    assert figures["queries"] is None


def test_attention_reads_where_the_encoder_does():
    """The shapes are those of the detector's levels, and the points as far as an untrained layer looks."""
    shapes = attention.level_shapes((64, 96))
    _, locations, weights = attention.draw_inputs(shapes, 1, torch.float32, CPU)
    levels = flatten_levels([torch.zeros(1, 4, *shape) for shape in shapes])
    torch.testing.assert_close(torch.cat([attention.cell_centers(shape) for shape in shapes])[None], centers_of(levels))
    layer = DeformableAttention(attention.NUM_HEADS * attention.NUM_CHANNELS, 8, len(shapes), attention.NUM_POINTS, 0.0)
    assert layer.sampling_offsets.bias.abs().max() == attention.REACH
    sides = torch.tensor([(width, height) for height, width in shapes])
    offsets = (locations - centers_of(levels)[:, :, None, None, None]) * sides[:, None]
    assert offsets.abs().max() <= attention.REACH + 1e-4
    torch.testing.assert_close(weights.sum((-2, -1)), torch.ones(weights.shape[:3]))


def centers_of(levels: Any) -> torch.Tensor:
    return levels.reference_points()[:, :, 0]


def test_loader(make_config: Callable[..., Config], tmp_path: Path):
    """In a process of its own: with workers, on the toy world."""
    (tmp_path / "config.yaml").write_text(dump_config(make_config()))
    options = ["--config-file", f"{tmp_path}/config.yaml", "--runs", "2", "--workers", "1", "--no-calibration"]
    figures, said = bench("loader", *options, "dataloader.train.total_batch_size=2")
    assert said == ""
    assert_sane(figures)
    assert figures["images_per_s"] == pytest.approx(2 / figures["median_s"])
    assert figures["workers"] == 1
    assert figures["overrides"] == ["dataloader.train.total_batch_size=2"]
    assert figures["size"] is figures["queries"] is figures["dtype"] is None


def test_loader_without_data_is_one_line():
    with pytest.raises(UserError, match="data.train.annotations=.*does not exist"):
        run_benchmark("loader", {"runs": 1})


@pytest.mark.slow
def test_step_of_the_published_detector():
    options = ("step", "--size", "64x96", "--queries", "20", "--runs", "1", "--threads", "1")
    figures, said = bench(*options)
    assert said == ""
    assert_sane(figures)
    assert figures["threads"] == 1
    assert figures["peak_gib"] > 1.5  # 91 million parameters, five times in float32
    assert figures["config_file"] == ""
    assert set(figures["calibration"]) == {"conv_gflops", "matmul_gflops"}
    assert all(0.1 < gflops < 1e5 for gflops in figures["calibration"].values())


@pytest.mark.slow
def test_inference_of_the_published_detector():
    figures, said = bench("inference", "--size", "64x96", "--queries", "20", "--runs", "1", "--no-calibration")
    assert said == ""
    assert_sane(figures)


def test_published_architecture_is_the_default():
    config = step.step_config(choose_settings("step", {}))
    assert (config.model.backbone.depth, config.model.embed_dim, config.model.num_queries) == (50, 256, 300)
    assert config.model.criterion.weight_dict.loss_consistency == 1
    assert (config.views.corrupt.mix, config.train.amp.enabled) == (True, False)


def test_prints_rows_for_a_person():
    options = ["--config-file", str(SMALL_DETECTOR), "--size", "64x96", "--queries", "20", "--runs", "1"]
    result = CliRunner().invoke(app, ["bench", "step", *options, "--device", "cpu", "--no-calibration"])
    assert result.exit_code == 0
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == ["what", "median", "peak memory", "machine"]


# --- misuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("stepp", {}, "unknown benchmark 'stepp'; there are: step, inference, attention, loader; nearest: step"),
        ("step", {"size": "384"}, "--size 384: expected HEIGHTxWIDTH"),
        ("step", {"size": "384x512x3"}, "--size 384x512x3: expected"),
        ("step", {"size": "8x512"}, "--size 8x512: each side must be from 32 to 16384"),
        ("step", {"size": "64x96,"}, "--size : expected HEIGHTxWIDTH"),
        ("step", {"size": "64x96,96x64", "batch": 1}, "more sizes than images; --batch 2 covers all of them"),
        ("attention", {"size": "64x96,96x64", "batch": 2}, "vclr bench attention takes one size"),
        ("step", {"dtype": "int8"}, "--dtype int8: must be one of float32, bfloat16, float16"),
        ("step", {"device": "tpu"}, "--device tpu: must be one of auto, cpu, cuda"),
        ("attention", {"backend": "triton"}, "--backend triton: must be one of grid_sample, gather"),
        ("step", {"runs": 0}, "--runs 0: must be at least 1"),
        ("step", {"micro_batch": -1}, "--micro-batch -1: must be at least 0"),
        (
            "step",
            {"overrides": ("model.num_queries=5",)},
            "model.num_queries=5: vclr bench step takes this from --queries",
        ),
        ("step", {"overrides": ("model.num_query=5",)}, "unknown key 'model.num_query'"),
    ],
)
def test_misuse_is_a_usage_error_of_one_line(name: str, given: dict[str, Any], says: str):
    with pytest.raises(UsageError) as caught:
        run_benchmark(name, given)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_misuse_exits_with_2():
    command = [sys.executable, "-m", "vclr.cli", "bench", "step", "--dtype", "int8", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "vclr: --dtype int8: must be one of float32, bfloat16, float16\n"


def test_absent_gpu_is_misuse(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="^--device cuda: torch .*(is built without CUDA|can use no GPU)"):
        run_benchmark("step", {"device": "cuda"})


@pytest.mark.parametrize(
    ("name", "option", "says"),
    [
        ("attention", {"queries": 5}, "--queries: belongs to `vclr bench step` and `vclr bench inference`, not to"),
        ("step", {"backend": "gather"}, "--backend: belongs to `vclr bench attention`, not to `vclr bench step`"),
        ("step", {"workers": 2}, "--workers: belongs to `vclr bench loader`, not to `vclr bench step`"),
    ],
)
def test_option_of_another_benchmark_is_misuse(name: str, option: dict[str, Any], says: str):
    with pytest.raises(UsageError, match=f"^{says}"):
        choose_settings(name, {**option, "runs": 2})


@pytest.mark.parametrize("name", ["step", "inference", "attention"])
def test_batch_that_cannot_fit_is_refused_before_anything_is_computed(name: str):
    with pytest.raises(UsageError, match="^--batch 999999999: must be at most 65536"):
        choose_settings(name, {"batch": 999_999_999})
    with pytest.raises(UserError, match="^--batch 65536: needs more than .* GiB of memory, and .* are free"):
        choose_settings(name, {"batch": 65_536, "size": "2048x2048"})


def test_defaults_are_valid():
    assert [choose_settings(name, {}) for name in DEFAULTS] == list(DEFAULTS.values())


# --- how it measures -------------------------------------------------------------------------------------------------


def test_warm_ups_do_not_count(monkeypatch: pytest.MonkeyPatch):
    times = iter(range(100))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(times) ** 2)
    calls: list[int] = []
    # The clock is read at 0 1, 2 3, 4 5, 6 7.
    assert measure.time_runs(lambda: calls.append(1), 2, 2, CPU) == [25 - 16, 49 - 36]
    assert len(calls) == 4


def test_peak_is_of_the_process_itself():
    """It rises with what is allocated, does not fall when that is freed, and does not begin with the parent's."""
    held = b"x" * (400 << 20)
    code = (
        "from vclr.bench.measure import peak_process_bytes as p\na = p(); b = b'x' * (300 << 20); del b\nprint(a, p())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(int, printed.split())
    assert 280 << 20 < after - before < 330 << 20
    assert before < measure.peak_process_bytes() - len(held) // 2


def test_calibration_counts_operations(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measure, "_fastest", lambda run, device: 2.0)
    gflops = measure.calibrate("float32", CPU)
    assert gflops["conv_gflops"] == pytest.approx(2 * 9 * 1024 * 2048 * 48 * 64 / 2 / 1e9)
    assert gflops["matmul_gflops"] == pytest.approx(2 * 2048**3 / 2 / 1e9)


def test_calibration_takes_the_best_and_does_not_insist(monkeypatch: pytest.MonkeyPatch):
    seconds = iter([9.0, 0.3, 0.2, 0.4, 7.0])
    monkeypatch.setattr(measure, "time_once", lambda run, device: next(seconds))
    assert measure._fastest(lambda: None, CPU) == 0.2
    monkeypatch.setattr(measure, "time_once", lambda run, device: 60.0)
    assert measure._fastest(lambda: None, CPU) == 60.0


def test_random_objects_lie_in_the_image_and_fill_their_boxes():
    size, generator = (64, 96), torch.Generator().manual_seed(1)
    target = random_scenes.random_target(size, 50, generator)
    corners = cxcywh_to_xyxy(target.boxes)
    assert corners.min() >= -1e-6
    assert corners.max() <= 1 + 1e-6
    for box, mask in zip(corners * torch.tensor([96, 64, 96, 64]), target.masks, strict=True):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        drawn = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (drawn - box).abs().max() <= 0.5 + 1e-4
        assert mask.sum() == math.prod((drawn[2:] - drawn[:2]).tolist())


def test_a_loaders_run_is_timed_per_batch(make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch):
    """Ten batches of three images in the five seconds that the clock says: six images a second."""
    times = iter([100.0, 105.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(times))
    config = make_config("dataloader.train.total_batch_size=3")
    (seconds,) = loader.time_batches(config, num_workers=0, num_batches=10)
    assert config.dataloader.train.total_batch_size / seconds == 6
