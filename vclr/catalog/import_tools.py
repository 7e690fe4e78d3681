"""The tools whose annotations `vclr import` reads.

A tool is an entry here, a module of its name in `vclr/generate/importers/` and a verb in `vclr/cli/importing.py`.
"""

from __future__ import annotations

from typing import NamedTuple


class ImportTool(NamedTuple):
    """A tool: its name in texts, the files that are read, and the habits of these files that the import undoes."""

    title: str
    reads: str
    habits: str


IMPORT_TOOLS: dict[str, ImportTool] = {
    "labelme": ImportTool(
        "labelme",
        "json files: polygons, rectangles, circles, masks",
        "shapes with the same label and `group_id` are one object; photos embedded in a json are written",
    ),
    "voc": ImportTool(
        "PASCAL VOC",
        "PNG files whose pixel values number the objects, in VOC's layout or in folders of your own",
        "values of classes get COCO's names",
    ),
    "yolo": ImportTool(
        "YOLO",
        "data.yaml, or a folder of labels with classes.txt or obj.names: boxes, polygons, rotated boxes",
        "`../train/images` as Roboflow writes it; lists with backslashes; repeated rows; photos without a label file",
    ),
    "roboflow": ImportTool(
        "Roboflow",
        "COCO json: `_annotations.coco.json`, or the folder of the export",
        "the extra root category; ids that start at 0; names with `.rf.` and a hash",
    ),
    "cvat": ImportTool(
        "CVAT",
        "`CVAT for images 1.1` XML: boxes, polygons, masks, ellipses; or its COCO json",
        "brush masks marked as crowds; rotated boxes; shapes with the same label and `group_id` are one object",
    ),
    "labelstudio": ImportTool(
        "Label Studio",
        "json or JSON-MIN: polygons, rectangles, ellipses, brushes; or its COCO json",
        "hashes before the names of uploaded photos; backslashes in names; several annotations of one task",
    ),
    "via": ImportTool(
        "VGG Image Annotator (VIA)",
        "json or csv of VIA 2, project of VIA 3: polygons, rectangles, circles, ellipses",
        "keys that end in the size of the file; classes in an attribute of any name",
    ),
    "makesense": ImportTool(
        "makesense.ai",
        "COCO json, VGG json, csv of boxes, or a folder of VOC XML or YOLO files",
        "polygons as flat lists; ids as texts; no sizes of photos",
    ),
    "coco": ImportTool("any other tool", "COCO json with one of the habits above", "all of those in COCO json"),
}
