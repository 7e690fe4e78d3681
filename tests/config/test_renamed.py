"""Old names of settings keep working, with one line of notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vclr.config import config_from_text, list_keys, load_config
from vclr.config.renamed import RENAMED, follow_renames

OLD = {"train.iterations": "train.max_iter", "loader": "dataloader.train", "model.slots": "model.num_queries"}


@pytest.fixture
def old_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for old, new in OLD.items():
        monkeypatch.setitem(RENAMED, old, new)


@pytest.mark.usefixtures("old_names")
def test_file_and_override_load_with_one_line_each(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "a.yaml"
    path.write_text("train: {iterations: 5, seed: 3}\nloader: {num_workers: 1}\n", encoding="utf-8")
    config = load_config(path, ["model.slots=7"])
    assert (config.train.max_iter, config.train.seed, config.model.num_queries) == (5, 3, 7)
    assert config.dataloader.train.num_workers == 1
    assert caplog.messages == [
        f"{path}: the setting train.iterations is now called train.max_iter; please use the new name",
        f"{path}: the setting loader is now called dataloader.train; please use the new name",
        "command line: the setting model.slots is now called model.num_queries; please use the new name",
    ]


@pytest.mark.usefixtures("old_names")
def test_an_old_checkpoint_loads_without_notice(caplog: pytest.LogCaptureFixture):
    assert config_from_text("train: {iterations: 5}", "a.pt").train.max_iter == 5
    assert not caplog.messages


def test_the_new_name_counts_and_a_reference_stays_one():
    layer = OmegaConf.create({"train": {"iterations": "${train.seed}", "seed": 1}, "model": {"slots": 1}})
    layer.model.num_queries = 2
    follow_renames(layer, "", OLD)
    assert OmegaConf.to_container(layer) == {
        "train": {"max_iter": "${train.seed}", "seed": 1},
        "model": {"num_queries": 2},
    }


@pytest.mark.parametrize("content", [{"train": 5}, {"train": {"iterations": 1}, "loader": 3}, {}, {"model": None}])
def test_layers_of_other_shapes_are_left_to_the_checks(content: dict):
    follow_renames(OmegaConf.create(content), "", OLD)


def test_names_lead_to_settings_that_exist_and_hide_none():
    keys = list_keys()
    assert all(any(f"{key}.".startswith(f"{new}.") for key in keys) for new in RENAMED.values())
    assert not [old for old in RENAMED if any(f"{key}.".startswith(f"{old}.") for key in keys)]
