"""The names of the formats in which predictions are handed to annotation tools.

A format is an entry here and a module of its name in `vclr/pre_annotations/`.
"""

from __future__ import annotations

# What reads each format, and what it cannot hold.
ANNOTATION_TOOLS: dict[str, str] = {
    "coco": "coco/annotations.json for any tool that imports COCO; scores are an extra key",
    "cvat": "cvat/annotations.xml, `CVAT 1.1`; scores show if the label has an attribute `score`",
    "labelstudio": "labelstudio/tasks.json with predictions, and the labeling_config.xml that they need",
    "labelme": "labelme/STEM.json per photo, for labelme 5.3 or newer; scores are an extra key",
    "fiftyone": "fiftyone/labels.json, `COCODetectionDataset`, with absolute paths of the photos",
    "supervision": "supervision/STEM.json per photo, for `Detections.from_inference`",
    "instances": "instances/STEM.png per photo, 16 bits: each pixel is the number of its object in the json, or 0",
}
