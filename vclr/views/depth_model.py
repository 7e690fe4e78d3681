"""The view `depth`: inverse depth that a pretrained model estimates, in 16 bits with near large.

The values of a photo between two percentiles are spread over 0 to 65535. The manifest and the file say which values
these are, so that `LOW + level / 65535 * (HIGH - LOW)` recovers what the model estimated, but for what lay outside.
Readers get colors, near bright (see `vclr.pictures`).
"""

from __future__ import annotations

import logging
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from vclr.catalog.depth_models import DEPTH_KINDS, DEPTH_MODELS, INVERSE, KINDS_OF_TYPES, METRIC, STATED_KINDS
from vclr.catalog.views import DEPTH, PRODUCERS
from vclr.depth_colors import NEAREST
from vclr.device import choose_device, choose_dtype
from vclr.errors import UsageError, UserError, first_line, is_out_of_memory
from vclr.image_folders.walk import hash_module
from vclr.pictures import INVERSE_DEPTH
from vclr.pretrained import Pretrained, load_pretrained
from vclr.views.option_checks import OF_MODELS, refuse_unused
from vclr.views.renderer import Rendered, RenderOptions, default_batch_size

log = logging.getLogger("vclr.views")

WINDOW = (2.0, 98.0)  # percentiles of a photo's inverse depth that become 0 and 65535
CLOSEST = 1e-6  # meters; nothing is closer, so that 1 / distance stays finite

# A larger photo is shrunk before the processor sees it, whose padding and floats would take gigabytes. No model's input
# is larger.
LONGEST_SIDE = 1536
SHORTEST_SIDE = 32
# A processor that keeps proportions would make the input of a panorama many times as large as that of a photo.
MOST_PROPORTION = 4
STRIP = 1024  # rows that are enlarged at a time
# Parts of models that compute in float32 whatever the dtype: bfloat16 would leave 8 bits of the depth that they return.
HEADS = ("head", "relative_head", "metric_head")


class Region(NamedTuple):
    """The part of a model's input that shows the photo, as fractions of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


WHOLE_INPUT = Region(0.0, 0.0, 1.0, 1.0)


def open_renderer(options: RenderOptions) -> DepthRenderer:
    """Load the model (see `vclr.views.renderer`).

    Raises:
        UsageError: transformers is missing, an option does not apply, or nobody knows what the model's values mean.
        UserError: the model cannot be loaded.
    """
    refuse_unused(options, DEPTH, (*OF_MODELS, "revision", "depth_kind", "batch_size"))
    if options.depth_kind and options.depth_kind not in DEPTH_KINDS:
        raise UsageError(f"--depth-kind {options.depth_kind}: must be {' or '.join(DEPTH_KINDS)}")
    device = choose_device(options.device, f"--device {options.device}")
    name = options.model or next(iter(PRODUCERS[DEPTH]))
    source = name if Path(name).is_dir() else DEPTH_MODELS.get(name, name)
    loaded = load_pretrained("depth", source, options.revision, device, choose_dtype(options.dtype, device))
    known = _known_kind(loaded.model.config)
    kind = options.depth_kind or known
    if known and kind != known:
        log.warning("%s: is known to give %s depth, but --depth-kind says %s, which counts", source, known, kind)
    if not kind:
        says = "; ".join(f"{name}: {meaning}" for name, meaning in DEPTH_KINDS.items())
        raise UsageError(f"{source}: is not known to give inverse depth or distance; say --depth-kind KIND ({says})")
    return DepthRenderer(loaded, kind, options.batch_size or default_batch_size(device.type))


def _known_kind(config: Any) -> str:
    """Return what a model's values are, as its configuration or else its type says; "" if neither does."""
    if stated := STATED_KINDS.get(getattr(config, "depth_estimation_type", "")):
        return stated
    backbone = getattr(getattr(config, "backbone_config", None), "model_type", "")
    return KINDS_OF_TYPES.get(f"{config.model_type}/{backbone}") or KINDS_OF_TYPES.get(config.model_type, "")


