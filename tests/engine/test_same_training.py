"""Which settings make a training another one: for `--resume`, `vclr launch` and the workflow alike."""

from __future__ import annotations

import pytest

from vclr.config import load_config
from vclr.engine.same_training import differing_settings, is_same_training, training_hash

WITHOUT_EFFECT = (
    *("evaluation.max_dets=[1]", "data.test.annotations=a.json", "data.test.images=b", "data.test.proposals=c.json"),
    *("dataloader.test.batch_size=7", "dataloader.test.mapper.max_size=99", "evaluation.protocols=[nonvoc,uvo]"),
    *("dataloader.test.dataset.names=toy_val", "train.eval_period=0", "train.log_period=3", "tracking.enabled=False"),
    *("train.output_dir=elsewhere", "launcher.nodes=3", "dataloader.train.num_workers=1", "model.nms_thresh=0.1"),
    *("evaluation.test_sets.mine={annotations: a, images: b}", "evaluation.groups.novel=[zebra]"),
)
WITH_EFFECT = (
    *("train.seed=3", "optimizer.lr=0.5", "data.train.annotations=a.json", "views.seed=3", "proposals.top_k=3"),
    *("dataloader.train.dataset.names=openworld_voc_classes_train2017_graph", "compat.padding=True"),
    *("train.init_checkpoint=w.pth", "model.num_queries=3"),
)


@pytest.mark.parametrize("setting", WITHOUT_EFFECT)
def test_what_only_a_test_has_does_not_train_again(setting: str):
    one, other = load_config(), load_config(None, [setting])
    assert is_same_training(one, other)
    assert training_hash(one) == training_hash(other)


@pytest.mark.parametrize("setting", WITH_EFFECT)
def test_what_the_weights_depend_on_does(setting: str):
    one, other = load_config(), load_config(None, [setting])
    assert not is_same_training(one, other)
    assert training_hash(one) != training_hash(other)


def test_a_longer_training_is_the_same_one_that_is_not_finished():
    one, longer = load_config(), load_config(None, ["train.max_iter=70000", "optimizer.milestones=[48000]"])
    assert is_same_training(one, longer)
    assert training_hash(one) != training_hash(longer)


def test_a_milestone_may_move_with_the_length_until_it_is_passed():
    one, longer = load_config(), load_config(None, ["train.max_iter=70000"])
    assert longer.optimizer.milestones == [56000]
    assert is_same_training(one, longer)
    for first, second in ((one, longer), (longer, one)):
        assert not differing_settings(first, second, taken=48000)
        assert list(differing_settings(first, second, taken=48001)) == ["optimizer.milestones"]
    two_steps = load_config(None, ["optimizer.milestones=[0.5, 0.8]"])
    assert not differing_settings(one, two_steps, taken=30000)
    assert list(differing_settings(one, two_steps, taken=30001)) == ["optimizer.milestones"]


@pytest.mark.parametrize(
    ("milestones", "length", "is_same"),
    [
        ("[0.8]", 7, True),
        ("[0.8]", 2, True),
        ("[0.5, 0.8]", 70000, False),
        ("[]", 70000, False),
        ("[48001]", 60000, False),
    ],
)
def test_milestones_that_differ_as_the_lengths_do_are_the_same(milestones: str, length: int, is_same: bool):
    """In two iterations, the share is reached at the end and left out."""
    other = load_config(None, [f"optimizer.milestones={milestones}", f"train.max_iter={length}"])
    assert is_same_training(load_config(), other) == is_same
    assert is_same_training(other, load_config()) == is_same
