"""How much memory a worker process needs to read all annotations of a large data set.

Simulates COCO's training set: 118,000 images, 860,000 objects with polygons. Needs 8 GB of memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

from vclr.coco.annotations import Json
from vclr.data.images import ImageList
from vclr.data.objects import Objects
from vclr.data.packed import PackedList

NUM_IMAGES, NUM_OBJECTS = 118_000, 860_000


def main(arguments: list[str]) -> None:
    """Print how much a worker's own memory grows, with lists of dictionaries and with packed lists."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    images = [
        {"id": number, "file_name": f"{number:012}.jpg", "height": 480, "width": 640} for number in range(NUM_IMAGES)
    ]
    objects = simulate_objects()
    print(f"{NUM_IMAGES} images, {NUM_OBJECTS} objects; the process has {own_megabytes():.0f} MB")
    report("dictionaries", lambda index: (images[index], Objects.from_annotations(objects[index])))
    started, spent = time.perf_counter(), time.process_time()
    image_list, packed = ImageList("", images), PackedList(map(Objects.from_annotations, objects))
    wall, processor = time.perf_counter() - started, time.process_time() - spent
    megabytes = (packed.num_bytes + image_list.file_names.num_bytes) / 1e6
    print(f"  packing takes {wall:.1f} s, {processor:.1f} s of processor, and {megabytes:.0f} MB")
    report("packed", lambda index: (image_list.file_names[index], packed[index]))


def simulate_objects() -> list[list[Json]]:
    """Make the annotations of each image, with about 23 points per polygon as in COCO."""
    generator = random.Random(0)
    objects: list[list[Json]] = [[] for _ in range(NUM_IMAGES)]
    for number in range(NUM_OBJECTS):
        polygon = [round(generator.uniform(0, 480), 2) for _ in range(2 * generator.randint(6, 40))]
        box = [round(generator.uniform(0, 240), 2) for _ in range(4)]
        item = {"id": number, "image_id": 0, "category_id": 1, "bbox": box, "iscrowd": 0, "segmentation": [polygon]}
        objects[generator.randrange(NUM_IMAGES)].append(item)
    return objects


def report(name: str, read: Callable[[int], Any]) -> None:
    """Fork a process that reads every image's annotations; print how much its own memory grew."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("fork").Process(target=iterate, args=(read, sender))
    worker.start()
    before, after = receiver.recv()
    worker.join()
    print(f"  {name:14} a worker's own memory: {before:6.0f} MB, after an epoch {after:6.0f} MB")


def iterate(read: Callable[[int], Any], sender: Any) -> None:
    """Read all annotations in a worker."""
    before = own_megabytes()
    for index in range(NUM_IMAGES):
        read(index)
    sender.send((before, own_megabytes()))


def own_megabytes() -> float:
    """Return the memory that this process does not share with another one."""
    return float(psutil.Process().memory_full_info().uss) / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
