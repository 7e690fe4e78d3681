"""Check the programs that vclr starts or that belong to its workflow. All but Snakemake and DVC are optional."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from vclr.finding import OK, WARNING, Finding

# What each is for, and how a Debian gets it; for others, its name says enough.
PROGRAMS = {
    "git": ("records the revision of the code with each run", "`apt-get install git`"),
    "make": ("`make demo` and `make test` in a clone", "`apt-get install make`"),
    "c++": ("compiles what torch.compile and exported models need", "`apt-get install g++`"),
    "sinfo": ("trainings on a SLURM cluster; `vclr doctor slurm` checks it", "log in to a login node of the cluster"),
}
OWN = ("vclr", "snakemake", "dvc", "mlflow")  # in the same environment


def check_programs() -> Iterator[Finding]:
    """List the programs: where each is, or what does not work without it."""
    yield _check_own()
    for name, (purpose, fix) in PROGRAMS.items():
        place = shutil.which(name)
        says = f"{name}: {place}" if place else f"{name}: not found ({purpose})"
        yield Finding(OK, "programs", says, "" if place else fix)


def _check_own() -> Finding:
    """Check that the environment's own commands are found by their names, as the rules of the workflow call them."""
    folder = Path(sys.executable).parent
    lost = [name for name in OWN if not shutil.which(name)]
    others = [name for name in OWN if name not in lost and not _is_in(shutil.which(name), folder)]
    if lost and not all((folder / name).exists() for name in lost):
        return Finding(WARNING, "programs", f"not found: {', '.join(lost)}", "install vclr: `pip install .` in a clone")
    if lost:
        fix = f"`source {folder}/activate`, or `export PATH={folder}:$PATH`"
        return Finding(WARNING, "programs", f"not in PATH: {', '.join(lost)}; the workflow calls them by name", fix)
    if others:
        says = f"{', '.join(others)}: of another environment than this Python's ({shutil.which(others[0])})"
        return Finding(WARNING, "programs", says, f"`source {folder}/activate`")
    return Finding(OK, "programs", f"{', '.join(OWN)}: {folder}")


def _is_in(place: str | None, folder: Path) -> bool:
    return place is not None and os.path.realpath(Path(place).parent) == os.path.realpath(folder)
