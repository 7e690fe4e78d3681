"""How MLflow's page describes a training: its name, its tags and its own settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vclr.config import Config, differing_values, flat_config

# Settings that say where a training is and how it is tracked, not what it does.
NAMES_ONLY = ("train.output_dir", "train.seed", "tracking.")


def experiment_of(config: Config) -> str:
    """Return the name of the experiment, whose trainings differ only in their seeds.

    A run folder `.../NAME/seed0` is one of several; any other folder is an experiment of its own. Below a folder
    `runs`, the name has all folders, as in the workflow: `ablation/no_consistency`.
    """
    name, _, last = training_name(Path(config.train.output_dir)).rpartition("/")
    return name if name and is_of_seed(last) else last


def training_name(folder: Path) -> str:
    """Return the name of the training in a run folder: experiment and seed, or the last two folders."""
    parts = folder.absolute().parts
    above = [place for place, name in enumerate(parts[:-2]) if name == "runs"]
    return "/".join(parts[above[-1] + 1 :] if above and is_of_seed(parts[-1]) else parts[-2:])


def is_of_seed(name: str) -> bool:
    """Tell whether a folder with this name, such as `seed0`, is that of one seed of an experiment."""
    return re.fullmatch(r"seed\d+", name) is not None


def run_name(config: Config) -> str:
    """Return the name of the run: `demo/seed0`."""
    return config.tracking.run_name or training_name(Path(config.train.output_dir))


def own_settings(config: Config) -> dict[str, Any]:
    """Return the settings that differ from the defaults, without those that only name the run."""
    own = flat_config(config)
    changed = differing_values([flat_config(Config()), own])
    # A section without entries, such as one of views, has a key of its own by default.
    return {key: own[key] for key in changed if key in own and not key.startswith(NAMES_ONLY)}


def describing_tags(config: Config, data_hashes: Mapping[str, str], environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags of a training; a value of None is not known."""
    return {
        "experiment": experiment_of(config),
        "seed": config.train.seed,
        "git.revision": environment.get("git_revision"),
        "git.dirty": environment.get("git_dirty"),
        "host": environment.get("hostname"),
        "cpu": environment.get("cpu"),
        "gpus": ", ".join(environment.get("gpus") or []) or None,
        "device": environment.get("device"),
        "tf32": environment.get("tf32"),
        **{f"version.{name}": environment.get(name) for name in ("python", "torch", "vclr", "driver", "cuda", "cudnn")},
        # Columns of MLflow's own table.
        "mlflow.source.name": "vclr train",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": environment.get("git_revision"),
        **{f"data.{name}": digest for name, digest in data_hashes.items()},
    }
