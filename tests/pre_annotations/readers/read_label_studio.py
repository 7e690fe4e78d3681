"""Print what Label Studio's SDK reads; it checks each prediction against the labeling configuration."""

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
from pycocotools import mask as coco_mask

sys.modules["jsf"] = MagicMock()  # makes up examples, which nobody asks for here

from label_studio_sdk.converter.brush import decode_rle  # noqa: E402
from label_studio_sdk.label_interface import LabelInterface  # noqa: E402

FOLDER = Path(sys.argv[1]) / "labelstudio"


def as_rle(result: dict) -> str:
    height, width, value = result["original_height"], result["original_width"], result["value"]
    if result["type"] == "brushlabels":
        mask = decode_rle(value["rle"]).reshape(height, width, 4)[..., 3] > 0
        return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    points = [
        side / 100 * scale for point in value["points"] for side, scale in zip(point, (width, height), strict=True)
    ]
    return coco_mask.merge(coco_mask.frPyObjects([points], height, width))["counts"].decode()


interface = LabelInterface((FOLDER / "labeling_config.xml").read_text())
first, empty = json.loads((FOLDER / "tasks.json").read_text())
errors = [interface.validate_prediction(task["predictions"][0], return_errors=True) for task in (first, empty)]
assert errors == [[], []], errors
results = first["predictions"][0]["result"]
found = {
    "labels": [result["value"][result["type"]][0] for result in results],
    "scores": [result["score"] for result in results],
    "masks": [as_rle(result) for result in results],
    "num_empty": len(empty["predictions"][0]["result"]),
}
print(json.dumps({"labelstudio": found}))
