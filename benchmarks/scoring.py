"""`vclr score` against pycocotools: seconds and peak memory from the two json files to all metrics, boxes and masks.

Simulates a test set like COCO's validation set, with 36 000 objects in 5000 images, and 300 predictions per image: a
third of them near an object, and the others anywhere. pycocotools counts without regard to classes at the same numbers
of detections. The peak memory is that of all processes of a command together. The metrics of both must be equal to the
last bit. `vclr score` runs with and without the intervals of 1000 draws, which pycocotools does not have. Takes about a
quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from pycocotools import mask as coco_mask

from benchmarks.data_scale import PYTHON, Cost, make_table
from vclr.coco.annotations import Json
from vclr.coco.file import write_coco
from vclr.coco.results import writing_results

IMAGES, OBJECTS, PREDICTIONS = 5000, 7.2, 300  # the last two per image
HEIGHT, WIDTH = 480, 640
TRUTH = "truth.json"
SCORE, SCORE_ALL, JUDGE = "vclr score --no-intervals", "vclr score", "pycocotools"
KINDS = {"boxes": "bbox", "masks": "segm"}  # what each kind of predictions is called by pycocotools


def main(arguments: list[str]) -> None:
    """Print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help=f"number of images (default: {IMAGES})")
    parser.add_argument("--folder", type=Path, help="the folder for the simulated files (default: a temporary one)")
    options = parser.parse_args(arguments)
    costs = {}
    sizes = (max(1, options.images // 2), options.images)
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            costs[size] = measure(Path(folder), size, with_judge=size == sizes[-1])
    print(make_table(costs))
    small, large = (costs[size] for size in sizes)
    for kind in KINDS:
        ours, whole, theirs = (large[f"{command}, {kind}"] for command in (SCORE, SCORE_ALL, JUDGE))
        growth = ours[0] / small[f"{SCORE}, {kind}"][0]
        print(f"{kind}: pycocotools takes {theirs[0]:.1f} s and {theirs[1]:.2f} GiB")
        print(f"{kind}: {theirs[0] / ours[0]:.1f} times faster, {ours[1] / theirs[1]:.2f} of the peak memory")
        print(f"{kind}: intervals take {whole[0] / ours[0] - 1:.2f} of the time of the evaluation")
        print(f"{kind}: with them, {theirs[0] / whole[0]:.1f} times faster, {whole[1] / theirs[1]:.2f} of the memory")
        print(f"{kind}: twice the images take {growth:.2f} times as long")


def measure(folder: Path, num_images: int, with_judge: bool) -> dict[str, Cost]:
    """Simulate a test set, and return what each measurement costs; pycocotools only takes part as the judge."""
    simulate(folder, num_images)
    costs = {}
    for kind, iou_type in KINDS.items():
        command = (PYTHON, "-m", "vclr.cli", "score", TRUTH, f"{kind}.json", "--output", f"{kind}_metrics.json")
        costs[f"{SCORE}, {kind}"] = run(folder, *command, "--no-intervals")
        costs[f"{SCORE_ALL}, {kind}"] = run(folder, *command)
        if with_judge:
            judge = (PYTHON, "-m", "benchmarks.pycocotools_judge", TRUTH, f"{kind}.json", "judged.json", iou_type)
            costs[f"{JUDGE}, {kind}"] = run(folder, *judge)
            ours, theirs = (json.loads((folder / name).read_text()) for name in (f"{kind}_metrics.json", "judged.json"))
            if differing := [name for name, value in theirs.items() if ours[name] != value]:
                sys.exit(f"{kind}: {', '.join(differing)} differ from pycocotools")
    return costs


def run(folder: Path, *command: str) -> Cost:
    """Run a command in a folder; return the seconds that it took, and the peak memory of all its processes in GiB."""
    print(f"{' '.join(command[2:5])} ...", file=sys.stderr, flush=True)
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    started, peak = time.perf_counter(), 0
    environment = {**os.environ, "PYTHONPATH": path}
    process = psutil.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(_memory(one) for one in (process, *_children(process))))
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {process.returncode}")
    return time.perf_counter() - started, peak / 2**30


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def simulate(folder: Path, num_images: int) -> None:
    """Write a ground truth with polygons, and predictions of boxes alone and of masks."""
    chance = random.Random(0)
    images = [
        {"id": number, "file_name": f"{number}.jpg", "height": HEIGHT, "width": WIDTH} for number in range(num_images)
    ]
    objects: list[list[Json]] = [[] for _ in images]
    for number in range(round(num_images * OBJECTS)):
        objects[chance.randrange(num_images)].append(
            {"id": number + 1, "category_id": 1, "iscrowd": 0, **_shape(chance)}
        )
    annotations = ({**one, "image_id": image} for image, found in enumerate(objects) for one in found)
    write_coco(folder / TRUTH, {"images": images, "categories": [{"id": 1, "name": "thing"}]}, annotations)
    with writing_results(folder / "boxes.json") as boxes, writing_results(folder / "masks.json") as masks:
        for image, around in enumerate(objects):
            found = list(_predict(chance, image, around))
            boxes(image, [{key: one[key] for key in one if key != "segmentation"} for one in found])
            masks(image, found)


def _predict(chance: random.Random, image: int, objects: list[Json]) -> Iterator[Json]:
    """Yield the predictions for an image: near an object, with a higher score, or anywhere."""
    for _ in range(PREDICTIONS):
        near = chance.choice(objects)["bbox"] if objects and chance.random() < 1 / 3 else None
        shape = _shape(chance, near)
        (polygon,) = shape["segmentation"]
        (rle,) = coco_mask.frPyObjects([polygon], HEIGHT, WIDTH)
        value = round(chance.random() ** (1 if near else 4), 6)
        segmentation = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
        yield {"image_id": image, "category_id": 1, "score": value, "bbox": shape["bbox"], "segmentation": segmentation}


def _shape(chance: random.Random, near: list[float] | None = None) -> Json:
    """Return a box of any size, or one near another box, and an uneven outline in it."""
    if near is None:
        width, height = (side * 0.9 * chance.random() ** 3 + 6 for side in (WIDTH, HEIGHT))
        left, top = chance.uniform(0, WIDTH - width), chance.uniform(0, HEIGHT - height)
    else:
        left, top, width, height = (
            value + chance.gauss(0, 0.06) * near[2 + place % 2] for place, value in enumerate(near)
        )
        left, top = min(max(left, 0), WIDTH - 4), min(max(top, 0), HEIGHT - 4)
        width, height = min(max(width, 3), WIDTH - left), min(max(height, 3), HEIGHT - top)
    box = [round(value, 2) for value in (left, top, width, height)]
    polygon = []
    for step in range(23):
        angle, radius = step / 23 * 2 * math.pi, chance.uniform(0.8, 1)
        polygon += [
            round(left + width / 2 * (1 + radius * math.cos(angle)), 2),
            round(top + height / 2 * (1 + radius * math.sin(angle)), 2),
        ]
    return {"bbox": box, "area": round(width * height * 0.64, 2), "segmentation": [polygon]}


if __name__ == "__main__":
    main(sys.argv[1:])
