"""Settings of what is evaluated: the student or the teacher, the best checkpoint, early stopping."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.config import best_metric, evaluated_weights, load_config, with_weights
from vclr.engine.same_training import differing_settings, evaluation_hash, is_same_training, training_hash
from vclr.errors import UsageError

EXPERIMENTS = Path(__file__).parents[2] / "configs" / "experiment"
TEACHER = "train.model_ema.use_ema_weights_for_eval_only=True"
NO_TEACHER = ("train.model_ema.enabled=False", "model.criterion.weight_dict.loss_consistency=0")
PATIENT = ("train.early_stopping.patience=2", "train.best_metric=mask_ar@100")


def test_published_experiments_evaluate_the_teacher():
    names = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
    of_teacher = [name for name in names if evaluated_weights(load_config(EXPERIMENTS / f"{name}.yaml")) == "teacher"]
    coco, voc = "coco_to_lvis", "voc_to_nonvoc"
    assert of_teacher == [coco, f"{coco}_readme", voc, f"{voc}_readme", f"{voc}_round2"]


def test_weights_override_the_setting():
    for overrides in ([], [TEACHER]):
        config = load_config(None, overrides)
        assert with_weights(config, "") == config
        assert {name: evaluated_weights(with_weights(config, name)) for name in ("student", "teacher")} == {
            "student": "student",
            "teacher": "teacher",
        }
    with pytest.raises(UsageError, match=r"^weights='techer': must be student or teacher; nearest: teacher$"):
        with_weights(load_config(), "techer")


def test_a_metric_without_weights_is_of_those_that_are_evaluated():
    assert best_metric(load_config()) == ""
    assert best_metric(load_config(None, ["train.best_metric=box_ap"])) == "student/box_ap"
    assert best_metric(load_config(None, ["train.best_metric=box_ap", TEACHER])) == "teacher/box_ap"
    assert best_metric(load_config(None, ["train.best_metric=student/box_ap", TEACHER])) == "student/box_ap"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([*NO_TEACHER, TEACHER], "train.model_ema.enabled=False: there is no teacher to evaluate; set "),
        (["train.best_metric=mask_ar@10O"], "train.best_metric=mask_ar@10O: this training .*; nearest: mask_ar@10"),
        (["train.best_metric=techer/box_ap"], "train.best_metric=techer/box_ap: .*; nearest: teacher/box_ap$"),
        (["train.best_metric=mask_ar@17"], "train.best_metric=mask_ar@17: this training does not measure it"),
        (["train.best_metric=mask_ap", "dataloader.train.mapper.mask_on=False"], ".*; nearest: box_ap$"),
        (["train.best_metric=teacher/box_ap", *NO_TEACHER], ".*; nearest: student/box_ap$"),
        (["train.best_metric=box_ap", "train.eval_period=0"], "train.best_metric=box_ap: needs evaluations"),
        (["train.best_metric=box_ap", "train.max_iter=9"], ".* set train.eval_period to a number from 1 to .*=9$"),
        (["train.early_stopping.patience=1"], "train.early_stopping.patience=1: needs train.best_metric"),
        (["train.early_stopping.min_delta=1"], "train.early_stopping.min_delta=1.0: needs .*patience$"),
    ],
)
def test_what_cannot_be_meant_is_one_line(settings: list[str], message: str):
    with pytest.raises(UsageError, match=f"^{message}"):
        load_config(None, settings)


def test_recall_at_own_numbers_of_detections_is_a_metric():
    assert load_config(None, ["train.best_metric=mask_ar@17", "evaluation.max_dets=[17]"])


def test_evaluations_make_a_training_what_it_is_if_they_can_end_it():
    """Keeping the best checkpoint changes no weights, so it may be turned on in the middle of a training."""
    for setting in ("train.eval_period=7", "train.best_metric=box_ap", "evaluation.max_dets=[100]", TEACHER):
        assert is_same_training(load_config(), load_config(None, [setting]))
        assert training_hash(load_config()) == training_hash(load_config(None, [setting]))
        one, other = load_config(None, PATIENT), load_config(None, [*PATIENT, setting])
        assert not is_same_training(one, other)
        assert training_hash(one) != training_hash(other)
    others = ("evaluation.protocols=[nonvoc]", "dataloader.test.num_workers=1", "dataloader.test.batch_size=3")
    own_files = ("data.test.annotations=a.json", "data.test.images=b")  # compared by their hashes
    one, other = load_config(None, PATIENT), load_config(None, [*PATIENT, *others, *own_files])
    assert is_same_training(one, other)
    assert training_hash(one) == training_hash(other)


def test_a_value_is_of_the_content_of_the_test_set():
    one = evaluation_hash(load_config(), {"test_annotations": "a", "annotations": "b"})
    assert one == evaluation_hash(load_config(), {"test_annotations": "a", "annotations": "c"})
    assert one != evaluation_hash(load_config(), {"test_annotations": "b"})
    assert one != evaluation_hash(load_config(None, ["evaluation.dtype=bfloat16"]), {"test_annotations": "a"})


def test_the_setting_of_an_evaluation_that_decides_is_named():
    one, other = (load_config(None, [*PATIENT, *more]) for more in ([], ["evaluation.max_dets=[100]", TEACHER]))
    assert differing_settings(one, other) == {
        "evaluation.max_dets": [[1, 10, 20, 30, 50, 100, 300], [100]],
        "train.best_metric": ["student/mask_ar@100", "teacher/mask_ar@100"],
    }
    assert list(differing_settings(load_config(), one)) == ["train.early_stopping.patience"]
