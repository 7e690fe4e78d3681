"""The published data sets in the workflow: where their files are, and what brings them."""

from __future__ import annotations

import shlex
from pathlib import Path

from vclr.catalog.published_splits import SplitRecipe

from vclr.catalog import published_splits
from vclr.fetch.sources import read_catalog

# Sets that `vclr fetch` brings whole; data/raw/{set}/FETCHED stands for all that is in the folder. The manifest is no
# output: it says what an interrupted fetch has done, and Snakemake deletes the outputs of a rule that was interrupted.
FETCHED_SETS = ["coco2017", "lvis", "uvo", "objects365"]
# What a set must find there: the photos of LVIS are those of COCO.
NEEDS = {"lvis": ["data/raw/coco2017/FETCHED"]}
# Where photos and annotations are, if not in data/raw/{set}/images and data/raw/{set}/annotations_{part}.json.
IMAGES = {"coco2017": "data/raw/coco2017/train2017"}
ANNOTATIONS = {("coco2017", "train"): "data/raw/coco2017/annotations/instances_train2017.json"}
# Views that the OWIS collection has, by its names for them.
OWIS_VIEWS = {"depth": "train2017_depth_cmap", "style": "style_coco_train2017"}


DATA = Path("data")
RECIPES = published_splits.RECIPES


def recipe_of(name: str) -> SplitRecipe:
    """Return how `data/splits/{name}.json` is made, with paths from the root of the repository."""
    split, annotations, proposals = published_splits.recipe_of(name, DATA)
    return SplitRecipe(split, str(DATA / annotations), str(DATA / proposals) if proposals else "")


def use_catalog(path: str) -> str:
    """Let the rules fetch what a catalog of one's own has, the key `catalog` of configs/workflow.yaml.

    Returns:
        The option of `vclr fetch`, a word of a shell command; empty without a catalog.

    Raises:
        UserError: the catalog is not what it should be.
    """
    if not path:
        return ""
    for source in read_catalog(Path(path)).values():
        is_set = source.folder == f"raw/{source.name}" and not source.generated and source.name != "owis"
        if is_set and source.name not in FETCHED_SETS:
            FETCHED_SETS.append(source.name)
    return f"--catalog {shlex.quote(path)} "


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
