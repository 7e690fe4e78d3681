"""The quick reader of resolved configurations reads what the full one reads, or leaves it to that one."""

from pathlib import Path

import pytest

from vclr.config import (
    Config,
    config_from_params,
    config_from_text,
    differing_values,
    dump_config,
    flat_config,
    load_config,
)
from vclr.config.resolved import read_resolved
from vclr.config.setting import settings_of
from vclr.errors import UsageError

EXPERIMENTS = sorted((Path(__file__).parents[2] / "configs" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_is_read_as_it_was_written(path):
    config = load_config(path, ["proposals.max_iou=0.0003", "data.train.views.edge=edges"])
    quickly = read_resolved(dump_config(config))
    assert quickly == config
    assert list(flat_config(quickly).items()) == list(flat_config(config).items())


def test_a_mapping_of_free_names_has_no_default_that_would_have_to_be_added():
    assert {str(one.value) for one in settings_of(Config()) if isinstance(one.value, dict)} == {"{}"}


def test_what_an_earlier_version_did_not_write_is_the_default(tmp_path):
    text = "train:\n  max_iter: 70\nviews:\n  weights: {}\n"
    (tmp_path / "old.yaml").write_text(text)
    assert read_resolved(text) == load_config(tmp_path / "old.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "train: {max_itre: 5}",
        "train: {max_iter: many}",
        "train: {iterations: 5}",  # renamed
        "train: {max_iter: '${train.seed}'}",
        "train: {max_iter: -1}",
        "train: [",
        "just a text",
        "",
    ],
)
def test_anything_else_is_left_to_the_full_reader(text):
    assert read_resolved(text) is None


def test_a_mistake_is_still_named():
    with pytest.raises(UsageError, match="old.yaml: unknown key 'train.max_itre'; nearest: train.max_iter"):
        config_from_text("train: {max_itre: 5}", "old.yaml")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_parameters_of_mlflow_give_the_configuration_back(path):
    config = load_config(path, ["proposals.max_iou=0.00001", "data.train.views.edge=edges", "train.max_iter=70"])
    changed = differing_values([flat_config(Config()), flat_config(config)])
    assert config_from_params({key: str(value) for key, (_, value) in changed.items()}) == config


@pytest.mark.parametrize("params", [{"train.nothing": "5"}, {"train.max_iter": "many"}, {"train.seed.of": "1"}])
def test_parameters_that_are_no_settings_are_not_guessed(params):
    assert config_from_params(params) is None
