"""The environment of a run: git revision, package versions, hardware."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.processes import count_cpus

if TYPE_CHECKING:
    import torch

GIB = 2**30


def describe_environment(device: torch.device | None = None) -> dict[str, Any]:
    """Describe the code and the machine of this process, ready for json.

    Args:
        device: the device of the training, described with its current settings.

    Returns:
        git_revision (40 hexadecimal digits) and git_dirty (tracked files differ from it), both None outside git;
        python, torch, numpy and vclr versions (None if not installed); hostname, platform, cpu, cpu_cores (that this
        process may use), memory_gib, gpus (names); device (its name), driver, cuda and cudnn (versions), and tf32
        (whether float32 products use it), each None if there is no GPU or no device has been chosen yet.
    """
    import psutil
    import torch

    from vclr.device import uses_tf32
    from vclr.nvml import driver_version

    revision, dirty = _git_state()
    return {
        "git_revision": revision,
        "git_dirty": dirty,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "numpy", "vclr")},
        "hostname": platform.node(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_cores": count_cpus(),
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "device": None if device is None else str(device),
        "driver": driver_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32": uses_tf32() if device is not None and device.type == "cuda" else None,
    }


def _git_state() -> tuple[str | None, bool | None]:
    """Return the state of the repository that holds the package, else of the working directory's repository."""
    folder, revision = _find_repository()
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no") if revision else None
    return revision, None if changes is None else bool(changes)


def read_code_changes() -> str:
    """Return how the code differs from the revision that `describe_environment` names: the output of `git diff`."""
    folder, revision = _find_repository()
    return (_git(folder, "diff", "HEAD") or "") if revision else ""


def _find_repository() -> tuple[Path, str | None]:
    """Return a folder of the repository, and its revision; None outside git."""
    for folder in (Path(__file__).parent, Path.cwd()):
        if revision := _git(folder, "rev-parse", "HEAD"):
            return folder, revision
    return Path.cwd(), None


def _git(folder: Path, *arguments: str) -> str | None:
    """Run git and return its output; None without git, without a repository, or before the first commit."""
    # Reading the state must not take the index lock while somebody is committing.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
