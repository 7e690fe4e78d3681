"""The published data sets: one record each, and the splits that they are made with.

A new data set is a record here and a source in `vclr/fetch/sources.yaml`; a split that finds its classes in a new way
is also a function in `vclr/splits/class_matching.py`. Paths are relative to the data folder (`data.root`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from vclr.catalog.classes import COCO_CLASSES, TOY_KNOWN_CLASSES, VOC_CLASSES
from vclr.catalog.proposal_methods import SET_METHODS


@dataclass(frozen=True)
class Split:
    """What `vclr split NAME` keeps of a json.

    Attributes:
        keeps: what it keeps, in words.
        classes: names of the classes to keep or, if `inverted`, to leave out.
        inverted: see `classes`.
        match: how these classes are found in the json, a key of `splits.class_matching.MATCHERS`.
        is_one_class: whether everything that is kept becomes the single category `object`, as in the published files.
        top_k: object proposals per image that are added.
        without_folders: whether folders are removed from file names.
    """

    keeps: str
    classes: tuple[str, ...]
    inverted: bool = False
    match: str = "names"
    is_one_class: bool = False
    top_k: int = 0
    without_folders: bool = False


SPLITS = {
    "voc": Split("the 20 classes of PASCAL VOC", VOC_CLASSES),
    "nonvoc": Split("COCO's other 60 classes", VOC_CLASSES, inverted=True),
    "coco": Split("all 80 classes of COCO", COCO_CLASSES),
    "toy_known": Split("the six known shapes of the toy scenes", TOY_KNOWN_CLASSES),
    "toy_novel": Split("their six novel shapes", TOY_KNOWN_CLASSES, inverted=True),
    "lvis_noncoco": Split(
        "categories of LVIS whose synset is none of COCO's",
        COCO_CLASSES,
        inverted=True,
        match="synsets",
        is_one_class=True,
        without_folders=True,
    ),
    "uvo_nonvoc": Split(
        "UVO's classes without VOC's; videos become frames", VOC_CLASSES, inverted=True, is_one_class=True
    ),
    "objects365_noncoco": Split(
        "Objects365's classes without COCO's, under whatever name",
        COCO_CLASSES,
        inverted=True,
        match="objects365",
        is_one_class=True,
        without_folders=True,
    ),
    "one_class": Split("everything: for files that are splits already", (), inverted=True, is_one_class=True),
    "one_class_flat": Split(
        "the same, with file names without their folders", (), inverted=True, is_one_class=True, without_folders=True
    ),
}
# Stands for the protocol of the classes that the experiment's training set knows: `known_voc` or `known_coco`.
KNOWN = "known"
# Which json an evaluation on a published test set reads (`evaluation.files`): the one that the reference's authors
# published, or the split that is made from the official annotations.
PUBLISHED, REBUILT = "published", "rebuilt"
# `{split}_top{k}` adds the best k proposals per image to any split of known classes; these are the published ones.
PUBLISHED_TOP_SPLITS = ("voc_top10", "coco_top5")


def find_top_split(name: str) -> Split | None:
    """Return the split of this form; None for any other name."""
    form = re.fullmatch(r"(\w+)_top([1-9][0-9]{0,3})", name)
    known = SPLITS.get(form[1]) if form else None
    if form is None or known is None or known.inverted:
        return None
    return replace(known, is_one_class=True, top_k=int(form[2]))


@dataclass(frozen=True)
class DataSet:
    """A data set: photos, and annotations that a split makes of an official json.

    Attributes:
        name: what `dataloader.*.dataset.names` calls it; the reference's name if it has this set.
        source: what `vclr fetch` calls the source of the photos.
        part: `train` or `val`.
        images: folders of the photos, searched in order.
        linked: folder that earlier versions of `vclr fetch` filled with the photos; used if it exists.
        json: official annotations with all classes.
        split: the split that makes `splits/{file}.json` of them; "" if the official json itself is used.
        file: name of that file, without `.json`.
        views: views that are published with the photos, in `views/{source}/{view}`.
        method: the proposal method whose proposals the split adds; "" for none, or if the json has them already.
        top_k: how many object proposals per image the annotations hold.
        published: the split that reads the json that the reference's authors published of this test set, and this json;
            None if they published none.
        protocol: name of the evaluation protocol of which this is the test set.
        title: what papers call this protocol.
        has_masks: whether the annotations of a test set outline its objects; without masks, only boxes are evaluated.
        known: of a training set, the list of `CLASS_LISTS` that its annotations are of; "" if it has no such list.
    """

    name: str
    source: str
    part: str
    images: tuple[str, ...]
    json: str
    split: str = ""
    file: str = ""
    views: tuple[str, ...] = ()
    method: str = ""
    published: tuple[str, str] | None = None
    protocol: str = ""
    title: str = ""
    linked: str = ""
    top_k: int = 0
    has_masks: bool = True
    known: str = ""

    @property
    def annotations(self) -> str:
        """The json that a training or an evaluation reads."""
        return f"splits/{self.file}.json" if self.split else self.json

    @property
    def view_folders(self) -> dict[str, str]:
        """The folder of each view."""
        return {view: f"views/{self.source}/{view}" for view in self.views}

    @property
    def proposals(self) -> str:
        """The object proposals that the split adds."""
        return f"proposals/{self.source}/{self.part}_{self.method}.json" if self.method else ""

    def as_published(self) -> DataSet:
        """Return the data set with the published json instead of the official one; itself if none is published."""
        if self.published is None:
            return self
        split, json = self.published
        return replace(self, split=split, json=json, file=f"{self.file}_{PUBLISHED}", published=None)

    def split_arguments(self, root: Path) -> str:
        """Return how the annotations are made, as words of `vclr split`."""
        proposals = f" --proposals {root / self.proposals}" if self.proposals else ""
        return f"{self.split} --annotations {root / self.json}{proposals}"

    def comparison(self, root: Path) -> Path:
        """Return the file that says how the published json differs from the split of the official one."""
        return root / "splits" / f"{self.file}.compared.json"

    def comparison_arguments(self, root: Path) -> str:
        """Return how this file is made, as words of `vclr split`."""
        assert self.published is not None
        return f"{self.split_arguments(root)} --compare {root / self.published[1]} --comparison {self.comparison(root)}"


def _coco_train(name: str, top_split: str, published: str) -> list[DataSet]:
    """Return COCO's training set with the published proposals (CutLER's), and with those of each of our methods."""

    def with_proposals_of(method: str, split: str, json: str) -> DataSet:
        return DataSet(
            name=f"{name}_{method}" if method else name,
            source="coco2017",
            part="train",
            images=("raw/coco2017/train2017",),
            json=json,
            split=split,
            file=f"coco2017_train_{top_split}_{method or 'cutler'}",
            views=("depth", "style"),
            method=method,
            top_k=top_k,
            known=known,
        )

    known, _, count = top_split.partition("_top")
    top_k = int(count)
    official = "raw/coco2017/annotations/instances_train2017.json"
    own = [with_proposals_of(method, top_split, official) for method in SET_METHODS]
    return [with_proposals_of("", "one_class", f"raw/owis/{published}"), *own]


def _known_train(known: str) -> DataSet:
    """Return COCO's training set of some classes without object proposals, which `data.train.proposals` may add."""
    return DataSet(
        name=f"known_{known}_classes_train2017",
        source="coco2017",
        part="train",
        images=("raw/coco2017/train2017",),
        json="raw/coco2017/annotations/instances_train2017.json",
        split=known,
        file=f"coco2017_train_{known}",
        views=("depth", "style"),
        known=known,
    )


