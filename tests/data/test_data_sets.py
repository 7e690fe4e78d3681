"""Protocols: published ones, groups, test sets of one's own; and what a missing file is made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.catalog.data_sets import DATA_SETS, SPLIT_FILES, split_command
from vclr.config import load_config
from vclr.data.data_sets import (
    check_protocols,
    evaluated_groups,
    list_missing_files,
    missing_files,
    training_set,
    with_protocol,
)
from vclr.data.data_sets import test_set as find_test_set
from vclr.errors import UsageError

MINE = "evaluation.test_sets={mine: {annotations: mine/val.json, images: mine/images, proposals: mine/found.json}}"
GROUPS = "evaluation.groups={known: [person], novel: [zebra]}"


def test_each_protocol_has_its_test_set():
    config = load_config(None, [MINE, GROUPS, "evaluation.protocols=[nonvoc,uvo,mine,novel]"])
    found = {name: find_test_set(with_protocol(config, name)) for name in config.evaluation.protocols}
    assert {name: data_set.annotations for name, data_set in found.items()} == {
        "nonvoc": "data/splits/coco2017_val_nonvoc.json",
        "uvo": "data/splits/uvo_val_nonvoc.json",
        "mine": "mine/val.json",
        "novel": "data/splits/coco2017_val_nonvoc.json",  # a group is of the experiment's own test set
    }
    assert found["mine"].proposals == "mine/found.json"
    assert find_test_set(with_protocol(config, "")) == find_test_set(config)


def test_groups_are_those_of_ones_own_test_sets():
    config = load_config(None, [MINE, GROUPS])
    names = {name: list(evaluated_groups(with_protocol(config, name))) for name in ("", "mine", "novel", "uvo")}
    assert names == {"": ["known", "novel"], "mine": ["known", "novel"], "novel": ["known", "novel"], "uvo": []}


def test_the_method_of_the_proposals_is_one_setting():
    mine = "evaluation.test_sets={mine: {annotations: a.json, images: b, proposals: 'mine/{method}.json'}}"
    own = "data.{part}={{annotations: a.json, images: b, proposals: 'p/{part}_{{method}}.json'}}"
    config = load_config(None, [mine, *(own.format(part=part) for part in ("train", "test"))])
    assert training_set(config).proposals == "p/train_graph.json"
    assert find_test_set(config).proposals == "p/test_graph.json"
    assert find_test_set(with_protocol(config, "mine")).proposals == "mine/graph.json"


def test_own_files_of_a_published_protocol_win():
    own = "evaluation.test_sets.uvo={annotations: mine/uvo.json, images: mine/frames}"
    config = load_config(None, [own, "evaluation.protocol=uvo"])
    assert find_test_set(config).annotations == "mine/uvo.json"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["evaluation.protocols=[nonvoc,uvoo]"], "evaluation.protocols=uvoo: unknown protocol; nearest: uvo"),
        ([GROUPS, "evaluation.protocol=nvel"], "evaluation.protocol=nvel: unknown protocol; nearest: novel"),
        (["evaluation.protocols=[uvo,lvis,uvo]"], "evaluation.protocols: names uvo twice"),
        (["evaluation.protocols=['']"], "evaluation.protocols: ''"),
        (["evaluation.test_sets.mine.annotations=a.json"], r"evaluation.test_sets.mine.images: is not set"),
        (["evaluation.test_sets={'../x': {annotations: a, images: b}}"], r"evaluation.test_sets.../x: a name"),
        ([GROUPS, "evaluation.test_sets.known={annotations: a, images: b}"], "has a group of this name"),
    ],
)
def test_mistakes_are_found_before_a_training(settings: list[str], message: str):
    config = load_config(None, settings)
    for check in (check_protocols, training_set, find_test_set):
        with pytest.raises(UsageError, match=message):
            check(config)


def test_missing_split_names_the_command_that_makes_it():
    config = load_config(None, ["evaluation.protocol=uvo"])
    assert missing_files(find_test_set(config), "test") == (
        "data.test.annotations=data/splits/uvo_val_nonvoc.json: does not exist; make it with "
        "`vclr split one_class --annotations data/raw/uvo/uvo_nonvoc_val_rle.json"
        " --output data/splits/uvo_val_nonvoc.json`"
        " (or `snakemake data/splits/uvo_val_nonvoc.json --cores 1`, downloads included)"
    )


def test_commands_of_splits(tmp_path: Path):
    """Every split of the catalog has one; names of one's own count if what they would be made of is there."""
    for data_set in DATA_SETS.values():
        path = Path("data") / data_set.annotations
        assert path.parent.name != "splits" or path.stem.startswith("toy") or split_command(path), path
    assert len({(made.split, made.json, made.proposals) for made in SPLIT_FILES.values()}) == len(SPLIT_FILES)
    own = tmp_path / "splits" / "photos_train_voc_top3.json"
    assert split_command(own) == ""
    source = tmp_path / "raw" / "photos" / "annotations_train.json"
    source.parent.mkdir(parents=True)
    source.write_text("{}")
    assert split_command(own) == f"vclr split voc_top3 --annotations {source} --output {own}"
    assert split_command("labels/train.json") == split_command("splits/odd.json") == ""


def test_published_and_own_proposals_never_share_a_file():
    published, own = (
        training_set(load_config(None, [f"dataloader.train.dataset.names={name}"])).annotations
        for name in ("openworld_voc_classes_train2017", "openworld_voc_classes_train2017_graph")
    )
    assert (published, own) == (
        "data/splits/coco2017_train_voc_top10_cutler.json",
        "data/splits/coco2017_train_voc_top10_graph.json",
    )
    assert "--proposals" not in split_command(published)
    assert "--proposals data/proposals/coco2017/train_graph.json" in split_command(own)


def test_photos_of_lvis_are_those_of_coco(tmp_path: Path):
    config = load_config(None, ["evaluation.protocol=lvis", f"data.root={tmp_path}"])
    folders = [f"{tmp_path}/raw/coco2017/val2017", f"{tmp_path}/raw/coco2017/train2017"]
    assert find_test_set(config).images == folders
    missing = [line.partition(": does not exist")[0] for line in list_missing_files(find_test_set(config), "test")]
    assert missing[1:] == [f"data.test.images={folder}" for folder in folders]
    linked = tmp_path / "raw/lvis/images"  # by an earlier version of `vclr fetch`
    linked.mkdir(parents=True)
    assert find_test_set(config).images == str(linked)
