"""What is said once of a setting is enough: its meaning, its range, what it changes, and that somebody reads it."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from functools import reduce
from math import inf, nan
from pathlib import Path

import pytest

from vclr.config import Config, ModelConfig, changed_by, config_hash, is_as_before, list_keys, load_config, tree
from vclr.config.checks import check_processes, check_values
from vclr.config.setting import About, Setting, settings_of
from vclr.engine.same_training import training_hash
from vclr.errors import UsageError

ROOT = Path(__file__).parents[2]
SETTINGS = list(settings_of(Config()))
# Hashes that finished trainings were recorded with. If one of these changes, the workflow trains again.
HASHES = {
    "coco_to_lvis": "80e5e617b004ced0",
    "coco_to_lvis_readme": "7a3fca9ed8a721ed",
    "demo": "5db0f2e4e6f5c849",
    "demo_baseline": "b79010fd7f48a955",
    "demo_views": "597443ac3bbad30d",
    "photos": "919c5354b9863f84",
    "voc_to_nonvoc": "b35e11b48f0d0f15",
    "voc_to_nonvoc_readme": "e53cdd29c18bd571",
}
# Accepted and read by nobody, each for a reason.
UNREAD = {
    ("TrainMapperConfig", "instance_mask_format"),  # for the reference's overrides: both its values mean the same here
}


def test_every_setting_is_declared_with_a_meaning():
    assert [setting.key for setting in SETTINGS] == list_keys()
    assert [setting.key for setting in SETTINGS if not re.fullmatch(r"[A-Z`].{8,}\.", setting.about.meaning)] == []


@pytest.mark.parametrize("name", HASHES)
def test_finished_trainings_are_not_made_again(name: str):
    assert training_hash(load_config(ROOT / "configs" / "experiment" / f"{name}.yaml")) == HASHES[name]


@pytest.mark.parametrize(
    ("name", "before"), [("coco_to_lvis", "ffba88103352839a"), ("voc_to_nonvoc", "0d5a234344a31d24")]
)
def test_published_trainings_of_before_can_be_asked_for(name: str, before: str):
    path = ROOT / "configs" / "experiment" / f"{name}.yaml"
    weights = "train.init_checkpoint=${data.root}/weights/dino_resnet50_pretrain.pth"
    assert training_hash(load_config(path, ["dataloader.train.group_size=0", weights])) == before


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("train.seed", "training"),
        ("train.max_iter", "length"),
        ("train.tf32", "rounding"),
        ("train.checkpointer.period", "nothing"),
        ("launcher.nodes", "nothing"),
        ("dataloader.test.batch_size", "nothing"),
        ("dataloader.test.mapper.max_size", "evaluation"),
        ("data.train.views.depth", "training"),
        ("data.test.views.depth", "evaluation"),
        ("evaluation.groups.a.b", "evaluation"),
    ],
)
def test_a_section_and_a_mapping_speak_for_what_they_hold(key: str, changes: str):
    assert changed_by(key) == changes


def with_value(key: str, value: object) -> Config:
    """Return the defaults with one setting changed, whatever it may have, and what that value needs."""
    config = Config(model=ModelConfig(norm_groups=1))
    config.model.backbone.source = "folder" if value == "transformers" else ""
    *sections, name = key.split(".")
    setattr(reduce(getattr, sections, config), name, value)
    return config


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.about.choices], ids=lambda s: s.key)
def test_a_value_that_is_no_choice_is_refused(setting: Setting):
    for choice in setting.about.choices:
        check_values(with_value(setting.key, choice))
    with pytest.raises(UsageError, match=rf"^{re.escape(setting.key)}=other: must be one of "):
        check_values(with_value(setting.key, "other"))


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.about.at_least > -inf], ids=lambda s: s.key)
def test_a_number_out_of_range_is_refused(setting: Setting):
    low, high = setting.about.at_least, setting.about.at_most
    for number in {low - 1, high + 1, nan, inf} - ({inf} if setting.about.may_be_infinite else set()):
        value = [number] * len(setting.value) if isinstance(setting.value, list) else number
        with pytest.raises(
            UsageError, match=rf"^{re.escape(f'{setting.key}={value}')}: must be (at least |from |finite)"
        ):
            check_values(with_value(setting.key, value))


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.about.length], ids=lambda s: s.key)
def test_a_list_of_another_length_is_refused(setting: Setting):
    with pytest.raises(UsageError, match=rf"^{re.escape(setting.key)}=.*: must be {len(setting.value)} numbers$"):
        check_values(with_value(setting.key, [*setting.value, 1]))


def test_an_empty_list_is_refused_unless_it_may_be_empty():
    check_values(with_value("optimizer.milestones", []))
    with pytest.raises(UsageError, match=r"^evaluation\.max_dets: must not be empty$"):
        check_values(with_value("evaluation.max_dets", []))


def declared_fields(tree: object) -> set[tuple[str, str]]:
    """Return the class and the name of every setting; the decoder's are its own, though it inherits them."""
    found = set()
    for part in dataclasses.fields(tree):  # type: ignore[arg-type]
        value = getattr(tree, part.name)
        is_section = dataclasses.is_dataclass(value)
        found |= declared_fields(value) if is_section else {(type(tree).__name__, part.name)}
    return found


