"""Print what FiftyOne imports; until the end, its database runs on a socket in a temporary folder."""

import atexit
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import MagicMock
from urllib.parse import quote

import numpy as np
from pycocotools import mask as coco_mask

# What serves the app, draws plots and unpacks archives, which nobody asks for here.
for name in ("strawberry", "strawberry.schema_directive", "sse_starlette", "sse_starlette.sse", "sseclient", "py7zr"):
    sys.modules[name] = MagicMock()
for name in ("plotly", "plotly.colors", "plotly.express", "plotly.graph_objects", "plotly.subplots"):
    sys.modules[name] = MagicMock()

SIZE = (90, 120)
FOLDER = Path(sys.argv[1])


def read() -> dict:
    import fiftyone

    content = fiftyone.Dataset.from_dir(
        dataset_type=fiftyone.types.COCODetectionDataset,
        labels_path=str(FOLDER / "fiftyone/labels.json"),
        label_types="segmentations",
    )
    samples = {Path(sample.filepath).name: sample for sample in content}
    assert Path(samples["a b.png"].filepath) == FOLDER / "photos/a b.png"
    found = samples["a b.png"].ground_truth.detections
    return {
        "labels": [one.label for one in found],
        "scores": [one.confidence for one in found],
        "masks": [as_rle(one) for one in found],
        "num_empty": len((samples["empty.png"].ground_truth or fiftyone.Detections()).detections),
    }


def as_rle(detection) -> str:
    """Return the mask, of which FiftyOne keeps the part within the box, whose sides are shares of the photo's."""
    mask = np.zeros(SIZE, np.uint8)
    left, top = (round(share * side) for share, side in zip(detection.bounding_box, reversed(SIZE), strict=False))
    rows, columns = detection.mask.shape
    mask[top : top + rows, left : left + columns] = detection.mask
    return coco_mask.encode(np.asfortranarray(mask))["counts"].decode()


def start_database(home: Path) -> subprocess.Popen:
    (package,) = importlib.util.find_spec("fiftyone").submodule_search_locations
    mongod, socket = Path(package, "db/bin/mongod"), home / "mongod.sock"
    os.environ["FIFTYONE_DATABASE_URI"] = f"mongodb://{quote(str(socket), safe='')}"
    command = [mongod, "--dbpath", home, "--bind_ip", socket, "--logpath", home / "log"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


resources = ExitStack()
atexit.register(resources.close)  # after FiftyOne, which deletes at the end what it read, as it is imported later
home = Path(resources.enter_context(tempfile.TemporaryDirectory()))
os.environ |= {"FIFTYONE_CONFIG_PATH": str(home / "config.json"), "FIFTYONE_DO_NOT_TRACK": "true"}
database = resources.enter_context(start_database(home))
resources.callback(database.terminate)
print(json.dumps({"fiftyone": read()}))
