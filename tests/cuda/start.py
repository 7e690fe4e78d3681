"""Start programs on the pretended GPU, each in processes of its own and once for the same options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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