def test_every_setting_is_read_by_somebody(tmp_path: Path):
    """Take all settings out of a copy of the package, and let mypy say who misses them.

    mypy knows the type of what is before the dot, so `criterion.alpha` is not taken for `matcher.alpha`.
    """
    for package in ("vclr", "workflow"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (tmp_path / "vclr" / "config").glob("*.py"):
        text = module.read_text(encoding="utf-8").replace("self.", "self.unread_")  # methods beside the settings
        text = re.sub(r"(?m)^    (\w+): (.*) = setting\(", r"    unread_\1: \2 = setting(", text)
        module.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--follow-imports=skip", "--ignore-missing-imports"]
    command += ["--check-untyped-defs", f"--cache-dir={tmp_path}", "--config-file=", "vclr", "workflow"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    # A check of a value does not use it.
    read = set(re.findall(r'(?m)^(?!vclr/config/(?!evaluations)).*"(\w+)" has no attribute "(\w+)"', said))
    # The weight of a loss is found by the name that the loss has.
    losses = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "vclr" / "losses").glob("*.py"))
    names = re.findall(r'"(loss_\w+)"', losses)
    read |= {("WeightDict", name) for name in names}
    if 'f"{kind}_dn"' in losses:  # those of denoising queries
        read |= {("WeightDict", f"{name}_dn") for name in names}
    assert declared_fields(Config()) - read == UNREAD


def test_a_setting_that_was_added_later_changes_no_hash_at_its_old_value(monkeypatch: pytest.MonkeyPatch):
    old, roots = load_config(), ("optimizer", "train")
    new = load_config(None, ["train.seed=1"])
    hashes = [training_hash(old), config_hash(old, roots)]
    declared = {setting.key: setting for setting in SETTINGS}
    declared["train.seed"] = declared["train.seed"]._replace(about=About(before=0))
    monkeypatch.setattr(tree, "_declared", lambda: declared)
    assert is_as_before("train.seed", 0) and not is_as_before("train.seed", 1)
    assert training_hash(new) != training_hash(old) and config_hash(new, roots) != config_hash(old, roots)
    assert training_hash(old) != hashes[0] and config_hash(old, roots) != hashes[1]  # without the setting


def test_images_that_are_padded_together_stay_in_one_process():
    config = load_config(None, ["compat.padding=True", "dataloader.train.group_size=4"])
    check_processes(config, 4)
    with pytest.raises(
        UsageError, match=r"^compat.padding=True: the 2 images of each of 8 processes must be a multiple"
    ):
        check_processes(config, 8)
    check_processes(load_config(None, ["dataloader.train.group_size=4"]), 8)
