"""Print what datumaro, with which CVAT reads and writes formats, reads from CVAT's XML and from the COCO json."""

import json
import sys
from pathlib import Path

import numpy as np
from datumaro import Dataset
from datumaro.components.annotation import AnnotationType, Polygon
from pycocotools import mask as coco_mask

SIZE = (90, 120)


def as_rle(shape) -> str:
    if isinstance(shape, Polygon):
        return coco_mask.merge(coco_mask.frPyObjects([list(shape.points)], *SIZE))["counts"].decode()
    return coco_mask.encode(np.asfortranarray(shape.image, dtype=np.uint8))["counts"].decode()


def read(path: str, name: str) -> dict:
    content = Dataset.import_from(path, name)
    labels = content.categories()[AnnotationType.label]
    items = {item.id: [one for one in item.annotations if one.type != AnnotationType.bbox] for item in content}
    found = sorted(items["a b"], key=lambda one: -float(one.attributes["score"]))
    return {
        "labels": [labels[one.label].name for one in found],
        "scores": [float(one.attributes["score"]) for one in found],
        "masks": [as_rle(one) for one in found],
        "num_empty": len(items["empty"]),
    }


FOLDER = Path(sys.argv[1])
print(
    json.dumps(
        {
            "cvat": read(str(FOLDER / "for_datumaro/cvat/annotations.xml"), "cvat"),
            "coco": read(str(FOLDER / "for_datumaro/coco/annotations/instances_default.json"), "coco_instances"),
        }
    )
)
