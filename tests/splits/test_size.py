"""A json of the size of COCO's training set is split in little memory, which grows with the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.splits.simulated import COCO_TRAIN, write_simulated_coco

ROOT = Path(__file__).parents[2]
MEASURED = """
import re, sys
from vclr.splits.compare import compare_split
from vclr.splits.record import save_split
from vclr.splits.split import make_split

made = make_split(sys.argv[1], sys.argv[2])
save_split(made, sys.argv[3])
assert not compare_split(made, sys.argv[3]).differences
# Not ru_maxrss, which begins with what the process had that started this one.
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


def peak_mib(source: Path, output: Path) -> float:
    """Split a json, compare the split with itself, and return the memory that the process took."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "voc", str(source), str(output)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.slow
def test_memory_of_a_split_of_coco_s_training_set(tmp_path: Path):
    write_simulated_coco(tmp_path / "all.json", **COCO_TRAIN)
    size_mib = (tmp_path / "all.json").stat().st_size / 2**20
    assert size_mib > 400
    assert peak_mib(tmp_path / "all.json", tmp_path / "part.json") < 2048
