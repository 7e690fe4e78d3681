"""Verbs that work on a folder of photos: they make views, a zip or a COCO json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vclr.catalog.views import COMPUTED_VIEWS
from vclr.cli.options import Join, Misuse, OutputFile, Quiet, ShardOption, app, importers, view_verbs
from vclr.errors import UsageError
from vclr.outputs import COCO_KEYS, check_output_file, check_output_folder

PhotoFolder = Annotated[Path | None, typer.Option(help="Folder of photos, or its zip.")]


@view_verbs.callback(invoke_without_command=True)
def views(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", help="Folder to write.")] = None,
    view: Annotated[str, typer.Option(help=f"Name of the view: {', '.join(COMPUTED_VIEWS)}.")] = "",
    images: PhotoFolder = None,
    seed: Annotated[int, typer.Option(help="Seed of the views that are random, combined with each photo's name.")] = 0,
    shard: ShardOption = None,
    join: Join = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output even if it contains files but no manifest.json.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Render a folder of photos in another view with the same geometry.

    After an interruption, the same command continues where it stopped. With --shard K/N, only a part of the photos is
    rendered; --join of all N parts gives the same folder as one command without shards.
    """
    if context.invoked_subcommand:
        return
    if output is None:
        raise Misuse("Missing option '--output'.", context)
    from vclr.views.write import join_views, write_views

    check_output_folder(output, {})
    if join:
        refuse_beside_join(view=view, images=images, seed=seed, shard=shard)
        join_views(join, output, overwrite)
        return
    if not view or images is None:
        raise UsageError("needs --view VIEW and --images FOLDER, or --join PART")
    write_views(view, images, output, seed, quiet, shard, overwrite)


def refuse_beside_join(**options: Any) -> None:
    """Refuse options that are given beside `--join`."""
    for name, value in options.items():
        if value:
            raise UsageError(f"--join and --{name}: give one of them, not both")


@app.command()
def pack(
    folders: Annotated[list[Path], typer.Argument(help="Folders of photos or views.")],
    remove: Annotated[bool, typer.Option("--remove", help="Delete each folder once its zip is safe.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a zip that holds something else.")] = False,
    quiet: Quiet = False,
) -> None:
    """Pack each folder into FOLDER.zip: one file for DVC, which every command reads in place of the folder.

    The same files give the same zip on every machine. `unzip FOLDER.zip -d FOLDER` unpacks it again.
    """
    from vclr.generate.pack import pack_folder

    for folder in folders:
        print(pack_folder(folder, remove, overwrite, quiet))


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
