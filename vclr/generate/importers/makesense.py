"""Convert the exports of makesense.ai (COCO json, VGG json, csv, VOC XML, YOLO) to one COCO json."""

from __future__ import annotations

from pathlib import Path

from vclr.errors import UserError
from vclr.file_names import list_files, say_nearest
from vclr.files import read_json
from vclr.generate.importers.coco_export import read_coco_export
from vclr.generate.importers.collect import Collector, OpenPhoto
from vclr.generate.importers.csv_rows import read_rows
from vclr.generate.importers.number import to_number
from vclr.generate.importers.via import add_photos, read_via
from vclr.generate.importers.voc_xml import read_voc_xml
from vclr.generate.importers.yolo import import_yolo

COLUMNS = 8  # class, x, y, width, height, name of the photo, its width and height; there is no header


def import_makesense(
    source: Path, output: Path, images: Path | None = None, classes: Path | None = None, quiet: bool = False
) -> str:
    """Write a COCO json of an export as COCO, VGG json, csv, VOC XML or YOLO.

    Args:
        source: the json or csv, or the folder of the XML or YOLO files.
        output: the json to write.
        images: the folder of the photos, by default the one of the source.
        classes: for YOLO files, the text file with a class name per line that was loaded into the tool.
        quiet: show no progress.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad entry.
    """
    if source.is_dir() and (files := list_files(source.glob("*.xml"))):
        collector = Collector(source, images or source)
        read_voc_xml(files, collector, quiet)
        return collector.write(output)
    if source.is_dir():
        return import_yolo(source, output, images, classes=classes, quiet=quiet)
    if not source.is_file():
        raise UserError(f"{source}: does not exist{say_nearest(source)}")
    collector = Collector(source, images or source.parent)
    if source.suffix.lower() == ".csv":
        _read_csv(source, collector)
        return collector.write(output)
    content = read_json(source)
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        return collector.write(output, read_coco_export(source, collector))
    add_photos(*read_via(content, source), "", collector)
    return collector.write(output)


def _read_csv(source: Path, collector: Collector) -> None:
    photos: dict[str, OpenPhoto] = {}
    for number, row in enumerate(read_rows(source), start=1):
        entry = f"{source}: line {number}"
        if not row:
            continue
        if len(row) < COLUMNS:
            raise UserError(f"{entry}: has {len(row)} columns; makesense writes {COLUMNS} for boxes")
        *label, left, top, width, height, name, photo_width, photo_height = row  # a class may contain a comma
        try:
            x, y, w, h = (to_number(value, "box") for value in (left, top, width, height))
            size = int(to_number(photo_width, "size")), int(to_number(photo_height, "size"))
        except ValueError as error:
            raise UserError(f"{entry}: {error}") from None
        if name not in photos:
            photos[name] = collector.open(name, entry, size)
        photos[name].add_box(",".join(label), (x, y, x + w, y + h), entry)
