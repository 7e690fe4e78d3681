"""What tracking costs a training: time per step, time until the first step, and time at the end.

The demo's detector trains on generated scenes with tracking and without, in turn, each time in a separate process. The
first pair is not counted. Takes ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
VCLR = (sys.executable, "-m", "vclr.cli")
STEPS = 60


def main(arguments: list[str]) -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="number of pairs of trainings (default: 5)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"iterations of each (default: {STEPS})")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), *VCLR, "fetch", "toy", "--output", "data")
        pairs = [
            tuple(train(Path(folder), options.steps, is_tracked, number) for is_tracked in (False, True))
            for number in range(options.runs + 1)
        ][1:]
    for position, name in enumerate(("step", "until the first record", "end")):
        without, tracked = (median(pair[which][position] for pair in pairs) for which in (0, 1))
        ratios = sorted(pair[1][position] / pair[0][position] for pair in pairs)
        print(
            f"{name}: {without:.3f} s without tracking, {tracked:.3f} s with; "
            f"ratio of pairs {median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


def train(folder: Path, steps: int, is_tracked: bool, number: int) -> tuple[float, float, float]:
    """Train once.

    Returns:
        Median seconds per step, seconds from the start of the process to the first record, and from the last record to
        the end of the process.
    """
    output = folder / f"runs/{'tracked' if is_tracked else 'plain'}/seed{number}"
    settings = [
        *("--quiet", "--config-file", str(ROOT / "configs/experiment/demo_baseline.yaml")),
        *("data.train.annotations=data/raw/toy/annotations_train.json", "data.test.proposals=''"),
        *(f"train.output_dir={output}", f"train.max_iter={steps}", "train.log_period=1", "train.num_threads=1"),
        *("train.device=cpu", f"tracking.enabled={is_tracked}", f"tracking.uri=sqlite:///{folder}/mlflow.db"),
    ]
    began = time.time()
    run(folder, *VCLR, "train", *settings)
    ended = time.time()
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps_only = [record["step_seconds"] for record in records[2:]]
    return median(steps_only), records[0]["time"] - began, ended - records[-1]["time"]


def run(folder: Path, *command: str) -> None:
    """Run a command, and end if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1:])
