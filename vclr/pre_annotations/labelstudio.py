"""Label Studio's tasks with predictions, and the labeling configuration that these predictions need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from vclr.coco.annotations import Json
from vclr.files import atomic_path, write_json
from vclr.pre_annotations.photo import FoundObject, FoundPhoto, Naming, row_lengths

LOCAL_FILES = "/data/local-files/?d="  # Label Studio's address of a file below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
RUN_BITS = (4, 8, 12, 16)  # of the number of values in a run; two bits say which of them


def write(photos: list[FoundPhoto], folder: Path, naming: Naming) -> None:
    """Write `tasks.json` and `labeling_config.xml`. Masks are brush strokes if no single polygon shows them."""
    write_json(folder / "tasks.json", [_as_task(photo, naming) for photo in photos])
    with atomic_path(folder / "labeling_config.xml") as partial:
        ElementTree.ElementTree(_labeling_config(naming.label)).write(partial, encoding="utf-8")


def _as_task(photo: FoundPhoto, naming: Naming) -> Json:
    if naming.photo_url:
        url = naming.photo_url + quote(photo.file_name)
    else:
        url = LOCAL_FILES + quote(str(photo.path).lstrip("/"))
    results = [_as_result(one, str(number), photo, naming.label) for number, one in enumerate(photo.objects, start=1)]
    mean = float(np.mean([one.score for one in photo.objects])) if photo.objects else 0.0
    return {"data": {"image": url}, "predictions": [{"model_version": "vclr", "score": mean, "result": results}]}


def _as_result(one: FoundObject, name: str, photo: FoundPhoto, label: str) -> Json:
    size = {"original_width": photo.width, "original_height": photo.height, "image_rotation": 0}
    result = {"id": name, "to_name": "image", "score": one.score, **size}
    if one.polygon:
        percent = [[100 * x / photo.width, 100 * y / photo.height] for x, y in one.points]
        polygon = {"points": percent, "closed": True, "polygonlabels": [label]}
        return {**result, "from_name": "polygon", "type": "polygonlabels", "value": polygon}
    brush = {"format": "rle", "rle": encode_brush(one.mask()), "brushlabels": [label]}
    return {**result, "from_name": "brush", "type": "brushlabels", "value": brush}


def _labeling_config(label: str) -> Element:
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    for tag, name in (("PolygonLabels", "polygon"), ("BrushLabels", "brush")):
        SubElement(SubElement(view, tag, name=name, toName="image"), "Label", value=label)
    ElementTree.indent(view)
    return view


def encode_brush(mask: np.ndarray) -> list[int]:
    """Return an (h, w) mask as the bytes of Label Studio's run lengths.

    They describe the values of an RGBA picture, in which all four channels of a pixel are 255 or 0. First come the
    number of values (32 bits), the bits per value and the four possible bits per run (5, then 4 bits each, minus 1);
    then each run: a bit that says that all its values are equal, its length minus 1, and the value.
    """
    bits = [f"{4 * mask.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in RUN_BITS)]
    for number, length in enumerate(row_lengths(mask)):
        bits += [_encode_run(part, 255 * (number % 2)) for part in _split_run(4 * length)]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _split_run(length: int) -> Iterator[int]:
    longest = 2 ** RUN_BITS[-1]
    yield from [longest] * (length // longest)
    if length % longest:
        yield length % longest


def _encode_run(length: int, value: int) -> str:
    kind = next(kind for kind, size in enumerate(RUN_BITS) if length <= 2**size)
    return f"1{kind:02b}{length - 1:0{RUN_BITS[kind]}b}{value:08b}"
