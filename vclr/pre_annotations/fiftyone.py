"""FiftyOne's `COCODetectionDataset`: a COCO json whose file names are absolute, so that it needs no folder `data`."""

from __future__ import annotations

from pathlib import Path

from vclr.files import write_json
from vclr.pre_annotations.coco import as_coco
from vclr.pre_annotations.photo import FoundPhoto, Naming


def write(photos: list[FoundPhoto], folder: Path, naming: Naming) -> None:
    """Write `labels.json`. FiftyOne reads `score` as the confidence."""
    write_json(folder / "labels.json", as_coco(photos, naming, lambda photo: str(photo.path)))
