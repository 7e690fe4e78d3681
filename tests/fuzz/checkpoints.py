"""Checkpoints: cut and altered files, and intact ones that hold something else than they should."""

from __future__ import annotations

import io
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.fuzz.coco_json import check_metrics
from tests.fuzz.judge import Trial
from tests.fuzz.odd import ODD, damage, list_places

TENSORS: list[Callable[[Tensor], Any]] = [
    lambda value: value.new_full(value.shape, float("nan")) if value.is_floating_point() else value * 0 - 1,
    lambda value: value.new_full(value.shape, float("inf")) if value.is_floating_point() else value * 0,
    lambda value: value.flatten()[:-1], lambda value: value[None], lambda value: value.new_zeros(0),
    lambda value: value.new_zeros(()), lambda value: value.new_zeros((2, 3, 5)), lambda value: value.double(),
    lambda value: value.half(), lambda value: value.bfloat16(), lambda value: value.to(torch.int64),
    lambda value: value.bool(), lambda value: value.to(torch.complex64), lambda value: value.reshape(-1).flip(0),
    lambda value: value.to_sparse() if value.is_floating_point() else value[None],
    lambda value: value.to(torch.float8_e4m3fn),
    lambda value: value.expand(3, *value.shape), lambda value: value.tolist(), lambda value: value.numpy(),
    lambda value: torch.nn.Parameter(value) if value.is_floating_point() else None,
    lambda value: value.new_empty(value.shape, device="meta"), lambda value: value * 1e30, lambda value: -value,
]  # fmt: skip


def make(number: int, folder: Path) -> list[Trial]:
    """Write a checkpoint, and return the commands that read it."""
    chance = random.Random(f"checkpoint {number}")
    sound, path = folder / "checkpoint/sound.pt", folder / "hostile.pt"
    if number % 4 == 3:
        path.write_bytes(_damage_file(sound, chance))
    else:
        content = torch.load(sound, weights_only=True)
        (_alter_moments if number % 12 == 2 else _alter)(content, chance)
        try:
            torch.save(content, path)
        except Exception:  # torch cannot write it, so nobody has such a file
            path.write_bytes(damage(sound.read_bytes(), chance))
    return [_resume(folder, path), _others(number, folder, path)]


def _damage_file(sound: Path, chance: random.Random) -> bytes:
    data = sound.read_bytes()
    others: list[Callable[[], bytes]] = [
        lambda: b"", lambda: b"junk", lambda: pickle.dumps({"model": {}}), lambda: pickle.dumps([1, 2]),
        lambda: _saved([1, 2, 3]), lambda: _saved({}), lambda: _saved({"model": {}}), lambda: _saved(torch.zeros(3)),
        lambda: _saved({"state_dict": {"a": torch.zeros(2)}}), lambda: _saved({1: 2}), lambda: _saved(None),
        lambda: pickle.dumps(torch.nn.Linear(1, 1)), lambda: _saved(torch.nn.Linear(1, 1)), lambda: data[:100],
        lambda: _saved({"model": {"a": 1}, "config": "model: {}"}), lambda: b"PK\x05\x06" + bytes(18),
        lambda: b"version https://git-lfs.github.com/spec/v1\n", lambda: data + data, lambda: data[:-22],
    ]  # fmt: skip
    return chance.choice(others)() if chance.random() < 0.3 else damage(data, chance)


def _saved(content: Any) -> bytes:
    data = io.BytesIO()
    torch.save(content, data)
    return data.getvalue()


def _alter(content: Any, chance: random.Random) -> None:
    """Change a value of a checkpoint, or a few: mostly tensors and what is beside them, less often whole parts."""
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        root = chance.choice(["model", "teacher", "optimizer", "optimizer", "optimizer", "any", "any", "config"])
        if root == "config" and isinstance(content.get("config"), str):
            content["config"] = _alter_config(content["config"], chance)
            continue
        places = [place for place in list_places(content) if place[0] == root or root not in content]
        if not places:
            continue
        place = chance.choice(places)
        owner = content
        for key in place[:-1]:
            owner = owner[key]
        value = owner[place[-1]]
        if isinstance(value, Tensor):
            owner[place[-1]] = chance.choice([*TENSORS, lambda _: None, lambda _: 1, lambda _: "text"])(value)
        elif chance.random() < 0.3:
            del owner[place[-1]]
        elif chance.random() < 0.3 and isinstance(owner, dict):
            owner[chance.choice(["other", 7, "", "module.x"])] = owner.pop(place[-1])
        else:
            owner[place[-1]] = chance.choice(ODD)


