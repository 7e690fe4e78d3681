"""Run one program on the pretended GPU: `python -m tests.cuda.run PROGRAM RESULT [OPTIONS]`, options as JSON.

A program is a module of tests/cuda/programs with a function `main(machine, **options)`, whose result is written to the
file RESULT as JSON, after `{rank}` in it has become the number of the process. It has a process of its own: the GPU has
to be there before torch is imported, and changes torch.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.cuda.build import build, load


def run(program: str, num_devices: int = 1, has_engine_thread: bool = False, **options: Any) -> Any:
    """Return the result of a program."""
    os.environ["VCLR_PRETENDED_GPUS"] = str(num_devices)
    load(build())
    # Imported only now: these import torch.
    import torch

    from tests.cuda.machine import Machine
    from tests.cuda.pretend import pretend

    torch.set_num_threads(1)
    machine = Machine()
    pretend(machine, num_devices, has_engine_thread)
    with machine.start():
        return import_module(f"tests.cuda.programs.{program}").main(machine, **options)


if __name__ == "__main__":
    name, result_file, *given = sys.argv[1:]
    result = run(name, **(json.loads(given[0]) if given else {}))
    file = Path(result_file.format(rank=os.environ.get("RANK", "0")))
    file.write_text(json.dumps(result), encoding="utf-8")
