"""Write down what the reference's two config files and its README's commands set: docs/reference_configs.json.

`python -m docs.reference_configs CHECKOUT` evaluates the config files in a checkout of the reference. What they import
from other packages is replaced by stand-ins, of which only the names and the arguments of calls are kept.
"""

from __future__ import annotations

import argparse
import builtins
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from omegaconf import OmegaConf

FACTS = Path(__file__).with_suffix(".json")
CONFIGS = "projects/vCLR_deformable_mask/configs/dino-resnet"
FILES = {
    "voc_to_nonvoc": f"{CONFIGS}/deformable_train_voc_eval_nonvoc.py",
    "coco_to_lvis": f"{CONFIGS}/deformable_train_coco_eval_lvis.py",
}
ROOTS = ("model", "dataloader", "optimizer", "lr_multiplier", "train")
REAL_MODULES = ("copy", "itertools")


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
    """Evaluates the config files of a checkout.

    Attributes:
        data_sets: name of each registered data set: its json and its folder of images.
    """

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.data_sets: dict[str, dict[str, str]] = {}

    def read(self, path: Path) -> SimpleNamespace:
        """Run a config file; return its variables."""
        variables: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": self._importer(path)}}
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), variables)  # noqa: S102
        return SimpleNamespace(**variables)

    def _importer(self, importing: Path) -> Callable[..., Any]:
        stand_ins = {
            "detectron2.config": SimpleNamespace(LazyCall=lambda target: target),
            "detectron2.data.datasets": SimpleNamespace(register_coco_instances=self._register),
            "detrex.config": SimpleNamespace(get_config=self._read_common),
            "omegaconf": SimpleNamespace(OmegaConf=SimpleNamespace(create=lambda: Node({}))),
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
        variables = vars(self.read(self.checkout / "configs" / name))
        return SimpleNamespace(**{key: _wrap(value) for key, value in variables.items()})


def read_config_file(checkout: Path, file: str) -> dict[str, Any]:
    """Return every value that a config file sets or inherits, by its dotted key, with references to others resolved."""
    reader = Reader(checkout)
    variables = reader.read(checkout / file)
    tree = {root: _plain(getattr(variables, root)) for root in ROOTS}
    resolved: Any = OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    return dict(sorted(_flatten({**resolved, "data_sets": reader.data_sets})))


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


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _flatten(item, f"{key}.{name}" if key else name)
    else:
        yield key, value


def read_commands(readme: str) -> list[tuple[str, dict[str, str]]]:
    """Return each training or evaluation command of the README: its config file and its overrides."""
    commands = []
    for block in re.findall(r"```\n(python projects/train_net\.py.*?)```", readme, flags=re.DOTALL):
        words = shlex.split(re.sub(r"(#.*)?\\?\n", " ", block))
        overrides = dict(word.split("=", 1) for word in words if re.match(r"[a-z][\w.]*=", word))
        commands.append((words[words.index("--config-file") + 1], overrides))
    return commands


def read_facts(checkout: Path) -> dict[str, Any]:
    """Return what is written to docs/reference_configs.json."""
    commands = read_commands((checkout / "README.md").read_text(encoding="utf-8"))
    stems = {file: name for name, file in FILES.items()}
    return {
        "config files": {name: read_config_file(checkout, file) for name, file in FILES.items()},
        "README, training": {stems[file]: overrides for file, overrides in commands if file in stems},
        "README, evaluation": [overrides for file, overrides in commands if file not in stems],
    }


def main() -> None:
    """Write the facts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="A checkout of github.com/Visual-AI/vCLR.")
    facts = read_facts(parser.parse_args().checkout)
    FACTS.write_text(f"{json.dumps(facts, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
