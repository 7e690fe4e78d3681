"""Some of the hostile cases by real processes: a terminal shows one line, and scripts get an exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.hostile import KINDS
from tests.fuzz.sound import ROOT

pytestmark = pytest.mark.slow

# A few of each kind, far apart. Of settings, every eighth is given to a command.
CASES = [(kind, count * part // 3 // 8 * 8) for kind, (_, count) in KINDS.items() for part in range(3)]


@pytest.mark.parametrize(("kind", "number"), CASES, ids=[f"{kind}-{number:04d}" for kind, number in CASES])
def test_hostile_input_in_a_process(kind: str, number: int, sound: Path, tmp_path: Path):
    folder = tmp_path / "case"
    shutil.copytree(sound, folder)
    trial = [trial for trial in KINDS[kind][0].make(number, folder) if not callable(trial.arguments)][-1]
    assert not callable(trial.arguments)
    done = subprocess.run(
        [sys.executable, "-m", "vclr.cli", *trial.arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 2), done.stderr
    if done.returncode and not trial.reports:
        lines = done.stderr.splitlines()
        assert lines[-1].startswith("vclr: "), done.stderr
        assert sum(line.startswith("vclr: ") for line in lines) == 1, done.stderr
    assert not list(folder.rglob(".*.partial"))
