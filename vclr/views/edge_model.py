"""The view `edge` by a learned detector (Xie & Tu, 2015); without its weights, `edge.py` computes the view."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vclr.catalog.views import EDGE, HED
from vclr.device import choose_device, choose_dtype, float32_precision
from vclr.errors import UsageError
from vclr.files import sha256
from vclr.image_folders.walk import hash_module
from vclr.views.hed import STRIDE, EdgeDetector, rename_published
from vclr.views.option_checks import OF_MODELS, refuse_unused
from vclr.views.pixels import to_image, to_tensor
from vclr.views.published_weights import load_published
from vclr.views.renderer import Rendered, RenderOptions
from vclr.views.working_size import resize, working_size

MAX_SIZE = 1024  # pixels of the longer side; the detector was trained on photos of 480x320
DTYPE = "float32"  # unless another is asked for


class EdgeRenderer:
    """Draws the edges that the detector finds, white on black, one photo at a time."""

    batch_size = 1
    code = hash_module(sys.modules[__name__])

    def __init__(self, options: RenderOptions) -> None:
        assert options.weights is not None
        self.device = choose_device(options.device, f"--device {options.device}")
        self.dtype = choose_dtype(DTYPE if options.dtype == "auto" else options.dtype, self.device)
        self.max_size = options.max_size or MAX_SIZE
        self.detector = EdgeDetector()
        load_published(self.detector, options.weights, "the edge detector HED", rename_published)
        self.detector.eval().to(self.device, self.dtype)
        self.facts: dict[str, Any] = {
            "producer": HED,
            "weights": {options.weights.name: sha256(options.weights)},
            "max_size": self.max_size,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def render(self, images: Sequence[np.ndarray], stems: Sequence[str]) -> list[Rendered]:
        """Render photos; their stems do not matter."""
        return [self._render(image) for image in images]

    @torch.inference_mode()
    @float32_precision(tf32=False)
    def _render(self, image: np.ndarray) -> Rendered:
        seen = resize(image, working_size(image.shape[:2], self.max_size))
        height, width = seen.shape[:2]
        # At other sizes, the stages would round, and their votes would lie beside the edges.
        padded = np.pad(seen, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)), mode="edge")
        edges = self.detector(to_tensor(padded, self.device, self.dtype))
        return Rendered(resize(to_image(edges[0, :, :height, :width]), image.shape[:2]))


def open_renderer(options: RenderOptions) -> EdgeRenderer:
    """Open the learned renderer of the view `edge`.

    Raises:
        UsageError: there are no weights, or an option does not belong to this view.
        UserError: the weights cannot be read.
    """
    refuse_unused(options, EDGE, (*OF_MODELS, "weights", "max_size"))
    if options.model not in ("", HED):
        raise UsageError(f"--model {options.model}: the view {EDGE} is computed, or made by {HED}")
    if options.weights is None:
        raise UsageError(f"--model {HED}: needs --weights FILE, its published weights")
    return EdgeRenderer(options)
