"""What object proposals find in photos with annotations: simple baselines, methods that need no weights, and merges.

`--data` names a folder with `images/` and `annotations.json` (COCO). `ranked` is what
`vclr proposals rank` does, fitted on one half of the photos and measured on the other, both ways.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.segmentation import felzenszwalb

from vclr.catalog.classes import CLASS_LISTS, resolve_groups
from vclr.coco.annotations import Json, box_polygon, load_coco
from vclr.evaluation.proposal_recall import measure_recall
from vclr.image_folders.open import open_folder
from vclr.image_folders.walk import Photos
from vclr.object_proposals.merge import Ranks, merge_proposals
from vclr.object_proposals.options import MethodOptions
from vclr.object_proposals.proposals_file import describe_mask, write_proposals_file
from vclr.object_proposals.rank import measure_proposals, train_model
from vclr.object_proposals.sources import KnownObjects, as_entry, open_source, plain_images
from vclr.object_proposals.write import write_proposals
from vclr.progress import track

COUNT = 100  # proposals per photo
SIDE = 320  # longer side, in pixels, of the plain segmentation
COLUMNS = (
    "all mask_ar",
    "all mask_recall",
    "all mask_precision",
    "novel mask_ar",
    "novel mask_recall",
    "all box_recall",
)
COUNTS = (10, 30, 100)

Find = Callable[[np.ndarray, str], list[Json]]


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and annotations.json")
    parser.add_argument("--known", default="voc", help=f"known classes, one of {', '.join(CLASS_LISTS)}")
    parser.add_argument(
        "--add", nargs="*", default=[], help="NAME=FILE of other proposals, or of graph's if it is made"
    )
    options = parser.parse_args(arguments)
    added = {name: Path(file) for name, _, file in (text.partition("=") for text in options.add)}
    with tempfile.TemporaryDirectory() as folder:
        files = measure(Path(folder), options.data, options.known, added)
        print(make_table(files, options.data, options.known))


def measure(folder: Path, data: Path, known: str, added: dict[str, Path]) -> dict[str, Path]:
    """Write the files of proposals, by the name of the row."""
    truth, images = data / "annotations.json", data / "images"
    simple = {"random boxes": random_boxes, "grid boxes": grid_boxes, "plain segmentation": regions}
    files = {name: write(folder / f"{name}.json", truth, images, find) for name, find in simple.items()}
    if "graph" not in added:
        options = MethodOptions(max_proposals=COUNT)
        files["graph"] = write_proposals("graph", images, folder / "graph.json", truth, options=options)
    files |= added
    merges = {
        "graph + plain segmentation": ("graph", "plain segmentation"),
        "graph + grid boxes": ("graph", "grid boxes"),
        "graph + plain segmentation + grid boxes": ("graph", "plain segmentation", "grid boxes"),
    }
    for name, sources in merges.items():
        files[name] = folder / f"{name}.json"
        merge_proposals([files[source] for source in sources], files[name], top_k=COUNT, max_iou=0.5, quiet=True)
    for name in ("graph", "graph + plain segmentation"):
        files |= dict(rank(folder, files[name], truth, images, known))
    return files


def random_boxes(image: np.ndarray, name: str) -> list[Json]:
    """Return boxes of random sizes and places, each size alike in its logarithm."""
    height, width = image.shape[:2]
    random = np.random.default_rng(zlib.crc32(name.encode()))
    sides = np.exp(random.uniform(np.log(1 / 32), 0, (COUNT, 2)))
    corners = random.uniform(0, 1, (COUNT, 2)) * (1 - sides)
    boxes = np.concatenate([corners, sides], axis=1) * (width, height, width, height)
    return [describe_box(box, 1 - number / COUNT) for number, box in enumerate(boxes.tolist())]


def grid_boxes(image: np.ndarray, name: str) -> list[Json]:
    """Return boxes that cover the photo on four scales with half of a side between neighbors, the largest first."""
    del name
    height, width = image.shape[:2]
    boxes = [
        (x * width / (2 * parts), y * height / (2 * parts), width / parts, height / parts)
        for parts in (1, 2, 3, 4)
        for y in range(2 * parts - 1)
        for x in range(2 * parts - 1)
    ]
    return [describe_box(box, 1 - number / COUNT) for number, box in enumerate(boxes[:COUNT])]


def describe_box(box: tuple[float, ...] | list[float], score: float) -> Json:
    """Return a box as a proposal whose mask it fills."""
    kept = [round(value, 2) for value in box]
    shape = {"bbox": kept, "area": kept[2] * kept[3], "segmentation": [box_polygon(kept)]}
    return {"category_id": 1, **shape, "score": round(score, 6), "iscrowd": 0}


def regions(image: np.ndarray, name: str) -> list[Json]:
    """Return the regions of one segmentation (Felzenszwalb and Huttenlocher, 2004), the largest first."""
    del name
    height, width = image.shape[:2]
    factor = min(1, SIDE / max(height, width))
    small = Image.fromarray(image).resize((round(width * factor), round(height * factor)), Image.Resampling.BOX)
    pieces = felzenszwalb(np.asarray(small), scale=100, sigma=0.8, min_size=30)
    labels = np.asarray(Image.fromarray(pieces.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST))
    areas = np.bincount(labels.ravel())
    best = np.argsort(-areas, kind="stable")[:COUNT]
    return [describe_mask(labels == label, areas[label] / labels.size) for label in best.tolist()]


def write(path: Path, truth: Path, images: Path, find: Find) -> Path:
    """Write what a function finds in each photo."""
    listed, photos = load_coco(truth)["images"], Photos(open_folder(images))

    def found() -> Iterator[Json]:
        for image in track(listed, path.stem, False):
            for entry in find(photos.open(image["file_name"]), image["file_name"]):
                yield {"image_id": image["id"], **entry}

    write_proposals_file(path, {"info": {"method": path.stem}, "images": listed}, found())
    return path


def rank(folder: Path, path: Path, truth: Path, images: Path, known: str) -> Iterator[tuple[str, Path]]:
    """Yield files in which each half of the photos is ranked by a model that was fitted on the other, and their names.

    One is fitted on the objects of all classes, the other on those of known ones.
    """
    annotated, photos = KnownObjects(truth), Photos(open_folder(images))
    names = set(resolve_groups({"known": known})["known"])
    known_ids = {one["id"] for one in load_coco(truth)["categories"] if one["name"] in names}
    listed = plain_images(annotated.images)
    for which in ("all", "known"):
        with open_source(path, listed, truth) as source:
            ranks, results = Ranks(source, len(listed)), []
            for image in track(listed, f"{path.stem}, {which}", False):
                objects = annotated.of_image(image["id"])
                chosen = [one for one in objects if which == "all" or one["category_id"] in known_ids]
                pixels = photos.open(image["file_name"])
                results.append(measure_proposals(image, pixels, source, ranks, chosen))
            models = [train_model(results[1 - half :: 2])[0] for half in (0, 1)]
            entries = []
            for number, (image, result) in enumerate(zip(listed, results, strict=True)):
                size = image["height"], image["width"]
                found = source.of_image(image["id"])
                scores = models[number % 2].score(np.array(result["features"])) if found else []
                entries += [as_entry(one, size, float(score)) for one, score in zip(found, scores, strict=True)]
        output = folder / f"{path.stem} ranked by {which}.json"
        write_proposals_file(output, {"info": {}, "images": listed}, entries)
        yield f"{path.stem}, ranked by objects of {which} classes", output


def make_table(files: dict[str, Path], data: Path, known: str) -> str:
    """Return a table in Markdown."""
    lines = [f"| percent | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, path in files.items():
        groups = measure_recall(path, data / "annotations.json", known).groups
        cells = [" / ".join(_show(groups, column, count) for count in COUNTS) for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _show(groups: dict[str, dict[str, float | None]], column: str, count: int) -> str:
    group, name = column.split()
    value = groups[group][f"{name}@{count}"]
    return "-" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])
