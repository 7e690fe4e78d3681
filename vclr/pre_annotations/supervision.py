"""Roboflow's inference response per photo, from which supervision makes `Detections` with masks and scores."""

from __future__ import annotations

from pathlib import Path

from vclr.coco.annotations import Json
from vclr.files import write_json
from vclr.pre_annotations.photo import FoundObject, FoundPhoto, Naming


def write(photos: list[FoundPhoto], folder: Path, naming: Naming) -> None:
    """Write `<stem>.json` for each photo. All masks are RLE, which keeps every pixel."""
    for photo in photos:
        size = {"width": photo.width, "height": photo.height}
        predictions = [_as_prediction(one, naming.label) for one in photo.objects]
        write_json(folder / f"{photo.path.stem}.json", {"image": size, "predictions": predictions})


def _as_prediction(one: FoundObject, label: str) -> Json:
    left, top, width, height = one.box
    box = {"x": left + width / 2, "y": top + height / 2, "width": width, "height": height}  # of the box's center
    return {**box, "confidence": one.score, "class": label, "class_id": 0, "rle": one.rle}
