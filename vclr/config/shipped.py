"""The experiments that come with the package, so that their names work in every folder."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "configs"  # in a clone a link to configs/, in a wheel a copy


def find_settings(path: Path) -> Path:
    """Return where a file or folder of settings is: the path itself, or the package's if only it has `configs/...`.

    What is in the working directory comes first, as in the workflow. A path that neither has is returned as it is.
    """
    if path.is_absolute() or path.parts[:1] != ("configs",) or path.exists():
        return path
    shipped = SHIPPED.joinpath(*path.parts[1:])
    return shipped if ".." not in path.parts and shipped.exists() else path
