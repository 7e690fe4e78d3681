"""A copy of the workflow in which everything is there, so that only what a test changes can need work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vclr.catalog.classes import TOY_KNOWN_CLASSES, TOY_NOVEL_CLASSES
from vclr.files import dump_json

ROOT = Path(__file__).parents[2]
WORKFLOW_FILES = (
    "Snakefile",
    "workflow",
    "configs",
    "slurm",
    "config",
    "vclr",
    "dvc.yaml",
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
)

# In the place of annotations that a plan looks for classes in: those of the demo.
_CLASSES = [*TOY_KNOWN_CLASSES, *TOY_NOVEL_CLASSES]
TEST_SET = dump_json(
    {"images": [], "annotations": [], "categories": [{"id": i, "name": name} for i, name in enumerate(_CLASSES)]}
)


class Checkout:
    """A working copy of the repository without its data and results, in which commands run."""

    def __init__(self, folder: Path):
        self.folder = folder

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the copy and return its output; `snakemake` and `dvc` are those of this environment."""
        if command[0] in ("snakemake", "dvc"):
            command = (sys.executable, "-m", *command)
        identity = {
            f"GIT_{who}_{what}": "tests@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        no_models = {"HF_HUB_CACHE": str(self.folder / "no_models")}  # whatever this machine has
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **identity, **no_models, "PATH": path, "COLUMNS": "400"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def plan(self, *arguments: str) -> dict[str, int]:
        """Return how often each rule would run for these targets, aggregating targets left out."""
        output = self.run("snakemake", *arguments, "--dry-run", "--cores", "2")
        if "Nothing to be done" in output:
            return {}
        table = output.split("Job stats:", 1)[1].split("total", 1)[0]
        rules = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)\s*$", table, flags=re.MULTILINE)}
        return {name: count for name, count in rules.items() if name not in ("all", "demo", "study")}

    def write(self, path: str, text: str) -> None:
        """Write a file of the copy, and the folders above it."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def finish(self, *targets: str) -> None:
        """Put a small file in the place of all that leads to these targets, with Snakemake's own records of it."""
        summary = self.run("snakemake", *targets, "--dry-run", "--summary", "--cores", "1")
        for line in summary.splitlines():
            path, *rest = line.split("\t")
            if re.search(r"\d+of\d+$", path):  # the folder of a shard
                (self.folder / path).mkdir(parents=True)
            elif rest and path != "output_file":
                self.write(path, TEST_SET if path.endswith("annotations_val.json") else "{}\n")
        self.run("snakemake", *targets, "--touch", "--forceall", "--cores", "1")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Return a fresh copy: nothing fetched, nothing trained."""
    copy_workflow(tmp_path / "copy")
    return Checkout(tmp_path / "copy")


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy in which the demo is finished; tests take copies of it."""
    folder = tmp_path_factory.mktemp("finished") / "copy"
    copy_workflow(folder)
    Checkout(folder).finish("demo")
    return folder


@pytest.fixture
def finished(finished_folder: Path, tmp_path: Path) -> Checkout:
    """Return a copy in which the demo is finished."""
    shutil.copytree(finished_folder, tmp_path / "copy", copy_function=shutil.copy2)
    return Checkout(tmp_path / "copy")


def copy_workflow(folder: Path) -> None:
    """Copy what git would bring, without data."""
    for name in WORKFLOW_FILES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