def _known_classes(known: str, title: str) -> DataSet:
    """Return the test set of the classes that a training knew: the same photos as those of Non-VOC."""
    return DataSet(
        name=f"known_{known}_classes_val2017",
        source="coco2017",
        part="val",
        images=("raw/coco2017/val2017",),
        json="raw/coco2017/annotations/instances_val2017.json",
        split=known,
        file=f"coco2017_val_{known}",
        protocol=f"{KNOWN}_{known}",
        title=f"known ({title})",
    )


_RECORDS = (
    *_coco_train("openworld_voc_classes_train2017", "voc_top10", "vCLR_voc_train2017_top10.json"),
    *_coco_train("openworld_allcoco_classes_train2017", "coco_top5", "vCLR_coco_train2017_top5.json"),
    _known_train("voc"),
    _known_train("coco"),
    DataSet(
        name="openworld_nonvoc_classes_val2017",
        source="coco2017",
        part="val",
        images=("raw/coco2017/val2017",),
        json="raw/coco2017/annotations/instances_val2017.json",
        split="nonvoc",
        file="coco2017_val_nonvoc",
        protocol="nonvoc",
        title="Non-VOC",
    ),
    DataSet(
        name="openworld_LVIS_noncoco_val2017",
        source="lvis",
        part="val",
        images=("raw/coco2017/val2017", "raw/coco2017/train2017"),
        linked="raw/lvis/images",
        json="raw/lvis/lvis_v1_val.json",
        split="lvis_noncoco",
        file="lvis_val_noncoco",
        published=("one_class_flat", "raw/owis/openworld_lvis_noncoco_val_correct.json"),
        protocol="lvis",
        title="LVIS non-COCO",
    ),
    DataSet(
        name="openworld_uvo_nonvoc_val2017",
        source="uvo",
        part="val",
        images=("raw/uvo/uvo_videos_dense_frames",),
        json="raw/uvo/uvo_val_dense.json",
        split="uvo_nonvoc",
        file="uvo_val_nonvoc",
        # UVO's release is closed, so this is the only json that can still be downloaded.
        published=("one_class", "raw/uvo/uvo_nonvoc_val_rle.json"),
        protocol="uvo",
        title="UVO non-VOC",
    ),
    DataSet(
        name="openworld_objects365_noncoco_val2017",
        source="objects365",
        part="val",
        images=("raw/objects365/val",),
        json="raw/objects365/zhiyuan_objv2_val.json",
        split="objects365_noncoco",
        file="objects365_val_noncoco",
        published=("one_class_flat", "raw/owis/openworld_objects365_noncoco_val.json"),
        protocol="objects365",
        title="Objects365 non-COCO",
        has_masks=False,
    ),
    _known_classes("voc", "VOC"),
    _known_classes("coco", "COCO"),
    DataSet(
        name="toy_train",
        source="toy",
        part="train",
        images=("raw/toy/images",),
        json="raw/toy/annotations_train.json",
        split="toy_known",
        file="toy_train_toy_known",
        views=("depth", "style"),
    ),
    DataSet(name="toy_val", source="toy", part="val", images=("raw/toy/images",), json="raw/toy/annotations_val.json"),
)
DATA_SETS = {record.name: record for record in _RECORDS}
# How many proposals per image the published jsons hold, by the name of the json.
PUBLISHED_TOP_K = {Path(record.json).name: record.top_k for record in _RECORDS if record.top_k and not record.method}
# The same records, by the name (without `.json`) of the file into which the workflow copies their proposals alone.
PUBLISHED_PROPOSALS = {
    f"{record.part}_cutler_{record.known}": record for record in _RECORDS if record.top_k and not record.method
}
# What `vclr evaluate --protocol`, `evaluation.protocol` and `evaluation.protocols` may name, besides the groups and
# test sets of a configuration, and besides `KNOWN`.
PROTOCOLS = {record.protocol: record for record in _RECORDS if record.protocol}

