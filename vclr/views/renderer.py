"""What renders a view for `vclr.views.write`: a model, or arithmetic.

The view NAME of `vclr.catalog.views.PRODUCERS` is the function `open_renderer` of `vclr/views/NAME_model.py`:

    open_renderer(options) -> renderer

Views that are arithmetic alone are functions instead; see `vclr.views.computed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np


@dataclass(frozen=True)
class RenderOptions:
    """What a renderer is opened with. A renderer refuses an option that it would ignore.

    Attributes:
        model: a producer of the view, a model of the hub, or a folder with its files; "" is the view's default.
        revision: branch, tag or commit of a model of the hub; "" is its main branch.
        weights: file or folder of weights, for models that are not transformers'.
        styles: folder of style pictures.
        alpha: strength of a style, from 0 to 1.
        depth_kind: what a depth model's values are, one of `vclr.catalog.depth_models.DEPTH_KINDS`; "" as it is known.
        device: `auto`, `cpu`, `cuda` or `cuda:NUMBER`.
        dtype: `auto`, `float32` or `bfloat16`.
        max_size: pixels of the longer side to which larger photos are reduced for the model; 0 is the view's default.
        batch_size: photos per call of `Renderer.render`; 0 is the device's default (see `default_batch_size`).
        seed: of what is drawn at random, together with a photo's stem.
    """

    model: str = ""
    revision: str = ""
    weights: Path | None = None
    styles: Path | None = None
    alpha: float | None = None
    depth_kind: str = ""
    device: str = "auto"
    dtype: str = "auto"
    max_size: int = 0
    batch_size: int = 0
    seed: int = 0


class Rendered(NamedTuple):
    """A view of one photo.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, or (h, w) uint16; of the photo's size.
        facts: what the manifest says about this file, besides its size and hash.
        texts: what the PNG file says about itself (its tEXt chunks).
    """

    pixels: np.ndarray
    facts: Mapping[str, Any] = MappingProxyType({})
    texts: Mapping[str, str] = MappingProxyType({})


class Renderer(Protocol):
    """Renders one view.

    Attributes:
        facts: everything that the pixels depend on besides the photos, for the manifest: model, revision, license ...
        code: what `vclr.image_folders.walk.hash_module` returns for the module that renders.
        batch_size: how many photos are rendered at a time.
    """

    facts: dict[str, Any]
    code: str
    batch_size: int

    def render(self, images: Sequence[np.ndarray], stems: Sequence[str]) -> list[Rendered]:
        """Render photos, each (h, w, 3) uint8 RGB of any size, with the given file stems.

        Raises:
            UserError: a photo cannot be rendered.
        """


def default_batch_size(device_type: str) -> int:
    """Return the batch size for `cuda` or `cpu`. On a CPU, it is 1, so that shards give the bytes of one command."""
    return 8 if device_type == "cuda" else 1
