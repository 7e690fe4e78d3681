"""Print what supervision reads from a folder of pre-annotations and photos."""

import json
import sys
from pathlib import Path

import supervision
from pycocotools import mask as coco_mask

FOLDER = Path(sys.argv[1])


def as_rles(masks) -> list[str]:
    return [coco_mask.encode(mask.astype("uint8", order="F"))["counts"].decode() for mask in masks]


found = supervision.Detections.from_inference(json.loads((FOLDER / "supervision/a b.json").read_text()))
empty = supervision.Detections.from_inference(json.loads((FOLDER / "supervision/empty.json").read_text()))
own = {"labels": found["class_name"].tolist(), "scores": found.confidence.tolist(), "masks": as_rles(found.mask)}

coco = supervision.DetectionDataset.from_coco(
    str(FOLDER / "photos"), str(FOLDER / "coco/annotations.json"), force_masks=True
)
by_name = {Path(path).name: annotations for path, _, annotations in coco}
first = by_name["a b.png"]
labels = [coco.classes[number] for number in first.class_id]
print(
    json.dumps(
        {
            "supervision": {**own, "num_empty": len(empty)},
            "coco": {"labels": labels, "masks": as_rles(first.mask), "num_empty": len(by_name["empty.png"])},
        }
    )
)
