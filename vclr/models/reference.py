"""The reference's names for a detector's weights, in the order of its module tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from vclr.config import ModelConfig
from vclr.errors import UserError
from vclr.models.attention import MLP
from vclr.models.detector import Detector
from vclr.models.resnet import NUM_BLOCKS, STAGES

# The reference registers its heads twice: under this prefix, and at the top level without it.
HEADS_PREFIX = "transformer.decoder."
HEADS = ("class_embed.", "bbox_embed.", "mask_embed.")
LABELS = "label_enc."
# Parts of the reference that nothing depends on, with the reason; of the labels, unless a training denoises.
UNUSED = {
    LABELS: "embeds the labels of denoising queries, whose losses have the weight 0",
    "ROI_embed.": "its output is multiplied by 0",
}
AFTER_UNUSED = "mapping_fpn_features_for_seg."


def unused_parts(detector: Detector) -> dict[str, str]:
    """Return the prefixes of weights that only the reference has, with the reason."""
    return {part: reason for part, reason in UNUSED.items() if part != LABELS or detector.label_embed is None}


def reference_keys(detector: Detector) -> dict[str, str]:
    """Map each key of the detector's state to the reference's, in the order of the reference's modules.

    Raises:
        UserError: the detector's backbone is not a ResNet.
    """
    if (name := detector.config.backbone.name) != "resnet":
        raise UserError(f"model.backbone.name={name}: weights of other programs can only be exchanged for resnet")
    keys = {}
    state = detector.state_dict()
    for ours, theirs in _part_names(detector.config):
        for key in state:
            if key == ours or key.startswith(f"{ours}."):
                keys[key] = theirs + key.removeprefix(ours)
    return keys


def reference_parameters(detector: Detector, unused: Iterable[str]) -> list[str]:
    """List the reference's parameters in its order, including those that only the reference has."""
    parameters = {name for name, _ in detector.named_parameters()}
    names = [theirs for ours, theirs in reference_keys(detector).items() if ours in parameters]
    position = next(number for number, name in enumerate(names) if name.startswith(AFTER_UNUSED))
    return [*names[:position], *unused, *names[position:]]


def from_reference(state: Mapping[str, Tensor], detector: Detector) -> dict[str, Tensor]:
    """Return the used weights of the reference by our names, or by their own if we have none.

    Raises:
        UserError: a head's two names hold different weights.
    """
    ours = {theirs: key for key, theirs in reference_keys(detector).items()}
    renamed: dict[str, Tensor] = {}
    unused = tuple(unused_parts(detector))
    for key, value in state.items():
        if key.startswith(unused):
            continue
        name = HEADS_PREFIX + key if key.startswith(HEADS) else key
        name = ours.get(name, name)
        if name in renamed and not (renamed[name].dtype == value.dtype and torch.equal(renamed[name], value)):
            raise UserError(f"{key}: differs from {HEADS_PREFIX}{key}, which is the same tensor in the reference")
        renamed[name] = value
    return renamed


def to_reference(detector: Detector, unused: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a detector's state by the reference's names and in its order: parameters, then buffers (`ema_state`).

    It includes the `unused` weights, which only the reference has.
    """
    state = detector.state_dict()
    renamed = {theirs: state[key] for key, theirs in reference_keys(detector).items()} | dict(unused)
    return {name: renamed[name] for name in reference_parameters(detector, unused)} | renamed


def with_aliases(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the heads under their second names, as the reference's `model` has them."""
    heads = tuple(HEADS_PREFIX + head for head in HEADS)
    return {**state, **{key.removeprefix(HEADS_PREFIX): state[key] for key in state if key.startswith(heads)}}


def unused_weights(state: Mapping[str, Tensor], detector: Detector) -> dict[str, Tensor]:
    """Return the part of a reference's state that only the reference has."""
    unused = tuple(unused_parts(detector))
    return {key: value for key, value in state.items() if key.startswith(unused)}


def initial_unused(config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """Return fresh weights for the parts that only the reference has, distributed as it initializes them."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        channels = config.transformer.num_feature_levels * config.embed_dim
        unused = {"label_enc.weight": torch.randn(config.num_classes, config.embed_dim)}
        head = MLP(config.embed_dim, config.embed_dim, channels, 3).state_dict()
    if config.denoises:
        unused = {}
    for copy in range(config.transformer.decoder.num_layers + 1):
        unused |= {f"ROI_embed.{copy}.0.{key}": value.clone() for key, value in head.items()}
    return unused


def _part_names(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Yield each part's name here and in the reference, in the reference's order."""
    yield from _backbone_names(config)
    num_levels, num_own = config.transformer.num_feature_levels, min(3, config.transformer.num_feature_levels)
    for level in range(num_levels):
        theirs = f"neck.convs.{level}" if level < num_own else f"neck.extra_convs.{level - num_own}"
        yield f"neck.levels.{level}.0", f"{theirs}.conv"
        yield f"neck.levels.{level}.1", f"{theirs}.norm"
    yield "encoder.level_embeds", "transformer.level_embeds"
    for layer in range(config.transformer.encoder.num_layers):
        ours, theirs = f"encoder.layers.{layer}", f"transformer.encoder.layers.{layer}"
        yield f"{ours}.attention", f"{theirs}.attentions.0"
        yield from _feed_forward(ours, theirs)
        yield f"{ours}.attention_norm", f"{theirs}.norms.0"
        yield f"{ours}.feed_forward_norm", f"{theirs}.norms.1"
    for layer in range(config.transformer.decoder.num_layers):
        ours, theirs = f"decoder.layers.{layer}", f"transformer.decoder.layers.{layer}"
        yield f"{ours}.self_attention.attention", f"{theirs}.attentions.0.attn"
        yield f"{ours}.cross_attention", f"{theirs}.attentions.1"
        yield from _feed_forward(ours, theirs)
        for number, norm in enumerate(("self_attention", "cross_attention", "feed_forward")):
            yield f"{ours}.{norm}_norm", f"{theirs}.norms.{number}"
    yield "decoder.reference_point_head", "transformer.decoder.ref_point_head"
    yield "decoder.norm", "transformer.decoder.norm"
    for head in ("class_embed", "bbox_embed", "mask_embed"):
        yield head, HEADS_PREFIX + head
    yield "query_content", "transformer.tgt_embed"
    yield "proposal_stage.output", "transformer.enc_output"
    yield "proposal_stage.norm", "transformer.enc_output_norm"
    yield "label_embed", LABELS.removesuffix(".")
    yield "mask_branch.mapping", "mapping_fpn_features_for_seg"
    yield "mask_branch.norm", "post_layernorm"


def _backbone_names(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Yield the backbone's names here and in detectron2, whose ResNet the reference uses."""
    yield from _conv_norm("backbone.stem", "backbone.stem.conv1")
    num_convs = 3 if config.backbone.depth >= 50 else 2
    for stage, num_blocks in zip(STAGES, NUM_BLOCKS[config.backbone.depth], strict=True):
        for block in range(num_blocks):
            name = f"backbone.{stage}.{block}"
            yield from _conv_norm(f"{name}.shortcut", f"{name}.shortcut")
            for number in range(num_convs):
                yield from _conv_norm(f"{name}.convs.{number}", f"{name}.conv{number + 1}")


def _conv_norm(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.conv", theirs
    yield f"{ours}.norm", f"{theirs}.norm"


def _feed_forward(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.feed_forward.expand", f"{theirs}.ffns.0.layers.0.0"
    yield f"{ours}.feed_forward.contract", f"{theirs}.ffns.0.layers.1"
