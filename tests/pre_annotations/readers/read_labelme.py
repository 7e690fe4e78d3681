"""Print what labelme's own reader reads; for that, it needs neither Qt nor its neural networks."""

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
from pycocotools import mask as coco_mask

for name in ("PyQt5", "PyQt5.QtCore", "PyQt5.QtGui", "PyQt5.QtWidgets", "onnxruntime", "osam", "imgviz", "imgviz.io"):
    sys.modules[name] = MagicMock()

from labelme import LabelFile  # noqa: E402
from labelme.utils.shape import shape_to_mask  # noqa: E402

SIZE = (90, 120)
FOLDER = Path(sys.argv[1])


def as_rle(shape: dict) -> str:
    mask = np.zeros(SIZE, np.uint8)
    if shape["shape_type"] == "mask":
        (left, top), (right, bottom) = np.array(shape["points"]).astype(int)
        mask[top : bottom + 1, left : right + 1] = shape["mask"]
    else:
        mask[shape_to_mask(SIZE, shape["points"], shape["shape_type"])] = 1
    return coco_mask.encode(np.asfortranarray(mask))["counts"].decode()


shapes = LabelFile(str(FOLDER / "labelme/a b.json")).shapes
labelme = {
    "labels": [shape["label"] for shape in shapes],
    "scores": [shape["other_data"]["score"] for shape in shapes],
    "masks": [as_rle(shape) for shape in shapes],
    "num_empty": len(LabelFile(str(FOLDER / "labelme/empty.json")).shapes),
}
print(json.dumps({"labelme": labelme}))
