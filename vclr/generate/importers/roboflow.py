"""Convert Roboflow's COCO export to one COCO json."""

from __future__ import annotations

from pathlib import Path

from vclr.coco.habits import original_name
from vclr.errors import UsageError, UserError
from vclr.file_names import say_nearest
from vclr.generate.importers.coco_export import read_coco_export
from vclr.generate.importers.collect import Collector

FILE = "_annotations.coco.json"
PARTS = {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}  # and the folders of the export


def import_roboflow(source: Path, output: Path, images: Path | None = None, part: str = "") -> str:
    """Write a COCO json of an export as COCO.

    The extra root category is left out. A photo `photo_jpg.rf.HASH.jpg` keeps its name if it is there; in a folder of
    the originals, it is `photo.jpg`.

    Args:
        source: a json, or the folder of the export, with a json in it or in its folders train, valid and test.
        output: the json to write.
        images: the folder of the photos, by default the one of the export.
        part: train, val or test, to import only this part; by default all.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad entry.
    """
    if not source.exists():
        raise UserError(f"{source}: does not exist{say_nearest(source)}")
    found = _find_files(source, part)
    root = source if source.is_dir() else source.parent
    collector = Collector(source, images or root)
    names: list[str] = []
    for path in found:
        below = path.parent.relative_to(root).as_posix()
        names += read_coco_export(path, collector, rename=original_name, below="" if below == "." else below)
    return collector.write(output, names)


def _find_files(source: Path, part: str) -> list[Path]:
    """Return the json files of an export, or of one part of it."""
    if part and part not in PARTS:
        raise UsageError(f"--part {part}: is not one of {', '.join(PARTS)}")
    if source.is_file():
        if part:
            raise UsageError(f"--part {part}: {source} is a file; name the folder of the export")
        return [source]
    folders = [folder for key, names in PARTS.items() if part in ("", key) for folder in names]
    places = [] if part else [source / FILE]
    places += [source / folder / FILE for folder in folders]
    found = [place for place in places if place.is_file()]
    if not found:
        raise UserError(f"{source}: has no {FILE}, neither itself nor in {', '.join(folders)}; export it as COCO")
    return found
