"""Read the boxes of PASCAL VOC's XML, one file per photo, as several tools write it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from vclr.errors import UserError
from vclr.generate.importers.collect import Collector
from vclr.generate.importers.number import to_number
from vclr.generate.importers.xml_file import read_xml
from vclr.progress import track

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc_xml(files: Sequence[Path], collector: Collector, quiet: bool) -> None:
    """Add the photos and boxes of some files to a collection.

    Raises:
        UserError: one line that names the file and the bad object.
    """
    for file in track(files, "reading VOC XML", quiet):
        root = read_xml(file)
        if root.tag != "annotation":
            raise UserError(f"{file}: is not VOC XML (its root is <{root.tag}>, not <annotation>)")
        width, height = (_number(root, f"size/{side}", str(file), "0") for side in ("width", "height"))
        named = (root.findtext("filename") or "").strip() or file.stem
        size = (width, height) if width and height else None
        photo = collector.open(named, str(file), size, partial(_stem_of, file))
        for number, one in enumerate(root.findall("object")):
            entry = f"{file}: object {number}"
            label = (one.findtext("name") or "").strip()
            if not label:
                raise UserError(f"{entry}: has no name")
            photo.add_box(label, [_number(one, f"bndbox/{corner}", entry) for corner in CORNERS], entry)


def _stem_of(file: Path, _: str) -> str:
    """Return the name of the XML file, which is that of its photo even if `filename` is another."""
    return file.stem


def _number(parent: Element, path: str, entry: str, otherwise: str | None = None) -> float:
    try:
        return to_number(parent.findtext(path, otherwise), path)
    except ValueError as error:
        raise UserError(f"{entry}: {error}") from None
