"""What an evaluation costs as the test set grows tenfold, and what a second process saves.

A tiny detector with random weights finds 300 objects in each of 500 and 5000 images of 48x64 pixels, which have 7
annotated objects each. Measures `vclr evaluate`, the same of its file of predictions, and `vclr score` with and without
intervals; then `vclr evaluate` by one and by two processes with one thread each. Each command runs in a separate
process. Takes half an hour.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.data_scale import PYTHON, Cost, make_table, run
from vclr.coco.file import write_coco

SIZES = (500, 5000)
HEIGHT, WIDTH = 48, 64
OBJECTS, POINTS = 7, 23  # per image and per polygon, as in COCO
ONE, TWO = "evaluate, one process", "evaluate, two processes"
SETTINGS = (
    "--config-file",
    str(Path(__file__).parents[1] / "configs" / "experiment" / "demo.yaml"),
    "--quiet",
    "data.test={annotations: truth.json, images: images, proposals: ''}",
    "evaluation.groups={known: [known], novel: [novel]}",
    "dataloader.test={num_workers: 0, batch_size: 2}",
    f"dataloader.test.mapper.short_edge_length={HEIGHT}",
    "model={num_queries: 300, select_box_nums_for_evaluation: 300, nms_thresh: 1.0}",
    "train={device: cpu, num_threads: 1}",
    "tracking.enabled=False",
)


def main(arguments: list[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of images")
    options = parser.parse_args(arguments)
    costs = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            costs[size] = measure(Path(folder), size)
    print(make_table(costs))
    small, large = costs[min(costs)], costs[max(costs)]
    for step in large:
        print(f"{step}: peak memory x {large[step][1] / small[step][1]:.2f}")
    print(f"{TWO}: {large[TWO][0] / large[ONE][0]:.2f} of the time of one")


def measure(folder: Path, num_images: int) -> dict[str, Cost]:
    """Make a test set, and return what each command on it costs."""
    simulate(folder, num_images)
    evaluate = (PYTHON, "-m", "vclr.cli", "evaluate", *SETTINGS)
    torchrun = (PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *evaluate[1:])
    costs = {
        ONE: run(folder, *evaluate, "--output", "one"),
        TWO: run(folder, *torchrun, "--output", "two"),
        "evaluate --predictions": run(
            folder, *evaluate, "--predictions", "one/predictions.json", "--output", "from_file"
        ),
        "score": run(folder, PYTHON, "-m", "vclr.cli", "score", "truth.json", "one/predictions.json"),
        "score without intervals": run(
            folder, PYTHON, "-m", "vclr.cli", "score", "truth.json", "one/predictions.json", "--no-intervals"
        ),
    }
    for name in ("metrics.json", "predictions.json", "bootstrap.npz"):
        if (folder / "one" / name).read_bytes() != (folder / "two" / name).read_bytes():
            sys.exit(f"two processes wrote another {name} than one")
    return costs


def simulate(folder: Path, num_images: int) -> None:
    """Write a test set whose images are one file under many names."""
    generator = random.Random(0)
    (folder / "images").mkdir()
    photo = folder / "photo.png"
    Image.effect_noise((WIDTH, HEIGHT), 64).convert("RGB").save(photo)
    images, annotations = [], []
    for number in range(num_images):
        (folder / "images" / f"{number}.png").symlink_to(photo)
        images.append({"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH})
        for _ in range(OBJECTS):
            left, top = generator.uniform(0, WIDTH - 8), generator.uniform(0, HEIGHT - 8)
            width, height = generator.uniform(8, WIDTH - left), generator.uniform(8, HEIGHT - top)
            polygon = [
                round(start + generator.random() * side, 2)
                for _ in range(POINTS)
                for start, side in ((left, width), (top, height))
            ]
            shape = {"bbox": [left, top, width, height], "area": width * height, "segmentation": [polygon]}
            category = generator.randint(1, 2)
            annotations.append({"id": len(annotations), "image_id": number, "category_id": category, **shape})
    categories = [{"id": 1, "name": "known"}, {"id": 2, "name": "novel"}]
    write_coco(folder / "truth.json", {"images": images, "categories": categories}, annotations)


if __name__ == "__main__":
    main(sys.argv[1:])
