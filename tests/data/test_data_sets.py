"""Protocols: published ones, groups, test sets of one's own; and what a missing file is made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.catalog.data_sets import DATA_SETS, PROTOCOLS, SPLIT_FILES, split_command
from vclr.config import load_config
from vclr.data.data_sets import (
    check_protocols,
    evaluated_groups,
    known_test_set,
    list_missing_files,
    may_have_masks,
    missing_files,
    protocol_name,
    training_set,
    with_protocol,
)
from vclr.data.data_sets import test_set as find_test_set
from vclr.data.data_sets import test_views_key as find_views_key
from vclr.errors import UsageError

MINE = "evaluation.test_sets={mine: {annotations: mine/val.json, images: mine/images, proposals: mine/found.json}}"
GROUPS = "evaluation.groups={known: [person], novel: [zebra]}"


def test_each_protocol_has_its_test_set():
    config = load_config(None, [MINE, GROUPS, "evaluation.protocols=[nonvoc,uvo,mine,novel]"])
    found = {name: find_test_set(with_protocol(config, name)) for name in config.evaluation.protocols}
    assert {name: data_set.annotations for name, data_set in found.items()} == {
        "nonvoc": "data/splits/coco2017_val_nonvoc.json",
        "uvo": "data/splits/uvo_val_nonvoc_published.json",
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


PHOTOS_OF = {"uvo": "data/raw/uvo/uvo_videos_dense_frames", "objects365": "data/raw/objects365/val"}
FILES = {
    "nonvoc": ("coco2017_val_nonvoc", "coco2017_val_nonvoc"),  # no json is published
    "lvis": ("lvis_val_noncoco_published", "lvis_val_noncoco"),
    "uvo": ("uvo_val_nonvoc_published", "uvo_val_nonvoc"),
    "objects365": ("objects365_val_noncoco_published", "objects365_val_noncoco"),
    "known_voc": ("coco2017_val_voc", "coco2017_val_voc"),
    "known_coco": ("coco2017_val_coco", "coco2017_val_coco"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_setting_chooses_published_or_rebuilt_files(protocol: str):
    name = PROTOCOLS[protocol].name
    for choose in (f"evaluation.protocol={protocol}", f"dataloader.test.dataset.names={name}"):
        for files, file in zip(([], ["evaluation.files=rebuilt"]), FILES[protocol], strict=True):
            config = load_config(None, [choose, *files])
            assert find_test_set(config).annotations == f"data/splits/{file}.json"
            assert known_test_set(config).file == file
            if protocol in PHOTOS_OF:
                assert find_test_set(config).images == PHOTOS_OF[protocol]
            as_training = training_set(load_config(None, [f"dataloader.train.dataset.names={name}", *files]))
            assert as_training.annotations == f"data/splits/{FILES[protocol][1]}.json"


def test_own_test_sets_have_no_files_to_choose():
    own = "data.test={annotations: a.json, images: b}"
    for settings in ([own], [own, GROUPS, "evaluation.protocol=novel"], [MINE, "evaluation.protocol=mine"]):
        found = [
            find_test_set(load_config(None, [*settings, f"evaluation.files={files}"]))
            for files in ("published", "rebuilt")
        ]
        assert found[0] == found[1]
        assert known_test_set(load_config(None, settings)) is None
    with pytest.raises(UsageError, match=r"evaluation\.files=official: must be one of published, rebuilt"):
        load_config(None, ["evaluation.files=official"])


@pytest.mark.parametrize(
    ("protocol", "files", "command"),
    [
        (
            "uvo",
            "published",
            "{raw}/uvo/uvo_nonvoc_val_rle.json does not exist: get it with `vclr fetch uvo{into}`, then make it with "
            "`vclr split one_class --annotations {raw}/uvo/uvo_nonvoc_val_rle.json --output {path}`",
        ),
        (
            "uvo",
            "rebuilt",
            "{raw}/uvo/uvo_val_dense.json does not exist: put it in place by hand (docs/data.md), then make it with "
            "`vclr split uvo_nonvoc --annotations {raw}/uvo/uvo_val_dense.json --output {path}`",
        ),
        (
            "lvis",
            "published",
            "{raw}/owis/openworld_lvis_noncoco_val_correct.json does not exist: get it with `vclr fetch "
            "owis/openworld_lvis_noncoco_val_correct.json{into}`, then make it with `vclr split one_class_flat "
            "--annotations {raw}/owis/openworld_lvis_noncoco_val_correct.json --output {path}`",
        ),
        (
            "lvis",
            "rebuilt",
            "{raw}/lvis/lvis_v1_val.json does not exist: get it with `vclr fetch lvis{into}`, then make it with "
            "`vclr split lvis_noncoco --annotations {raw}/lvis/lvis_v1_val.json --output {path}`",
        ),
    ],
)
def test_missing_split_names_the_commands_that_make_it(tmp_path: Path, protocol: str, files: str, command: str):
    for root in ("data", str(tmp_path)):
        config = load_config(
            None, [f"evaluation.protocol={protocol}", f"evaluation.files={files}", f"data.root={root}"]
        )
        path, into = find_test_set(config).annotations, "" if root == "data" else f" --output {root}"
        says = command.format(raw=f"{root}/raw", path=path, into=into)
        downloads = f" (or `snakemake {path} --cores 1`, downloads included)" if root == "data" else ""
        assert missing_files(find_test_set(config), "test") == (
            f"data.test.annotations={path}: does not exist; {says}{downloads}"
        )
    source = tmp_path / says.split("--annotations ")[1].split()[0]
    source.parent.mkdir(parents=True)
    source.write_text("{}")  # it is there now
    assert "does not exist; make it with" in (missing_files(find_test_set(config), "test") or "")


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


@pytest.mark.parametrize(
    ("training_set", "file"),
    [
        ("openworld_voc_classes_train2017", "coco2017_val_voc"),
        ("openworld_allcoco_classes_train2017_graph", "coco2017_val_coco"),
    ],
)
def test_known_classes_are_those_of_the_training_set(training_set: str, file: str):
    config = load_config(None, ["evaluation.protocol=known", f"dataloader.train.dataset.names={training_set}"])
    assert find_test_set(config).annotations == f"data/splits/{file}.json"
    assert protocol_name(config) == f"known_{file.rpartition('_')[2]}"


def test_a_group_of_this_name_comes_before_the_protocol():
    config = load_config(None, [GROUPS, "evaluation.protocol=known"])
    assert list(evaluated_groups(config)) == ["known", "novel"]
    assert protocol_name(config) == "known"


def test_known_classes_of_own_photos_are_a_group():
    for own in ("data.train={annotations: a.json, images: b}", "dataloader.train.dataset.names=toy_train"):
        config = load_config(None, [own, "evaluation.protocols=[known]"])
        with pytest.raises(UsageError, match=r"evaluation.protocols=known: .*known_voc, known_coco, or set .*groups"):
            check_protocols(config)


def test_protocols_of_boxes_have_no_masks():
    masks = {name: may_have_masks(load_config(None, [f"evaluation.protocol={name}"])) for name in PROTOCOLS}
    assert [name for name, has_masks in masks.items() if not has_masks] == ["objects365"]
    assert not may_have_masks(load_config(None, ["dataloader.train.mapper.mask_on=False"]))


@pytest.mark.parametrize(
    ("protocol", "key"),
    [
        ("novel", "data.test.views"),
        ("mine", "evaluation.test_sets.mine.views"),
        ("lvis", "the catalog's entry of lvis"),
    ],
)
def test_what_names_the_views_of_a_test_set(protocol: str, key: str):
    assert find_views_key(load_config(None, [MINE, GROUPS, f"evaluation.protocol={protocol}"])) == key
