"""Waiting threads spin only briefly: set before torch is imported, for child processes too, unless the user decides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vclr.processes import WAITING

ROOT = Path(__file__).parents[1]
SHOW = "print([os.environ.get(name) for name in ('GOMP_SPINCOUNT', 'KMP_BLOCKTIME', 'OMP_WAIT_POLICY')])"


def run(code: str, **variables: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize("module", ["vclr", "vclr.cli", "vclr.launch.process", "vclr.data.workers", "vclr.worker_pool"])
def test_import_of_the_package_sets_it_before_torch(module: str):
    code = "import builtins, os, sys\nseen = []\nimporting = builtins.__import__\ndef watch(name, *rest):\n"
    code += "    if name == 'torch' and not seen: seen.append(os.environ.get('GOMP_SPINCOUNT'))\n"
    code += f"    return importing(name, *rest)\nbuiltins.__import__ = watch\nimport {module}\nimport torch\n"
    assert run(f"{code}print(seen)\n{SHOW}") == f"['5000']\n{[*WAITING.values(), None]}"


def test_children_inherit_it_and_the_user_is_obeyed():
    child = "import subprocess, sys, vclr\nsubprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    inherited = f"import sys; sys.argv = ['', {f'import os; {SHOW}'!r}]\n{child}"
    assert run(inherited) == str([*WAITING.values(), None])
    show = f"import os, vclr\n{SHOW}"
    assert run(show, OMP_WAIT_POLICY="active") == "[None, None, 'active']"
    assert run(show, GOMP_SPINCOUNT="7") == "['7', None, None]"
    assert run(show, KMP_BLOCKTIME="infinite") == "[None, 'infinite', None]"
