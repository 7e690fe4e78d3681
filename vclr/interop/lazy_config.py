"""Read detectron2's LazyConfigs without detectron2.

A LazyConfig is a Python file, which is executed here as detectron2 executes it. What it imports from other packages is
replaced by stand-ins, of which only the names and the arguments of calls are kept.
"""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vclr.errors import UserError, first_line

ROOTS = ("model", "dataloader", "optimizer", "lr_multiplier", "train")
REAL_MODULES = ("copy", "itertools", "math", "os")
SETTINGS = "settings"  # the variable that holds ours in a LazyConfig that we wrote


class Node(dict[str, Any]):
    """A mapping whose keys are attributes too, as the values of a config file are."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({key: _wrap(value) for key, value in values.items()})

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = _wrap(value)


class Named:
    """A stand-in for a module, class or function: it has a name, and a call of it is recorded."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Named:
        return Named(f"{self._name}.{name}")

    def __call__(self, *arguments: Any, **options: Any) -> Node:
        return Node({"_target_": self, **{str(index): value for index, value in enumerate(arguments)}, **options})


def _wrap(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_wrap(item) for item in value]
    return Node(value) if isinstance(value, dict) and not isinstance(value, Node) else value


class Reader:
    """Evaluates config files.

    Attributes:
        common: the folder of the files that `get_config` names; None if there is none.
        data_sets: name of each registered data set: its json and its folder of images.
    """

    def __init__(self, common: Path | None) -> None:
        self.common = common
        self.data_sets: dict[str, dict[str, str]] = {}

    def read(self, path: Path) -> SimpleNamespace:
        """Run a config file; return its variables.

        Raises:
            UserError: there is no such file, although another one imports it.
        """
        if not path.is_file():
            raise UserError(
                f"imports {path.name}, which is not in {path.parent}; copy this file into the folder of the program "
                "that has both, and read it there"
            )
        variables: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": self._importer(path)}}
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), variables)
        return SimpleNamespace(**variables)

    def _importer(self, importing: Path) -> Callable[..., Any]:
        stand_ins = {
            "detectron2.config": SimpleNamespace(LazyCall=lambda target: target),
            "detectron2.data.datasets": SimpleNamespace(register_coco_instances=self._register),
            "detrex.config": SimpleNamespace(get_config=self._read_common),
            "omegaconf": SimpleNamespace(OmegaConf=SimpleNamespace(create=lambda values=(): Node(dict(values)))),
        }

        def import_module(name: str, names: Any = None, _locals: Any = None, wanted: Any = (), level: int = 0) -> Any:
            if level:  # relative to the file
                return self.read(importing.parents[level - 1].joinpath(*name.split(".")).with_suffix(".py"))
            if name in REAL_MODULES:
                return __import__(name)
            return stand_ins.get(name) or Named(name if wanted else name.partition(".")[0])

        return import_module

    def _register(self, name: str, _metadata: Any, annotations: str, images: str) -> None:
        self.data_sets[name] = {"annotations": annotations, "images": images}

    def _read_common(self, name: str) -> SimpleNamespace:
        if self.common is None:
            raise UserError(
                f"get_config({name!r}): there is no folder configs/ above the file, and detrex is not there"
            )
        variables = vars(self.read(self.common / name))
        return SimpleNamespace(**{key: _wrap(value) for key, value in variables.items()})


def read_lazy_config(path: Path) -> dict[str, Any]:
    """Return every value that a config file sets or inherits, by its dotted key, with references to others resolved.

    The data sets that it registers are under `data_sets`. A file of ours gives `settings` alone.

    Raises:
        UserError: the file or one that it imports does not exist, it cannot be executed, or it sets none of the roots
            of a training.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    reader = Reader(_find_common(path))
    try:
        variables = vars(reader.read(path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # whatever a program may raise
        raise UserError(f"{path}: is not a LazyConfig: {type(error).__name__}: {first_line(error)}") from None
    if SETTINGS in variables:
        return dict(flatten({SETTINGS: _plain(_wrap(variables[SETTINGS]))}))
    if lacking := [root for root in ROOTS if root not in variables]:
        raise UserError(f"{path}: does not set {', '.join(lacking)}")
    tree = {root: _plain(_wrap(variables[root])) for root in ROOTS}
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {first_line(error)}") from None
    return dict(sorted(flatten({**resolved, "data_sets": reader.data_sets})))


def _find_common(path: Path) -> Path | None:
    """Return the folder `configs` of the checkout that a file is in, or else of an installed detrex."""
    for folder in path.resolve().parents:
        if (folder / "configs" / "common").is_dir():
            return folder / "configs"
    found = importlib.util.find_spec("detrex")
    places = [Path(place) / "config" / "configs" for place in (found.submodule_search_locations or [])] if found else []
    return next((place for place in places if place.is_dir()), None)


def _plain(value: Any) -> Any:
    """Return what is not a text, a number or a container of these as its name."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Named):
        return value._name
    if callable(value):  # the factor of the learning rate, by the name of a parameter
        return {"of backbone": value("backbone"), "of others": value("")}
    return value


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a tree by their dotted keys; a list of lists or mappings counts as a mapping from 0 on."""
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from flatten(item, f"{key}.{name}" if key else name)
    else:
        yield key, value
