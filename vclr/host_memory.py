"""The memory of this process and of its machine, in bytes."""

from __future__ import annotations

import ctypes
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

STATUS = Path("/proc/self/status")
# The files of a control group, by the version of control groups: limit, usage, and the part of the usage that the
# kernel would give back.
GROUP_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def peak_process_bytes() -> int:
    """Return the peak memory of this process in RAM, since its start or, on Linux, since `forget_peak`."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    # On Linux, `getrusage` would include the parent's memory when it started this process.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Let the peak begin again at what the process holds now; without effect if the system does not offer that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def process_bytes() -> int:
    """Return the memory of this process in RAM now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def return_freed_memory() -> None:
    """Have glibc give freed memory back to the system, which it may otherwise keep for later (`reuse_memory`)."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def available_bytes() -> int:
    """Return how much more memory this process can take: what the machine has left, or less in a limited job."""
    import psutil

    return min([int(psutil.virtual_memory().available), *left_in_groups()])


def left_in_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Yield what is left below each memory limit that applies to this process (a container's, a SLURM job's).

    Args:
        root: where control groups are mounted.
        own: the file that names this process's groups.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, version = (root / "memory", 1) if controllers else (root, 2)
        group = Path(name.lstrip("/"))
        for folder in (group, *group.parents):
            # In a container, the group's path may be the host's; the container's own group is the topmost one then.
            with suppress(OSError, ValueError):  # ValueError: the limit is `max`
                yield _left_in_group(top / folder, version)


def _left_in_group(folder: Path, version: int) -> int:
    limit, usage, reclaimable = GROUP_FILES[version]
    most, used = (int((folder / name).read_text(encoding="ascii")) for name in (limit, usage))
    facts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    return max(0, most - used + int(facts.get(reclaimable, 0)))
