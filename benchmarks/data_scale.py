"""What a data set of COCO's size costs before a training step: seconds and memory, as it grows from 10 000 images.

Simulates photos and two views as small files, and annotations like COCO's (7 objects per image, 23 points per polygon).
Each step runs in a separate process: opening the training set, a split, a manifest, DVC; then the same with each folder
packed in a zip (`vclr pack`). Needs 3 GB of disk space and some minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vclr.catalog.classes import COCO_CLASSES
from vclr.coco.annotations import Json
from vclr.coco.file import write_coco
from vclr.config import load_config
from vclr.files import write_manifest
from vclr.progress import track

SIZES = (10_000, 118_287)
PHOTOS, VIEWS = "raw/coco2017/train2017", ("views/coco2017/depth", "views/coco2017/style")
SPLIT = "splits/coco2017_train_voc_top10_cutler.json"  # where the catalog looks for it
FOLDERS = (PHOTOS, *VIEWS)
PYTHON = sys.executable

Cost = tuple[float, float]  # seconds, peak in GiB


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of images")
    parser.add_argument("--folder", type=Path, help="the folder for the simulated data (default: a temporary one)")
    options = parser.parse_args(arguments)
    costs = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            costs[size] = measure(Path(folder), size)
    print(make_table(costs))


def measure(folder: Path, num_images: int) -> dict[str, Cost]:
    """Simulate a data set and return what each step on it costs."""
    simulate(folder / "data", num_images)
    split = ("split", "voc", "--annotations", f"data/{SPLIT}", "--output", "split.json")
    pack = ("pack", "--remove", "--quiet", *(f"data/{name}" for name in FOLDERS))
    costs = {
        "open the training set": run(folder, PYTHON, "-m", "benchmarks.data_scale", "--open"),
        "vclr split": run(folder, PYTHON, "-m", "vclr.cli", *split),
        "manifest of the photos": run(folder, PYTHON, "-m", "benchmarks.data_scale", "--manifest"),
        **run_dvc(folder, "folders"),
        "vclr pack, three folders": run(folder, PYTHON, "-m", "vclr.cli", *pack),
        "open the training set, packed": run(folder, PYTHON, "-m", "benchmarks.data_scale", "--open"),
        **run_dvc(folder, "packed"),
    }
    return costs


def simulate(data: Path, num_images: int) -> None:
    """Write the files of a training set."""
    names = [f"{number:012}.jpg" for number in range(num_images)]
    for folder in track(FOLDERS, f"simulate {num_images} images"):
        (data / folder).mkdir(parents=True)
        for name in names:
            (data / folder / name).write_bytes(f"{folder}/{name}".encode())
    images = [{"id": number, "file_name": name, "height": 480, "width": 640} for number, name in enumerate(names)]
    categories = [{"id": number, "name": name} for number, name in enumerate(COCO_CLASSES, start=1)]
    write_coco(data / SPLIT, {"images": images, "categories": categories}, simulate_objects(num_images))


def simulate_objects(num_images: int) -> Iterator[Json]:
    """Make annotations, as many per image and as long as COCO's."""
    generator = random.Random(0)
    for number in range(num_images * 860_001 // 118_287):
        polygon = [round(generator.uniform(0, 480), 2) for _ in range(2 * generator.randint(6, 40))]
        box = [round(generator.uniform(0, 240), 2) for _ in range(4)]
        image, category = generator.randrange(num_images), generator.randint(1, 80)
        shape = {"bbox": box, "area": box[2] * box[3], "segmentation": [polygon]}
        yield {"id": number, "image_id": image, "category_id": category, "iscrowd": 0, **shape}


def run_dvc(folder: Path, kind: str) -> dict[str, Cost]:
    """Let DVC record the data for the first time, then check it again."""
    shutil.rmtree(folder / ".dvc", ignore_errors=True)
    (folder / "data.dvc").unlink(missing_ok=True)
    run(folder, PYTHON, "-m", "dvc", "init", "--no-scm", "--quiet")
    run(folder, PYTHON, "-m", "dvc", "config", "cache.type", "reflink,hardlink,copy")
    return {f"dvc {verb}, {kind}": run(folder, PYTHON, "-m", "dvc", *verb.split()) for verb in ("add data", "status")}


def run(folder: Path, *command: str) -> Cost:
    """Run a command in a folder; return the seconds that it took, including its start, and its peak memory."""
    print(f"{' '.join(command[2:5])} ...", file=sys.stderr, flush=True)
    os.sync()  # otherwise the step would wait for earlier writes
    started = time.perf_counter()
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20


def make_table(costs: dict[int, dict[str, Cost]]) -> str:
    """Return the costs by step and size, and how each grew from the smallest size to the largest."""
    small, large = min(costs), max(costs)
    header = ["", *(f"{size} images" for size in costs), f"grows by ({large / small:.1f} in images)"]
    lines = [header, ["---"] * len(header)]
    for step in costs[small]:
        cells = [f"{costs[size][step][0]:.1f} s, {costs[size][step][1]:.2f} GiB" for size in costs]
        lines.append([step, *cells, f"{costs[large][step][0] / costs[small][step][0]:.1f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def open_samples() -> None:
    """Open the training set as a training does: annotations, photos, views."""
    # Not above: the peak memory of a process includes that of the process that starts it.
    from vclr.data.samples import TrainingSamples

    weights = "views.weights={natural: 1, depth: 1, style: 1}"
    print(len(TrainingSamples(load_config(None, ["data.root=data", weights]))))


def write_photo_manifest() -> None:
    """Write the manifest of the photos, and remove it."""
    folder = Path("data", PHOTOS)
    write_manifest(folder, folder.iterdir()).unlink()


if __name__ == "__main__":
    own = {"--open": open_samples, "--manifest": write_photo_manifest}
    if sys.argv[1:2] and sys.argv[1] in own:
        own[sys.argv[1]]()
    else:
        main(sys.argv[1:])
