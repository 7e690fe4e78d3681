"""A model of detectron2 or detrex in the place of the detector: built from its configuration, and called as its own.

detectron2 is imported only here and in `vclr.models.detectron2_config`, and only for a configuration that names one of
its models.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vclr.coco.annotations import encode_mask
from vclr.config import Config
from vclr.detectron2_package import require_detectron2
from vclr.errors import UserError, first_line
from vclr.models.checkpoint import MARK
from vclr.models.detector import Detector
from vclr.models.detectron2_config import (
    dump_model_config,
    image_format,
    is_lazy,
    read_model_config,
    restore_model_config,
)
from vclr.models.weights import LEAST_SHARE
from vclr.ops.nms import nms
from vclr.structures import MaskForm, Predictions, Size

log = logging.getLogger("vclr")

LOUD = ("detectron2", "fvcore")  # the loggers of its checkpoint reader, which says more than one line


class Detectron2Detector(Detector):
    """A network of detectron2 that is called, and evaluated, as the detector is.

    It has of a `Detector` what inference uses: `normalize`, a call, `config` and `pixel_mean`. It has no queries.

    Attributes:
        network: the model; takes a list of dictionaries, and returns one.
        content: its configuration.
        name: what `detectron2.config` calls it.
        is_bgr: whether it takes images with blue first.
    """

    def __init__(self, config: Config, content: Any) -> None:
        """Build the untrained model of `read_model_config`; its weights depend on `train.seed` alone."""
        nn.Module.__init__(self)  # not the parts of a detector
        self.config = config.model
        self.content = content
        self.network = _build(config, content)
        self.is_bgr = image_format(content, self.network) == "BGR"
        self.name = config.detectron2.config

    @property
    def pixel_mean(self) -> Tensor:  # type: ignore[override]
        """A tensor on the model's device."""
        return next(self.network.parameters())

    def normalize(self, images: Tensor, image_sizes: list[Size]) -> Tensor:
        """Return the images as they are, because the network normalizes them itself."""
        return images

    def forward(self, images: Tensor, image_sizes: list[Size], with_masks: bool = True) -> Detectron2Outputs:  # type: ignore[override]
        """Take images (b, 3, h, w) uint8 RGB; they are searched when the photos' sizes are known.

        The network paints masks at the size of the photo by itself.
        """
        return Detectron2Outputs(self, images, image_sizes)

    def to_inputs(self, images: Tensor, image_sizes: list[Size]) -> list[dict[str, Any]]:
        """Return images (b, 3, h, w) uint8 RGB as the network takes them: no padding, its order of channels."""
        ordered = images.flip(1) if self.is_bgr else images
        return [
            {"image": image[:, :height, :width]} for image, (height, width) in zip(ordered, image_sizes, strict=True)
        ]


@dataclass
class Detectron2Outputs:
    """A batch for a network of detectron2, and what becomes of it.

    Attributes:
        detector: searches the images.
        images: (b, 3, h, w) uint8 RGB.
        image_sizes: (height, width) of each image without padding.
        is_mirrored: the images are mirror images, and what is found in them is mirrored back.
    """

    detector: Detectron2Detector
    images: Tensor
    image_sizes: list[Size]
    is_mirrored: bool = False

    @torch.no_grad()
    def search(
        self, original_sizes: list[Size], max_detections: int, nms_threshold: float, form: MaskForm
    ) -> list[Predictions]:
        """Find the objects; see `vclr.models.postprocess`. Boxes of all classes are suppressed together."""
        inputs = self.detector.to_inputs(self.images, self.image_sizes)
        for entry, (height, width) in zip(inputs, original_sizes, strict=True):
            entry |= {"height": height, "width": width}
        network = self.detector.network
        was_training = network.training
        network.eval()
        found = [one["instances"] for one in network(inputs)]
        network.train(was_training)
        return [
            self._take(instances, size, max_detections, nms_threshold, form)
            for instances, size in zip(found, original_sizes, strict=True)
        ]

    def _take(self, instances: Any, size: Size, max_detections: int, threshold: float, form: MaskForm) -> Predictions:
        scores, best = instances.scores.float().topk(min(max_detections, len(instances)))
        boxes = instances.pred_boxes.tensor[best].float()
        height, width = size
        limits = boxes.new_tensor([width, height, width, height])
        boxes = boxes.clamp(min=0).minimum(limits)
        kept = nms(boxes, scores, threshold)
        kept = kept[((boxes[kept, 2:] - boxes[kept, :2]) > 0).all(1)]
        boxes, scores = boxes[kept], scores[kept]
        masks, encoded = np.zeros((len(kept), 0, 0), bool), None
        if form is not MaskForm.NONE and instances.has("pred_masks"):
            painted = instances.pred_masks[best[kept]].cpu().numpy()
            if self.is_mirrored:
                painted = np.ascontiguousarray(painted[..., ::-1])
            if form is MaskForm.PAINTED:
                masks = painted
            else:
                encoded = [encode_mask(mask) for mask in painted]
        if self.is_mirrored:
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
        return Predictions(boxes.cpu().numpy(), scores.cpu().numpy(), masks, encoded)


