"""An exported file, ready to find objects in photos."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vclr.catalog.exports import INSIDE
from vclr.config import TestMapperConfig
from vclr.data.samples import make_test_sample
from vclr.errors import UserError
from vclr.export import onnx_file, torch_file
from vclr.export.about import About
from vclr.models.postprocess import paint_masks, postprocess
from vclr.structures import MaskForm, Outputs, Predictions, Size


class Exported:
    """An exported detector.

    Attributes:
        about: what the file says about itself.
    """

    def __init__(self, path: Path, about: About, num_threads: int = 0) -> None:
        """Load a file that is described by `about`."""
        self.about = about
        is_onnx = about.format == "onnx"
        self._model: Any = onnx_file.OnnxModel(path, num_threads) if is_onnx else torch_file.TorchModel(path, about)

    def predict(self, photo: np.ndarray) -> Predictions:
        """Find the objects in a photo (h, w, 3) uint8 RGB, with painted masks."""
        pixels = self.resize(photo)[None].repeat(self.about.batch or 1, 0)
        return self.interpret(self.run(pixels), [(photo.shape[0], photo.shape[1])])[0]

    def resize(self, photo: np.ndarray) -> np.ndarray:
        """Return a photo (h, w, 3) as (3, h', w') uint8: as in evaluation, or stretched to the fixed size."""
        image = Image.fromarray(photo)
        if self.about.size is not None:
            return stretch(photo, self.about.size)
        mapper = TestMapperConfig(short_edge_length=self.about.short_edge, max_size=self.about.max_size)
        return make_test_sample(image, mapper).image.numpy()

    def run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of the graph, by name, for images (b, 3, h, w) uint8 RGB of one size."""
        if self.about.processing == INSIDE:
            return self._model.run(np.ascontiguousarray(pixels))  # type: ignore[no-any-return]
        return self._model.run(normalize(pixels, self.about))  # type: ignore[no-any-return]

    def interpret(self, outputs: dict[str, np.ndarray], original_sizes: list[Size]) -> list[Predictions]:
        """Return the objects of the first images of a batch, whose sizes are given, with painted masks."""
        found = {name: torch.from_numpy(output[: len(original_sizes)]) for name, output in outputs.items()}
        if self.about.processing == INSIDE:
            names = ("scores", "boxes", "kept", "mask_logits")
            by_image = zip(*(found[name] for name in names), original_sizes, strict=True)
            return [_interpret(*of_image) for of_image in by_image]
        raw = Outputs(
            found["pred_logits"], found["pred_boxes"], torch.empty(0), found["mask_embeds"], found["mask_features"]
        )
        return postprocess(raw, original_sizes, self.about.max_detections, self.about.nms_threshold, MaskForm.PAINTED)


def _interpret(
    scores: torch.Tensor, boxes: torch.Tensor, kept: torch.Tensor, mask_logits: torch.Tensor, size: Size
) -> Predictions:
    height, width = size
    scale = torch.tensor([width, height, width, height])
    masks = paint_masks(mask_logits[kept], size)
    return Predictions((boxes[kept] * scale).numpy(), scores[kept].numpy(), masks.numpy())


def normalize(pixels: np.ndarray, about: About) -> np.ndarray:
    """Return pixels (b, 3, h, w) of 0-255 as float32, minus the mean, divided by the deviation."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (about.mean, about.std))
    return (pixels.astype(np.float32) - mean) / std


def stretch(photo: np.ndarray, size: Size) -> np.ndarray:
    """Resize a photo (h, w, 3) to (3, *size) uint8, without keeping its proportions."""
    resized = Image.fromarray(photo).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def open_exported(path: Path, num_threads: int = 0) -> Exported:
    """Open a file that `vclr export` wrote; onnxruntime gets so many threads (default: its choice).

    Raises:
        UserError: as `read_about`.
        UsageError: onnxruntime is not installed.
    """
    return Exported(path, read_about(path), num_threads)


def read_about(path: Path) -> About:
    """Return what a file says about itself.

    Raises:
        UserError: the file is missing or damaged, or something else wrote it.
        UsageError: onnx is not installed.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; `vclr export` writes one")
    is_archive = zipfile.is_zipfile(path)
    try:
        about = torch_file.read_about(path) if is_archive else onnx_file.read_about(path)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    except Exception as error:  # protobuf's errors have no common type
        if type(error).__name__ != "DecodeError":
            raise
        raise UserError(f"{path}: is not an ONNX file; write one with `vclr export`") from None
    if about is None:
        raise UserError(f"{path}: was not written by `vclr export`, so its processing is not known")
    return about
