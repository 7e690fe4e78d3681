"""Verbs that convert the annotations of another tool to a COCO json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vclr.cli.options import OutputFile, Quiet, importers
from vclr.outputs import COCO_KEYS, Inputs, check_output_file

Images = Annotated[Path | None, typer.Option(help="Folder of the photos, if they are not beside the annotations.")]
Part = Annotated[str, typer.Option(metavar="train|val|test", help="Import only this part of the data set.")]
KeepCrowds = Annotated[bool, typer.Option("--keep-crowds", help="Keep masks that are marked as crowds as crowds.")]
Classes = Annotated[
    Path | None, typer.Option(help="Text file with a class name per line, if the labels come without one.")
]

EXPORTED = ("_annotations.coco.json", "result.json", "instances_*.json")  # COCO json of Roboflow, Label Studio and CVAT


def _check(output: Path, source: Path) -> None:
    """Refuse an output that is not COCO json, or is what is imported."""
    inside = [path for name in EXPORTED for path in sorted(source.rglob(name))] if source.is_dir() else [source]
    inputs: Inputs = {f"SOURCE ({number})" if source.is_dir() else "SOURCE": path for number, path in enumerate(inside)}
    check_output_file(output, inputs, COCO_KEYS)


@importers.command("labelme")
def import_labelme_files(
    folder: Annotated[Path, typer.Argument(help="Folder of the json files.")],
    output: OutputFile,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photos, if not FOLDER; photos that it lacks are added.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Import labelme's polygons, rectangles, circles and masks; shapes with the same label and group are one object."""
    from vclr.generate.importers.labelme import import_labelme

    check_output_file(output, {}, COCO_KEYS)  # the json files of labelme have none of these keys
    print(import_labelme(folder, output, images, quiet))


@importers.command("voc")
def import_voc_pictures(
    output: OutputFile,
    folder: Annotated[
        Path | None, typer.Argument(help="Folder with JPEGImages, SegmentationObject and SegmentationClass.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the photos, if not FOLDER/JPEGImages.")] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of PNG files whose values number the objects; 0 is background, the highest value is ignored."
        ),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Folder of PNG files with the same names, whose values number the classes.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Import pictures of instances, in the layout of PASCAL VOC or in separate folders."""
    from vclr.generate.importers.voc import import_voc

    check_output_file(output, {}, COCO_KEYS)
    print(import_voc(folder, output, images, masks, classes, quiet))


@importers.command("yolo")
def import_yolo_labels(
    source: Annotated[
        Path, typer.Argument(help="data.yaml, or the folder that holds it, or a folder of labels with classes.txt.")
    ],
    output: OutputFile,
    images: Images = None,
    part: Part = "",
    classes: Classes = None,
    quiet: Quiet = False,
) -> None:
    """Import YOLO's boxes, polygons and rotated boxes."""
    from vclr.generate.importers.yolo import import_yolo

    _check(output, source)
    print(import_yolo(source, output, images, part, classes, quiet))


@importers.command("roboflow")
def import_roboflow_export(
    source: Annotated[Path, typer.Argument(help="Folder of the export as COCO, or one _annotations.coco.json.")],
    output: OutputFile,
    images: Images = None,
    part: Part = "",
) -> None:
    """Import Roboflow's export as COCO, without its extra root category."""
    from vclr.generate.importers.roboflow import import_roboflow

    _check(output, source)
    print(import_roboflow(source, output, images, part))


@importers.command("cvat")
def import_cvat_export(
    source: Annotated[
        Path, typer.Argument(help="annotations.xml or COCO json, or the folder of one of these exports.")
    ],
    output: OutputFile,
    images: Images = None,
    keep_crowds: KeepCrowds = False,
    quiet: Quiet = False,
) -> None:
    """Import CVAT's XML for images, or its COCO json, in which brush masks are marked as crowds."""
    from vclr.generate.importers.cvat import import_cvat

    _check(output, source)
    print(import_cvat(source, output, images, keep_crowds, quiet))


@importers.command("labelstudio")
def import_labelstudio_export(
    source: Annotated[Path, typer.Argument(help="Export as JSON, JSON-MIN or COCO.")],
    output: OutputFile,
    images: Images = None,
    keep_crowds: KeepCrowds = False,
    quiet: Quiet = False,
) -> None:
    """Import Label Studio's polygons, rectangles, ellipses and brush strokes."""
    from vclr.generate.importers.labelstudio import import_labelstudio

    _check(output, source)
    print(import_labelstudio(source, output, images, keep_crowds, quiet))


@importers.command("via")
def import_via_project(
    source: Annotated[Path, typer.Argument(help="Json or csv of VIA 2, or project of VIA 3.")],
    output: OutputFile,
    images: Images = None,
    attribute: Annotated[
        str,
        typer.Option(help="Region attribute that holds the class (default: the only one, or `class`, `label` ...)."),
    ] = "",
) -> None:
    """Import the polygons, rectangles, circles and ellipses of the VGG Image Annotator."""
    from vclr.generate.importers.via import import_via

    _check(output, source)
    print(import_via(source, output, images, attribute))


@importers.command("makesense")
def import_makesense_export(
    source: Annotated[
        Path, typer.Argument(help="Export as COCO json, VGG json or csv, or a folder of VOC XML or YOLO files.")
    ],
    output: OutputFile,
    images: Images = None,
    classes: Classes = None,
    quiet: Quiet = False,
) -> None:
    """Import the polygons and boxes of makesense.ai."""
    from vclr.generate.importers.makesense import import_makesense

    _check(output, source)
    print(import_makesense(source, output, images, classes, quiet))


@importers.command("coco")
def import_coco_json(
    source: Annotated[Path, typer.Argument(help="COCO json of any tool.")],
    output: OutputFile,
    images: Images = None,
    keep_crowds: KeepCrowds = False,
) -> None:
    """Import the COCO json of any tool, without the habits that `vclr doctor data` names."""
    from vclr.generate.importers.coco import import_coco

    _check(output, source)
    print(import_coco(source, output, images, keep_crowds))