def open_detectron2(
    config: Config, content: Mapping[str, Any] | None, name: str, device: torch.device
) -> Detectron2Detector:
    """Build the model that `detectron2.config` names, for inference, with the weights of a file.

    Args:
        config: names the model.
        content: what `read_weights` read: a checkpoint of ours, or detectron2's own weights. None leaves it untrained.
        name: the name of the file, for errors.
        device: where the model works.

    Raises:
        UserError: detectron2 is not installed, or the weights do not fit the model.
    """
    require_detectron2(f"detectron2.config={config.detectron2.config}")
    detector = Detectron2Detector(config, _choose_config(config, content, device)).to(device).eval()
    if content is not None:
        log.info("%s: %s", name, load_detectron2(detector, content, name, strict=True))
    return detector


def _choose_config(config: Config, content: Mapping[str, Any] | None, device: torch.device) -> Any:
    """Return the configuration in a checkpoint if it is of the same model and settings, else the one that is named."""
    from vclr.config import config_from_text

    if content and content.get(MARK) and config_from_text(content["config"], MARK).detectron2 == config.detectron2:
        return restore_model_config(content[MARK], device)
    return read_model_config(config.detectron2, device)


def _build(config: Config, content: Any) -> nn.Module:
    where = f"detectron2.config={config.detectron2.config}"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.train.seed)
        try:
            if is_lazy(content):
                from detectron2.config import instantiate

                network: nn.Module = instantiate(content.model)
            else:
                from detectron2.modeling import build_model

                network = build_model(content)
        except ImportError as error:
            raise UserError(f"{where}: {first_line(error)}") from None
        except (AssertionError, KeyError, ValueError, TypeError) as error:
            says = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"{where}: the model cannot be built: {says}") from None
    return network


def load_detectron2(detector: Detectron2Detector, content: Mapping[str, Any], name: str, strict: bool) -> str:
    """Load weights as detectron2 does, with its rules for the names of backbones, and say in a line what fit.

    Args:
        detector: the model.
        content: what `read_weights` read: `model`, and maybe `__author__`; or Caffe2's blobs.
        name: the name of the file, for errors.
        strict: refuse weights that do not cover the model.

    Raises:
        UserError: they do not, or hardly any of them fits.
    """
    from detectron2.checkpoint import DetectionCheckpointer

    network, given = detector.network, _as_checkpoint(content)
    total = len(network.state_dict())
    try:
        with _quiet():
            problems = DetectionCheckpointer(network)._load_model(given)
    except Exception as error:
        raise UserError(f"{name}: is not a checkpoint of detectron2: {first_line(error)}") from None
    lacking = sorted({*problems.missing_keys, *(key for key, *_ in problems.incorrect_shapes)})
    unknown = list(problems.unexpected_keys)
    loaded = total - len(lacking)
    report = f"{loaded} tensors loaded (detectron2's model)"
    for title, keys in {"missing or of another shape": lacking, "unexpected": unknown}.items():
        if keys:
            report += f"; {len(keys)} {title} ({', '.join(map(str, keys[:3]))}{', ...' if keys[3:] else ''})"
    fits = loaded >= LEAST_SHARE * (loaded + len(unknown)) and loaded > 0
    if (strict and lacking) or not fits:
        raise UserError(f"{name}: does not fit the model of detectron2.config={detector.name} ({report})")
    return report


def _as_checkpoint(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a file as detectron2's checkpointer takes it; it tells layouts by the same signs."""
    if isinstance(content.get("model"), Mapping):
        author = {key: content[key] for key in ("__author__", "matching_heuristics") if key in content}
        return {"model": dict(content["model"]), "matching_heuristics": False, **author}
    blobs = content.get("blobs", content)
    state = {key: value for key, value in blobs.items() if not key.endswith("_momentum")}
    is_caffe = any(isinstance(value, np.ndarray) for value in state.values())
    return {"model": state, "matching_heuristics": is_caffe, **({"__author__": "Caffe2"} if is_caffe else {})}


@contextmanager
def _quiet() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in LOUD}
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def checkpoint_entry(detector: Detectron2Detector) -> dict[str, str]:
    """Return what a checkpoint holds beside the weights: the model's whole configuration, and that it is one."""
    return {MARK: dump_model_config(detector.content)}
