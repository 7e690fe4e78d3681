"""A configuration with a model of detectron2: what has no effect on it is refused by name, with what to use instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.config import Config, check_training, evaluated_weights, load_config, with_weights
from vclr.config.detectron2_checks import MUST_BE_OFF, OF_BOTH, OWN_DETECTOR, REPEATED
from vclr.config.setting import settings_of
from vclr.engine.same_training import training_hash
from vclr.errors import UsageError
from vclr.evaluation.provenance import settings_hash

EXPERIMENTS = Path(__file__).parents[2] / "configs" / "experiment"
MASK_RCNN = EXPERIMENTS / "mask_rcnn_voc_to_nonvoc.yaml"
CHOSEN = "detectron2.config=mask_rcnn.yaml"
KEYS = [setting.key for setting in settings_of(Config())]


def test_the_experiment_can_be_trained_and_names_nothing_without_effect():
    config = load_config(MASK_RCNN)
    check_training(config)
    assert config.detectron2.settings["MODEL"]["ROI_HEADS"]["NUM_CLASSES"] == 1
    assert config.train.max_iter == 90_000
    assert not [key for key in MUST_BE_OFF if {one.key: one.value for one in settings_of(config)}[key]]


@pytest.mark.parametrize("name", [*OWN_DETECTOR, *MUST_BE_OFF, *OF_BOTH])
def test_every_listed_name_is_a_setting_or_a_section(name):
    assert any(key == name or key.startswith(name) for key in KEYS)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.num_queries=5", "model.num_queries: has no effect .*detectron2.settings.MODEL"),
        ("optimizer.lr=0.1", "optimizer.lr: has no effect .*detectron2.settings.SOLVER"),
        ("train.amp.enabled=True", "train.amp.enabled: has no effect .*SOLVER.AMP"),
        ("detectron2.settings.SOLVER.MAX_ITER=9", "SOLVER.MAX_ITER: use train.max_iter"),
        ("detectron2.settings.INPUT.MIN_SIZE_TRAIN=[9]", "MIN_SIZE_TRAIN: use dataloader.train.mapper"),
        ("detectron2.settings.DATASETS.TRAIN=[a]", "DATASETS.TRAIN: use data.train"),
        ("detectron2.config=", "has no effect without detectron2.config"),
    ],
)
def test_overrides_without_effect_are_refused(override, says):
    with pytest.raises(UsageError, match=says):
        load_config(MASK_RCNN, [override])


def test_overrides_with_effect_are_kept():
    sizes = [[8], [16], [32], [64], [128]]
    settings = ["detectron2.settings.SOLVER.BASE_LR=0.01", f"detectron2.settings.MODEL.ANCHOR_GENERATOR.SIZES={sizes}"]
    config = load_config(MASK_RCNN, [*settings, *(f"{key}=0.5" for key in OF_BOTH[1:])])
    assert config.detectron2.settings["SOLVER"] == {"BASE_LR": 0.01}
    assert config.detectron2.settings["MODEL"]["ANCHOR_GENERATOR"] == {"SIZES": sizes}
    assert config.detectron2.settings["INPUT"] == {"FORMAT": "RGB"}  # what the file has stays
    check_training(config)


def test_settings_of_a_file_stop_a_training_but_no_evaluation():
    config = load_config(EXPERIMENTS / "demo_baseline.yaml", [CHOSEN])  # its data, to evaluate a model of others
    with pytest.raises(UsageError, match="no teacher.*model_ema.enabled=False views.corrupt") as error:
        check_training(load_config(EXPERIMENTS / "voc_to_nonvoc.yaml", [CHOSEN]))
    off = str(error.value).partition("set ")[2].split()
    config = load_config(EXPERIMENTS / "demo_baseline.yaml", [CHOSEN, *off])
    with pytest.raises(UsageError, match=r"model.backbone.depth: has no effect"):
        check_training(config)
    with pytest.raises(UsageError, match="total_batch_size=auto: needs a number"):
        check_training(load_config(MASK_RCNN, ["dataloader.train.total_batch_size=auto"]))


def test_a_model_of_detectron2_has_one_set_of_weights():
    config = load_config(EXPERIMENTS / "voc_to_nonvoc.yaml", [CHOSEN])
    assert evaluated_weights(config) == "student"
    with pytest.raises(UsageError, match="weights='teacher': a model of detectron2 has no teacher"):
        with_weights(config, "teacher")


def test_the_model_is_part_of_what_trainings_and_evaluations_are():
    plain, chosen = load_config(MASK_RCNN, []), load_config(MASK_RCNN, ["detectron2.settings.SOLVER.BASE_LR=0.01"])
    assert training_hash(plain) != training_hash(chosen)
    voc = EXPERIMENTS / "voc_to_nonvoc.yaml"
    assert "detectron2" not in str(load_config(voc).detectron2.settings)
    assert training_hash(load_config(voc)) != training_hash(load_config(voc, [CHOSEN]))


def test_evaluations_of_another_model_have_another_hash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    data = ["data.test.annotations=a.json", "data.test.images=."]
    voc = EXPERIMENTS / "voc_to_nonvoc.yaml"
    assert settings_hash(load_config(voc, data)) != settings_hash(load_config(voc, [*data, CHOSEN]))


def test_repeated_keys_name_settings_that_exist():
    named = [word.rstrip(",") for own in REPEATED.values() for word in own.split() if "." in word]
    assert named and all(any(key == name or key.startswith(f"{name}.") for key in KEYS) for name in named)
