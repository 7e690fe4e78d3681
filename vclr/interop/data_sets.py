"""Our data sets in detectron2's catalogs.

A data set is registered under its name in our catalog, or under the path of its annotations. All objects are of one
class, as everywhere in vclr. Nothing is read before detectron2 asks for the dictionaries, except that the annotations
of a test set with several classes are written once as annotations of one class, because COCOEvaluator reads that file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vclr.catalog.data_sets import DATA_SETS
from vclr.coco.annotations import OBJECT, Json, as_object, open_checked, to_rle
from vclr.coco.file import write_coco
from vclr.config import Config, DataSetConfig, load_config
from vclr.data.annotations import load_annotations
from vclr.data.data_sets import missing_files, test_set, training_set
from vclr.errors import UsageError, UserError, nearest
from vclr.image_folders.open import each_folder, open_folder
from vclr.interop.requirements import need
from vclr.interop.settings import Settings, read_settings

PLACE = "vclr_place"  # the key of a dictionary that holds its place in the data set, for our mappers


def register(data: Config | str, part: str = "") -> str:
    """Put a data set into detectron2's `DatasetCatalog` and `MetadataCatalog`; one that is there is replaced.

    Args:
        data: a configuration, the file of one, or the name of a data set of our catalog, with its files below `data/`.
        part: train or test: which set of the configuration. The catalog knows which part a name is of.

    Returns:
        The name to ask the catalogs for.

    Raises:
        UserError: detectron2 is not installed, or a file of the data set is missing.
        UsageError: the part or the name is unknown.
    """
    catalogs = need("detectron2.data")
    config, part = _as_config(data, part)
    files = training_set(config) if part == "train" else test_set(config)
    if problem := missing_files(files, part):
        raise UserError(problem)
    name = name_of(config, files, part)
    if name in catalogs.DatasetCatalog.list():
        catalogs.DatasetCatalog.remove(name)
        catalogs.MetadataCatalog.remove(name)
    catalogs.DatasetCatalog.register(name, partial(load_dictionaries, config, part))
    catalogs.MetadataCatalog.get(name).set(
        thing_classes=[OBJECT["name"]],
        thing_dataset_id_to_contiguous_id={OBJECT["id"]: 0},
        evaluator_type="coco",
        image_root=str(each_folder(files.images)[0]),
        json_file=files.annotations if part == "train" else str(class_agnostic(files)),
    )
    return name


def register_later(settings: Settings, part: str) -> str:
    """Register a set of a LazyConfig, and return its name; without its files, the name alone.

    A LazyConfig must load where its data are not.
    """
    config = read_settings(settings)
    files = training_set(config) if part == "train" else test_set(config)
    return name_of(config, files, part) if missing_files(files, part) else register(config, part)


def name_of(config: Config, files: DataSetConfig, part: str) -> str:
    """Return the name under which a data set is registered."""
    own = config.data.train if part == "train" else config.data.test
    named = getattr(config.dataloader, part).dataset.names
    is_of_catalog = not own.annotations and named in DATA_SETS and not (part == "test" and config.evaluation.protocol)
    return named if is_of_catalog else files.annotations


def load_dictionaries(config: Config, part: str) -> list[Json]:
    """Return the images of a set as detectron2's dictionaries.

    Those of training hold the object proposals that join the annotations, and no crowds; the order is that of
    `TrainingSamples` and `TestSamples`. Masks are polygons, or compressed RLE.
    """
    BoxMode = need("detectron2.structures").BoxMode  # noqa: N806
    files = training_set(config) if part == "train" else test_set(config)
    if part == "train":
        entries, by_image = load_annotations(files, config.dataloader.train.dataset.filter_empty, config.proposals)
    else:
        entries, by_image = _load_test_set(files, config.dataloader.test.dataset.filter_empty)
    folder = open_folder(files.images)
    return [
        {
            "file_name": str(folder.path_of(entry["file_name"])),
            "image_id": entry["id"],
            "height": entry["height"],
            "width": entry["width"],
            PLACE: place,
            "annotations": [_to_dictionary(one, entry, BoxMode.XYWH_ABS) for one in annotations],
        }
        for place, (entry, annotations) in enumerate(zip(entries, by_image, strict=True))
    ]


def class_agnostic(files: DataSetConfig) -> Path:
    """Return the json of a test set with the one class `object`: the file itself, or a copy in the user's cache."""
    coco = open_checked(files.annotations, files.images)
    if [category["id"] for category in coco.categories] == [OBJECT["id"]]:
        return Path(files.annotations)
    source = Path(files.annotations).resolve()
    status = source.stat()
    key = hashlib.sha256(f"{source} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vclr" / "class_agnostic"
    path = cache / f"{source.stem}-{key}.json"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        head = {**coco.head, "categories": [OBJECT]}
        write_coco(path, head, (as_object(annotation) for annotation in coco.read_annotations()))
    return path


def _as_config(data: Config | str, part: str) -> tuple[Config, str]:
    if isinstance(data, str) and data in DATA_SETS:
        part = "train" if DATA_SETS[data].part == "train" else "test"
        return load_config(None, [f"dataloader.{part}.dataset.names={data}"]), part
    if isinstance(data, str):
        if not Path(data).is_file():
            raise UsageError(f"{data}: is neither a file nor a data set; nearest: {nearest(data, DATA_SETS)}")
        data = load_config(data)
    if part not in ("train", "test"):
        raise UsageError(f"part {part!r}: must be train or test")
    return data, part


def _load_test_set(files: DataSetConfig, filter_empty: bool) -> tuple[list[Json], Iterator[list[Json]]]:
    coco = open_checked(files.annotations, files.images)
    by_image: dict[Any, list[Json]] = {}
    for annotation in coco.read_annotations():
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    entries = coco.images
    if filter_empty:
        entries = [
            entry
            for entry in entries
            if any(not annotation.get("iscrowd", 0) for annotation in by_image.get(entry["id"], []))
        ]
    return entries, (by_image.get(entry["id"], []) for entry in entries)


def _to_dictionary(annotation: Json, entry: Json, box_mode: Any) -> Json:
    made = {
        "bbox": annotation["bbox"],
        "bbox_mode": box_mode,
        "category_id": 0,
        "iscrowd": int(annotation.get("iscrowd", 0)),
    }
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and segmentation:
        made["segmentation"] = segmentation
    elif segmentation:
        made["segmentation"] = to_rle(segmentation, entry["height"], entry["width"])
    return made
