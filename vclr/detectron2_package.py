"""Find detectron2 and the configurations of its models without importing it.

Its authors publish no package: it is built from their repository, and so is no dependency and no extra of this one.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from vclr.errors import UsageError, UserError, nearest
from vclr.file_names import say_nearest

ZOO = "model_zoo/configs"  # in the package
INSTALL = "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'"


def require_detectron2(what: str) -> Path:
    """Return the folder of the installed package.

    Args:
        what: what needs it, for the error.

    Raises:
        UserError: it is not installed; says how its authors build it.
    """
    package = _find_package()
    if package is None:
        raise UserError(f"{what}: needs detectron2, which is not installed: {INSTALL}")
    return package


def _find_package() -> Path | None:
    spec = find_spec("detectron2")
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None


def find_model_config(name: str) -> Path:
    """Return the file of a model's configuration: a path, or a name of detectron2's model zoo.

    Raises:
        UserError: detectron2 is not installed.
        UsageError: there is neither such a file nor such a name; names the nearest.
    """
    where = f"detectron2.config={name}"
    zoo = require_detectron2(where) / ZOO
    path = next((one for one in (Path(name), zoo / name) if one.is_file()), None)
    if path is None:
        known = [one.relative_to(zoo).as_posix() for one in zoo.rglob("*") if one.suffix in (".yaml", ".py")]
        near = say_nearest(Path(name)) or (f"; nearest in the model zoo: {nearest(name, known)}" if known else "")
        raise UsageError(f"{where}: does not exist{near}")
    if path.suffix not in (".yaml", ".yml", ".py"):
        raise UsageError(f"{where}: must be a YAML file or a LazyConfig (.py)")
    return path


def is_model_config(path: Path) -> bool:
    """Tell a configuration of detectron2 from one of vclr.

    It is a LazyConfig, YAML with its keys, which are capitals, or the name of one in the model zoo.
    """
    if path.suffix == ".py":
        return True
    if not path.is_file():
        package = _find_package()
        return package is not None and (package / ZOO / path).is_file()
    with path.open(encoding="utf-8", errors="replace") as file:
        keys = [line.partition(":")[0] for line in file if line[:1].isalpha() or line.startswith("_BASE_")]
    return bool(keys) and all(key.isupper() for key in keys)
