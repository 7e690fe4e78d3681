"""CVAT's own XML for images, `CVAT 1.1` in its menu of imports."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from vclr.files import atomic_path
from vclr.pre_annotations.photo import FoundObject, FoundPhoto, Naming, row_lengths


def write(photos: list[FoundPhoto], folder: Path, naming: Naming) -> None:
    """Write `annotations.xml`. Masks are CVAT's run lengths if no single polygon shows them.

    Images are found by name. CVAT ignores the attribute `score` if the task's label has none of this name.
    """
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    _add_meta(root, naming.label, len(photos))
    for number, photo in enumerate(photos):
        size = {"width": str(photo.width), "height": str(photo.height)}
        image = SubElement(root, "image", {"id": str(number), "name": photo.file_name, **size})
        for one in photo.objects:
            SubElement(_add_shape(image, one, naming.label), "attribute", name="score").text = f"{one.score:.6g}"
    ElementTree.indent(root)
    with atomic_path(folder / "annotations.xml") as partial:
        ElementTree.ElementTree(root).write(partial, encoding="utf-8", xml_declaration=True)


def _add_meta(root: Element, label: str, num_photos: int) -> None:
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "size").text = str(num_photos)
    entry = SubElement(SubElement(task, "labels"), "label")
    SubElement(entry, "name").text = label
    attribute = SubElement(SubElement(entry, "attributes"), "attribute")
    for name, text in (("name", "score"), ("mutable", "False"), ("input_type", "text"), ("default_value", "")):
        SubElement(attribute, name).text = text


def _add_shape(image: Element, one: FoundObject, label: str) -> Element:
    common = {"label": label, "source": "auto", "occluded": "0", "z_order": "0"}
    if one.polygon:
        points = ";".join(f"{x:g},{y:g}" for x, y in one.points)
        return SubElement(image, "polygon", {"points": points, **common})
    left, top, width, height = map(str, one.box)
    place = {"left": left, "top": top, "width": width, "height": height}
    return SubElement(image, "mask", {"rle": ", ".join(map(str, row_lengths(one.crop()))), **place, **common})
