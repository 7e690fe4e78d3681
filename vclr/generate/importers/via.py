"""Convert the projects and exports of the VGG Image Annotator (VIA) to one COCO json."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vclr.coco.annotations import Json
from vclr.errors import UsageError, UserError
from vclr.file_names import say_nearest
from vclr.files import read_json
from vclr.generate.importers.coco_export import read_coco_export
from vclr.generate.importers.collect import Collector, OpenPhoto
from vclr.generate.importers.csv_rows import read_rows
from vclr.generate.importers.number import to_number
from vclr.generate.importers.shapes import ellipse, rotate
from vclr.generate.importers.via3 import read_project

WITHOUT_CLASSES = "object"
NO_CLASS = "regions without a class, left out"
SEVERAL_CLASSES = "regions with several classes, of which the first is read"
ONE_CLASS = f"regions of a file without attributes, imported as the class `{WITHOUT_CLASSES}`"
USUAL = (
    "class",
    "label",
    "name",
    "category",
    "type",
    "object",
    "object_name",
    "class_name",
)  # of the class's attribute
COLUMNS = ("filename", "region_shape_attributes", "region_attributes")


class Region(NamedTuple):
    """A region: the shape's attributes and its own, as VIA 2 names them, and what messages call it."""

    shape: Json
    attributes: Json
    entry: str


def import_via(source: Path, output: Path, images: Path | None = None, attribute: str = "") -> str:
    """Write a COCO json of a project or export of VIA 2, or a project of VIA 3.

    Args:
        source: json (project, annotations, or its COCO export) or csv.
        output: the json to write.
        images: the folder of the photos, by default the one of the source.
        attribute: the region attribute that holds the class; by default the only one, or one that is called `class`,
            `label` or the like.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad region.
    """
    if not source.is_file():
        raise UserError(f"{source}: is not a json or csv file{'' if source.exists() else say_nearest(source)}")
    collector = Collector(source, images or source.parent)
    if source.suffix.lower() == ".csv":
        photos, options = _read_csv(source), dict[str, Any]()
    else:
        content = read_json(source)
        if isinstance(content, dict) and isinstance(content.get("annotations"), list):
            return collector.write(output, read_coco_export(source, collector))
        photos, options = read_via(content, source)
    add_photos(photos, options, attribute, collector)
    return collector.write(output)


def read_via(content: Any, source: Path) -> tuple[dict[str, list[Region]], Json]:
    """Return the regions of each photo in the json of VIA, and the options of the region attributes."""
    if isinstance(content, dict) and isinstance(content.get("metadata"), dict) and "file" in content:
        return {
            name: [Region(shape, attributes, entry) for shape, attributes, entry in regions]
            for name, regions in read_project(content, source).items()
        }, {}
    about = content.get("_via_attributes") if isinstance(content, dict) else None
    photos = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    if not isinstance(photos, dict) or not photos or not all(map(_is_photo, photos.values())):
        raise UserError(f"{source}: is not a json of VIA (needs photos with `filename` and `regions`)")
    found: dict[str, list[Region]] = {}
    for key, photo in photos.items():
        regions = photo["regions"]
        listed = regions if isinstance(regions, list) else list(regions.values())  # VIA 1 and makesense: a dict
        entries = [_region_of(region, f"{source}: {key}: region {number}") for number, region in enumerate(listed)]
        found.setdefault(photo["filename"], []).extend(entries)
    options = about.get("region") if isinstance(about, dict) else None
    return found, options if isinstance(options, dict) else {}


def _is_photo(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("filename"), str)
        and isinstance(entry.get("regions"), (list, dict))
    )


def _region_of(region: Any, entry: str) -> Region:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        raise UserError(f"{entry}: has no shape_attributes")
    attributes = region.get("region_attributes") or {}
    if not isinstance(attributes, dict):
        raise UserError(f"{entry}: region_attributes is not an object")
    return Region(shape, attributes, entry)


def _read_csv(source: Path) -> dict[str, list[Region]]:
    head, *rows = read_rows(source) or [[]]
    head = [name.strip().lstrip("#") for name in head]  # VIA 1 begins with #filename
    if not set(COLUMNS).issubset(head):
        raise UserError(f"{source}: is not a csv of VIA 2 (needs the columns {', '.join(COLUMNS)})")
    found: dict[str, list[Region]] = {}
    for number, cells in enumerate(rows, start=2):
        if not cells:
            continue
        entry = f"{source}: row {number}"
        if len(cells) != len(head):
            raise UserError(f"{entry}: has {len(cells)} columns, but the first row has {len(head)}")
        row = dict(zip(head, cells, strict=True))
        try:
            shape, attributes = (json.loads(row[key] or "{}") for key in COLUMNS[1:])
        except (ValueError, RecursionError) as error:
            raise UserError(f"{entry}: its attributes are not json: {error}") from None
        regions = found.setdefault(row["filename"], [])
        if shape:
            regions.append(_region_of({"shape_attributes": shape, "region_attributes": attributes}, entry))
    return found


