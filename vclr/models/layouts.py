"""Naming schemes of weights: ours, the reference's, and those of a backbone from detectron2, Caffe2 or torchvision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from vclr.errors import UserError
from vclr.models import caffe2
from vclr.models.detector import Detector
from vclr.models.reference import from_reference, reference_keys, unused_parts
from vclr.models.resnet import NUM_BLOCKS

# Prefixes that DistributedDataParallel and torch.compile add to names.
WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
# One key of each backbone; whatever precedes it in a file is a prefix of all keys.
DETECTRON2_ANCHOR = "stem.conv1.weight"
TORCHVISION_ANCHOR = "layer1.0.conv1.weight"
TORCHVISION_TO_DETECTRON2 = (
    (re.compile(r"^(conv1|bn1)\."), r"stem.\1."),
    (re.compile(r"^layer(\d)\."), lambda match: f"res{int(match[1]) + 1}."),
    (re.compile(r"\bbn(\d)\."), r"conv\1.norm."),
    (re.compile(r"\bdownsample\.0\."), "shortcut."),
    (re.compile(r"\bdownsample\.1\."), "shortcut.norm."),
)
BACKBONE_LAYOUTS = ("detectron2", "torchvision", caffe2.LAYOUT)  # layouts that cover a backbone alone
BLOCK = re.compile(r"\b(?P<kind>res|layer)(?P<stage>\d)\.(?P<block>\d+)\.(?P<conv>convs\.\d|conv\d)")
CLASSIFIERS = re.compile(r"^(stem\.)?(fc|linear|head)\w*\.")

Renamed = tuple[str, dict[str, Tensor], dict[str, str]]


def rename(state: Mapping[str, Tensor], detector: Detector) -> Renamed:
    """Give weights our names.

    Returns:
        The scheme they had; the weights by our names, or by their own if we have none; and the keys that a detector
        does not use, each with the reason.

    Raises:
        UserError: names that contradict each other, or a backbone with other norms than the detector's.
    """
    state = unwrap(state)
    if any(key.startswith("transformer.") for key in state):
        parts = unused_parts(detector)
        unused = {key: reason for key in state for part, reason in parts.items() if key.startswith(part)}
        return "reference", from_reference(state, detector), unused
    if caffe2.is_caffe2(state):
        names, ignored = caffe2.from_caffe2(state)
        renamed, unused = _rename_backbone(names, "", detector)
        return caffe2.LAYOUT, renamed, ignored | unused
    for layout, anchor in (("detectron2", DETECTRON2_ANCHOR), ("torchvision", TORCHVISION_ANCHOR)):
        for key in state:
            if key.endswith(anchor):
                return layout, *_rename_backbone(state, key.removesuffix(anchor), detector)
    return "vclr", dict(state), {}


def unwrap(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes of wrapped modules."""
    return {WRAPPERS.sub("", key): value for key, value in state.items()}


def backbone_depth(names: Iterable[str]) -> int | None:
    """Return the depth of the ResNet whose weights have these names; None if no detector can have it."""
    # Names that fit have been renamed to ours: stages are res2 to res5 or layer1 to layer4, and convolutions count
    # from 0.
    num_blocks: dict[int, int] = {}
    is_deep = False
    for match in filter(None, map(BLOCK.search, names)):
        stage = int(match["stage"]) + (match["kind"] == "layer")
        num_blocks[stage] = max(num_blocks.get(stage, 0), int(match["block"]) + 1)
        is_deep |= match["conv"] in ("convs.2", "conv3")
    blocks = tuple(num_blocks[stage] for stage in sorted(num_blocks))
    return next((depth for depth, own in NUM_BLOCKS.items() if own == blocks and (depth >= 50) is is_deep), None)


def _rename_backbone(
    state: Mapping[str, Tensor], prefix: str, detector: Detector
) -> tuple[dict[str, Tensor], dict[str, str]]:
    ours = {theirs: key for key, theirs in reference_keys(detector).items()}
    renamed, ignored = {}, {}
    for key, value in state.items():
        name = key.removeprefix(prefix)
        if not key.startswith(prefix):
            ignored[key] = "not of the backbone"
        elif CLASSIFIERS.match(name):
            ignored[key] = "classifies whole images"
        elif name.endswith("num_batches_tracked"):
            ignored[key] = "frozen statistics are not counted"
        else:
            for pattern, replacement in TORCHVISION_TO_DETECTRON2:
                name = pattern.sub(replacement, name)
            renamed[ours.get(f"backbone.{name}", key)] = value
    has_batch_norms = any(key.endswith("running_mean") for key in renamed)
    if has_batch_norms and "backbone.stem.norm.running_mean" not in ours.values():
        raise UserError("the weights' backbone has batch norms: set model.backbone.norm=FrozenBN")
    return renamed, ignored
