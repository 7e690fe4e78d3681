"""The training loader against a straightforward one (`straightforward.py`), and what computed views cost in it.

Reads the photos of `$VCLR_SHARED/data/tiny_coco` where there are some, else toy scenes, which are smaller and of one
size. `--runs` says how often each variant is timed, `--batches` for how many batches of eight.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.straightforward import StraightforwardSamples, straightforward_loader
from benchmarks.timing import compare
from vclr.config import Config, load_config
from vclr.data.loader import training_loader
from vclr.data.samples import TrainingSamples
from vclr.data.throughput import skip
from vclr.generate.toy import write_toy_world
from vclr.generate.views import write_views
from vclr.ops.appearance import COMPUTED_VIEWS, render_view

VIEWS = ("pseudo_depth", "fourier")  # smooth as a depth map; detailed as a stylized photo
BATCH_SIZE = 8

Loader = Callable[[Config], Iterable[object]]
LOADERS: dict[str, Loader] = {
    "straightforward": lambda config: straightforward_loader(config, StraightforwardSamples(config)),
    "... one read": lambda config: straightforward_loader(
        config, StraightforwardSamples(config, reads_photo_once=True)
    ),
    "vclr": lambda config: training_loader(config, TrainingSamples(config)),
}


def main() -> None:
    """Print the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = find_photos(Path(folder))
        views = [f"data.train.views={{{', '.join(f'{view}: {folder}/{view}' for view in VIEWS)}}}"]
        for view in VIEWS:
            write_views(view, Path(load_config(None, data).data.train.images), Path(folder, view), quiet=True)
        for title, overrides in {"the photos alone": [], "the photos and two folders of views": views}.items():
            for num_workers in arguments.workers:
                settings = [f"dataloader.train.num_workers={num_workers}", *data, *overrides]
                compare_loaders(title, load_config(None, settings), arguments.runs, arguments.batches)
    compare_computed_views()


def find_photos(folder: Path) -> list[str]:
    """Return the settings that read tiny_coco, or toy scenes that are written into `folder`."""
    root = Path(os.environ.get("VCLR_SHARED", "")) / "data" / "tiny_coco"
    if not root.is_dir():
        write_toy_world(folder / "world", num_train=32, num_val=1, size=256, quiet=True)
        root = folder / "world" / "raw" / "toy"
    annotations = next(path for name in ("", "_train") if (path := root / f"annotations{name}.json").is_file())
    data = [f"data.train.annotations={annotations}", f"data.train.images={root}/images"]
    return [*data, f"dataloader.train.total_batch_size={BATCH_SIZE}"]


def compare_loaders(title: str, config: Config, runs: int, num_batches: int) -> None:
    """Time the loaders by turns; print images a second, and the processor time that all processes spend on one."""
    rates: dict[str, list[float]] = {name: [] for name in LOADERS}
    costs: dict[str, list[float]] = {name: [] for name in LOADERS}
    num_workers, num_images = config.dataloader.train.num_workers, num_batches * BATCH_SIZE
    for _ in range(runs):
        for name, make in LOADERS.items():
            batches = iter(make(config))
            skip(batches, num_workers * config.dataloader.train.prefetch_factor + 1)  # what was made ahead
            started, before = time.perf_counter(), processor_seconds()
            skip(batches, num_batches)
            rates[name].append(num_images / (time.perf_counter() - started))
            costs[name].append((processor_seconds() - before) / num_images)
            del batches
    print(f"\n{title}, {num_workers} workers ({runs} runs of {num_batches} batches of {BATCH_SIZE})")
    rate, cost = statistics.median(rates["straightforward"]), statistics.median(costs["straightforward"])
    for name, measured in rates.items():
        median, spent = statistics.median(measured), statistics.median(costs[name])
        print(
            f"  {name:16} {median:7.1f} images/s  {min(measured):6.1f} to {max(measured):6.1f}   x {median / rate:.2f}"
            f"   {1000 * spent:6.1f} ms of processor an image   / {cost / spent:.2f}",
            flush=True,
        )


def processor_seconds() -> float:
    """Return the processor time of this process and those that it started and that still run."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in family))


def compare_computed_views() -> None:
    """Print what the computed views cost."""
    generator = np.random.default_rng(0)
    # Smooth noise: as a photo, neither flat nor all edges.
    photo = np.kron(generator.integers(0, 256, (30, 40, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    views = {
        view: lambda view=view: render_view(view, photo, 0, 0, lambda generator: photo[::-1]) for view in COMPUTED_VIEWS
    }
    compare("computed views of a 480x640 picture", views)


if __name__ == "__main__":
    main()
