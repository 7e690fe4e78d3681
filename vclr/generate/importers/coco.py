"""Convert the COCO json of any tool to one that holds only what COCO's own files hold."""

from __future__ import annotations

from pathlib import Path

from vclr.coco.checks import Json
from vclr.coco.habits import last_part, original_name, without_upload_hash
from vclr.errors import UserError
from vclr.file_names import say_nearest
from vclr.generate.importers.coco_export import read_coco_export
from vclr.generate.importers.collect import Collector


def import_coco(source: Path, output: Path, images: Path | None = None, keep_crowds: bool = False) -> str:
    """Write a COCO json without the habits of the tool that wrote the source; see `read_coco_export`.

    Args:
        source: the json.
        output: the json to write.
        images: the folder of the photos, by default the one of the json.
        keep_crowds: keep masks that CVAT marked as crowds as they are.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad entry.
    """
    if not source.is_file():
        raise UserError(f"{source}: is not a json file{'' if source.exists() else say_nearest(source)}")
    collector = Collector(source, images or source.parent)
    names = read_coco_export(source, collector, keep_crowds, rename=rename)
    return collector.write(output, names)


def rename(image: Json) -> str:
    """Return the name that a photo had before Roboflow or Label Studio renamed it, or else its name."""
    return original_name(image) or without_upload_hash(last_part(str(image["file_name"])))
