"""Checkpoints that somebody altered: intact files that hold something else than they should."""

from __future__ import annotations

import copy
import os
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.fetch.packing import zipped

# What stands in the place of a value; none is right anywhere in a checkpoint but by chance.
STRANGERS: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    float("nan"),
    float("inf"),
    -0.5,
    "text",
    b"bytes",
    [],
    [1, "a"],
    {},
    {"a": 1},
    torch.zeros(3),
    torch.tensor(float("nan")),
)
# Ways to change a tensor that must not be taken for it.
TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "longer": lambda value: torch.zeros(*value.shape, 2),
    "shorter": lambda value: value.flatten()[:-1].clone() if value.dim() else torch.zeros(0),
    "empty": lambda value: torch.zeros(0),
    "vast without memory": lambda value: torch.zeros(1).expand(1 << 40),
    "without memory": lambda value: torch.zeros(()).expand(value.shape) if value.dim() else torch.zeros(1),
    "double": lambda value: value.double() if value.is_floating_point() else value.float(),
    "integer": lambda value: value.to(torch.int32) if value.is_floating_point() else value.to(torch.int8),
    "complex": lambda value: value.to(torch.complex64),
    "sparse": lambda value: value.to_sparse() if value.dim() else value.to(torch.float16),
    "meta": lambda value: value.to("meta"),
    "nan": lambda value: torch.full_like(value.float(), float("nan")),
    "infinite": lambda value: torch.full_like(value.float(), float("inf")),
}
# Where an altered value is as good as the right one.
HARMLESS = (
    "without journal",
    "journal renamed",
    "without scaler",
    "scaler renamed",
    "reference",
    "seconds",
    "_step_count",
    "_is_initial",
    "_get_lr_called_within_step",
    "fused",
    "foreach",
)
# Without these torch takes its defaults, which are what they say.
DEFAULTS = ("eps", "amsgrad", "maximize", "capturable", "differentiable", "decoupled_weight_decay")


class Payload:
    """Would leave a trace if anything in a file were executed."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def paths_in(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a tree of dictionaries and lists, at every level."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths_in(value, (*path, key))


def value_at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def choose_paths(content: dict[str, Any], chooser: random.Random, number: int) -> list[tuple[Any, ...]]:
    """Choose paths so that each part of a checkpoint has its share, however many tensors another one holds."""
    parts: dict[Any, list[tuple[Any, ...]]] = {}
    for path in paths_in(content):
        parts.setdefault((path[0], len(path)), []).append(path)
    return [chooser.choice(chooser.choice(list(parts.values()))) for _ in range(number)]


def without(tree: Any, path: tuple[Any, ...]) -> Any:
    return _changed(tree, path, lambda parent, key: parent.pop(key))


def renamed(tree: Any, path: tuple[Any, ...]) -> Any:
    def rename(parent: Any, key: Any) -> None:
        value = parent.pop(key)
        if isinstance(parent, dict):
            parent[f"{key}x" if isinstance(key, str) else key + 100_000] = value

    return _changed(tree, path, rename)


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    return _changed(tree, path, lambda parent, key: parent.__setitem__(key, value))


def _changed(tree: Any, path: tuple[Any, ...], change: Callable[[Any, Any], Any]) -> Any:
    """Return a copy that shares all but the parents of what is changed."""
    own = list(tree) if isinstance(tree, tuple) else copy.copy(tree)
    if len(path) == 1:
        change(own, path[0])
    else:
        own[path[0]] = _changed(own[path[0]], path[1:], change)
    return own


def alter_content(content: dict[str, Any], chooser: random.Random, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield checkpoints of which one entry was dropped, renamed or replaced, each with what was done."""
    for path in choose_paths(content, chooser, number):
        value, name = value_at(content, path), ".".join(map(str, path))
        kind = chooser.choice(("drop", "rename", "replace", "tensor"))
        if kind == "drop":
            yield f"without {name}", without(content, path)
        elif kind == "rename":
            yield f"{name} renamed", renamed(content, path)
        elif kind == "tensor" and isinstance(value, Tensor):
            how = chooser.choice(list(TENSORS))
            yield f"{name} {how}", replaced(content, path, TENSORS[how](value))
        else:
            stranger = chooser.choice(STRANGERS)
            yield f"{name} is {stranger!r:.30}", replaced(content, path, stranger)


def damaged_files(path: Path, folder: Path, chooser: random.Random, number: int) -> Iterator[tuple[str, Path]]:
    """Yield files that are no checkpoint any more, or never were one."""
    content, target = path.read_bytes(), folder / "damaged.pt"
    for _ in range(number):
        changed = bytearray(content)
        for _ in range(chooser.choice((1, 3))):
            changed[chooser.randrange(len(changed))] ^= 1 << chooser.randrange(8)
        target.write_bytes(changed)
        yield "flipped bits", target
        target.write_bytes(content[: chooser.randrange(len(content))])
        yield "truncated", target
        start = chooser.randrange(len(content))
        target.write_bytes(content[:start] + content[start + chooser.randrange(1, 5000) :])
        yield "with a hole", target
    for name, data in {
        "empty": b"",
        "text": b"weights\n" * 99,
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(99),
        "a pickle": pickle.dumps({"model": 1}),
        "a pickle of code": pickle.dumps({"model": Payload(folder / "executed")}),
        "deep": b"\x80\x02" + b"(" * 100_000 + b".",
        "another zip": zipped({"a.txt": b"a"}),
        "a zip like torch's": zipped({"last/data.pkl": pickle.dumps({"model": {}}), "last/version": b"3\n"}),
        "a zip of code": zipped({"last/data.pkl": pickle.dumps(Payload(folder / "executed")), "last/version": b"3\n"}),
    }.items():
        target.write_bytes(data)
        yield name, target
    for name, value in {
        "a list": [1, 2],
        "a tensor": torch.zeros(3),
        "nothing": {},
        "numbers": {1: 2},
        "code": {"model": Payload(folder / "executed")},
        "one key": {"config": "model: {}"},
    }.items():
        torch.save(value, target)
        yield f"a file of {name}", target
    target.unlink()
    yield "absent", target
    yield "a folder", folder
