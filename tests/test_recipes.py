"""The table of recipes in docs/parity.md: the reference's values against ours, with every difference explained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from docs import recipes, reference_configs, tables
from vclr.config import differing_values, flat_config, load_config
from vclr.interop.lazy_config import read_lazy_config

CONFIG = """
from detrex.config import get_config
from ..models.base import model
from omegaconf import OmegaConf
import somewhere.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data.datasets import register_coco_instances
from somewhere import Loader

register_coco_instances("name", {}, "a.json", "images/")
dataloader = OmegaConf.create()
dataloader.train = L(Loader)(steps=[L(T.Resize)(sizes=(1, 2)), T.Apply(T.Flip())], batch=16)
dataloader.test = L(Loader)(name="${..train.batch}")
train = get_config("common/train.py").train
optimizer = get_config("common/train.py").optimizer
lr_multiplier = get_config("common/train.py").schedule(2)
train.clip.norm = 0.5
optimizer.factor = lambda name: 0.1 if "backbone" in name else 1
model.queries = 7
"""
BASE = """
import copy
from detectron2.config import LazyCall as L
from other import Model, Head
model = L(Model)(queries=1, head=L(Head)(queries="${..queries}"), weights=dict(a=1))
more = copy.deepcopy(model.weights)
model.weights.update({k + "_0": v for k, v in more.items()})
"""
COMMON = """
train = dict(clip=dict(norm=1, on=True))
optimizer = dict(lr=1e-4)
def schedule(count):
    return dict(milestones=[count, 3])
"""


def test_what_a_config_file_sets_and_inherits(tmp_path: Path):
    files = {"projects/a/configs/it.py": CONFIG, "projects/a/models/base.py": BASE, "configs/common/train.py": COMMON}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_lazy_config(tmp_path / "projects/a/configs/it.py") == {
        "data_sets.name.annotations": "a.json",
        "data_sets.name.images": "images/",
        "dataloader.test._target_": "somewhere.Loader",
        "dataloader.test.name": 16,
        "dataloader.train._target_": "somewhere.Loader",
        "dataloader.train.batch": 16,
        "dataloader.train.steps.0._target_": "somewhere.transforms.Resize",
        "dataloader.train.steps.0.sizes": [1, 2],
        "dataloader.train.steps.1._target_": "somewhere.transforms.Apply",
        "dataloader.train.steps.1.0._target_": "somewhere.transforms.Flip",
        "lr_multiplier.milestones": [2, 3],
        "model._target_": "other.Model",
        "model.head._target_": "other.Head",
        "model.head.queries": 7,
        "model.queries": 7,
        "model.weights.a": 1,
        "model.weights.a_0": 1,
        "optimizer.factor.of backbone": 0.1,
        "optimizer.factor.of others": 1,
        "optimizer.lr": 1e-4,
        "train.clip.norm": 0.5,
        "train.clip.on": True,
    }


def test_overrides_of_a_readme():
    readme = "```\npython projects/train_net.py \\\n  --config-file a.py \\\n  x.y=8 \\ # why=not\n  z='b' \\\n```\n"
    assert reference_configs.read_commands(readme) == [("a.py", {"x.y": "8", "z": "b"})]


def rows() -> dict[str, tuple[str, ...]]:
    return {row[0].strip("`"): row[1:] for row in recipes.recipes()[1]}


def test_each_value_of_both_files_has_its_row():
    found = rows()
    batch = "config files: `16`; README: `8`"
    assert found["dataloader.train.total_batch_size"] == (batch, batch, "", "")
    assert found["lr_multiplier.scheduler.milestones"][:3] == ("`[30000, 37500]`",) * 2 + ("`optimizer.milestones`",)
    assert found["model.dn_number"][:2] == ("`100`", "`0`") and "left out" in found["model.dn_number"][3]
    assert found["model.r50_extractor"][1] == "–"
    assert found["--eval-only dataloader.train.mapper.mask_on"][0] == "`False` (Objects365 non-COCO)"
    text = (tables.ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
    for key in json.loads(recipes.FACTS.read_text(encoding="utf-8"))["config files"]["voc_to_nonvoc"]:
        assert f"`{recipes.LAYER.sub('', key)}`" in text


def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what `python -m docs.tables --check` says when it fails."""
    monkeypatch.setattr("sys.argv", ["tables", "--check"])
    assert tables.main() == 1
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "key", ["train.seed", "model.dn_number", "train.init_checkpoint", "dataloader.train.mapper.instance_mask_format"]
)
def test_a_difference_that_is_not_explained_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
):
    for reasons in (recipes.WHY_OTHER, recipes.WHY_NONE, recipes.WHY_EVALUATED):
        monkeypatch.delitem(reasons, key, raising=False)
    assert check(monkeypatch, capsys).startswith(f"docs/recipes.py: WHY_... does not explain {key}")


@pytest.mark.parametrize(("part", "command"), [("README, training", "voc_to_nonvoc"), ("README, evaluation", 1)])
def test_an_override_of_the_readme_that_is_not_explained_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str, command: str | int
):
    facts = json.loads(recipes.FACTS.read_text(encoding="utf-8"))
    facts[part][command]["train.new"] = "5"
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    monkeypatch.setattr(recipes, "FACTS", tmp_path / "facts.json")
    assert check(monkeypatch, capsys) == "docs/recipes.py: WHY_... does not explain train.new\n"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("optimizer: {lr: 2e-4}", "optimizer.lr"),
        ("optimizer: {milestones: [0.9]}", "lr_multiplier.scheduler.milestones"),
    ],
)
def test_an_experiment_that_leaves_the_recipe_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, key: str
):
    shutil.copytree(recipes.EXPERIMENTS, tmp_path / "experiment")
    shutil.copy(recipes.EXPERIMENTS.parent / "small_detector.yaml", tmp_path)
    published = tmp_path / "experiment" / "coco_to_lvis_readme.yaml"
    published.write_text(f"{published.read_text()}{text}\n")
    monkeypatch.setattr(recipes, "EXPERIMENTS", tmp_path / "experiment")
    assert key in check(monkeypatch, capsys)


def test_an_explanation_without_a_difference_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(recipes.WHY_OTHER, "train.max_iter", "longer")
    assert "explains what does not differ: train.max_iter" in check(monkeypatch, capsys)


def test_the_recipes_of_the_readme_differ_from_those_of_the_config_files_in_the_same_settings():
    def changes(name: str) -> dict[str, list[object]]:
        paths = (recipes.EXPERIMENTS / f"{name}{suffix}.yaml" for suffix in recipes.RECIPES)
        return differing_values([flat_config(load_config(path)) for path in paths])

    assert changes("voc_to_nonvoc") == changes("coco_to_lvis")
    assert set(changes("voc_to_nonvoc")) == {
        *("dataloader.train.total_batch_size", "model.transformer.encoder.use_checkpoint"),
        *("train.init_checkpoint", "train.amp.enabled", "train.amp.dtype"),
    }
