"""The view `style`: photos in the style of paintings or of textures, by AdaIN (Huang & Belongie, 2017)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vclr.catalog.views import ADAIN, STYLE
from vclr.device import choose_device, choose_dtype, float32_precision
from vclr.errors import UsageError
from vclr.files import sha256
from vclr.image_folders.walk import hash_module
from vclr.views.adain import adain, channel_statistics
from vclr.views.computed import view_generator
from vclr.views.option_checks import OF_MODELS, refuse_unused
from vclr.views.pixels import to_image, to_tensor
from vclr.views.published_weights import load_published
from vclr.views.renderer import Rendered, RenderOptions
from vclr.views.style_decoder import build_decoder
from vclr.views.style_pictures import StylePictures
from vclr.views.vgg import build_encoder
from vclr.views.working_size import resize, working_size

MAX_SIZE = 512  # pixels of the longer side, of photos and of pictures of styles
ENCODER, DECODER = "vgg_normalised.pth", "decoder.pth"  # the published files
DTYPE = "float32"  # unless another is asked for


class StyleRenderer:
    """Gives each photo the style of a picture that its stem and the seed choose.

    Photos go through the networks one at a time, so a photo's view depends on no other photo.
    """

    batch_size = 1
    code = hash_module(sys.modules[__name__])

    def __init__(self, options: RenderOptions) -> None:
        self.device = choose_device(options.device, f"--device {options.device}")
        # In bfloat16, colors would lose their last bit.
        self.dtype = choose_dtype(DTYPE if options.dtype == "auto" else options.dtype, self.device)
        self.alpha = 1.0 if options.alpha is None else options.alpha
        self.max_size, self.seed = options.max_size or MAX_SIZE, options.seed
        self.pictures = StylePictures(options.styles)
        assert options.weights is not None
        self.encoder = self._load(build_encoder(), options.weights / ENCODER, "the encoder of AdaIN")
        self.decoder = self._load(build_decoder(), options.weights / DECODER, "the decoder of AdaIN")
        self.facts: dict[str, Any] = {
            "producer": ADAIN,
            "weights": {name: sha256(options.weights / name) for name in (ENCODER, DECODER)},
            "styles": self.pictures.facts,
            "alpha": self.alpha,
            "max_size": self.max_size,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def render(self, images: Sequence[np.ndarray], stems: Sequence[str]) -> list[Rendered]:
        """Render photos; the facts of each name the picture of its style.

        Raises:
            UserError: the picture of a style cannot be read.
        """
        return [self._render(image, stem) for image, stem in zip(images, stems, strict=True)]

    @torch.inference_mode()
    @float32_precision(tf32=False)
    def _render(self, image: np.ndarray, stem: str) -> Rendered:
        name, picture = self.pictures.draw(view_generator(STYLE, self.seed, stem))
        style = channel_statistics(self._encode(picture))
        styled = self.decoder(adain(self._encode(image), style, self.alpha))
        # The last cells of the features may reach beyond the photo.
        height, width = working_size(image.shape[:2], self.max_size)
        return Rendered(resize(to_image(styled[0, :, :height, :width]), image.shape[:2]), {"style": name})

    def _encode(self, image: np.ndarray) -> Tensor:
        seen = resize(image, working_size(image.shape[:2], self.max_size))
        features: Tensor = self.encoder(to_tensor(seen, self.device, self.dtype) / 255)
        return features

    def _load(self, network: torch.nn.Module, path: Path, what: str) -> torch.nn.Module:
        load_published(network, path, what, advice="; `vclr fetch weights/adain` brings it")
        return network.eval().to(self.device, self.dtype)


def open_renderer(options: RenderOptions) -> StyleRenderer:
    """Open the renderer of the view `style`.

    Raises:
        UsageError: there are no weights, or an option does not belong to this view or is out of its range.
        UserError: the weights or the pictures of styles cannot be read.
    """
    refuse_unused(options, STYLE, (*OF_MODELS, "weights", "styles", "alpha", "max_size"))
    if options.model not in ("", ADAIN):
        raise UsageError(f"--model {options.model}: the view {STYLE} is made by {ADAIN}")
    if options.weights is None:
        says = f"needs --weights FOLDER, with {ENCODER} and {DECODER}; `vclr fetch weights/adain` brings them"
        raise UsageError(f"--view {STYLE}: {says}")
    if options.weights.is_file():
        raise UsageError(f"--weights {options.weights}: is a file; name the folder of {ENCODER} and {DECODER}")
    if options.alpha is not None and not 0 <= options.alpha <= 1:
        raise UsageError(f"--alpha {options.alpha}: must be from 0, the photo, to 1, the style")
    return StyleRenderer(options)
