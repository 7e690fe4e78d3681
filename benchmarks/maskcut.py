"""MaskCut with a ViT-S/8 of random weights: photos per second, and our cuts against dense ones of the same features.

Reads the photos of `$VCLR_SHARED/data/tiny_coco` if there are any, otherwise toy scenes. `--photos` is the number of
photos, `--cuts` the number of cuts per photo (the published number is 3), `--runs` the number of timed runs. The dense
variant (`dense_maskcut.py`) takes about ten seconds per cut; `--no-dense` leaves it out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.dense_maskcut import cut_densely
from benchmarks.table import Row
from benchmarks.timing import print_table
from vclr.device import reuse_memory
from vclr.generate.toy import render_scene
from vclr.object_proposals.affinity import find_affine
from vclr.object_proposals.maskcut import MaskCut
from vclr.object_proposals.patch_keys import PatchKeys
from vclr.object_proposals.repeated_cut import MIN_FRACTION, cut_repeatedly

DTYPES = (torch.bfloat16, torch.float32)


def main(arguments: list[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--photos", type=int, default=4)
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="number of torch's threads (default: torch's choice)")
    parser.add_argument("--no-dense", dest="dense", action="store_false")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    reuse_memory()
    images = find_images(options.photos)
    keys = {dtype: PatchKeys(make_vit_s8().to(dtype), None, "ViT-S/8", batch_size=1) for dtype in DTYPES}
    compare_methods(keys, images, options.runs, options.cuts)
    if options.dense:
        compare_cuts(keys[DTYPES[0]], images, options.cuts)


def find_images(count: int) -> list[np.ndarray]:
    """Return photos of tiny_coco, or toy scenes."""
    folder = Path(os.environ.get("VCLR_SHARED", "")) / "data" / "tiny_coco" / "images"
    if not folder.is_dir():
        return [render_scene(0, index, "val", 480).natural for index in range(count)]
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())[:count]]


def make_vit_s8() -> torch.nn.Module:
    """Return the architecture of `facebook/dino-vits8`."""
    try:
        from transformers import ViTConfig, ViTModel
    except ImportError:
        sys.exit("benchmarks.maskcut: needs transformers; pip install 'vclr[models]'")
    torch.manual_seed(0)
    size = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536}
    return ViTModel(ViTConfig(**size, image_size=224, patch_size=8), add_pooling_layer=False).eval()


def compare_methods(keys: dict[torch.dtype, PatchKeys], images: Sequence[np.ndarray], runs: int, cuts: int) -> None:
    """Time the whole method in each precision, in turns; print the seconds per photo, and those of the processor.

    The latter hardly depend on what else the machine does.
    """
    methods = {dtype: MaskCut(of_photos, of_photos.grid, rounds=cuts) for dtype, of_photos in keys.items()}
    seconds: dict[torch.dtype, list[float]] = {dtype: [] for dtype in keys}
    costs: dict[torch.dtype, list[float]] = {dtype: [] for dtype in keys}
    for run in range(runs + 1):
        for dtype, method in methods.items():
            started, before = time.perf_counter(), time.process_time()
            for image in images if run else images[:1]:
                method.propose([image], [""])
            if run:  # the first was the warm-up
                seconds[dtype].append((time.perf_counter() - started) / len(images))
                costs[dtype].append((time.process_time() - before) / len(images))
    load = f"{cuts} cuts; load of the machine {os.getloadavg()[0]:.1f}"
    for title, measured in (("seconds", seconds), ("processor seconds", costs)):
        rows = [Row(str(dtype).removeprefix("torch."), times) for dtype, times in measured.items()]
        print_table(f"MaskCut, {title} per photo of {len(images)} ({load})", rows)


def compare_cuts(keys: PatchKeys, images: Sequence[np.ndarray], cuts: int) -> None:
    """Time the cuts of each photo, ours and dense ones; print the seconds per photo and the IoU of their masks."""
    seconds: dict[str, list[float]] = {"dense": [], "iterative": []}
    ious = []
    for image in images:
        features = keys([image])
        started = time.perf_counter()
        ((masks, _),) = cut_repeatedly(find_affine(features), keys.grid, cuts)
        between = time.perf_counter()
        objects = cut_densely(features[0].double().numpy(), keys.grid[0], cuts)
        seconds["dense"].append(time.perf_counter() - between)
        seconds["iterative"].append(between - started)
        ious += [best_iou(found, masks) for found in objects if found.mean() >= MIN_FRACTION]
    print_table(f"{cuts} cuts, seconds per photo", [Row(name, measured) for name, measured in seconds.items()])
    print(f"\nIoU of the iterative masks with the {len(ious)} dense ones: median {statistics.median(ious):.4f}, "
          f"lowest {min(ious):.4f}, {np.mean(np.array(ious) >= 0.99):.0%} at 0.99 or more")  # fmt: skip


def best_iou(found: np.ndarray, masks: np.ndarray) -> float:
    """Return the highest IoU of an (h, w) object with (m, h, w) masks."""
    shared, joined = (masks & found).sum(axis=(1, 2)), (masks | found).sum(axis=(1, 2))
    return float((shared / joined).max(initial=0))


if __name__ == "__main__":
    main(sys.argv[1:])
