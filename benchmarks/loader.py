"""The training loader against a straightforward one (`straightforward.py`).

Reads the photos of `$VCLR_SHARED/data/tiny_coco` if there are any, otherwise toy scenes, which are smaller and of one
size. `--runs` is the number of timed runs per variant, `--batches` the number of batches of eight per run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import torch

from benchmarks.straightforward import StraightforwardSamples, straightforward_loader
from benchmarks.table import Row
from benchmarks.timing import print_table
from vclr.bench.loader import skip
from vclr.config import Config, load_config
from vclr.data.loader import TrainingLoader
from vclr.data.samples import TrainingSamples
from vclr.generate.toy import write_toy_world
from vclr.views.write import write_views

VIEWS = ("pseudo_depth", "fourier")  # smooth as a depth map; detailed as a stylized photo
BATCH_SIZE = 8

Loader = Callable[[Config], Iterable[object]]
LOADERS: dict[str, Loader] = {
    "straightforward": lambda config: straightforward_loader(config, StraightforwardSamples(config)),
    "... one read": lambda config: straightforward_loader(
        config, StraightforwardSamples(config, reads_photo_once=True)
    ),
    "vclr": lambda config: TrainingLoader(config, TrainingSamples(config)),
}


def main(arguments: list[str]) -> None:
    """Print the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = find_photos(Path(folder))
        views = [f"data.train.views={{{', '.join(f'{view}: {folder}/{view}' for view in VIEWS)}}}"]
        for view in VIEWS:
            write_views(view, Path(load_config(None, data).data.train.images), Path(folder, view), quiet=True)
        for title, overrides in {"the photos alone": [], "the photos and two folders of views": views}.items():
            for num_workers in options.workers:
                settings = [f"dataloader.train.num_workers={num_workers}", *data, *overrides]
                compare_loaders(title, load_config(None, settings), options.runs, options.batches)


def find_photos(folder: Path) -> list[str]:
    """Return the settings that read tiny_coco, or toy scenes that are written into `folder`."""
    root = Path(os.environ.get("VCLR_SHARED", "")) / "data" / "tiny_coco"
    if not root.is_dir():
        write_toy_world(folder / "world", num_train=32, num_val=2, size=256, quiet=True)
        root = folder / "world" / "raw" / "toy"
    annotations = next(path for name in ("", "_train") if (path := root / f"annotations{name}.json").is_file())
    data = [f"data.train.annotations={annotations}", f"data.train.images={root}/images"]
    return [*data, f"dataloader.train.total_batch_size={BATCH_SIZE}"]


def compare_loaders(title: str, config: Config, runs: int, num_batches: int) -> None:
    """Time the loaders in turns; print seconds per batch, images per second, and processor time per image."""
    seconds: dict[str, list[float]] = {name: [] for name in LOADERS}
    costs: dict[str, list[float]] = {name: [] for name in LOADERS}
    num_workers = config.dataloader.train.num_workers
    for _ in range(runs):
        for name, make in LOADERS.items():
            batches = iter(make(config))
            skip(batches, num_workers * config.dataloader.train.prefetch_factor + 1)  # what was made ahead
            started, before = time.perf_counter(), processor_seconds()
            skip(batches, num_batches)
            seconds[name].append((time.perf_counter() - started) / num_batches)
            costs[name].append((processor_seconds() - before) / (num_batches * BATCH_SIZE))
            del batches
    rows = [
        Row(
            name,
            measured,
            note=f"{BATCH_SIZE / statistics.median(measured):.1f} images/s, "
            f"{1000 * statistics.median(costs[name]):.1f} ms of processor time per image",
        )
        for name, measured in seconds.items()
    ]
    print_table(f"{title}, {num_workers} workers, batches of {BATCH_SIZE} ({num_batches} per run)", rows)


def processor_seconds() -> float:
    """Return the processor time of this process and those that it started and that still run."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in family))


if __name__ == "__main__":
    main(sys.argv[1:])
