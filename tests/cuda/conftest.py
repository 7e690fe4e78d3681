"""Programs on the pretended GPU, each in a process of its own and once for the same options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cuda.build import CannotBuildError, build
from vclr.config import Config, dump_config

ROOT = Path(__file__).parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone"]


class Programs:
    """Runs programs and remembers their results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results: dict[str, list[Any]] = {}

    def __call__(self, program: str, **options: Any) -> Any:
        """Return the result of a program that runs in one process (tests/cuda/run.py)."""
        return self.run(program, 1, **options)[0]

    def run(self, program: str, num_processes: int, **options: Any) -> list[Any]:
        """Return the results of all processes of a program, which torchrun starts if there are several."""
        arguments = [program, str(num_processes), json.dumps(options, sort_keys=True)]
        if (key := " ".join(arguments)) not in self.results:
            self.results[key] = self._start(program, num_processes, arguments[-1])
        return self.results[key]

    def _start(self, program: str, num_processes: int, options: str) -> list[Any]:
        results = self.folder / f"{len(self.results)}-{program}-{{rank}}.json"
        starter = [*TORCHRUN, f"--nproc-per-node={num_processes}"] if num_processes > 1 else []
        command = [sys.executable, *starter, "-m", "tests.cuda.run", program, str(results), options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        files = (Path(str(results).format(rank=rank)) for rank in range(num_processes))
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]


@pytest.fixture(scope="session")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Return what runs programs on the pretended GPU."""
    try:
        build()
    except CannotBuildError as reason:
        pytest.skip(str(reason))
    return Programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def write_settings(make_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return what writes the settings of a small training on the GPU, changed by overrides, to a file.

    Images are of different sizes, all that is drawn is drawn, and the crop loses objects.
    """
    own = [
        "dataloader.train.total_batch_size=2",
        "dataloader.train.num_workers=1",
        "dataloader.train.mapper.short_edge_length=[48,64,80]",
        "dataloader.train.mapper.crop_probability=0.5",
        "dataloader.train.mapper.crop_short_edge_length=[64]",
        "dataloader.train.mapper.crop_size=[32,64]",
        "dataloader.test.mapper.short_edge_length=64",
        "dataloader.test.batch_size=2",
        "views.corrupt={mix: True, erase: True, grayscale: True}",
        "model.num_queries=20",
        "model.criterion.num_points=64",
        "train.device=cuda",
        "train.max_iter=20",
        "train.log_period=1",
        "train.eval_period=10",
        "train.checkpointer.period=10",
        "tracking.enabled=False",
    ]

    def write(*overrides: str) -> str:
        folder = tmp_path_factory.mktemp("training")
        config = make_config(*own, f"train.output_dir={folder}/run", *overrides)
        (folder / "settings.yaml").write_text(dump_config(config), encoding="utf-8")
        return str(folder / "settings.yaml")

    return write
