"""All checks of `vclr doctor`, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vclr.errors import one_line
from vclr.finding import ERROR, Finding
from vclr.installation.computation import check_computation
from vclr.installation.folders import check_folders
from vclr.installation.interpreter import check_encoding, check_extras, check_packages, check_python
from vclr.installation.machine import (
    check_disk,
    check_memory,
    check_open_files,
    check_shared_memory,
    check_temporary_disk,
    describe_system,
)
from vclr.installation.programs import check_programs

CHECKS: tuple[Callable[[], Finding | Iterable[Finding]], ...] = (
    describe_system,
    check_python,
    check_packages,
    check_computation,
    check_memory,
    lambda: check_disk(Path.cwd()),
    check_temporary_disk,
    check_shared_memory,
    check_open_files,
    check_folders,
    check_encoding,
    check_programs,
    check_extras,
)


def check_installation() -> Iterator[Finding]:
    """Run every check. One that fails itself becomes a finding, and the others still run."""
    for check in CHECKS:
        try:
            found = check()
            yield from [found] if isinstance(found, Finding) else found
        except Exception as error:  # the machine is broken in a way that no check foresees
            yield Finding(ERROR, "doctor", f"a check failed: {one_line(error)}", "report this, with the whole output")
