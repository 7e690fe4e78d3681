"""Check Python, the packages that vclr needs, and its extras."""

from __future__ import annotations

import locale
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement

from vclr.catalog.extras import EXTRAS
from vclr.finding import ERROR, OK, WARNING, Finding

OLDEST = (3, 10)  # Python; as in pyproject.toml


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Check the version of Python, and say which one runs.

    Args:
        version: the version to check.
    """
    says = f"{'.'.join(map(str, version))}, {sys.executable}"
    if version < OLDEST:
        return Finding(ERROR, "Python", says, "install Python 3.10 or newer, and vclr with it")
    if version < (3, 11):
        fix = "pretrained models and SLURM with Snakemake 9 need Python 3.11: `make PYTHON=python3.11 VENV=DIR`"
        return Finding(WARNING, "Python", says, fix)
    return Finding(OK, "Python", says)


def check_encoding() -> Finding:
    """Check that names with any characters can be read and printed."""
    files, terminal = sys.getfilesystemencoding(), sys.stdout.encoding or locale.getpreferredencoding(False)
    says = f"{files} for names of files, {terminal} for the terminal"
    if {name.lower().replace("-", "") for name in (files, terminal)} <= {"utf8"}:
        return Finding(OK, "encoding", says)
    return Finding(WARNING, "encoding", says, "`export LC_ALL=C.UTF-8 PYTHONUTF8=1`, else such names appear as escapes")


def check_packages() -> Finding:
    """Check that every required package is installed in a version that vclr accepts."""
    requirements = [requirement for requirement in _requirements() if _applies(requirement, "")]
    if not requirements:
        fix = "install it: `pip install .` in its folder"
        return Finding(WARNING, "packages", "vclr runs from a folder and is not installed; nothing to compare", fix)
    if unmet := [requirement for requirement in requirements if not _is_met(requirement)]:
        says = "; ".join(f"{_plain(requirement)} is needed, {_found(requirement)}" for requirement in unmet)
        fix = f"pip install {' '.join(repr(_plain(requirement)) for requirement in unmet)}"
        return Finding(ERROR, "packages", says, f"`{fix}`")
    return Finding(OK, "packages", f"all {len(requirements)} that vclr {metadata.version('vclr')} needs are installed")


def check_extras() -> Iterator[Finding]:
    """List the optional parts: installed, or the command that installs them. What nobody uses need not be there."""
    for extra, purpose in EXTRAS.items():
        requirements = [requirement for requirement in _requirements() if _applies(requirement, extra)]
        missing = [requirement for requirement in requirements if not _is_met(requirement)]
        if not requirements:
            yield Finding(OK, "extras", f"{extra}: not for this Python ({purpose})")
        elif missing:
            names = ", ".join(requirement.name for requirement in missing)
            yield Finding(
                OK, "extras", f"{extra}: not installed: {names} ({purpose})", f"`pip install 'vclr[{extra}]'`"
            )
        else:
            yield Finding(OK, "extras", f"{extra}: installed ({purpose})")


@cache
def _requirements() -> list[Requirement]:
    """Return what the installed vclr says that it needs; nothing if it is not installed."""
    try:
        return [Requirement(line) for line in metadata.requires("vclr") or ()]
    except metadata.PackageNotFoundError:
        return []


def _applies(requirement: Requirement, extra: str) -> bool:
    """Tell whether this Python needs it: for the extra of this name and not without it; or, if empty, in any case."""
    always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    if not extra:
        return always
    return not always and requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _is_met(requirement: Requirement) -> bool:
    version = _version(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _found(requirement: Requirement) -> str:
    version = _version(requirement.name)
    return "but not installed" if version is None else f"but {version} is installed"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _plain(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"
