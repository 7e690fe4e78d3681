"""The published data sets in the workflow: the official file that each split is made of, and what brings it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

# Sets that `vclr fetch` brings whole; data/raw/{set}/FETCHED stands for all that is in the folder. The manifest is no
# output: it says what an interrupted fetch has done, and Snakemake deletes the outputs of a rule that was interrupted.
FETCHED_SETS = ("coco2017", "lvis", "uvo", "objects365")
# What a set must find there: the photos of LVIS are those of COCO.
NEEDS = {"lvis": ["data/raw/coco2017/FETCHED"]}
# Where photos and annotations are, if not in data/raw/{set}/images and data/raw/{set}/annotations_{part}.json.
IMAGES = {"coco2017": "data/raw/coco2017/train2017"}
ANNOTATIONS = {("coco2017", "train"): "data/raw/coco2017/annotations/instances_train2017.json"}
# Views that the OWIS collection has, by its names for them.
OWIS_VIEWS = {"depth": "train2017_depth_cmap", "style": "style_coco_train2017"}


class Split(NamedTuple):
    """How `data/splits/{name}.json` is made: a split of `vclr split`, of an official json, with object proposals."""

    name: str
    annotations: str
    proposals: str = ""


_TRAIN = ANNOTATIONS["coco2017", "train"]
_GRAPH = "data/proposals/coco2017/train_graph.json"
SPLITS = {
    "coco2017_train_voc_top10": Split("voc_top10", _TRAIN, _GRAPH),
    "coco2017_train_coco_top5": Split("coco_top5", _TRAIN, _GRAPH),
    "coco2017_val_nonvoc": Split("nonvoc", "data/raw/coco2017/annotations/instances_val2017.json"),
    "lvis_val_noncoco": Split("lvis_noncoco", "data/raw/lvis/lvis_v1_val.json"),
    "uvo_val_nonvoc": Split("uvo_nonvoc", "data/raw/uvo/uvo_val_dense.json"),
    "objects365_val_noncoco": Split("objects365_noncoco", "data/raw/objects365/zhiyuan_objv2_val.json"),
}
# The training files as published, with the object proposals of CutLER in them.
PUBLISHED_SPLITS = {
    "coco2017_train_voc_top10": Split("one_class", "data/raw/owis/vCLR_voc_train2017_top10.json"),
    "coco2017_train_coco_top5": Split("one_class", "data/raw/owis/vCLR_coco_train2017_top5.json"),
}


def find_split(name: str, training_proposals: str) -> Split:
    """Return how a split of a published set is made; `training_proposals` is that key of configs/workflow.yaml."""
    return (PUBLISHED_SPLITS if training_proposals == "published" else {}).get(name) or SPLITS[name]


def source_of(path: str) -> str:
    """Return the file whose change says that a path changed: the marker of a fetched set, else the path itself."""
    folder = Path(path).parts[:3]
    if folder[:2] == ("data", "raw") and len(folder) == 3 and folder[2] in FETCHED_SETS:
        return f"data/raw/{folder[2]}/FETCHED"
    return path


def images_of(name: str) -> str:
    """Return the folder of a set's photos."""
    return IMAGES.get(name, f"data/raw/{name}/images")


def annotations_of(name: str, part: str) -> str:
    """Return the annotations file of a part of a set."""
    return ANNOTATIONS.get((name, part), f"data/raw/{name}/annotations_{part}.json")
