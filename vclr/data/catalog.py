"""The data sets known by name, and where their files are under `data/`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vclr.config import Config, DataSetConfig, ViewsConfig
from vclr.errors import UsageError, nearest
from vclr.image_folder import locate
from vclr.ops.computed_views import COMPUTED_VIEWS

NATURAL = "natural"  # the view that is the photo itself


def _coco_train(split: str) -> DataSetConfig:
    return DataSetConfig(
        annotations=f"splits/coco2017_train_{split}.json",
        images="raw/coco2017/train2017",
        views={"depth": "views/coco2017/depth", "style": "views/coco2017/style"},
    )


# Names as in the reference, so that its commands work; paths below `data.root`.
CATALOG = {
    "openworld_voc_classes_train2017": _coco_train("voc_top10"),
    "openworld_allcoco_classes_train2017": _coco_train("coco_top5"),
    "openworld_nonvoc_classes_val2017": DataSetConfig(
        annotations="splits/coco2017_val_nonvoc.json", images="raw/coco2017/val2017"
    ),
    "openworld_LVIS_noncoco_val2017": DataSetConfig(
        annotations="splits/lvis_val_noncoco.json", images="raw/lvis/images"
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
# What `vclr evaluate --protocol` and `evaluation.protocol` may name beside the groups of a configuration.
PROTOCOLS = {
    "nonvoc": "openworld_nonvoc_classes_val2017",
    "lvis": "openworld_LVIS_noncoco_val2017",
    "uvo": "openworld_uvo_nonvoc_val2017",
    "objects365": "openworld_objects365_noncoco_val2017",
}


def training_set(config: Config) -> DataSetConfig:
    """Return the files of the training set: `data.train` where it is given, else the catalog's."""
    return _resolve(config.data.train, config.dataloader.train.dataset.names, config.data.root, "train")


def test_set(config: Config) -> DataSetConfig:
    """Return the files of the evaluated set: of the protocol, `data.test` where it is given, else the catalog's."""
    protocol = config.evaluation.protocol
    if protocol and protocol not in config.evaluation.groups:
        if protocol not in PROTOCOLS:
            known = [*config.evaluation.groups, *PROTOCOLS]
            raise UsageError(f"evaluation.protocol={protocol}: unknown protocol; nearest: {nearest(protocol, known)}")
        return _resolve(DataSetConfig(), PROTOCOLS[protocol], config.data.root, "test")
    return _resolve(config.data.test, config.dataloader.test.dataset.names, config.data.root, "test")


def _resolve(own: DataSetConfig, name: str, root: str, part: str) -> DataSetConfig:
    if own.annotations:
        return own
    if name not in CATALOG:
        raise UsageError(
            f"dataloader.{part}.dataset.names={name}: not in the catalog; nearest: {nearest(name, CATALOG)}"
        )
    known, below = CATALOG[name], Path(root)
    return replace(
        own,
        annotations=str(below / known.annotations),
        images=own.images or str(below / known.images),
        views={view: str(below / folder) for view, folder in known.views.items()} | own.views,
    )


def view_weights(config: ViewsConfig, data_set: DataSetConfig) -> dict[str, float]:
    """Return the views that training draws from and how often; without settings the photos and all folders, alike."""
    weights = config.weights or dict.fromkeys(["natural", *data_set.views], 1.0)
    return {view: weight for view, weight in weights.items() if weight > 0}


def check_view_names(config: ViewsConfig, data_set: DataSetConfig) -> None:
    """Check that each view that training draws from is the photo, a folder of the data set, or computed.

    Raises:
        UsageError: one is not; names the nearest that is.
    """
    available = [NATURAL, *data_set.views, *COMPUTED_VIEWS]
    for view in view_weights(config, data_set):
        if view not in available:
            raise UsageError(
                f"views.weights.{view}: no folder data.train.views.{view} and not a computed view; "
                f"nearest: {nearest(view, available)}"
            )


def missing_files(data_set: DataSetConfig, part: str) -> str | None:
    """Say in one line which file or folder of a data set does not exist and which setting names it, or None."""
    return next(list_missing_files(data_set, part), None)


def list_missing_files(data_set: DataSetConfig, part: str) -> Iterator[str]:
    """Say the same of each file or folder that does not exist."""
    named = {"annotations": data_set.annotations, "images": data_set.images}
    if part == "train":
        named["proposals"] = data_set.proposals
    for key, path in named.items():
        if path and not Path(path).exists() and (key != "images" or locate(path) is None):
            yield f"data.{part}.{key}={path}: does not exist"
    if not data_set.images:
        yield f"data.{part}.images: is not set"
