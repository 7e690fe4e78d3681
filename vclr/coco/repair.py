"""Write a COCO json without the annotations and polygons that every reader drops; the rest stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import vclr
from vclr.coco.checks import Json
from vclr.coco.file import CocoFile, write_coco
from vclr.coco.official import open_official
from vclr.coco.record import record_path, remove_record
from vclr.coco.unusable import Dropped
from vclr.coco.video_frames import VideoFile
from vclr.errors import UserError, in_one_line
from vclr.files import identify, write_json


@dataclass
class Repaired:
    """A checked json, and what is left of it.

    Attributes:
        source: the json.
        annotations: the text of the annotations that are kept.
        dropped: the counts of what is not.
        entries: each annotation that is dropped or changed, for the record.
    """

    source: CocoFile
    annotations: list[msgspec.Raw] = field(default_factory=list)
    dropped: Dropped = field(default_factory=Dropped)
    entries: list[Json] = field(default_factory=list)

    @property
    def head(self) -> Json:
        """The texts of all of the json but its annotations."""
        return {key: text for key, text in self.source.texts.items() if key != "annotations"}


def repair(path: str | Path) -> Repaired:
    """Check a json, and find what is left of it.

    Raises:
        UserError: one line that names the file and an entry that cannot be read; or the file holds videos.
    """
    coco = open_official(path)
    if isinstance(coco, VideoFile):
        raise UserError(f"{path}: holds videos, which cannot be repaired; `vclr split` drops their unusable entries")
    checks = coco.check_images()
    repaired = Repaired(coco, dropped=checks.dropped)
    for position, (text, annotation) in enumerate(zip(coco.annotations, coco.read_annotations(), strict=True)):
        verdict = checks.check_annotation(position, annotation)
        if verdict.problems:
            why = [problem.says for problem in verdict.problems]
            entry = {"position": position, "id": annotation["id"], "image_id": annotation["image_id"]}
            repaired.entries.append({**entry, "dropped": "polygons" if verdict.is_kept else "annotation", "why": why})
            text = msgspec.Raw(msgspec.json.encode(annotation))
        if verdict.is_kept:
            repaired.annotations.append(text)
    checks.check_units()
    return repaired


def save_repaired(repaired: Repaired, output: Path) -> None:
    """Write the json and its record `OUTPUT.record.json`, which depend on the source alone."""
    source, dropped = repaired.source, repaired.dropped
    remove_record(output)
    write_coco(output, repaired.head, repaired.annotations)
    counts = {"annotations_dropped": dict(dropped.annotations), "polygons_dropped": dict(dropped.polygons)}
    record: Json = {"repaired": identify(source.path), "vclr": vclr.__version__}
    record |= {"annotations": len(source.annotations), "annotations_kept": len(repaired.annotations), **counts}
    write_json(record_path(output), {**record, "output": identify(output), "entries": repaired.entries}, indent=1)


def summarize_repair(repaired: Repaired, output: Path) -> Iterator[str]:
    """Yield lines that say what went and why: the numbers of each kind, and the first ones."""
    path, dropped, total = repaired.source.path, repaired.dropped, len(repaired.source.annotations)
    yield f"{path}: {dropped.say(total) or 'nothing to repair'}"
    for kind, examples in dropped.examples.items():
        yield f"  {kind}: {dropped.say_kind(kind, total)}"
        yield from (f"    {in_one_line(example)}" for example in examples)
    kept = len(repaired.annotations)
    yield f"{output}: {kept} annotation{'s' * (kept != 1)}; {record_path(output)} lists what was dropped"
    yield "Whatever else looks wrong is kept: `vclr doctor data` lists it."
