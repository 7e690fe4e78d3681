"""Configurations and overrides: odd values for every key, bases without end, YAML of every odd form."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tests.fuzz.judge import Trial
from tests.fuzz.odd import ODD, alter_json, damage_text
from tests.fuzz.sound import write_settings
from vclr.config import Config, dump_config, list_keys, load_config

TEXTS = [
    "", "a", "- 1", "base: hostile.yaml", "base: other.yaml", "base: [a]", "base: .", "base: /dev/null", "base: ''",
    "base: ../beside/secret.png", "model:", "model: 1", "model: {a: 1}", "model: &m {embed_dim: *m}", "a: &a [*a]",
    "1: 2", "? [1, 2]\n: 3", "{1: {2: 3}}", "null: 1", "true: 1", "2026-01-01: 1",
    "model: !!python/object:os.system ls",
    "train: {seed: !!python/name:os.system }", "train: {seed: ${train.seed}}", "train: {seed: ${oc.env:NOT_SET}}",
    "train: {seed: ${train.max_iter}}", "train: {output_dir: '${train.init_checkpoint}'}", "train: {seed: '???'}",
    "train: {output_dir: '${'}", "train: {seed: 1}\ntrain: {seed: 2}", "\tmodel: 1", "model: [", "%YAML 9.9\n---\na: 1",
    "--- \na: 1\n--- \nb: 2", "model: {embed_dim: 0x10}", "train: {max_iter: 1_000}", "train: {max_iter: 1e3}",
    "train: {max_iter: .inf}", "train: {max_iter: 10:30}", "optimizer: {lr: 1e-4}", "optimizer: {lr: 1,5}",
    "data: {train: {views: {a.b: x, '': y, 1: z}}}", "views: {weights: {natural: .nan}}",
    "evaluation: {groups: {a: b}}",
    "evaluation: {groups: {a: [1, null]}}", "optimizer: {betas: [0.9]}", "optimizer: {milestones: [[1]]}",
    "lol: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]",
    "model: {<<: {embed_dim: 32}}", "\ufeffmodel: {}", "data: {train: {annotations: \"\\0\"}}", "[" * 3000,
    "data: " + "{a: " * 300 + "1" + "}" * 300, "model: \x01",
]  # fmt: skip


def make(number: int, folder: Path) -> list[Trial]:
    """Write a configuration, or make an override, and return what reads it."""
    chance = random.Random(f"settings {number}")
    path = folder / "hostile.yaml"
    overrides: list[str] = []
    names: tuple[str, ...] = (path.name, "base")
    if number < len(TEXTS):
        path.write_text(TEXTS[number], encoding="utf-8")
        (folder / "other.yaml").write_text("base: hostile.yaml\n")
        names = (*names, "other.yaml", *_keys(TEXTS[number]))
    elif number % 3 == 0:
        path.write_bytes(damage_text(write_settings(path).read_bytes(), chance))
        names = (*names, "model", "train", "data", "optimizer", "tracking")
    elif number % 3 == 1:
        key = chance.choice(list_keys())
        path.write_text(f"base: {folder / 'tiny.yaml'}\n")
        value = chance.choice([*ODD, "[1", "{a", "${" + key + "}", "${oc.env:HOME}", "???", "a=b", "[1, x]", "1e400"])
        text = value if isinstance(value, str) else json.dumps(value)
        overrides = [
            chance.choice([f"{key}={text}", f"{key}.x={text}", f"{key}[0]={text}", f"+{key}={text}", f"~{key}", key])
        ]
        overrides = [overrides[0].replace("\x00", "0").replace("\ud800", "?")]
        names = (*names, key, "override", "command line", "views.weights")
    else:
        whole = json.loads(json.dumps(OmegaConf.to_container(OmegaConf.structured(Config))))
        path.write_text(json.dumps(alter_json(whole, chance)), encoding="utf-8")
        names = (*names, *_keys(path.read_text()))

    def read() -> Config:
        return load_config(path, overrides)

    trials = [Trial(read, names, (), _check)]
    if number % 8 == 0:
        paths = [f"data.{part}.{key}" for part in ("train", "test") for key in ("annotations", "images")]
        values = [folder / "sound.json", folder / "images"] * 2
        own = [f"{key}={value}" for key, value in zip(paths, values, strict=True)]
        trials.append(Trial(["licenses", "--config-file", str(path), *own, *overrides], (*names, "license.yaml")))
    return trials


def _keys(text: str) -> tuple[str, ...]:
    """Return the settings that a text may be about."""
    lasts = {key.rpartition(".")[2] for key in list_keys()}
    return tuple(sorted(key for key in lasts if key in text)) or ("hostile.yaml",)


def _check(config: Any) -> None:
    """Check that what was read is of the types that it should be, and is the same once it was written and read."""
    assert dataclasses.is_dataclass(config)
    text = dump_config(config)
    again = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(text)))
    assert dump_config(again) == text