def add_photos(photos: dict[str, list[Region]], options: Json, attribute: str, collector: Collector) -> None:
    """Add photos with their regions to a collection.

    Args:
        photos: the regions by the names of the photos.
        options: for each attribute, its `options`.
        attribute: the one that holds the class; "" to find it.
        collector: the collection.
    """
    every = [region for regions in photos.values() for region in regions]
    attribute = _find_attribute(every, attribute, collector.source)
    known = options.get(attribute, {})
    names = known.get("options") if isinstance(known, dict) else None
    for name, regions in photos.items():
        photo = collector.open(name, f"{collector.source}: {name}")
        for region in regions:
            chosen = _choices(region.attributes.get(attribute))
            if len(chosen) > 1:
                collector.notes.add(SEVERAL_CLASSES, region.entry)
            label = WITHOUT_CLASSES if not attribute else _class_of(chosen[0] if chosen else "", names)
            if not attribute:
                collector.notes.add(ONE_CLASS, region.entry)
            if not label:
                collector.notes.add(NO_CLASS, region.entry)
                continue
            try:
                _add_region(label, region, photo, collector)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                says = (
                    f"its shape has no {error}" if isinstance(error, KeyError) else f"its shape is not usable: {error}"
                )
                raise UserError(f"{region.entry}: {says}") from None


def _find_attribute(regions: list[Region], attribute: str, source: Path) -> str:
    """Return the attribute that holds the class; "" if no region has any."""
    counts = Counter(
        key for region in regions for key, value in region.attributes.items() if value not in ("", None, {})
    )
    if attribute:
        if attribute not in counts:
            raise UsageError(f"--attribute {attribute}: no region has it; they have {', '.join(counts) or 'none'}")
        return attribute
    if len(counts) <= 1:
        return next(iter(counts), "")
    usual = [key for name in USUAL for key in counts if key.strip().lower().replace(" ", "_") == name]
    if not usual:
        raise UserError(f"{source}: its regions have {', '.join(counts)}; name the one of the class with --attribute")
    return usual[0]


def _choices(value: Any) -> list[Any]:
    """Return an attribute's value, or the values that are chosen in a checkbox: {"dog": true}."""
    return [key for key, is_chosen in value.items() if is_chosen] if isinstance(value, dict) else [value]


def _class_of(value: Any, names: Any) -> str:
    """Return the class that a value names; "" if there is none."""
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    shown = names.get(text) if isinstance(names, dict) else None
    return (
        shown if text.isdecimal() and isinstance(shown, str) and shown else text
    )  # a number stands for its description


def _add_region(label: str, region: Region, photo: OpenPhoto, collector: Collector) -> None:
    shape, entry = region.shape, region.entry
    kind = shape.get("name")
    if kind == "polygon":
        outline = list(_pairs(shape["all_points_x"], shape["all_points_y"]))
        photo.add_polygons(label, [outline], entry)
    elif kind == "rect":
        left, top, width, height = (to_number(shape[key], key) for key in ("x", "y", "width", "height"))
        photo.add_box(label, (left, top, left + width, top + height), entry)
    elif kind in ("circle", "ellipse"):
        radii = ("r", "r") if kind == "circle" else ("rx", "ry")
        x, y, radius_x, radius_y = (to_number(shape[key], key) for key in ("cx", "cy", *radii))
        theta = math.degrees(to_number(shape.get("theta") or 0, "theta"))
        turned: np.ndarray = rotate(ellipse(x, y, radius_x, radius_y), (x, y), theta)
        photo.add_polygons(label, [turned], entry)
    elif kind in ("point", "polyline", "line"):
        collector.notes.add(f"regions without an area ({kind}), left out", entry)
    else:
        raise UserError(f"{entry}: cannot import a shape called {kind!r}")


def _pairs(xs: Any, ys: Any) -> Iterator[tuple[float, float]]:
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise ValueError("all_points_x and all_points_y are not lists of one length")
    yield from ((to_number(x, "all_points_x"), to_number(y, "all_points_y")) for x, y in zip(xs, ys, strict=True))
