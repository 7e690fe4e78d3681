"""Convert CVAT's XML for images, or its COCO json, to one COCO json."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from vclr.errors import UserError
from vclr.file_names import list_files, say_nearest
from vclr.generate.importers.coco_export import read_coco_export
from vclr.generate.importers.collect import Collector, OpenPhoto
from vclr.generate.importers.grouped import Grouped
from vclr.generate.importers.number import to_number
from vclr.generate.importers.shapes import ellipse, rectangle, rotate
from vclr.generate.importers.xml_file import read_xml
from vclr.progress import track

WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton", "tag")
XML = "annotations.xml"
COCO = "instances_*.json"


def import_cvat(
    source: Path, output: Path, images: Path | None = None, keep_crowds: bool = False, quiet: bool = False
) -> str:
    """Write a COCO json of a task, job or project that was exported from CVAT.

    Shapes of one label and one group are one object, as in CVAT's own COCO export. That export marks every mask as a
    crowd, so crowds become objects.

    Args:
        source: annotations.xml, a COCO json, or the folder of one of these exports.
        output: the json to write.
        images: the folder of the photos, by default `images` beside the file, or else the file's folder.
        keep_crowds: crowds of a COCO json stay crowds.
        quiet: show no progress.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad shape.
    """
    file = _find_file(source)
    root = source if source.is_dir() else source.parent
    beside = root / "images"
    collector = Collector(file, images or (beside if beside.is_dir() else root))
    if file.suffix.lower() == ".json":
        return collector.write(output, read_coco_export(file, collector, keep_crowds, all_brushes=True))
    tree = _parse(file)
    if tree.find("track") is not None:
        raise UserError(f"{file}: has tracks, as `CVAT for video` writes; export the task as `CVAT for images`")
    for image in track(tree.findall("image"), "reading CVAT", quiet):
        _read_image(image, file, collector)
    names = [label.findtext("name") or "" for label in tree.iter("label") if label.find("name") is not None]
    return collector.write(output, filter(None, names))


def _find_file(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise UserError(f"{source}: does not exist{say_nearest(source)}")
    found = (
        [source / XML]
        if (source / XML).is_file()
        else list_files((*source.glob("*.xml"), *source.glob(f"annotations/{COCO}")))
    )
    if len(found) != 1:
        raise UserError(
            f"{source}: has {'no' if not found else 'more than one'} {XML} or annotations/{COCO}; name the file"
        )
    return found[0]


def _parse(file: Path) -> Element:
    tree = read_xml(file)
    if tree.tag != "annotations":
        raise UserError(f"{file}: is not an export of CVAT (its root is <{tree.tag}>, not <annotations>)")
    return tree


def _read_image(image: Element, file: Path, collector: Collector) -> None:
    named, subset = image.get("name", ""), image.get("subset", "")
    entry = f"{file}: image {named!r}" + (f" of the subset {subset!r}" if subset else "")
    size = int(_number(image, "width", entry)), int(_number(image, "height", entry))
    photo = collector.open(_place_of(named, subset, collector), entry, size)
    grouped = Grouped(photo)
    for number, shape in enumerate(image):
        place = f"{entry}: {shape.tag} {number}"
        if shape.tag in WITHOUT_AREA:
            collector.notes.add(f"shapes without an area ({shape.tag}), left out", place)
            continue
        label, group = shape.get("label"), shape.get("group_id")
        if not label:
            raise UserError(f"{place}: has no label")
        try:
            _add_shape(shape, label, group if group not in (None, "", "0") else None, grouped, photo, place)
        except (ValueError, OverflowError) as error:
            raise UserError(f"{place}: {error}") from None
    grouped.finish()


def _place_of(named: str, subset: str, collector: Collector) -> str:
    """Return the path of a photo: CVAT writes those of a project into folders called as their subsets."""
    return (collector.finder.find_end(f"{subset}/{named}") if subset else None) or named


def _add_shape(shape: Element, label: str, group: str | None, grouped: Grouped, photo: OpenPhoto, entry: str) -> None:
    turned = _number(shape, "rotation", entry, "0")
    if shape.tag == "box":
        left, top, right, bottom = (_number(shape, key, entry) for key in ("xtl", "ytl", "xbr", "ybr"))
        if turned % 360:
            center = (left + right) / 2, (top + bottom) / 2
            grouped.polygon(label, rotate(rectangle(left, top, right, bottom), center, turned), entry, group)
        else:
            grouped.box(label, (left, top, right, bottom), entry, group)
    elif shape.tag == "ellipse":
        x, y, radius_x, radius_y = (_number(shape, key, entry) for key in ("cx", "cy", "rx", "ry"))
        grouped.polygon(label, rotate(ellipse(x, y, radius_x, radius_y), (x, y), turned), entry, group)
    elif shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";") if pair.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise UserError(f"{entry}: `points` is not a list of x,y")
        grouped.polygon(label, [[float(value) for value in pair] for pair in pairs], entry, group)
    elif shape.tag == "mask":
        grouped.mask(label, _read_mask(shape, photo, entry), entry, group)
    else:
        raise UserError(f"{entry}: cannot import a shape of this kind")


def _read_mask(shape: Element, photo: OpenPhoto, entry: str) -> np.ndarray:
    """Return an (h, w) uint8 mask of run lengths, zeros first, row by row in a part of the photo."""
    left, top, width, height = (int(_number(shape, key, entry)) for key in ("left", "top", "width", "height"))
    lengths = [int(length) for length in shape.get("rle", "").split(",") if length.strip()]
    if min(left, top, width, height) < 0 or left + width > photo.width or top + height > photo.height:
        raise UserError(f"{entry}: its mask reaches beyond the photo, which is {photo.width}x{photo.height} px")
    if min(lengths, default=0) < 0 or sum(lengths) != width * height:
        raise UserError(f"{entry}: its run lengths do not add up to {width}x{height} pixels")
    values = np.repeat(np.arange(len(lengths), dtype=np.uint8) % 2, lengths)
    mask = np.zeros((photo.height, photo.width), np.uint8)
    mask[top : top + height, left : left + width] = values.reshape(height, width)
    return mask


def _number(shape: Element, key: str, entry: str, otherwise: str | None = None) -> float:
    """Return a finite number that an attribute holds."""
    try:
        return to_number(shape.get(key, otherwise), key)
    except ValueError as error:
        raise UserError(f"{entry}: {error}") from None
