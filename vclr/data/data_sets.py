"""The data sets known by name, and where their files are under `data/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vclr.catalog.published_splits import command_of
from vclr.config import Config, DataSetConfig
from vclr.errors import UsageError, nearest
from vclr.file_names import say_nearest
from vclr.image_folder import each_folder, locate


def _coco_train(split: str) -> DataSetConfig:
    return DataSetConfig(
        annotations=f"splits/coco2017_train_{split}.json",
        images="raw/coco2017/train2017",
        views={"depth": "views/coco2017/depth", "style": "views/coco2017/style"},
    )


# Names as in the reference, so that its commands work; paths below `data.root`. The reference's training sets have the
# published object proposals; `_graph` are the same with those of `vclr proposals`.
CATALOG = {
    "openworld_voc_classes_train2017": _coco_train("voc_top10_cutler"),
    "openworld_voc_classes_train2017_graph": _coco_train("voc_top10_graph"),
    "openworld_allcoco_classes_train2017": _coco_train("coco_top5_cutler"),
    "openworld_allcoco_classes_train2017_graph": _coco_train("coco_top5_graph"),
    "openworld_nonvoc_classes_val2017": DataSetConfig(
        annotations="splits/coco2017_val_nonvoc.json", images="raw/coco2017/val2017"
    ),
    "openworld_LVIS_noncoco_val2017": DataSetConfig(
        annotations="splits/lvis_val_noncoco.json", images=["raw/coco2017/val2017", "raw/coco2017/train2017"]
    ),
    "openworld_uvo_nonvoc_val2017": DataSetConfig(
        annotations="splits/uvo_val_nonvoc.json", images="raw/uvo/uvo_videos_dense_frames"
    ),
    "openworld_objects365_noncoco_val2017": DataSetConfig(
        annotations="splits/objects365_val_noncoco.json", images="raw/objects365/val"
    ),
    "toy_train": DataSetConfig(
        annotations="splits/toy_train_toy_known.json",
        images="raw/toy/images",
        views={"depth": "views/toy/depth", "style": "views/toy/style"},
    ),
    "toy_val": DataSetConfig(annotations="raw/toy/annotations_val.json", images="raw/toy/images"),
}
# Folders that earlier versions of `vclr fetch` filled with the photos of a data set; used if they exist.
LINKED_PHOTOS = {"openworld_LVIS_noncoco_val2017": "raw/lvis/images"}
# What `vclr evaluate --protocol`, `evaluation.protocol` and `evaluation.protocols` may name, besides the groups and
# test sets of a configuration.
PROTOCOLS = {
    "nonvoc": "openworld_nonvoc_classes_val2017",
    "lvis": "openworld_LVIS_noncoco_val2017",
    "uvo": "openworld_uvo_nonvoc_val2017",
    "objects365": "openworld_objects365_noncoco_val2017",
}


def training_set(config: Config) -> DataSetConfig:
    """Return the files of the training set: `data.train` where it is given, else the catalog's."""
    check_protocols(config)
    return _resolve(config.data.train, config.dataloader.train.dataset.names, config.data.root, "train")


def test_set(config: Config) -> DataSetConfig:
    """Return the files of the evaluated set: of the protocol, `data.test` where it is given, else the catalog's."""
    check_protocols(config)
    evaluation = config.evaluation
    if evaluation.protocol in evaluation.test_sets:
        return evaluation.test_sets[evaluation.protocol]
    if evaluation.protocol and evaluation.protocol not in evaluation.groups:
        return _resolve(DataSetConfig(), PROTOCOLS[evaluation.protocol], config.data.root, "test")
    return _resolve(config.data.test, config.dataloader.test.dataset.names, config.data.root, "test")


def evaluated_groups(config: Config) -> dict[str, list[str]]:
    """Return the groups of classes that are evaluated apart; a published protocol is one group already."""
    protocol, evaluation = config.evaluation.protocol, config.evaluation
    is_published = bool(protocol) and protocol not in evaluation.groups and protocol not in evaluation.test_sets
    return {} if is_published else evaluation.groups


def with_protocol(config: Config, protocol: str) -> Config:
    """Return the configuration of the evaluation by a protocol; "" leaves the one that `evaluation.protocol` names."""
    if not protocol:
        return config
    return replace(config, evaluation=replace(config.evaluation, protocol=protocol))


def check_protocols(config: Config) -> None:
    """Check what `evaluation` says of protocols.

    Raises:
        UsageError: an unknown or repeated protocol, or a test set of one's own without files or with an odd name.
    """
    evaluation = config.evaluation
    for name, own in evaluation.test_sets.items():
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(f"evaluation.test_sets.{name}: a name is made of letters, digits, _ and -")
        if name in evaluation.groups:
            raise UsageError(f"evaluation.test_sets.{name}: evaluation.groups has a group of this name; rename one")
        for key in ("annotations", "images"):
            if not getattr(own, key):
                raise UsageError(f"evaluation.test_sets.{name}.{key}: is not set")
    known = [*evaluation.groups, *evaluation.test_sets, *PROTOCOLS]
    for protocol in (evaluation.protocol, *evaluation.protocols):
        if protocol and protocol not in known:
            key = "protocol" if protocol == evaluation.protocol else "protocols"
            raise UsageError(f"evaluation.{key}={protocol}: unknown protocol; nearest: {nearest(protocol, known)}")
    for protocol in evaluation.protocols:
        if not re.fullmatch(r"[\w-]+", protocol):  # it names a folder of results
            raise UsageError(f"evaluation.protocols: {protocol!r}: a name is made of letters, digits, _ and -")
        if evaluation.protocols.count(protocol) > 1:
            raise UsageError(f"evaluation.protocols: names {protocol} twice")


def _resolve(own: DataSetConfig, name: str, root: str, part: str) -> DataSetConfig:
    if own.annotations:
        return own
    if name not in CATALOG:
        raise UsageError(
            f"dataloader.{part}.dataset.names={name}: not in the catalog; nearest: {nearest(name, CATALOG)}"
        )
    known, below = CATALOG[name], Path(root)
    linked = below / LINKED_PHOTOS.get(name, "")
    folders = [str(below / folder) for folder in each_folder(known.images)]
    photos = str(linked) if name in LINKED_PHOTOS and locate(linked) else folders if len(folders) > 1 else folders[0]
    return replace(
        own,
        annotations=str(below / known.annotations),
        images=own.images or photos,
        views={view: str(below / folder) for view, folder in known.views.items()} | own.views,
    )


def missing_files(data_set: DataSetConfig, part: str) -> str | None:
    """Say in one line which file or folder of a data set does not exist and which setting names it, or None."""
    return next(list_missing_files(data_set, part), None)


def list_missing_files(data_set: DataSetConfig, part: str) -> Iterator[str]:
    """Say the same of each file or folder that does not exist."""
    named = [("annotations", data_set.annotations)]
    named += [("images", str(folder)) for folder in each_folder(data_set.images) if data_set.images]
    if part == "train":
        named.append(("proposals", data_set.proposals))
    for key, path in named:
        if path and not Path(path).exists() and (key != "images" or locate(path) is None):
            yield f"data.{part}.{key}={path}: does not exist{_how_to_make(path) or say_nearest(path)}"
    if not data_set.images:
        yield f"data.{part}.images: is not set"


def _how_to_make(path: str) -> str:
    """Say which command makes a missing file, if its name tells."""
    command = command_of(path)
    if not command:
        return ""
    target = Path(path).as_posix()
    downloads = f" (or `snakemake {target} --cores 1`, downloads included)" if target.startswith("data/") else ""
    return f"; make it with `{command}`{downloads}"
