"""The options of `vclr bench`: which benchmark has which, their defaults, and their limits."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vclr.config.train import MAX_THREADS
from vclr.device import DEVICES, no_cuda
from vclr.errors import UsageError, UserError, nearest
from vclr.host_memory import available_bytes
from vclr.ops.deformable_attention import BACKENDS
from vclr.structures import Size

GIB = 2**30
DTYPES = ("float32", "bfloat16", "float16")
SMALLEST_SIDE, LARGEST_SIDE = 32, 16384
BYTES_PER_PIXEL = 15  # a lower bound: a photo in uint8 and in float32
LIMITS = {
    "queries": (1, 100_000),
    "objects": (0, 10_000),
    "batch": (1, 65_536),
    "runs": (1, 1_000_000),
    "threads": (0, MAX_THREADS),
    "micro_batch": (0, sys.maxsize),
    "workers": (0, 1024),
}


@dataclass(frozen=True)
class Settings:
    """All options; a benchmark uses some.

    Attributes:
        sizes: (height, width) of the images; several are taken in turn.
        queries: number of queries of the detector.
        objects: number of objects per image.
        batch: number of images at once.
        dtype: float32, or the precision of autocast.
        device: cpu, cuda, or auto: CUDA if available.
        runs: number of timed runs.
        threads: number of torch's threads; 0: torch's choice.
        checkpoint: compute the activations of encoder and decoder again for the gradient instead of keeping them.
        micro_batch: number of images that go through the model at once (`train.micro_batch_size`); 0: all.
        backend: the backend of deformable attention; empty: the device's default.
        workers: number of processes that make batches.
        calibrate: measure afterwards how fast the machine computes two fixed products.
        config_file: another architecture, or the loader's data (default: the published settings).
        overrides: `key=value` settings.
    """

    sizes: tuple[Size, ...] = ((480, 640),)
    queries: int = 900
    objects: int = 10
    batch: int = 1
    dtype: str = "float32"
    device: str = "auto"
    runs: int = 5
    threads: int = 0
    checkpoint: bool = False
    micro_batch: int = 0
    backend: str = ""
    workers: int = 2
    calibrate: bool = True
    config_file: Path | None = None
    overrides: tuple[str, ...] = ()

    @property
    def image_sizes(self) -> list[Size]:
        """The size of each image of the batch."""
        return [self.sizes[number % len(self.sizes)] for number in range(self.batch)]


DEFAULTS = {
    "step": Settings(sizes=((384, 512),), queries=300),
    "inference": Settings(),
    "attention": Settings(),
    "loader": Settings(device="cpu"),
}
OF_ALL = ("runs", "threads", "calibrate")
OF_MODEL = (*OF_ALL, "size", "queries", "batch", "dtype", "device", "config_file", "overrides")
USED = {
    "step": (*OF_MODEL, "objects", "checkpoint", "micro_batch"),
    "inference": OF_MODEL,
    "attention": (*OF_ALL, "size", "batch", "dtype", "device", "backend"),
    "loader": (*OF_ALL, "workers", "config_file", "overrides"),
}
# Settings that an option sets.
SAID_BY = {
    "model.num_queries": "queries",
    "dataloader.train.total_batch_size": "batch",
    "dataloader.train.num_workers": "workers",
    "train.micro_batch_size": "micro_batch",
    "train.amp.enabled": "dtype",
    "train.amp.dtype": "dtype",
    "train.device": "device",
    "train.num_threads": "threads",
    "evaluation.dtype": "dtype",
}


def choose_settings(name: str, given: Mapping[str, Any]) -> Settings:
    """Complete the given options with the benchmark's defaults.

    Args:
        name: the name of the benchmark.
        given: options by name; `size` as text, HEIGHTxWIDTH, or several with commas between.

    Raises:
        UsageError: there is no such benchmark, it lacks an option, or an option has an invalid value; one line.
    """
    if name not in DEFAULTS:
        raise UsageError(
            f"unknown benchmark {name!r}; there are: {', '.join(DEFAULTS)}; nearest: {nearest(name, USED)}"
        )
    used = {key: value for key, value in given.items() if key in USED[name]}
    for key in given:
        if key not in used:
            users = [f"`vclr bench {other}`" for other in USED if key in USED[other]]
            raise UsageError(f"{_option(key)}: belongs to {' and '.join(users)}, not to `vclr bench {name}`")
    if "size" in used:
        used["sizes"] = tuple(read_size(text) for text in used.pop("size").split(","))
    for override in used.get("overrides", ()):
        option = SAID_BY.get(override.partition("=")[0])
        if option in USED[name]:
            raise UsageError(f"{override}: vclr bench {name} takes this from {_option(option)}")
    settings = replace(DEFAULTS[name], **used)
    check_settings(settings)
    if "batch" in USED[name]:
        check_memory(settings)
    if name == "attention" and len(settings.sizes) > 1:
        raise UsageError(f"--size {given['size']}: vclr bench attention takes one size")
    if len(settings.sizes) > settings.batch:
        raise UsageError(
            f"--size {given['size']}: more sizes than images; --batch {len(settings.sizes)} covers all of them"
        )
    return settings


def read_size(text: str) -> Size:
    """Read a size that is written as HEIGHTxWIDTH."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match:
        raise UsageError(f"--size {text}: expected HEIGHTxWIDTH in pixels, as in 384x512, or several: 384x512,512x384")
    size = int(match[1]), int(match[2])
    if not SMALLEST_SIDE <= min(size) <= max(size) <= LARGEST_SIDE:
        raise UsageError(f"--size {text}: each side must be from {SMALLEST_SIDE} to {LARGEST_SIDE}")
    return size


def check_settings(settings: Settings) -> None:
    """Refuse invalid values, and a device that does not exist."""
    for key, (least, most) in LIMITS.items():
        if not least <= (value := getattr(settings, key)) <= most:
            limit = f"at least {least}" if value < least else f"at most {most}"
            raise UsageError(f"{_option(key)} {value}: must be {limit}")
    for key, allowed in (("dtype", DTYPES), ("backend", ("", *BACKENDS))):
        if getattr(settings, key) not in allowed:
            names = ", ".join(filter(None, allowed))
            raise UsageError(f"{_option(key)} {getattr(settings, key)}: must be one of {names}")
    if not re.fullmatch(DEVICES, settings.device):
        raise UsageError(f"--device {settings.device}: must be one of auto, cpu, cuda")
    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"--device {settings.device}: {no_cuda()}")


def check_memory(settings: Settings) -> None:
    """Refuse a batch that cannot fit in memory: the system would kill the process silently."""
    needed = BYTES_PER_PIXEL * sum(height * width for height, width in settings.image_sizes)
    free = available_bytes()
    if needed > free:
        raise UserError(
            f"--batch {settings.batch}: needs more than {needed / GIB:.0f} GiB of memory, and {free / GIB:.0f} GiB "
            "are free; choose a smaller --batch or --size"
        )


def _option(key: str) -> str:
    """Return an option as it is typed."""
    special = {"calibrate": "--no-calibration", "overrides": "key=value"}
    return special.get(key, f"--{key.replace('_', '-')}")
