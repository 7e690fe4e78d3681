"""The Snakemake profile of a SLURM site (slurm/config.yaml): what its jobs request."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from vclr.config import LauncherConfig, load_config
from vclr.errors import UserError

# Settings of `launcher` whose resource has another name in Snakemake's SLURM executor.
SLURM_NAMES = {"partition": "slurm_partition", "account": "slurm_account", "extra": "slurm_extra"}


@dataclass
class Profile:
    """What a profile says about jobs: the settings of `vclr launch`, and the resources of all other jobs."""

    path: Path
    training: LauncherConfig
    others: dict[str, Any]
    status_command: str


def launcher_overrides(resources: Mapping[str, Any]) -> list[str]:
    """Return the resources of the rule `train` as settings of `vclr launch`; each setting of `launcher` may be one."""
    names = [setting.name for setting in fields(LauncherConfig)]
    given = {name: resources.get(SLURM_NAMES.get(name, name)) for name in names}
    return [f"launcher.{name}={value}" for name, value in given.items() if value is not None]


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        UserError: it is missing or not a mapping of options.
    """
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(options, dict):
        raise UserError(f"{path}: is not a mapping of Snakemake options")
    others = _resources(options.get("default-resources"))
    own = options.get("set-resources") or {}
    training = others | {"mem_mb": 0, "runtime": 0} | _resources(own.get("train") if isinstance(own, dict) else None)
    config = load_config(None, launcher_overrides(training)).launcher
    return Profile(path, config, others, str(options.get("slurm-status-command", "sacct")))


def _resources(given: Any) -> dict[str, Any]:
    """Read resources, which a profile gives as a mapping or as a list of name=value."""
    pairs = given.items() if isinstance(given, dict) else (str(word).split("=", 1) for word in given or ())
    return {name: read_value(value) for name, value in pairs}


def read_value(text: Any) -> Any:
    """Return a value as Snakemake reads it: a number, a quoted text, or else the text itself."""
    try:
        return ast.literal_eval(text) if isinstance(text, str) else text
    except (ValueError, SyntaxError):
        return text
