"""Proposals never join annotations that hold some already, however that can be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.splits.made import write_record, write_split
from vclr.catalog.data_sets import DATA_SETS, PUBLISHED_TOP_K
from vclr.coco.annotations import load_coco
from vclr.config import Config, load_config
from vclr.data.data_sets import training_set
from vclr.data.readiness import check_names
from vclr.data.samples import TrainingSamples
from vclr.errors import UsageError
from vclr.files import read_json, write_json
from vclr.splits.with_proposals import refuse_second_proposals

MakeConfig = Callable[..., Config]
TWICE = r"holds object proposals already \({}\); leave {} out, or name annotations without proposals(; if .* `score`)?$"


@pytest.fixture(scope="module")
def proposals(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return proposals for the photos of the world."""
    coco = load_coco(world / "raw/toy/annotations_train.json")
    for annotation in coco["annotations"]:
        annotation["score"] = 0.5
    path = tmp_path_factory.mktemp("proposals") / "proposals.json"
    write_json(path, coco)
    return path


@pytest.fixture(scope="module")
def joined(world: Path, proposals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a split that holds them, under a name that does not say so."""
    output = tmp_path_factory.mktemp("joined") / "mine.json"
    write_split("toy_known_top3", world / "raw/toy/annotations_train.json", output, proposals=proposals)
    return output


def assert_refused(check: Callable[[], Any], why: str, setting: str) -> None:
    with pytest.raises(UsageError, match=TWICE.format(why, setting)):
        check()


def test_training_sets_of_the_catalog_say_how_many_they_hold():
    held = {name: record.top_k for name, record in DATA_SETS.items() if record.top_k}
    assert sorted(held.values()) == [5] * (len(held) // 2) + [10] * (len(held) // 2)
    assert PUBLISHED_TOP_K == {"vCLR_voc_train2017_top10.json": 10, "vCLR_coco_train2017_top5.json": 5}
    without = {"toy_train", "known_voc_classes_train2017", "known_coco_classes_train2017"}
    assert held.keys() == {name for name, record in DATA_SETS.items() if record.part == "train"} - without
    for name, number in held.items():
        config = load_config(None, [f"dataloader.train.dataset.names={name}", "data.train.proposals=more.json"])
        assert_refused(lambda: check_names(config), f"the best {number} of each image", r"data\.train\.proposals")  # noqa: B023


@pytest.mark.parametrize("name", ["raw/owis/vCLR_voc_train2017_top10.json", "splits/photos_train_voc_top10.json"])
def test_names_say_it(name: str):
    assert_refused(lambda: refuse_second_proposals("--proposals=p.json", name), "the best 10 of .*", "--proposals")


def test_names_of_other_files_do_not(tmp_path: Path):
    for name in ("splits/photos_train_voc.json", "mine_top10.json", "splits/coco2017_val_nonvoc.json"):
        refuse_second_proposals("--proposals=p.json", tmp_path / name)


def test_the_record_of_a_split_says_it(make_config: MakeConfig, joined: Path, proposals: Path):
    config = make_config(f"data.train.annotations={joined}", f"data.train.proposals={proposals}")
    assert_refused(lambda: check_names(config), r"those of proposals\.json", r"data\.train\.proposals")
    published = joined.with_name("published.json")
    write_record(published, "vCLR_coco_train2017_top5.json")
    assert_refused(lambda: refuse_second_proposals("--proposals=p", published), "those of vCLR_coco_.*", "--proposals")


def test_a_score_says_it(make_config: MakeConfig, joined: Path, proposals: Path, tmp_path: Path):
    """Also of a file of another program, which has no record."""
    write_json(tmp_path / "bare.json", read_json(joined))
    bare = tmp_path / "bare.json"
    config = make_config(f"data.train.annotations={bare}", f"data.train.proposals={proposals}")
    assert_refused(
        lambda: TrainingSamples(config), r"annotations\[\d+\] \(id \d+\) has a `score`", r"data\.train\.prop.*"
    )
    scored = lambda: write_split("toy_known_top3", proposals, tmp_path / "out.json", proposals=proposals)  # noqa: E731
    assert_refused(scored, r"annotations\[0\] \(id \d+\) has a `score`", "--proposals")
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("score", [None, "high", True])
def test_a_score_that_is_no_number_does_not(
    make_config: MakeConfig, world: Path, proposals: Path, tmp_path: Path, score: Any
):
    """Some tools give everything that a person drew an empty score."""
    coco = read_json(world / "raw/toy/annotations_train.json")
    for annotation in coco["annotations"]:
        annotation["score"] = score
    write_json(tmp_path / "a.json", coco)
    write_split("toy_known_top3", tmp_path / "a.json", tmp_path / "out.json", proposals=proposals)
    config = make_config(f"data.train.annotations={tmp_path / 'a.json'}", f"data.train.proposals={proposals}")
    assert len(TrainingSamples(config).objects)


def test_without_other_proposals_such_files_train(make_config: MakeConfig, joined: Path):
    config = make_config(f"data.train.annotations={joined}")
    check_names(config)
    assert sum(map(len, TrainingSamples(config).objects)) == len(
        load_coco(training_set(config).annotations)["annotations"]
    )