def _alter_moments(content: Any, chance: random.Random) -> None:
    """Change the optimizer's moments alone, so that each part of them fits the others but not its parameter."""
    moments = content["optimizer"]["state"]
    one, other = chance.sample(sorted(moments), 2)

    def change(alter: Callable[[Tensor], Any], *keys: str) -> None:
        moments[one].update({key: alter(moments[one][key]) for key in keys or ("exp_avg", "exp_avg_sq")})

    deeds: list[Callable[[], Any]] = [
        lambda: change(lambda value: value.new_zeros(3)), lambda: change(lambda value: value.new_zeros(0)),
        lambda: change(lambda value: value.new_zeros(100_000)), lambda: change(lambda value: value.flatten()[:1]),
        lambda: change(lambda value: value.double()), lambda: change(lambda value: value.half()),
        lambda: change(lambda value: value[..., None]), lambda: change(lambda value: value.new_zeros(()).expand(7)),
        lambda: change(lambda value: -value - 1, "exp_avg_sq"), lambda: change(lambda value: value * 0 + 1e38),
        lambda: change(lambda value: value + 1e6, "step"), lambda: change(lambda value: -value, "step"),
        lambda: change(lambda value: value.repeat(2), "step"), lambda: change(lambda value: int(value), "step"),
        lambda: change(lambda value: value * float("nan"), "step"), lambda: moments.pop(one), moments.clear,
        lambda: moments.update({len(moments): moments[one]}), lambda: moments.update({-1: moments.pop(one)}),
        lambda: moments.update({one: moments[other], other: moments[one]}),
        lambda: content["optimizer"]["param_groups"].reverse(), lambda: content["optimizer"]["param_groups"].pop(),
        lambda: content["optimizer"]["param_groups"][0]["params"].append(10**9),
        lambda: content["optimizer"]["param_groups"][0].update(params=[0, 0]),
        lambda: content["optimizer"]["param_groups"][0].update(amsgrad=True, fused=True),
    ]  # fmt: skip
    chance.choice(deeds)()


def _alter_config(text: str, chance: random.Random) -> Any:
    lines = text.splitlines()
    line = chance.randrange(len(lines))
    deeds: list[Callable[[], Any]] = [
        lambda: "\n".join(lines[:line] + lines[line + 1 :]), lambda: "", lambda: "model: 1", lambda: "[1, 2]",
        lambda: "{",
        lambda: text.replace("embed_dim: 16", "embed_dim: 32"), lambda: text.replace("num_queries: 8",
        "num_queries: 9"),
        lambda: text.replace("depth: 10", "depth: 18"), lambda: text.replace("depth: 10", "depth: abc"), lambda: 5,
        lambda: text + "\nunknown: 1\n", lambda: text.replace("seed: 0", "seed: ${oc.env:HOME}"), lambda: "a: &a [*a]",
        lambda: text.replace("embed_dim: 16", "embed_dim: 1000000000000"), lambda: text.encode(), lambda: "\x00",
        lambda: text.replace("num_heads: 2", "num_heads: 0"), lambda: text.replace("embed_dim: 16", "embed_dim: -16"),
    ]  # fmt: skip
    return chance.choice(deeds)()


def _resume(folder: Path, path: Path) -> Trial:
    """Return the continuation of a training from the checkpoint, by one step."""
    run = folder / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(path, run / "checkpoints/last.pt")
    data = [f"data.train.annotations={folder / 'sound.json'}", f"data.train.images={folder / 'images'}"]
    arguments = ["train", "--config-file", str(folder / "tiny.yaml"), "--resume", "--quiet", *data]
    arguments += [f"train.output_dir={run}", "train.max_iter=2"]

    def check(_: Any) -> None:
        for saved in folder.glob("run*/checkpoints/last.pt"):
            content = torch.load(saved, weights_only=True)
            for part in ("model", "teacher"):
                for key, value in (content.get(part) or {}).items():
                    assert torch.isfinite(value.float()).all(), f"{saved.name}: {part}.{key} is not finite"
            for moments in content["optimizer"]["state"].values():
                for key, value in moments.items():
                    assert torch.isfinite(torch.as_tensor(value)).all(), f"a moment {key} is not finite"

    # A folder of another training is moved aside: the names of all that it holds change.
    return Trial(arguments, ("last.pt",), (run, *_asides(run)), check, may_leave=True)


def _asides(run: Path) -> list[Path]:
    class Aside(type(run)):  # type: ignore[misc]
        """Stand for every folder that the training is moved aside to."""

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Path) and other.name.startswith("run.")

        __hash__ = Path.__hash__

    return [Aside(run)]


def _others(number: int, folder: Path, path: Path) -> Trial:
    out, names = folder / "out", (path.name,)
    photo = str(folder / "images/a.png")
    data = [f"data.test.annotations={folder / 'sound.json'}", f"data.test.images={folder / 'images'}"]
    verbs = [
        Trial(["predict", photo, "--checkpoint", str(path), "--output", str(out), "--device", "cpu"], names, (out,)),
        Trial(["convert", str(path), "--output", str(out / "made.pth"), "--to", "reference"], names, (out,)),
        Trial(["convert", str(path), "--output", str(out / "made.pt")], names, (out,)),
        Trial(
            ["evaluate", "--config-file", str(folder / "tiny.yaml"), "--checkpoint", str(path), "--output", str(out),
            *data],
            names, (out,), lambda _: check_metrics(out / "metrics.json"),
        ),
    ]  # fmt: skip
    return verbs[number // 4 % 4]
