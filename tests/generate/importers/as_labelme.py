"""Convert COCO annotations to labelme's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Json = dict[str, Any]


def write_labelme(coco: Json, folder: Path) -> None:
    """Write all annotations that are not crowds, one file per photo."""
    for image in coco["images"]:
        shapes = [
            {
                "label": next(one["name"] for one in coco["categories"] if one["id"] == annotation["category_id"]),
                "points": np.array(polygon).reshape(-1, 2).tolist(),
                "group_id": annotation["id"] if len(annotation["segmentation"]) > 1 else None,
                "shape_type": "polygon",
                "flags": {},
            }
            for annotation in coco["annotations"]
            if annotation["image_id"] == image["id"] and not annotation["iscrowd"]
            for polygon in annotation["segmentation"]
        ]
        content = {"shapes": shapes, "imagePath": image["file_name"], "imageData": None}
        size = {"imageHeight": image["height"], "imageWidth": image["width"]}
        path = (folder / image["file_name"]).with_suffix(".json")
        path.write_text(json.dumps({"version": "5.4.1", "flags": {}, **content, **size}))
