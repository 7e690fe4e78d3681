"""How each split of a published data set is made, and the command that makes a split which is missing.

A file's name says what is in it: `..._voc_top10_cutler.json` holds the proposals that were published (CutLER's),
`..._voc_top10_graph.json` those of `vclr proposals --method graph`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class SplitRecipe(NamedTuple):
    """What `splits/{file}.json` is made of: a split of `vclr split`, an official json, object proposals.

    Paths are below the data folder.
    """

    split: str
    annotations: str
    proposals: str = ""


_COCO_TRAIN = "raw/coco2017/annotations/instances_train2017.json"
_GRAPH = "proposals/coco2017/train_graph.json"
RECIPES = {
    "coco2017_train_voc_top10_cutler": SplitRecipe("one_class", "raw/owis/vCLR_voc_train2017_top10.json"),
    "coco2017_train_coco_top5_cutler": SplitRecipe("one_class", "raw/owis/vCLR_coco_train2017_top5.json"),
    "coco2017_train_voc_top10_graph": SplitRecipe("voc_top10", _COCO_TRAIN, _GRAPH),
    "coco2017_train_coco_top5_graph": SplitRecipe("coco_top5", _COCO_TRAIN, _GRAPH),
    "coco2017_val_nonvoc": SplitRecipe("nonvoc", "raw/coco2017/annotations/instances_val2017.json"),
    "lvis_val_noncoco": SplitRecipe("lvis_noncoco", "raw/lvis/lvis_v1_val.json"),
    "uvo_val_nonvoc": SplitRecipe("uvo_nonvoc", "raw/uvo/uvo_val_dense.json"),
    "objects365_val_noncoco": SplitRecipe("objects365_noncoco", "raw/objects365/zhiyuan_objv2_val.json"),
}
# What a split is made of where the official json is not there. UVO's release is closed; the json of the OWIS collection
# holds the objects outside VOC's classes alone.
INSTEAD = {"uvo_val_nonvoc": SplitRecipe("one_class", "raw/uvo/uvo_nonvoc_val_rle.json")}


def recipe_of(name: str, root: Path) -> SplitRecipe:
    """Return how a published split is made of what there is in a data folder."""
    recipe = RECIPES[name]
    return recipe if (root / recipe.annotations).is_file() else INSTEAD.get(name, recipe)


def find_recipe(path: str | Path) -> SplitRecipe | None:
    """Return how a file in a folder `splits` is made; None if its name is not that of a split.

    Besides the published ones these are `{set}_{part}_{split}.json`, made of `raw/{set}/annotations_{part}.json`.
    """
    path = Path(path)
    if path.parent.name != "splits" or path.suffix != ".json":
        return None
    if path.stem in RECIPES:
        return recipe_of(path.stem, path.parent.parent)
    own = re.fullmatch(r"([\w-]+?)_(train|val)_(\w+)", path.stem)
    return SplitRecipe(own[3], f"raw/{own[1]}/annotations_{own[2]}.json") if own else None


def command_of(path: str | Path) -> str:
    """Return the command that makes a split's file; empty if its name is not that of a split.

    The split of a set of one's own is known by its annotations, which must be there.
    """
    recipe, root = find_recipe(path), Path(path).parent.parent
    if recipe is None or (Path(path).stem not in RECIPES and not (root / recipe.annotations).is_file()):
        return ""
    proposals = f" --proposals {root / recipe.proposals}" if recipe.proposals else ""
    return f"vclr split {recipe.split} --annotations {root / recipe.annotations}{proposals} --output {path}"
