"""Milestones: shares and iterations, as the reference counts them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.config import config_from_text, dump_config, flat_config, load_config, read_config, say_milestones
from vclr.config.milestones import resolve_milestones
from vclr.errors import UsageError


def milestones(*overrides: str) -> list[float]:
    return load_config(None, overrides).optimizer.milestones


def test_a_share_moves_with_the_length_of_the_training():
    assert milestones() == [48000]
    assert milestones("train.max_iter=30000") == [24000]
    assert milestones("train.max_iter=30000", "optimizer.milestones=[0.5, 20000, 0.9]") == [15000, 20000, 27000]


@pytest.mark.parametrize("max_iter", [*range(1, 400), 900, 7919, 12345, 37500, 60000, 90000])
def test_a_share_falls_where_it_does_in_the_reference(max_iter: int):
    """Its scheduler knows 37500 iterations with the milestone 30000, and scales them to the training."""
    lowered = [int((step / max_iter + 1e-6) * 37500) >= 30000 for step in range(max_iter)]
    assert resolve_milestones([0.8], max_iter) == ([lowered.index(True)] if any(lowered) else [])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], "the learning rate is multiplied by 0.1 after iteration 48000"),
        (
            ["optimizer.milestones=[0.5, 0.9]"],
            "the learning rate is multiplied by 0.1 after iterations 30000 and 54000",
        ),
        (
            ["optimizer.milestones=[0.5, 0.9]", "train.max_iter=4"],
            "the learning rate is multiplied by 0.1 after iteration 2",
        ),
        (["train.max_iter=4"], "the learning rate is never lowered: no milestone before train.max_iter=4"),
        (["optimizer.milestones=[]"], "the learning rate is never lowered: no milestone before train.max_iter=60000"),
    ],
)
def test_what_is_left_of_the_milestones_is_said(overrides: list[str], says: str):
    assert say_milestones(load_config(None, overrides)) == says


def test_shares_and_iterations_are_the_same_settings():
    one, other = load_config(None, ["optimizer.milestones=[48000]"]), load_config(None, ["optimizer.milestones=[0.8]"])
    assert flat_config(one) == flat_config(other)
    assert dump_config(one) == dump_config(other)


@pytest.mark.parametrize("max_iter", [1, 2, 3])
def test_a_training_of_few_iterations_can_be_read_again(tmp_path: Path, max_iter: int):
    config = load_config(None, [f"train.max_iter={max_iter}"])
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "config.yaml") == read_config(tmp_path / "config.yaml") == config


def test_a_run_of_an_earlier_version_whose_milestone_never_came_can_still_be_read(tmp_path: Path):
    text = "train: {max_iter: 300}\noptimizer: {milestones: [750]}\n"
    assert config_from_text(text, "last.pt").optimizer.milestones == [750]
    (tmp_path / "config.yaml").write_text(text)
    assert read_config(tmp_path / "config.yaml").train.max_iter == 300
    with pytest.raises(UsageError, match=r"^optimizer\.milestones: iteration 750 is not before the end \(.*=300\); "):
        load_config(tmp_path / "config.yaml")
