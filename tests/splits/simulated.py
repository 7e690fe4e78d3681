"""A json of the size and the kind of COCO's training set, written without holding it in memory."""

from __future__ import annotations

import json
import random
from pathlib import Path

from vclr.catalog.classes import COCO_CLASSES

COCO_TRAIN = {"num_images": 118_287, "num_annotations": 860_001}


def write_simulated_coco(path: Path, num_images: int, num_annotations: int, seed: int = 0) -> Path:
    """Write images and annotations with polygons as long as COCO's: half a kilobyte an annotation."""
    numbers = random.Random(seed)
    outlines = [[[round(numbers.uniform(0, 400), 2) for _ in range(2 * numbers.randint(4, 43))]] for _ in range(500)]
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"info": {"year": 2017}, "images": [')
        for number in range(num_images):
            file.write(", " * (number > 0) + json.dumps(_image(number)))
        file.write('], "annotations": [')
        for number in range(num_annotations):
            polygons = outlines[numbers.randrange(len(outlines))]
            annotation = {
                "segmentation": polygons,
                "area": round(numbers.uniform(1, 90_000), 4),
                "iscrowd": 0,
                "image_id": numbers.randrange(num_images) + 1,
                "bbox": [round(numbers.uniform(0, 300), 2) for _ in range(4)],
                "category_id": numbers.randint(1, len(COCO_CLASSES)),
                "id": number + 1,
            }
            file.write(", " * (number > 0) + json.dumps(annotation))
        categories = [{"id": number, "name": name} for number, name in enumerate(COCO_CLASSES, start=1)]
        file.write(f'], "categories": {json.dumps(categories)}}}')
    return path


def _image(number: int) -> dict[str, object]:
    name = f"{number + 1:012d}.jpg"
    return {
        "license": 3,
        "file_name": name,
        "coco_url": f"http://images.cocodataset.org/train2017/{name}",
        "height": 480,
        "width": 640,
        "date_captured": "2013-11-14 11:18:45",
        "flickr_url": f"http://farm9.staticflickr.com/8186/{number}_4e622c8349_z.jpg",
        "id": number + 1,
    }