# Sources whose jsons annotate the photos of other sources.
COLLECTIONS = {record.json.split("/")[1] for record in _RECORDS} - {record.source for record in _RECORDS}


def find_part(source: str, part: str = "") -> DataSet:
    """Return a part of a source (default: its first one): a record, or by convention a data set of the user's own."""
    own_json = f"raw/{source}/"
    records = (record for record in _RECORDS if record.source == source and record.json.startswith(own_json))
    found = next((record for record in records if part in ("", record.part)), None)
    return found or _own_part(source, part)


def _own_part(source: str, part: str) -> DataSet:
    return DataSet("", source, part, (f"raw/{source}/images",), f"raw/{source}/annotations_{part}.json")


_MADE = [made for record in _RECORDS for made in (record, record.as_published()) if made.split]
# Published splits; those of the toy scenes have names and folders like the user's own.
SPLIT_FILES = {made.file: made for made in _MADE if made.source != "toy"}


def find_protocol(name: str, training_set: str) -> DataSet | None:
    """Return the test set of a protocol; None if there is none of this name.

    Args:
        name: a name of `PROTOCOLS`, or `KNOWN`.
        training_set: name of the training set, whose known classes `KNOWN` measures.
    """
    if name == KNOWN:
        trained = DATA_SETS.get(training_set)
        name = f"{KNOWN}_{trained.known}" if trained else ""
    return PROTOCOLS.get(name)


def find_test_set(annotations: str | Path) -> DataSet | None:
    """Return the test set of a protocol whose annotations a file is, by the file's name; None if it is of none."""
    found = (one for one in PROTOCOLS.values() if Path(annotations).stem in (one.file, one.as_published().file))
    return next(found, None)


def find_split_file(path: str | Path) -> DataSet | None:
    """Return the data set whose annotations a file in a folder `splits` is; None if its name is not that of a split.

    Besides the published names, `{source}_{part}_{split}.json` is made of `raw/{source}/annotations_{part}.json`.
    """
    path = Path(path)
    if path.parent.name != "splits" or path.suffix != ".json":
        return None
    if record := SPLIT_FILES.get(path.stem):
        return record
    own = re.fullmatch(r"([\w-]+?)_(train|val)_(\w+)", path.stem)
    if own is None:
        return None
    top_split = find_top_split(own[3])
    top_k = top_split.top_k if top_split else 0
    return replace(_own_part(own[1], own[2]), split=own[3], file=path.stem, top_k=top_k)


def split_command(path: str | Path) -> str:
    """Return the command that makes a split's file; empty if its name is not that of a split.

    For a split of the user's own photos, it is also empty if the annotations do not exist.
    """
    data_set, root = find_split_file(path), Path(path).parent.parent
    if data_set is None or (Path(path).stem not in SPLIT_FILES and not (root / data_set.json).is_file()):
        return ""
    return f"vclr split {data_set.split_arguments(root)} --output {path}"
