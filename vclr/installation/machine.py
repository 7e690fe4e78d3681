"""Check the memory, the disks and the limits of this machine."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import tempfile
from pathlib import Path

from vclr.finding import ERROR, OK, WARNING, Finding
from vclr.host_memory import available_bytes

GIB = 2**30
DEMO_MEMORY = 2 * GIB  # what one process of the demo needs, with some room
PUBLISHED_MEMORY = 8 * GIB  # training of the published detector on a CPU, one image at a time
DEMO_DISK = GIB // 2  # what the demo writes
PUBLISHED_DISK = 50 * GIB  # COCO 2017 with its views
TEMPORARY_DISK = GIB // 2
SHARED_MEMORY = 64 << 20  # what containers have by default, and torch's own loaders are short of
OPEN_FILES = 1024  # a training with its loader, its log and MLflow opens a few hundred


def describe_system() -> Finding:
    """Say which system and processor this is."""
    return Finding(OK, "system", f"{platform.platform()}, {platform.machine()}")


def check_memory(left: int | None = None) -> Finding:
    """Check the memory that this process may still take: of the machine, or of its container or job.

    Args:
        left: the bytes; None measures.
    """
    import psutil

    total, left = psutil.virtual_memory().total, available_bytes() if left is None else left
    limited = " (a container or a job sets a limit)" if left < psutil.virtual_memory().available * 0.98 else ""
    says = f"{left / GIB:.1f} GiB free of {total / GIB:.1f}{limited}"
    if left < DEMO_MEMORY:
        return Finding(ERROR, "memory", says, f"end other programs, or ask for {DEMO_MEMORY // GIB} GiB or more")
    if left < PUBLISHED_MEMORY:
        fix = "enough for small detectors; to train the published one on a CPU, 8 GiB are needed"
        return Finding(WARNING, "memory", says, fix)
    return Finding(OK, "memory", says)


def check_disk(folder: Path, left: int | None = None) -> Finding:
    """Check the space on the disk of a folder that need not exist yet.

    Args:
        folder: where data, runs and results are written.
        left: the free bytes; None measures.
    """
    place = nearest_existing(folder)
    try:
        left = shutil.disk_usage(place).free if left is None else left
    except OSError as error:
        return Finding(ERROR, "disk", f"{place}: {error.strerror}", "choose another folder: cd FOLDER")
    says = f"{left / GIB:.1f} GiB free in {place.resolve()}"
    if left < DEMO_DISK:
        return Finding(ERROR, "disk", says, "free some space, or work in another folder: cd FOLDER")
    if left < PUBLISHED_DISK:
        fix = "enough for the demo; `vclr fetch NAMES --dry-run` says what published data need"
        return Finding(WARNING, "disk", says, fix)
    return Finding(OK, "disk", says)


def check_temporary_disk() -> Finding:
    """Check the space for temporary files."""
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        return Finding(ERROR, "temporary files", "no folder for them can be written", "`export TMPDIR=FOLDER`")
    left = shutil.disk_usage(folder).free
    says = f"{left / GIB:.1f} GiB free in {folder}"
    if left < TEMPORARY_DISK:
        return Finding(WARNING, "temporary files", says, "free some space, or choose another: `export TMPDIR=FOLDER`")
    return Finding(OK, "temporary files", says)


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Check the shared memory, which several processes of one training use to talk to each other.

    Args:
        folder: where the system keeps it.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return Finding(OK, "shared memory", f"this system has no {folder}")
    says = f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} in {folder}"
    if usage.free <= SHARED_MEMORY:
        fix = "several processes on GPUs may need more: `docker run --shm-size=1g`; vclr's own loader does not use it"
        return Finding(WARNING, "shared memory", says, fix)
    return Finding(OK, "shared memory", says)


def check_open_files(limits: tuple[int, int] | None = None) -> Finding:
    """Check how many files a process may open.

    Args:
        limits: the limit, and the highest that the user may ask for; None asks the system.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE) if limits is None else limits
    infinite = resource.RLIM_INFINITY
    says = "no limit" if soft == infinite else f"{soft} per process"
    if soft != infinite and soft < OPEN_FILES:
        can = hard == infinite or hard >= OPEN_FILES
        fix = f"`ulimit -n {OPEN_FILES}`" if can else f"ask whoever runs the machine to allow {OPEN_FILES}"
        return Finding(WARNING, "open files", says, fix)
    return Finding(OK, "open files", says)


def nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    path = Path(os.path.abspath(path))
    return next(place for place in (path, *path.parents) if place.exists() or place == place.parent)
