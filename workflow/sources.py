"""Find configuration, experiments and schema of the workflow, which may run in another folder or as a module.

A file under configs/ of the working directory comes before the one of the same name that the workflow brings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CONFIG = "configs/workflow.yaml"
EXPERIMENTS = "configs/experiment"
PARTS = ("demo", "study", "self_training")  # of the configuration, each with experiments and seeds of its own


class Sources:
    """The files that the workflow brings, and those of the working directory that replace them."""

    def __init__(self, root: Path) -> None:
        """Take the folder that holds workflow/ and configs/."""
        self._root = root
        self.schema = root / "workflow/schemas/workflow.schema.yaml"

    def find(self, path: str) -> str:
        """Return the path of a file: as it is if the working directory has it, else in the folder of the workflow.

        A path that neither has is returned as it is.
        """
        own = self._root / path
        return path if Path(path).exists() or not own.exists() else str(own)

    def experiment(self, name: str) -> str:
        """Return the path of the configuration of an experiment."""
        return self.find(f"{EXPERIMENTS}/{name}.yaml")

    def experiments(self) -> list[str]:
        """List the names of all experiments; one in a folder is called `folder/name`."""
        folders = Path(EXPERIMENTS), self._root / EXPERIMENTS
        paths = [path.relative_to(folder) for folder in folders for path in folder.rglob("*.yaml")]
        return sorted({path.with_suffix("").as_posix() for path in paths})

    def complete(self, config: dict[str, Any]) -> None:
        """Give each key that a configuration leaves out the value in the workflow's own file."""
        for key, value in yaml.safe_load((self._root / CONFIG).read_text(encoding="utf-8")).items():
            config.setdefault(key, value)

    def are_main(self, snakefile: str) -> bool:
        """Tell whether Snakemake runs this workflow itself, and not another one that has it as a module."""
        own = self._root / "Snakefile", self._root / "workflow/Snakefile"
        return Path(snakefile).resolve() in {path.resolve() for path in own}