class DepthRenderer:
    """Renders depth with a model (see `vclr.views.renderer.Renderer`)."""

    code = hash_module(sys.modules[__name__])

    def __init__(self, loaded: Pretrained, kind: str, batch_size: int) -> None:
        self.model, self.processor, self.kind, self.batch_size = loaded.model, loaded.processor, kind, batch_size
        self.input_type = self.model.dtype
        for name in HEADS:
            if (part := getattr(self.model, name, None)) is not None and self.input_type != torch.float32:
                part.float().register_forward_pre_hook(_to_float32, with_kwargs=True)
        self.facts: dict[str, Any] = {**loaded.facts, "depth_kind": kind, "window": list(WINDOW)}
        self._region = lru_cache(maxsize=1024)(self._find_region)

    def render(self, images: Sequence[np.ndarray], stems: Sequence[str]) -> list[Rendered]:
        """Render photos."""
        working = [shrink(image) for image in images]
        try:
            depths = self.estimate(working)
        except (RuntimeError, ValueError) as error:
            if is_out_of_memory(error) or "CUDA error" in str(error):  # which fails all later photos too
                raise
            raise UserError(f"{stems[0]}: the model cannot process this photo: {first_line(error)}") from None
        return [
            store(self._as_inverse(depth, stem), self._region(small.size), (image.shape[0], image.shape[1]))
            for depth, stem, small, image in zip(depths, stems, working, images, strict=True)
        ]

    @torch.inference_mode()
    def estimate(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """Return the model's map of each image, (h, w) float32, of its own size. Inputs of one size are one batch."""
        batches: dict[tuple[int, ...], list[tuple[int, Tensor]]] = defaultdict(list)
        for place, image in enumerate(images):
            pixels = self._process(image)
            batches[tuple(pixels.shape)].append((place, pixels))
        maps: dict[int, np.ndarray] = {}
        for batch in batches.values():
            stacked = torch.cat([pixels for _, pixels in batch]).to(self.model.device, self.input_type)
            depths = self.model(pixel_values=stacked).predicted_depth.float().cpu().numpy()
            for (place, _), depth in zip(batch, depths, strict=True):
                maps[place] = depth.reshape(depth.shape[-2:])
        return [maps[place] for place in range(len(images))]

    def _process(self, image: Image.Image, **settings: Any) -> Tensor:
        """Return the model's input, (1, 3, h, w) float32."""
        pixels: Tensor = self.processor(images=np.asarray(image), return_tensors="pt", **settings)["pixel_values"]
        return pixels

    def _as_inverse(self, depth: np.ndarray, stem: str) -> np.ndarray:
        if not np.isfinite(depth).all():
            raise UserError(f"{stem}: the model's depth is not finite")
        return to_inverse(depth, self.kind)

    def _find_region(self, size: tuple[int, int]) -> Region:
        """Return the part of the input that shows an image of (width, height): processors may pad it."""
        if not getattr(self.processor, "do_pad", False):
            return WHOLE_INPUT
        if type(self.processor).__name__.startswith("ZoeDepth"):  # pads before it resizes
            shares = [_padding_of_zoedepth(side) / (side + 2 * _padding_of_zoedepth(side)) for side in size]
            return Region(shares[0], shares[1], 1 - shares[0], 1 - shares[1])
        blank = Image.new("RGB", size)
        padded, bare = self._process(blank).shape[-2:], self._process(blank, do_pad=False).shape[-2:]
        top, left = ((outer - inner) // 2 for outer, inner in zip(padded, bare, strict=True))
        height, width = padded
        return Region(left / width, top / height, (left + bare[1]) / width, (top + bare[0]) / height)


def _to_float32(module: nn.Module, inputs: Any, named: Any) -> tuple[Any, Any]:
    """Give a module its inputs, which may be nested, in float32 (a forward pre-hook of torch)."""

    def cast(value: Any) -> Any:
        return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value

    return tree_map(cast, inputs), tree_map(cast, named)


def _padding_of_zoedepth(side: int) -> int:
    """Return how many pixels ZoeDepth's processor adds on either end of a side."""
    return int(math.sqrt(side / 2) * 3)


def shrink(image: np.ndarray) -> Image.Image:
    """Return a photo as a picture whose size and proportions a processor can take; most photos are unchanged."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    sides = [max(SHORTEST_SIDE, round(side * scale)) for side in (width, height)]
    size = (max(sides[0], sides[1] // MOST_PROPORTION), max(sides[1], sides[0] // MOST_PROPORTION))
    picture = Image.fromarray(image)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def to_inverse(depth: np.ndarray, kind: str) -> np.ndarray:
    """Return inverse depth, near large, from a map of one of `DEPTH_KINDS`."""
    assert kind in (INVERSE, METRIC)
    return depth if kind == INVERSE else 1 / np.maximum(depth, np.float32(CLOSEST))


def store(inverse: np.ndarray, region: Region, size: tuple[int, int]) -> Rendered:
    """Return the inverse depth of a photo in 16 bits.

    Args:
        inverse: (h, w) float32, near large.
        region: the part of it that shows the photo.
        size: the photo's (height, width).
    """
    low, high = find_window(_crop(inverse, region))
    height, width = size
    levels = np.empty(size, np.uint16)
    for top in range(0, height, STRIP):
        bottom = min(height, top + STRIP)
        levels[top:bottom] = _quantize(_enlarge(inverse, region, size, top, bottom), low, high)
    return Rendered(levels, {"inverse_depth": [low, high]}, {INVERSE_DEPTH: f"{low!r} {high!r}"})


def find_window(inverse: np.ndarray) -> tuple[float, float]:
    """Return the values that become 0 and 65535; they are equal only if the whole map is constant."""
    low, high = (float(value) for value in np.percentile(inverse, WINDOW))
    return (low, high) if high > low else (float(inverse.min()), float(inverse.max()))


def restore(levels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the inverse depth, float64, that 16-bit levels stand for."""
    return low + levels / NEAREST * (high - low)


def _quantize(inverse: np.ndarray, low: float, high: float) -> np.ndarray:
    if high <= low:
        return np.zeros(inverse.shape, np.uint16)
    share = (inverse.astype(np.float64) - low) / (high - low)
    return (np.clip(share, 0, 1) * NEAREST + 0.5).astype(np.uint16)


def _crop(inverse: np.ndarray, region: Region) -> np.ndarray:
    """Return the values of a region, with those that it shares with its margin."""
    height, width = inverse.shape
    rows = slice(math.floor(region.top * height), math.ceil(region.bottom * height))
    return inverse[rows, math.floor(region.left * width) : math.ceil(region.right * width)]


def _enlarge(inverse: np.ndarray, region: Region, size: tuple[int, int], top: int, bottom: int) -> np.ndarray:
    """Return rows `top` to `bottom` of a region resized to `size`, between pixels linearly."""
    (map_height, map_width), (height, width) = inverse.shape, size
    edges = [(region.top + (region.bottom - region.top) * row / height) * map_height for row in (top, bottom)]
    box = (region.left * map_width, edges[0], min(region.right * map_width, map_width), min(edges[1], map_height))
    resized = Image.fromarray(inverse).resize((width, bottom - top), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized)
